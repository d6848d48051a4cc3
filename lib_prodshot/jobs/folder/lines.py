"""What a folder job writes: a line for each picture, with names relative to the two folders, which can be moved; and
a summary of all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lib_prodshot import __version__
from lib_prodshot.jobs.files.staging import Staging
from lib_prodshot.jobs.folder.work_list import Entry
from lib_prodshot.jobs.workers.interface import FileResult

SUMMARY_NAME = "summary.json"


def report_line(entry: Entry, result: FileResult, out: Path, notes: Sequence[str] = ()) -> dict[str, Any]:
    """Return what a picture's line says of its outcome, results relative to `out`, with further notes."""
    line = result.outcome.to_json()
    source = str(entry.source)
    line["file"] = entry.name
    line["reason"] = line["reason"].replace(source, entry.name)
    line["notes"] = [*(note.replace(source, entry.name) for note in line["notes"]), *notes]
    for told, key in ((line, "output"), (line, "mask"), *((made, "output") for made in line.get("packshots", ()))):
        if told[key]:
            told[key] = Path(told[key]).relative_to(out).as_posix()
    return line


def reason_of(problem: OSError) -> str:
    """Return why the system could not do something, as the middle of a sentence."""
    return (problem.strerror or str(problem)).lower()


def write_summary(out: Path, content: Mapping[str, Any]) -> None:
    """Write `summary.json` as a whole. Raises `OutputError`."""
    with Staging(out) as staging:
        told = {"version": __version__, **content}
        staging.path(SUMMARY_NAME).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
