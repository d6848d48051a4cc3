"""Copies of the photographs whose opacity is the loss's weight, for the setting `masked_loss`: the product at its full
weight, and what lies around it at `unmasked_weight`.

sd-scripts v0.10.1 takes masks in two ways (its `docs/masked_loss_README.md`). Its `conditioning_data_dir` stretches a
mask to the bucket where it crops the photograph, and knows neither regularisation pictures nor captions by class
(`ControlNetDataset` in `library/train_util.py`); its `alpha_mask` crops both alike and goes with everything, in the
programs of all families. So it is given the second: PNGs in the run's own folder, with the photographs' colours as
sd-scripts itself reads them. The photographs' folders are only read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_prodshot.errors import FieldProblem, PictureError, RequestError
from lib_prodshot.jobs.files.staging import Staging, output_error
from lib_prodshot.training.dataset.folder import SD_SCRIPTS_SUFFIXES, caption_file, list_folder
from lib_prodshot.training.errors import InvalidDataset
from lib_prodshot.training.recipe.recipe import Recipe, Subset

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from lib_prodshot.finding.finder import Finder

FOLDER = "masked"
"""The copies within the run's folder, in a folder for each of the recipe's."""

_KEY = "Prodshot mask"
"""PNG text of a copy: what it was made of, so that it is not made again when the run goes on."""

_SETTINGS = ("products", "finder", "mask_grow", "unmasked_weight")
_SPECKS, _HOLES = 0.05, 0.02
"""Shares of the mask below which specks are left out and holes filled; the defaults of the step `mask` are near."""

_OWN = "conditioning_data_dir"

_COLOURED, _MOSTLY_GREY = 32, 0.02
"""A mask of whose pixels more than the second differ between their channels by more than the first is a photograph;
what JPEG does to the edges of a grey one is less."""

_NAMED = 3
"""So many photographs are named in a message."""

UseFinder = Callable[[str], AbstractContextManager["Finder"]]
"""Gives the finder of a name, and takes it back: its memory is the trainer's then."""


