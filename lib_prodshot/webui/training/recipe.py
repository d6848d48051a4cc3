"""A training recipe from what a client or the page asks for: the WebUI's checkpoints by their names, folders only where
the caller may have them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib_prodshot.errors import EnhanceError, FieldProblem, RequestError
from lib_prodshot.hosts.active import host
from lib_prodshot.hosts.server_paths import OpenPath, check_folder, open_for_page, page_is_trusted
from lib_prodshot.training.dataset.kohya import dataset_folders
from lib_prodshot.training.recipe import families
from lib_prodshot.training.recipe.presets import preset
from lib_prodshot.training.recipe.recipe import SETTINGS, Recipe
from lib_prodshot.webui.api.bodies import refuse_long

CHECKPOINT = "pretrained_model_name_or_path"

_PATHS = tuple(known.name for known in SETTINGS if known.path and known.name != CHECKPOINT)


def runs_folder() -> Path:
    """The default folder of runs, in the WebUI's data folder."""
    return host().data_path() / "prodshot-training"


def recipe_of(settings: Mapping[str, Any], open_path: OpenPath = check_folder, complete: bool = True) -> Recipe:
    """The recipe that these settings (the recipe's own, and `preset`) describe. Raises `RequestError`."""
    refuse_long({**settings})
    values = dict(settings)
    chosen = values.pop("preset", "")
    if not isinstance(chosen, str):
        raise RequestError([FieldProblem("preset", f"{chosen!r} is not text", "a preset's name")])
    if open_path is check_folder or not page_is_trusted():
        _refuse_programs(values)
    opened = _opened(values, open_path)
    recipe = Recipe.of({**preset(chosen, families.resolved(opened)), **opened}, complete)
    for subset in recipe.all_subsets:
        if subset.image_dir:
            opened_folder("image_dir", subset.image_dir, open_path)
    return recipe


def family_named(family: str, checkpoint: str) -> str:
    """The family that the page's fields mean. It opens only what the page may name; what else there is, is told when
    the recipe is used."""
    try:
        found = _opened({CHECKPOINT: checkpoint or "", "family": family}, open_for_page)
    except RequestError:
        found = {"family": family}
    return families.resolved(found)


def opened_folder(field: str, folder: str, open_path: OpenPath) -> Path:
    """A folder of photographs that the caller may have, and with it kohya's N_name folders that it may stand for: a
    link among these must not lead out. Raises `RequestError`."""
    opened = open_path(field, folder)
    for inside in dataset_folders(opened):
        open_path(field, str(inside))
    return opened


def _refuse_programs(values: Mapping[str, Any]) -> None:
    """Further options of sd-scripts may name files, and modules to run: from a request only figures are taken."""
    extra = values.get("extra", {})
    if not isinstance(extra, Mapping):
        return
    wrong = [name for name, value in extra.items() if not isinstance(value, (bool, int, float))]
    if wrong:
        message = "over the API only numbers and flags are taken for options of sd-scripts"
        raise RequestError([FieldProblem(f"extra.{name}", message, "a number, true, false") for name in wrong])


def _opened(values: Mapping[str, Any], open_path: OpenPath) -> dict[str, Any]:
    found = dict(values)
    for name in _PATHS:
        if isinstance(found.get(name), str) and found[name].strip():
            found[name] = str(open_path(name, found[name]))
    if not found.get("output_dir"):
        found["output_dir"] = str(runs_folder())
    if isinstance(found.get(CHECKPOINT), str) and found[CHECKPOINT].strip():
        found[CHECKPOINT] = str(_checkpoint(found[CHECKPOINT], open_path))
    if isinstance(found.get("subsets"), (list, tuple)):
        found["subsets"] = [
            {**table, "image_dir": str(open_path(f"subsets[{number}].image_dir", table["image_dir"]))}
            if isinstance(table, Mapping) and isinstance(table.get("image_dir"), str)
            else table
            for number, table in enumerate(found["subsets"], 1)
        ]
    return found


def _checkpoint(name: str, open_path: OpenPath) -> Path:
    """A checkpoint of the WebUI's list, else a file or folder that the caller may name."""
    if name in host().names().checkpoints:
        try:
            return host().training().checkpoint_file(name)
        except EnhanceError as error:
            raise RequestError([FieldProblem(CHECKPOINT, str(error))]) from error
    path = open_path(CHECKPOINT, name)
    if not path.exists():
        allowed = "a checkpoint as the WebUI's list names it, a file, or a diffusers folder"
        raise RequestError([FieldProblem(CHECKPOINT, "there is no such checkpoint", allowed)])
    return path
