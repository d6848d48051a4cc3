"""Recipes as TOML files: strict reading, atomic writing."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.training.recipe import families
from lib_prodshot.training.recipe.presets import preset
from lib_prodshot.training.recipe.recipe import SECTIONS, SETTINGS, Recipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file. Raises `RequestError` when it cannot be read as one."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise RequestError([FieldProblem("recipe", f"{path} cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        message = f"{path} is not TOML: it is not encoded as UTF-8; save it so"
        raise RequestError([FieldProblem("recipe", message)]) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RequestError([FieldProblem("recipe", f"{path} is not TOML: {error}")]) from error


def parse_value(text: str) -> Any:
    """One value as TOML writes it. Raises ValueError."""
    return tomllib.loads(f"value = {text}")["value"]


def parse_text(text: str, field: str = "recipe") -> dict[str, Any]:
    """A text's content as TOML. Raises `RequestError` naming `field`."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RequestError([FieldProblem(field, f"this is not TOML: {error}")]) from error


def dump(values: Mapping[str, Any]) -> str:
    """Values as TOML."""
    import tomli_w

    return tomli_w.dumps(values)


def write_toml(path: Path, values: Mapping[str, Any]) -> None:
    """Write `values` as TOML atomically. Raises `OutputError`."""
    import tomli_w

    from lib_prodshot.jobs.files.staging import Staging, output_error

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(path.parent, error) from error
    with Staging(path.parent) as staging:
        staging.path(path.name).write_text(tomli_w.dumps(values), encoding="utf-8")


def compose(
    file: Path | None = None,
    options: Mapping[str, Any] | None = None,
    chosen: str = "",
    complete: bool = True,
) -> Recipe:
    """A recipe from, each over the one before: the seed's defaults, those of the checkpoint's family, a preset, a
    recipe file, single options.

    The preset is `chosen`, else the file's own `preset`. Paths in the file are relative to its folder, those among the
    options to the current one. Raises `RequestError`.
    """
    from_file = _resolve_paths(read_toml(file), file.resolve().parent) if file else {}
    preset_name = chosen or from_file.get("preset", "")
    from_file.pop("preset", None)
    from_options = _resolve_paths(options or {}, Path.cwd())
    said = {**from_file, **from_options}
    values = {**preset(preset_name, families.resolved(said)), **said}
    if isinstance(from_file.get("extra"), dict) and isinstance(from_options.get("extra"), dict):
        values["extra"] = {**from_file["extra"], **from_options["extra"]}
    return Recipe.of({**_resolve_paths(Recipe().to_dict(), Path.cwd()), **values}, complete)


def save(recipe: Recipe, path: Path, only_changed: bool = False) -> None:
    """Write a recipe so that `compose(path)` reads the same one again. Raises `OutputError`."""
    write_toml(path, recipe.to_dict(only_changed))


def to_text(recipe: Recipe) -> str:
    """A recipe as TOML in which every setting is explained, in the schema's sections."""
    import tomli_w

    values = recipe.to_dict()
    lines: list[str] = []
    section = ""
    for known in sorted(SETTINGS, key=lambda one: SECTIONS.index(one.section)):
        if known.section != section:
            section = known.section
            lines += ["", f"# --- {section} ---"]
        lines.append(f"# {known.help} [{known.allowed}]")
        lines.append(tomli_w.dumps({known.name: values[known.name]}).rstrip("\n"))
    tables: dict[str, Any] = {name: values[name] for name in ("subsets", "extra") if name in values}
    return "\n".join([*lines[1:], "", tomli_w.dumps(tables)]).rstrip("\n") + "\n"


def _resolve_paths(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The same values with relative paths taken from `folder`. A checkpoint that is nothing there may be a hub name."""
    paths = [known.name for known in SETTINGS if known.path]
    found = dict(values)
    for name in paths:
        if isinstance(found.get(name), str) and found[name]:
            found[name] = _resolve(folder, found[name], keep=name == "pretrained_model_name_or_path")
    if isinstance(found.get("subsets"), list):
        found["subsets"] = [_resolve_subset(table, folder) for table in found["subsets"]]
    return found


def _resolve(folder: Path, text: str, keep: bool = False) -> str:
    path = folder / Path(text).expanduser()
    return text if keep and not path.exists() else str(path)


def _resolve_subset(table: Any, folder: Path) -> Any:
    if not isinstance(table, Mapping) or not isinstance(table.get("image_dir"), str):
        return table
    return {**table, "image_dir": _resolve(folder, table["image_dir"])}
