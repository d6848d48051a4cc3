"""Command-line options drawn from a table of a job's settings."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.schema import Setting

if TYPE_CHECKING:
    from lib_prodshot.training.recipe.settings import RecipeSetting

METAVARS = {"number": "NUMBER", "integer": "N", "choice": "NAME", "text": "TEXT"}
"""What the help shows for a value, by the setting's kind."""


def add_setting_options(parser: argparse.ArgumentParser, table: Sequence[Setting]) -> None:
    """One option for each setting; a text of several lines is given line by line."""
    for known in table:
        again = "; again for each further one" if known.lines > 1 else ""
        text = f"{known.help} [{known.allowed}{again}; default: {known.default!r}]".replace("%", "%%")
        option = "--" + known.name.replace("_", "-")
        if known.kind == "flag":
            parser.add_argument(option, action="store_true", help=known.help.replace("%", "%%"))
            continue
        parser.add_argument(
            option,
            dest=known.name,
            action="append" if known.lines > 1 else "store",
            default=None,
            metavar=METAVARS[known.kind],
            help=text,
        )


def given_settings(arguments: argparse.Namespace, table: Sequence[Setting]) -> dict[str, Any]:
    """The settings that were given, each in its type; a table with flags has theirs too. A setting without an option in
    this command was not given. Raises `RequestError` naming every value that is no number."""
    values: dict[str, Any] = {}
    problems = []
    for known in table:
        text = getattr(arguments, known.name, None)
        if text is None:
            continue
        try:
            values[known.name] = _typed(known, text)
        except ValueError:
            problems.append(not_a_number(known, text))
    if problems:
        raise RequestError(problems)
    return values


def not_a_number(known: Setting | RecipeSetting, text: Any) -> FieldProblem:
    """What is wrong with a text that was given for a number."""
    wanted = "a whole number" if known.kind == "integer" else "a number"
    return FieldProblem(known.name, f"{text!r} is not {wanted}", known.allowed)


def _typed(known: Setting, text: Any) -> Any:
    if isinstance(text, list):
        return "\n".join(text)
    if known.kind == "integer":
        return int(text)
    return float(text) if known.kind == "number" else text
