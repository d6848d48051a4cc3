"""Converted copies of dataset folders: upright, opaque 8-bit sRGB, under file names that sd-scripts supports.

Originals are only read, and existing files are never overwritten. A picture that needs nothing is copied byte
for byte; the same command again writes only what is not there yet.
"""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_prodshot.errors import FieldProblem, OutputError, PictureError, RequestError
from lib_prodshot.jobs.files.reading import is_file, open_regular
from lib_prodshot.jobs.files.staging import Staging, remove_leftovers
from lib_prodshot.training.dataset import buckets, kohya
from lib_prodshot.training.dataset.folder import SD_SCRIPTS_SUFFIXES, Listing, caption_file, list_folder
from lib_prodshot.training.dataset.looking import Shares, View, crop_window
from lib_prodshot.training.dataset.photographs import Photograph, read_photograph
from lib_prodshot.training.recipe.recipe import Recipe, Subset

if TYPE_CHECKING:
    from PIL import Image

_ENDINGS = frozenset(suffix.lower() for suffix in SD_SCRIPTS_SUFFIXES)


@dataclass(frozen=True)
class FixResult:
    """The result for one picture: the `file` in the copy, written `written`, `converted` for the reasons named (empty:
    copied as it is), or a `problem` that left it out. `caption` is the caption's copy, None where there is none."""

    source: Path
    file: Path | None
    converted: str = ""
    caption: Path | None = None
    written: bool = False
    problem: str = ""

    def __str__(self) -> str:
        if self.problem:
            return f"{self.source}: {self.problem}"
        done = f"converted ({self.converted})" if self.converted else "copied"
        return f"{self.file}: {done if self.written else 'is there already'}"