@dataclass
class MaskedCopies:
    """The masked copies of a recipe's photographs in the folder `run`.

    A photograph in which nothing is found is an error, and with `force` weighs the same everywhere.
    """

    recipe: Recipe
    run: Path
    use_finder: UseFinder
    force: bool = False
    _absent: list[str] = field(default_factory=list)

    def write(self, progress: Callable[[int, int], None]) -> Recipe:
        """Write what is not there yet; returns the recipe with the copies in place of the photographs. `progress` is
        called with the numbers of photographs done and in all.

        Raises `InvalidDataset`, `RequestError`, `OutputError`, and what the finder raises.
        """
        targets = {subset.image_dir: self._target(number, subset) for number, subset in self._subsets()}
        photographs = [(path, target) for folder, target in targets.items() for path in self._photographs(folder)]
        missing = [(path, target) for path, target in photographs if not self._is_there(path, target)]
        for target in targets.values():
            _make_folder(target)
            _remove_others(target, [path.name for path, place in photographs if place == target])
        there = len(photographs) - len(missing)
        progress(there, len(photographs))
        with self._finder([path for path, _ in missing]) as finder:
            for number, (path, target) in enumerate(missing, 1):
                self._write_copy(path, target, finder)
                progress(there + number, len(photographs))
        for path, target in photographs:
            _copy_caption(path, target, self.recipe.caption_extension)
        self._refuse_absent(len(photographs))
        return self._with_copies(targets)

    def check(self) -> bool:
        """Whether the finder is to make some masks. Raises what `write` raises before a photograph is looked at."""
        from lib_prodshot.products import parse_products

        photographs = [path for _, one in self._subsets() for path in self._photographs(one.image_dir)]
        with self._finder(photographs) as finder:
            if finder is not None:
                finder.refuse_unknown(parse_products(self.recipe.products))
            return finder is not None

    def _subsets(self) -> Iterator[tuple[int, Subset]]:
        """The folders of photographs with their numbers; regularisation pictures have no product to learn."""
        return ((number, one) for number, one in enumerate(self.recipe.all_subsets, 1) if not one.is_reg)

    def _target(self, number: int, subset: Subset) -> Path:
        return self.run / FOLDER / f"{number}-{Path(subset.image_dir).name}"

    def _photographs(self, folder: str) -> tuple[Path, ...]:
        return list_folder(Path(folder), self.recipe.caption_extension).photographs

    def _with_copies(self, targets: dict[str, Path]) -> Recipe:
        first, *others = (
            replace(one, image_dir=str(targets[one.image_dir])) if one.image_dir in targets else one
            for one in self.recipe.all_subsets
        )
        return replace(self.recipe, image_dir=first.image_dir, subsets=tuple(others), reg_data_dir="")

    def _is_there(self, photograph: Path, target: Path) -> bool:
        from PIL import Image

        try:
            with Image.open(_copy_of(photograph, target)) as copy:
                return bool(copy.info.get(_KEY) == self._key(photograph))
        except (OSError, ValueError):
            return False

    def _key(self, photograph: Path) -> str:
        """What a copy is made of: the photograph, its mask where there is one, and the settings. Raises
        `InvalidDataset`."""
        own = self._own_mask(photograph)
        try:
            digest = hashlib.sha256(photograph.read_bytes())
            digest.update(own.read_bytes() if own else b"")
        except OSError as error:
            raise InvalidDataset(f"{error.filename} cannot be read: {error.strerror}") from error
        settings = {name: getattr(self.recipe, name) for name in _SETTINGS} | {"own": bool(own), "force": self.force}
        digest.update(json.dumps(settings, sort_keys=True).encode())
        return digest.hexdigest()

    def _own_mask(self, photograph: Path) -> Path | None:
        return _own_mask(self.recipe, photograph)

    @contextmanager
    def _finder(self, photographs: Sequence[Path]) -> Iterator[Finder | None]:
        """The finder where some photograph has no mask of the user's own. Raises `InvalidDataset` where nothing says
        what it is to find."""
        without = [path.name for path in photographs if self._own_mask(path) is None]
        if not without:
            yield None
            return
        if not self.recipe.products:
            raise InvalidDataset(
                f"{_listed(without)} have no mask in {self.recipe.conditioning_data_dir}: add them, or set products to "
                "have the finder make them"
            )
        with self.use_finder(self.recipe.finder) as finder:
            yield finder

    def _write_copy(self, photograph: Path, target: Path, finder: Finder | None) -> None:
        from PIL import Image, PngImagePlugin

        own = self._own_mask(photograph)
        try:
            with Image.open(photograph) as opened:
                picture = opened.convert("RGB")
        except (OSError, ValueError) as error:
            raise InvalidDataset(f"{photograph} cannot be decoded, so it gets no mask: take it out") from error
        mask = _read_mask(own, picture.size) if own else self._found(picture, photograph, finder)
        if mask is None:
            return
        picture.putalpha(Image.fromarray(_weights(mask, self.recipe.unmasked_weight)))
        said = PngImagePlugin.PngInfo()
        said.add_text(_KEY, self._key(photograph))
        with Staging(target) as staging:
            name = _copy_of(photograph, target).name
            picture.save(staging.path(name), format="PNG", pnginfo=said, compress_level=1)

    def _found(self, picture: Any, photograph: Path, finder: Finder | None) -> npt.NDArray[np.uint8] | None:
        """The mask that the finder makes; where it finds nothing, the whole picture with `force`, else None."""
        import numpy as np

        assert finder is not None
        mask = product_mask(np.asarray(picture), self.recipe, finder)
        if mask is None:
            self._absent.append(photograph.name)
            return np.full(picture.size[::-1], 255, np.uint8) if self.force else None
        return mask

    def _refuse_absent(self, count: int) -> None:
        if self._absent and not self.force:
            raise InvalidDataset(
                f"the finder sees no {self.recipe.products} in {len(self._absent)} of {count} photographs "
                f"({_listed(self._absent)}), and masked_loss learns from nothing else: take them out, name the product "
                "otherwise, give masks of your own in conditioning_data_dir, or use --force to learn from all of them"
            )


def product_mask(picture: npt.NDArray[np.uint8], recipe: Recipe, finder: Finder) -> npt.NDArray[np.uint8] | None:
    """The mask (H×W uint8, 255 is the product) of a photograph (H×W×3 uint8 RGB), grown by the recipe's share of its
    longer side; None where the product is not found."""
    from lib_prodshot import masks
    from lib_prodshot.products import parse_products

    finds = finder.find(picture, parse_products(recipe.products)).finds
    if not finds:
        return None
    joined = masks.union([masks.threshold(find.soft_mask, 0.5) for find in finds])
    whole = masks.fill_holes(masks.drop_specks(joined, _SPECKS), _HOLES)
    if not whole.any():
        return None
    return masks.grow(whole, round(recipe.mask_grow * max(picture.shape[:2])))


