"""Validates a dataset before training: every photograph and caption, the buckets and the steps."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from lib_prodshot.errors import PictureError
from lib_prodshot.training.dataset import buckets, captions, kohya, looking, photographs
from lib_prodshot.training.dataset.buckets import BucketRules, BucketTable
from lib_prodshot.training.dataset.folder import Listing, caption_file, expected_caption, list_folder
from lib_prodshot.training.dataset.looking import Looker, View
from lib_prodshot.training.dataset.photographs import Photograph
from lib_prodshot.training.recipe.recipe import Recipe, Subset, with_family
from lib_prodshot.training.recipe.remarks import remarks

Level = Literal["error", "warning"]

MAX_UPSCALE = 4.0
"""A photograph that must be enlarged more than this to fill its bucket is an error."""

UPSCALE_TOLERANCE = 1.05
"""Enlargements up to this are not reported."""

MAX_CROP = 0.25
"""A share cut off above this changes what the photograph shows."""


@dataclass(frozen=True)
class Problem:
    """One problem of a dataset: an error ends or spoils the training, a warning lowers its quality."""

    level: Level
    kind: str
    file: str
    message: str

    def __str__(self) -> str:
        return f"{self.level}: {self.file + ': ' if self.file else ''}{self.message}"


@dataclass(frozen=True)
class Folder:
    """One folder of the recipe: the number of its photographs, and their repeats an epoch; `named`: the repeats are
    from its name, of kohya's form N_name."""

    folder: str
    photographs: int
    repeats: int
    is_reg: bool
    named: bool

    def __str__(self) -> str:
        source = " (its name)" if self.named else ""
        return f"{self.folder}: {counted(self.photographs, 'photograph')} × {self.repeats}{source}"