@dataclass(frozen=True)
class FixJob:
    """Copies of all folders of `recipe` in `out`: of one folder in `out` itself, of several, or of one that has
    kohya's N_name, in folders of their names in it. `crops` are photographs of which only what is around the box (as
    shares of the upright picture) is to be in the copy, at the size of its bucket."""

    recipe: Recipe
    out: Path
    crops: Mapping[Path, Shares] = field(default_factory=dict)

    def targets(self) -> dict[str, Path]:
        """Where the copy of each folder of the recipe goes.

        Raises `RequestError` where a copy would lie in a folder of photographs, or the other way round.
        """
        subsets = kohya.expand(self.recipe).all_subsets
        alone = len(subsets) == 1 and kohya.parse_folder_name(Path(subsets[0].image_dir)) is None
        targets: dict[str, Path] = {}
        for subset in subsets:
            name = os.path.basename(os.path.abspath(subset.image_dir))  # noqa: PTH100, PTH119 - '..' has a name, too
            target = self.out if alone else _unused_name(self.out / name, targets.values())
            targets.setdefault(subset.image_dir, target)
        self._refuse_sources(targets)
        return targets

    def fixed_recipe(self) -> Recipe:
        """The recipe with the copies in place of its folders. Raises `RequestError`."""
        targets = self.targets()
        first, *others = kohya.expand(self.recipe).all_subsets
        subsets = tuple(replace(one, image_dir=str(targets[one.image_dir])) for one in others)
        return replace(
            self.recipe,
            image_dir=str(targets[first.image_dir]),
            num_repeats=first.num_repeats,
            subsets=subsets,
            reg_data_dir="",
        )

    def count(self) -> int:
        """How many pictures the job is about. Raises `PictureError`."""
        return sum(len(_pictures_to_copy(self._listing(subset), Path(subset.image_dir))) for subset in self._subsets())

    def run(self) -> Iterator[FixResult]:
        """Yield one result for each picture, after it and its caption are written.

        Raises `PictureError`, `RequestError`, and `OutputError` where a folder cannot be made.
        """
        targets = self.targets()
        for subset in self._subsets():
            target = targets[subset.image_dir]
            try:
                target.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"cannot make the folder {target}: {error.strerror}") from error
            remove_leftovers([target], self.out)
            yield from self._fix_folder(subset, target)

    def _subsets(self) -> tuple[Subset, ...]:
        found = {one.image_dir: one for one in reversed(kohya.expand(self.recipe).all_subsets)}
        return tuple(reversed(found.values()))

    def _listing(self, subset: Subset) -> Listing:
        return list_folder(Path(subset.image_dir), self.recipe.caption_extension)

    def _refuse_sources(self, targets: Mapping[str, Path]) -> None:
        sources = [Path(folder).resolve() for folder in targets]
        out = self.out.resolve()
        for target in {out, *(path.resolve() for path in targets.values())}:
            for source in sources:
                if target == source or source in target.parents or (target in source.parents and target != out):
                    message = f"{target} and the photographs' {source} lie in each other, and originals stay untouched"
                    raise RequestError([FieldProblem("fix", message, "another folder")])

    def _fix_folder(self, subset: Subset, target: Path) -> Iterator[FixResult]:
        listing = self._listing(subset)
        misnamed = {one.photograph: one.file for one in reversed(listing.misnamed)}
        taken: set[str] = set()
        pictures = _pictures_to_copy(listing, Path(subset.image_dir))
        stems = [path.stem.lower() for path in pictures]
        for path in pictures:
            # photographs that share a name but for the extension get one each
            stem = path.name.replace(".", "-") if stems.count(path.stem.lower()) > 1 else path.stem
            caption = caption_file(path, self.recipe.caption_extension) or misnamed.get(path)
            yield self._fix(path, caption, target, stem, taken)

    def _fix(self, path: Path, caption: Path | None, target: Path, stem: str, taken: set[str]) -> FixResult:
        photograph = read_photograph(path)
        box = self.crops.get(path)
        reasons = [*_reasons(photograph), *(["cropped"] if box else [])]
        if photograph.problem and path.suffix.lower() in _ENDINGS:
            return FixResult(path, None, problem=f"left out: {photograph.problem}")
        is_found = os.path.normcase(path.suffix) in SD_SCRIPTS_SUFFIXES
        ending = ".png" if reasons else path.suffix if is_found else path.suffix.lower()
        file = target / f"{stem}{ending}"
        if file.name.lower() in taken:
            return FixResult(path, None, problem=f"left out: another picture has the name {file.name} in the copy")
        taken.add(file.name.lower())
        text = target / f"{stem}{self.recipe.caption_extension}" if caption else None
        try:
            written = self._convert(path, file, box) if reasons else _copy(path, file)
            if caption and text:
                written = _copy(caption, text) or written
        except (PictureError, OutputError) as error:
            return FixResult(path, None, problem=f"left out: {error}")
        return FixResult(path, file, ", ".join(reasons), text, written)

    def _convert(self, source: Path, target: Path, box: Shares | None) -> bool:
        """Write the picture, or what is around the box, as a PNG; False where one of the same pixels is there. Raises
        `PictureError`, `OutputError`."""
        image = _render(source)
        if box is not None:
            image = self._cropped(image, box)
        if os.path.lexists(target):
            if _is_same_picture(image, target):
                return False
            raise _exists_error(target)
        with Staging(target.parent) as staging:
            image.save(staging.path(target.name), "PNG")
        return True

    def _cropped(self, image: Image.Image, box: Shares) -> Image.Image:
        """What is around the box, at the size of the picture's bucket where it has as many pixels."""
        from PIL import Image

        bucket = buckets.assign_bucket(image.size, buckets.BucketRules.of(self.recipe)).bucket
        part = image.crop(crop_window(image.size, box, bucket))
        is_larger = part.width > bucket[0] and part.height > bucket[1]
        return part.resize(bucket, Image.Resampling.LANCZOS) if is_larger else part