def problems(recipe: Recipe) -> list[FieldProblem]:
    """What is wrong with the user's own masks: there is no such folder, or what is in it are no masks."""
    folder = recipe.conditioning_data_dir
    if not recipe.masked_loss or not folder:
        return []
    if not Path(folder).is_dir():
        return [FieldProblem(_OWN, f"there is no folder {folder}", "a folder of masks")]
    subsets = [one for one in recipe.all_subsets if not one.is_reg]
    if Path(folder).resolve() in [Path(one.image_dir).resolve() for one in subsets]:
        return [FieldProblem(_OWN, f"{folder} is the photographs' own folder", "a folder of masks")]
    wrong = [told for one in subsets for told in _wrong_masks(recipe, Path(one.image_dir))]
    more = f" (and {len(wrong) - 1} more)" if wrong[1:] else ""
    return [FieldProblem(_OWN, f"{wrong[0]}{more}", "masks of the photographs' sizes")] if wrong else []


def _own_mask(recipe: Recipe, photograph: Path) -> Path | None:
    """The user's own mask of a photograph, by its name or its stem."""
    if not recipe.conditioning_data_dir:
        return None
    folder = Path(recipe.conditioning_data_dir)
    names = [photograph.name, *(f"{photograph.stem}{suffix}" for suffix in sorted(SD_SCRIPTS_SUFFIXES))]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _wrong_masks(recipe: Recipe, folder: Path) -> Iterator[str]:
    from PIL import Image

    try:
        photographs = list_folder(folder, recipe.caption_extension).photographs
    except PictureError:  # told where the photographs are checked
        return
    for photograph in photographs:
        own = _own_mask(recipe, photograph)
        if own is None:
            continue
        # a photograph that cannot be read is told where the photographs are checked
        with suppress(OSError, ValueError), Image.open(photograph) as opened:
            try:
                _read_mask(own, opened.size)
            except RequestError as error:
                yield error.problems[0].message


@contextmanager
def own_finder(name: str) -> Iterator[Finder]:
    """The finder of this process, loaded for the masks alone. Raises `FinderUnavailable` and `WeightsError`."""
    from lib_prodshot.finding.registry import load_finder

    finder = load_finder(name)
    try:
        yield finder
    finally:
        finder.unload()


def _weights(mask: npt.NDArray[np.uint8], outside: float) -> npt.NDArray[np.uint8]:
    import numpy as np

    return np.maximum(mask, np.uint8(round(255 * outside)))


def _read_mask(path: Path, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """A user's mask: its red channel, as sd-scripts takes a mask's. Raises `RequestError`."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as opened:
            picture = np.asarray(opened.convert("RGB"))
    except (OSError, ValueError) as error:
        raise RequestError([FieldProblem(_OWN, f"{path} cannot be read as a picture")]) from error
    mask = picture[:, :, 0]
    if mask.shape != size[::-1]:
        message = f"{path.name} is {mask.shape[1]}×{mask.shape[0]} pixels and its photograph {size[0]}×{size[1]}"
        raise RequestError([FieldProblem(_OWN, message, "a mask of the photograph's size")])
    if (np.ptp(picture, axis=2) > _COLOURED).mean() > _MOSTLY_GREY:
        message = f"{path.name} is a picture in colours and no mask"
        raise RequestError([FieldProblem(_OWN, message, "white is learned, black is not, grey lies between")])
    return mask


def _copy_of(photograph: Path, target: Path) -> Path:
    """The copy keeps the whole name, so that photographs that differ in their extension stay two."""
    return target / f"{photograph.name}.png"


def _copy_caption(photograph: Path, target: Path, extension: str) -> None:
    caption = caption_file(photograph, extension)
    copy = _copy_of(photograph, target).with_suffix(extension)
    try:
        if caption is None:
            copy.unlink(missing_ok=True)
        else:
            copy.write_bytes(caption.read_bytes())
    except OSError as error:
        raise output_error(target, error) from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error


def _remove_others(folder: Path, names: Collection[str]) -> None:
    """Remove copies of photographs that are no longer there: they would be trained."""
    kept = {f"{name}.png" for name in names}
    try:
        for path in folder.iterdir():
            if path.suffix == ".png" and path.name not in kept:
                path.unlink()
    except OSError as error:
        raise output_error(folder, error) from error


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
