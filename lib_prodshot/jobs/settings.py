"""Settings of jobs beside those of their request: how they are declared and read, and the folder job's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lib_prodshot.errors import FieldProblem
from lib_prodshot.schema import Setting, check_value, kind_of


def job_setting(name: str, label: str, help: str, default: Any = "", **bounds: Any) -> Setting:
    """Declare one setting of a job; `bounds` are `choices`, or `minimum`, `maximum` and
    `step`, or `lines`."""
    kind = kind_of(default, bounds.get("choices", ()))
    return Setting(name, kind, default, label, help, section="job", infotext="", **bounds)


def read_own(table: Sequence[Setting], settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[FieldProblem]]:
    """Return the values of a job's own settings, each in its type or at its default, and the problems with them."""
    values, problems = {}, []
    for known in table:
        try:
            values[known.name] = check_value(known, settings.get(known.name, known.default))
        except ValueError as error:
            values[known.name] = known.default
            problems.append(FieldProblem(known.name, str(error), known.allowed))
    return values, problems


SETTINGS = (
    job_setting("folder", "Folder", "Folder with pictures; they are only read."),
    job_setting("out", "Output folder", "Folder for the results and the report; another one than the pictures' own."),
    job_setting(
        "recursive",
        "Sub-folders",
        "Also the pictures in sub-folders and in folders that links lead to; the sub-folders are kept.",
        False,
    ),
    job_setting(
        "dry_run",
        "Only find",
        "Only find: a report and a sheet, no results. Takes an output folder of its own.",
        False,
    ),
    job_setting(
        "limit",
        "Limit",
        "Only the first so many pictures of the folder, in the order of their names; 0 takes all.",
        0,
        minimum=0,
        maximum=10_000_000,
        step=1,
    ),
    job_setting(
        "only",
        "Only these",
        "Only these pictures of the folder, one name a line, as the report has them; empty takes all.",
        lines=3,
    ),
    job_setting(
        "keep_times",
        "Keep times",
        "Results get their picture's modification time. The copy of a skipped picture always has it.",
        False,
    ),
)
"""The folder job's, in the order in which forms show them."""


def folder_setting(name: str) -> Setting:
    """Return one of the folder job's settings. Raises KeyError for an unknown name."""
    return {known.name: known for known in SETTINGS}[name]
