"""The report of a job, written as it goes: `report.jsonl` (one JSON object a line) and `report.csv`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Any

from lib_prodshot.errors import OutputError
from lib_prodshot.jobs.lines import Lines
from lib_prodshot.jobs.staging import Staging, output_error
from lib_prodshot.outcome import CSV_COLUMNS, Outcome, csv_cells, spreadsheet_safe

JSONL_NAME = "report.jsonl"
CSV_NAME = "report.csv"


class Report:
    """Adds one line for each outcome to both files and flushes it at once; use as a context manager.

    Lines already in the folder's report stay, without those of `redone` (files, as written in the report) and
    without a last line that a killed run left half-written. Raises `OutputError` when the folder cannot be written.
    """

    def __init__(self, folder: Path, redone: Collection[str] = ()) -> None:
        self.folder = folder
        self._redone = frozenset(redone)

    def __enter__(self) -> Report:
        try:
            self._keep_others()
            self._jsonl, self._csv = Lines(self.folder / JSONL_NAME), Lines(self.folder / CSV_NAME)
            if self._csv.is_empty:
                self._csv.add(csv_row(list(CSV_COLUMNS)))
        except OSError as problem:
            raise output_error(self.folder, problem) from problem
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._jsonl.close()
        self._csv.close()

    def add(self, outcome: Outcome) -> None:
        """Write the lines of one outcome, into both files or into none. Raises `OutputError`."""
        line = outcome.to_json()
        text, row = json.dumps(line) + "\n", csv_row(csv_cells(line))
        try:
            begin = self._jsonl.add(text)
            try:
                self._csv.add(row)
            except OSError:
                self._jsonl.take_back(begin)
                raise
        except OSError as problem:
            raise output_error(self.folder, problem) from problem

    def _keep_others(self) -> None:
        """Rewrite both files without the lines that this job makes anew; nothing happens when there is nothing to."""
        kept_lines = [line for line in whole_lines(self.folder / JSONL_NAME) if line.get("file") not in self._redone]
        redone_cells = {_as_written(spreadsheet_safe(file)) for file in self._redone}
        kept_rows = [row for row in _whole_rows(self.folder / CSV_NAME) if row[0] not in redone_cells]
        texts = {
            JSONL_NAME: "".join(json.dumps(line) + "\n" for line in kept_lines),
            CSV_NAME: "".join(csv_row(row) for row in kept_rows),
        }
        changed = {name: text for name, text in texts.items() if _text_of(self.folder / name) != text}
        with Staging(self.folder) as staging:
            for name, text in changed.items():
                staging.path(name).write_text(text, encoding="utf-8", newline="", errors="backslashreplace")


def read_report(folder: Path) -> list[dict[str, Any]]:
    """The lines of a folder's `report.jsonl`, oldest first; a line that a killed run left half-written is left out.

    Raises `OutputError` when there is no report or it cannot be read.
    """
    path = folder / JSONL_NAME
    if not path.is_file():
        raise OutputError(f"{folder} has no {JSONL_NAME}")
    return whole_lines(path)


def _text_of(path: Path) -> str:
    if not path.exists():
        return ""
    with path.open(encoding="utf-8", newline="", errors="replace") as file:
        return file.read()


def whole_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSONL file, without what is no JSON object (such as a last line that was cut short)."""
    lines = []
    for text in _text_of(path).splitlines():
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict):
            lines.append(line)
    return lines


def _whole_rows(path: Path) -> list[list[str]]:
    text = _text_of(path)
    whole = text[: text.rfind("\n") + 1]
    return [row for row in csv.reader(io.StringIO(whole, newline="")) if len(row) == len(CSV_COLUMNS)]


def _as_written(cell: str) -> str:
    """A cell as it reads after a file name that is not UTF-8 was written with escapes."""
    return cell.encode("utf-8", "backslashreplace").decode("utf-8")


def csv_row(cells: list[str]) -> str:
    """One row with its line end, quoted where that is needed."""
    row = io.StringIO(newline="")
    csv.writer(row).writerow(cells)
    return row.getvalue()