@dataclass(frozen=True)
class CheckReport:
    """The result of a check: the dataset's content, problems, and number of steps; `views` is what the finder saw,
    where it looked."""

    folders: tuple[Folder, ...]
    photographs: int
    with_repeats: int
    table: BucketTable
    steps_per_epoch: int
    epochs: int
    problems: tuple[Problem, ...]
    views: tuple[View, ...] = ()

    @property
    def lists_folders(self) -> bool:
        """Whether the report lists the folders: there are several, or a name has the repeats."""
        return len(self.folders) > 1 or any(folder.named for folder in self.folders)

    @property
    def total_steps(self) -> int:
        """Steps of the complete run."""
        return self.steps_per_epoch * self.epochs

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that training must not start with."""
        return tuple(problem for problem in self.problems if problem.level == "error")

    def to_json(self) -> dict[str, Any]:
        """The report for programs and the HTTP API."""
        return {
            "folders": [asdict(folder) for folder in self.folders],
            "photographs": self.photographs,
            "with_repeats": self.with_repeats,
            "buckets": [asdict(bucket) for bucket in self.table.buckets],
            "mean_aspect_error": round(self.table.mean_aspect_error, 6),
            "steps_per_epoch": self.steps_per_epoch,
            "epochs": self.epochs,
            "total_steps": self.total_steps,
            "problems": [asdict(problem) for problem in self.problems],
            **({"views": [view.to_json() for view in self.views]} if self.views else {}),
        }

    def to_text(self) -> str:
        """The report for people."""
        lines = [*(str(folder) for folder in self.folders)] if self.lists_folders else []
        lines.append(f"{counted(self.photographs, 'photograph')}, {self.with_repeats} with repeats")
        if self.table.buckets:
            lines += ["", "bucket       photographs  with repeats  batches"]
        for bucket in self.table.buckets:
            size = f"{bucket.size[0]}×{bucket.size[1]}"
            lines.append(f"{size:<12} {bucket.photographs:>11}  {bucket.with_repeats:>12}  {bucket.batches:>7}")
        steps, epochs = counted(self.steps_per_epoch, "step"), counted(self.epochs, "epoch")
        lines += ["", f"{steps} an epoch × {epochs} = {counted(self.total_steps, 'step')}", ""]
        lines += [str(problem) for problem in self.problems]
        counts = Counter(problem.level for problem in self.problems)
        lines.append(f"{counted(counts['error'], 'error')}, {counted(counts['warning'], 'warning')}")
        return "\n".join(lines)


def check(
    recipe: Recipe,
    progress: Callable[[int, int], None] = lambda done, total: None,
    looker: Looker | None = None,
) -> CheckReport:
    """Validate every folder of a recipe, including kohya's N_name folders in them. `progress` is called with the
    numbers of pictures done and in all; a `looker` also looks at each photograph that is no regularisation picture.

    Raises `PictureError` when a folder cannot be read, and what the looker raises.
    """
    problems = [_warning(kind, "", told) for kind, told in remarks(recipe, looks=looker is not None)]
    problems += [_warning("folder_name", *told) for told in kohya.folder_warnings(recipe)]
    problems += _same_folders(recipe)
    recipe = with_family(kohya.expand(recipe))
    listings = [
        (subset, list_folder(Path(subset.image_dir), recipe.caption_extension)) for subset in recipe.all_subsets
    ]
    paths = [path for _, listing in listings for path in listing.photographs]
    own = [path for subset, listing in listings if not subset.is_reg for path in listing.photographs]
    total = len(paths) + (len(own) if looker else 0)
    decoded = (
        {one.path: one for one in photographs.read_photographs(paths, lambda done, _: progress(done, total))}
        if paths
        else {}
    )
    rules = BucketRules.of(recipe)
    for subset, listing in listings:
        problems += _listing_problems(subset, listing)
        for path in listing.photographs:
            problems += _photograph_problems(decoded[path], rules)
            problems += _caption_problems(path, recipe, subset)
    problems += _duplicate_problems([decoded[path] for path in own])
    views: tuple[View, ...] = ()
    if looker is not None:
        usable = [path for path in own if not decoded[path].problem]
        views = tuple(_views(looker, usable, lambda done: progress(len(paths) + done, total)))
        seen = looking.remarks(views, looker.reader is not None)
        problems += [_warning(kind, file or "", told) for kind, file, told in seen]
    sizes = _sizes_with_repeats(listings, decoded, rules)
    table = buckets.bucket_table(sizes, rules, recipe.train_batch_size)
    steps = buckets.steps_per_epoch(table.batches, recipe)
    problems += _recipe_problems(recipe, steps * recipe.max_train_epochs)
    return CheckReport(
        folders=tuple(_folder(subset, listing) for subset, listing in listings),
        photographs=len(paths),
        with_repeats=sum(repeats for _, repeats in sizes),
        table=table,
        steps_per_epoch=steps,
        epochs=recipe.max_train_epochs,
        problems=tuple(sorted(problems, key=lambda problem: problem.level)),
        views=views,
    )


def _views(looker: Looker, paths: Sequence[Path], progress: Callable[[int], None]) -> Iterator[View]:
    """What is seen on each photograph; one that only sd-scripts can read was told above."""
    for done, path in enumerate(paths, 1):
        with suppress(PictureError):
            yield looker.look(path)
        progress(done)


def _folder(subset: Subset, listing: Listing) -> Folder:
    name = kohya.parse_folder_name(Path(subset.image_dir))
    named = name is not None and name.repeats == subset.num_repeats
    return Folder(subset.image_dir, len(listing.photographs), subset.num_repeats, subset.is_reg, named)


def _sizes_with_repeats(
    listings: Sequence[tuple[Subset, Listing]], decoded: dict[Path, Photograph], rules: BucketRules
) -> list[tuple[buckets.Size, int]]:
    """Size and repeats of every photograph that can be placed, with regularisation pictures balanced."""
    placed = [
        (decoded[path], subset)
        for subset, listing in listings
        for path in listing.photographs
        if _can_be_placed(decoded[path], rules)
    ]
    sizes = [(one.size, subset.num_repeats) for one, subset in placed if not subset.is_reg]
    regularisation = [(one.size, subset.num_repeats) for one, subset in placed if subset.is_reg]
    balanced = buckets.balanced_repeats([repeats for _, repeats in sizes], [repeats for _, repeats in regularisation])
    return sizes + [(size, repeats) for (size, _), repeats in zip(regularisation, balanced) if repeats]


def _can_be_placed(photograph: Photograph, rules: BucketRules) -> bool:
    if photograph.problem:
        return False
    try:
        buckets.assign_bucket(photograph.size, rules)
    except ValueError:
        return False
    return True


def _listing_problems(subset: Subset, listing: Listing) -> Iterator[Problem]:
    if not listing.photographs:
        advice = kohya.suggested_folder(Path(subset.image_dir)) or "sd-scripts would end at once"
        yield _error("empty_folder", subset.image_dir, f"there is no photograph in it: {advice}")
    for path, why in listing.ignored:
        yield _warning("missed", path, f"it would not be used: {why}")
    for path, why in listing.unreachable:
        yield _warning("unreachable", path, f"it cannot be looked into ({why}), and would not be used")
    for path in listing.unrelated:
        yield _warning("stray", path, "only photographs and captions belong in the folder")
    for one in listing.misnamed:
        message = f"this caption of {one.photograph.name} is not read: {one.advice}"
        yield _warning("caption_beside", one.file, message)
    for path in listing.orphaned_captions:
        yield _warning("caption_orphan", path, "it belongs to no picture")
    stems = Counter(path.with_suffix("") for path in listing.photographs)
    for stem in (stem for stem, number in stems.items() if number > 1):
        yield _warning("same_stem", stem, "photographs of one name with different extensions share one caption")


def _photograph_problems(photograph: Photograph, rules: BucketRules) -> Iterator[Problem]:
    file = str(photograph.path)
    if photograph.problem:
        yield _error("truncated" if photograph.truncated else "unreadable", file, photograph.problem)
        return
    for one in photograph.differences:
        yield Problem(one.level, one.kind, file, one.message)
    if photograph.rotated:
        message = "viewers turn it by its EXIF tag, sd-scripts does not: it would train lying down; turn its pixels"
        yield _warning("turned", file, message)
    try:
        assignment = buckets.assign_bucket(photograph.size, rules)
    except ValueError as error:
        yield _error("tiny", file, str(error))
        return
    size = f"{photograph.size[0]}×{photograph.size[1]}"
    if assignment.scale > MAX_UPSCALE:
        yield _error("tiny", file, f"its {size} pixels would be enlarged {assignment.scale:.1f} times: take it out")
    elif assignment.scale > UPSCALE_TOLERANCE:
        yield _warning("small", file, f"its {size} pixels are enlarged {assignment.scale:.2f} times: it trains blurred")
    if assignment.cropped > MAX_CROP:
        yield _warning("cropped", file, f"{assignment.cropped:.0%} of it are cut off: crop it to what matters")


def _caption_problems(photograph: Path, recipe: Recipe, subset: Subset) -> Iterator[Problem]:
    path = caption_file(photograph, recipe.caption_extension)
    expected = expected_caption(photograph, recipe.caption_extension)
    if path is None and not os.path.lexists(expected):
        if not subset.class_tokens:
            yield _warning("caption_missing", photograph, "it has no caption and trains as an empty one")
        return
    path = path or expected
    caption = captions.read_caption(path)
    if caption.fatal:
        yield _error("caption_broken", path, caption.fatal)
        return
    if caption.problem:
        yield _warning("caption_odd", path, caption.problem)
    tokens = captions.count_tokens(caption.text)
    if tokens > recipe.longest_caption:
        message = f"the caption has {tokens} tokens or more, of which {recipe.longest_caption} count"
        yield _warning("caption_long", path, message)
    if not subset.is_reg:
        yield from _tag_problems(path, caption.text, recipe)


def _tag_problems(path: Path, text: str, recipe: Recipe) -> Iterator[Problem]:
    tags = captions.split_tags(text)
    missing = [tag for tag in recipe.tags if tag not in tags]
    if missing:
        yield _warning("tag_missing", path, f"the caption lacks the activation tag {', '.join(missing)}")
    elif tuple(tags[: len(recipe.tags)]) != recipe.tags:
        yield _warning("tag_not_first", path, f"the activation tag {recipe.activation_tag} does not stand first")


def _duplicate_problems(decoded: Sequence[Photograph]) -> Iterator[Problem]:
    again: set[Path] = set()
    for group in photographs.identical_files(decoded):
        again.update(one.path for one in group[1:])
        names = ", ".join(_beside(one.path, group[0].path) for one in group[1:])
        yield _warning("duplicate", group[0].path, f"the same file again as {names}: it weighs double")
    # a series of nearly the same pictures is one warning, at its first
    first_of: dict[Path, Path] = {}
    alike: dict[Path, dict[Path, int]] = {}
    for one, other, bits in photographs.near_duplicates([one for one in decoded if one.path not in again]):
        first = first_of.setdefault(one.path, one.path)
        if first_of.setdefault(other.path, first) == first:
            group_bits = alike.setdefault(first, {})
            group_bits[other.path] = max(bits, group_bits.get(other.path, 0))
    for first, others in alike.items():
        names = ", ".join(_beside(path, first) for path in others)
        most = max(others.values())
        few = f"{most} of 256 bits differ" if len(others) == 1 else f"at most {most} of 256 bits differ"
        yield _warning("near_duplicate", first, f"nearly the same picture as {names} ({few})")


def _beside(path: Path, other: Path) -> str:
    """A file's name, with its folder where that is not the other's."""
    if path.parent == other.parent:
        return path.name
    return str(path) if path.parent.name == other.parent.name else f"{path.parent.name}/{path.name}"


def _same_folders(recipe: Recipe) -> Iterator[Problem]:
    """Folders that are named more than once, by the keys of the recipe that name them."""
    keys = ["image_dir", *(f"subsets[{number}].image_dir" for number in range(1, len(recipe.subsets) + 1))]
    named: dict[Path, list[tuple[str, Subset, Path]]] = {}
    for key, subset in zip([*keys, "reg_data_dir"], recipe.all_subsets):
        for folder in kohya.dataset_folders(Path(subset.image_dir)):
            named.setdefault(folder.resolve(), []).append((key, subset, folder))
    for users in named.values():
        if len(users) < 2:
            continue
        advice = "name it once and raise its repeats"
        if len({subset.is_reg for _, subset, _ in users}) > 1:
            advice = "regularisation pictures are other pictures than the product's: name another folder"
        told = f"the folder is named more than once ({', '.join(key for key, _, _ in users)})"
        yield _error("same_folder", users[0][2], f"{told}, and sd-scripts uses it once: {advice}")


def _recipe_problems(recipe: Recipe, total_steps: int) -> Iterator[Problem]:
    if recipe.shuffle_caption and len(recipe.tags) > recipe.keep_tokens:
        message = (
            f"{len(recipe.tags)} activation tags, but keep_tokens is {recipe.keep_tokens}: the others are shuffled"
        )
        yield _warning("keep_tokens", "", message)
    if recipe.step_limit and total_steps > recipe.step_limit:
        advice = "fewer repeats or epochs, or a higher step_limit"
        message = f"{total_steps} steps are more than the limit of {recipe.step_limit}: {advice}"
        yield _error("too_many_steps", "", message)


def _error(kind: str, file: Path | str, message: str) -> Problem:
    return Problem("error", kind, str(file), message)


def _warning(kind: str, file: Path | str, message: str) -> Problem:
    return Problem("warning", kind, str(file), message)


def counted(number: int, word: str) -> str:
    """A number with its noun: 'no errors', '1 error', '2 errors'."""
    return f"{number or 'no'} {word}{'' if number == 1 else 's'}"
