"""Kohya's folders: photographs in a folder called N_name are used N times an epoch, and the folder above them is named.

Source: `generate_dreambooth_subsets_config_by_subdirs` in the `library/config_util.py` of sd-scripts v0.10.1. The words
of a training folder's name do not become its captions here, as they do there; those of regularisation pictures do.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lib_prodshot.jobs.files.reading import entries_of, is_file, is_folder
from lib_prodshot.training.dataset.folder import SD_SCRIPTS_SUFFIXES, pictures_below
from lib_prodshot.training.recipe.recipe import REG_REPEATS, Recipe, Subset, setting_named

_NAME = re.compile(r"([0-9]+)_(.*)", re.DOTALL)
_REPEATS = setting_named("num_repeats")


@dataclass(frozen=True)
class KohyaName:
    """A parsed folder name: the repeats of its photographs, and the words after the number."""

    repeats: int
    words: str


def parse_folder_name(folder: Path) -> KohyaName | None:
    """Parse a folder's name, None for one that is not of the form or whose number is out of range."""
    found = _NAME.fullmatch(os.path.basename(os.path.abspath(folder)))  # noqa: PTH100, PTH119 - '..' has a name, too
    if found is None or not _REPEATS.minimum <= int(found[1]) <= _REPEATS.maximum:  # type: ignore[operator]
        return None
    return KohyaName(int(found[1]), found[2])


def dataset_folders(folder: Path) -> list[Path]:
    """The dataset folders of `folder`: those of the form in it, else itself.

    Those in it count only where `folder` itself has no photograph. One that cannot be looked into counts, for what is
    in it is not known: whoever lists it tells that.
    """
    if _has_photographs(folder):
        return [folder]
    return _named_folders(folder) or [folder]


def expand(recipe: Recipe) -> Recipe:
    """The recipe with every folder that holds kohya's replaced by these, and with the repeats of their names.

    A `num_repeats` that is not the default counts more than the name of the very folder that is named.
    """
    subsets = tuple(one for subset in recipe.all_subsets for one in _expand(subset))
    if subsets == recipe.all_subsets:
        return recipe
    first, *others = subsets
    # the regularisation folder is among the subsets now
    return replace(
        recipe, image_dir=first.image_dir, num_repeats=first.num_repeats, subsets=tuple(others), reg_data_dir=""
    )


def folder_warnings(recipe: Recipe) -> Iterator[tuple[Path, str]]:
    """Yield folder and warning for unused folders, and for repeats other than in the folders' names."""
    for subset in recipe.all_subsets:
        folder = Path(subset.image_dir)
        inside = _named_folders(folder)
        if inside and _has_photographs(folder):
            names = ", ".join(path.name for path in inside)
            yield folder, f"{names} in it are not used, as photographs stand beside them: name each as a subset"
        elif inside:
            yield from _unused_folders(folder, inside)
            if not _is_unset(subset):
                yield folder, f"the repeats of the folders' names count in it, not the {subset.num_repeats} set"
        elif (name := parse_folder_name(folder)) and not _is_unset(subset) and subset.num_repeats != name.repeats:
            yield folder, f"its name says {name.repeats} repeats, and the recipe's {subset.num_repeats} count"


def suggested_folder(folder: Path) -> str:
    """A clause naming the folders below that have photographs, empty where none has."""
    places = sorted({path.parent for path in pictures_below(folder)} - {folder})
    if not places:
        return ""
    parents = sorted({place.parent if parse_folder_name(place) else place for place in places})
    if parents == [folder]:
        names = ", ".join(place.name for place in places)
        return (
            f"they are in {names} in it, and sd-scripts looks no deeper than into {folder.name}: move them up into "
            f"{folder.name}, or {names} out of it into {folder.parent}"
        )
    if len(parents) == 1:
        return f"they are below it: name {parents[0]}"
    return f"they are in {len(parents)} folders below it, such as {parents[0]}: name one, and the others as subsets"


def _is_unset(subset: Subset) -> bool:
    """Whether the repeats are a default, so that a folder's name counts."""
    return subset.num_repeats == _REPEATS.default or (subset.is_reg and subset.num_repeats == REG_REPEATS)


def _expand(subset: Subset) -> Iterator[Subset]:
    folder = Path(subset.image_dir)
    inside = dataset_folders(folder)
    if inside == [folder]:
        name = parse_folder_name(folder)
        repeats = name.repeats if name and _is_unset(subset) else subset.num_repeats
        yield replace(subset, num_repeats=repeats)
        return
    for path in inside:
        name = parse_folder_name(path)
        assert name is not None
        words = subset.class_tokens or (name.words if subset.is_reg else "")
        yield replace(subset, image_dir=str(path), num_repeats=name.repeats, class_tokens=words)


def _unused_folders(folder: Path, used: list[Path]) -> Iterator[tuple[Path, str]]:
    for path in _folders(folder):
        count = len(pictures_below(path)) if path not in used else 0
        if count:
            what = "picture is" if count == 1 else "pictures are"
            yield path, f"its {count} {what} not used: its name has no repeats, as {used[0].name} has"


def _named_folders(folder: Path) -> list[Path]:
    return [path for path in _folders(folder) if parse_folder_name(path) and _may_be_used(path)]


def _may_be_used(folder: Path) -> bool:
    try:
        return bool(pictures_below(folder) if entries_of(folder) else ())
    except OSError:
        return True


def _folders(folder: Path) -> list[Path]:
    try:
        return [path for path in entries_of(folder) if is_folder(path)]
    except OSError:  # reported where the folder is listed
        return []


def _has_photographs(folder: Path) -> bool:
    try:
        return any(os.path.normcase(path.suffix) in SD_SCRIPTS_SUFFIXES and is_file(path) for path in folder.iterdir())
    except OSError:
        return False
