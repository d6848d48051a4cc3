"""Command-line options drawn from the recipe's settings."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lib_prodshot.commands.setting_options import METAVARS, not_a_number
from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.training.recipe import files as recipe_files
from lib_prodshot.training.recipe.presets import NAMES
from lib_prodshot.training.recipe.recipe import SECTIONS, SETTINGS, Recipe
from lib_prodshot.training.recipe.settings import RecipeSetting

_SHORT = {"activation_tag": ("--tag",), "pretrained_model_name_or_path": ("--model",)}


def add_recipe_options(parser: argparse.ArgumentParser) -> None:
    """The recipe's file and preset, and one option for each of its settings."""
    parser.add_argument("--recipe", type=Path, metavar="FILE", help="a recipe as TOML; options go before it")
    parser.add_argument("--preset", metavar="NAME", default="", help=f"values for a card: {' | '.join(NAMES)}")
    parser.add_argument(
        "--extra", action="append", default=[], metavar="NAME=VALUE", help="another option of sd-scripts, as in TOML"
    )
    for section in SECTIONS:
        group = parser.add_argument_group(section)
        for known in SETTINGS:
            if known.section == section:
                _add_option(group, known)


def recipe_from(arguments: argparse.Namespace, complete: bool = True, **overrides: Any) -> Recipe:
    """The recipe that file, preset and options describe; `overrides` are further values that the command names itself.

    Raises `RequestError` naming every wrong field.
    """
    options_given: dict[str, Any] = {}
    problems = []
    for known in SETTINGS:
        text = getattr(arguments, known.name)
        if text is None:
            continue
        try:
            options_given[known.name] = _typed(known, text)
        except ValueError:
            problems.append(not_a_number(known, text))
    extra = dict(_read_extra(text) for text in arguments.extra)
    if problems:
        raise RequestError(problems)
    options = {**options_given, **({"extra": extra} if extra else {}), **overrides}
    return recipe_files.compose(arguments.recipe, options, arguments.preset, complete)


def _add_option(group: argparse._ArgumentGroup, known: RecipeSetting) -> None:
    options = ["--" + known.name.replace("_", "-"), *_SHORT.get(known.name, ())]
    default = "" if known.required else f"; default: {known.default!r}"
    allowed = "a text, again for each further one" if known.many else known.allowed
    help_text = f"{known.help} [{allowed}{default}]".replace("%", "%%")
    if known.kind == "flag":
        group.add_argument(
            *options, dest=known.name, action=argparse.BooleanOptionalAction, default=None, help=help_text
        )
        return
    action = "append" if known.many else "store"
    metavar = "PATH" if known.path else METAVARS[known.kind]
    group.add_argument(*options, dest=known.name, action=action, default=None, metavar=metavar, help=help_text)


def _typed(known: RecipeSetting, text: Any) -> Any:
    if known.many or known.kind in ("flag", "choice", "text"):
        return text
    return int(text) if known.kind == "integer" else float(text)


def _read_extra(text: str) -> tuple[str, Any]:
    """One 'name=value'; the value as TOML has it, plain words as text."""
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not name.isidentifier():
        raise RequestError([FieldProblem("extra", f"{text!r} is not of the form name=value")])
    try:
        return name, recipe_files.parse_value(value)
    except ValueError:
        return name, value