def small_products(views: Iterable[View]) -> dict[Path, Shares]:
    """The boxes of products that are too small in their photographs, for `FixJob.crops`."""
    return {view.file: view.box for view in views if view.is_small and view.box}


def to_json(job: FixJob, done: list[FixResult]) -> dict[str, Any]:
    """A finished job for programs and the HTTP API."""
    return {
        "folder": str(job.out),
        "converted": sum(bool(one.converted) and one.written for one in done),
        "cropped": sum(one.source in job.crops and one.written for one in done),
        "copied": sum(not one.converted and one.written for one in done),
        "there": sum(not one.written and not one.problem for one in done),
        "problems": [{"file": str(one.source), "message": one.problem} for one in done if one.problem],
    }


def to_text(summary: Mapping[str, Any]) -> str:
    """`to_json` on one line."""
    return (
        f"{summary['folder']}: {summary['converted']} converted{_cropped(summary)}, {summary['copied']} copied, "
        f"{summary['there']} there already, {len(summary['problems'])} left out"
    )


def _cropped(summary: Mapping[str, Any]) -> str:
    return f" ({summary['cropped']} of them cropped around the product)" if summary["cropped"] else ""


def _pictures_to_copy(listing: Listing, folder: Path) -> list[Path]:
    """The photographs, and pictures next to them that sd-scripts ignores for their format or extension."""
    ignored = [path for path, _ in listing.ignored if path.parent == folder and not path.name.startswith(".")]
    return sorted([*listing.photographs, *ignored], key=str)


def _reasons(photograph: Photograph) -> list[str]:
    """Why a picture cannot stay as it is; empty where it can."""
    reasons = [one.kind for one in photograph.differences]
    if photograph.rotated:
        reasons.append("turned")
    if photograph.path.suffix.lower() not in _ENDINGS:
        reasons.append(photograph.path.suffix.lower().removeprefix("."))
    return reasons


def _unused_name(path: Path, taken: Any) -> Path:
    """The path, or with a number behind its name where another folder of that name is copied, too."""
    others, number, free = set(taken), 2, path
    while free in others:
        free, number = path.with_name(f"{path.name}-{number}"), number + 1
    return free


def _copy(source: Path, target: Path) -> bool:
    """Copy bytes; False where the same ones are there. Raises `OutputError`."""
    try:
        if os.path.lexists(target):
            if is_file(target) and is_file(source) and filecmp.cmp(source, target, shallow=False):
                return False
            raise _exists_error(target)
        with Staging(target.parent) as staging:
            shutil.copyfile(source, staging.path(target.name))
    except OSError as error:
        raise OutputError(f"{source} cannot be copied: {error.strerror or error}") from error
    return True


def _exists_error(target: Path) -> OutputError:
    return OutputError(f"{target} is there with something else in it, and stays as it is: choose another folder")


def _is_same_picture(image: Image.Image, target: Path) -> bool:
    from PIL import Image, ImageChops

    try:
        with open_regular(target) as file, Image.open(file) as existing:
            same = existing.mode == image.mode and existing.size == image.size
            return same and ImageChops.difference(existing, image).getbbox() is None
    except Exception:  # a file that cannot be decoded is not the same picture
        return False


def _render(source: Path) -> Image.Image:
    """Render the picture as viewers do: upright, in sRGB, over white. Raises `PictureError`."""
    from PIL import Image

    from lib_prodshot import pictures
    from lib_prodshot.training.dataset import rendering

    loaded = pictures.read(source)
    samples = Image.fromarray(loaded.rgb)
    if loaded.mode == "CMYK":
        height, width = loaded.size
        samples = Image.frombytes("CMYK", (width, height), loaded.native.tobytes())
    alpha = loaded.alpha
    opacity = Image.fromarray(alpha) if alpha is not None else None
    colours = rendering.ColourDescription(profile=loaded.metadata.icc, space=loaded.space)
    return rendering.over_white(rendering.to_srgb(samples, colours), opacity)
