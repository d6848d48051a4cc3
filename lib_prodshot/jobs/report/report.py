"""The report of a job, written as it goes: `report.jsonl` (one JSON object a line) and `report.csv`.

`report.jsonl` decides. `report.csv` is drawn from it, and made anew from it where a crash left the two apart. Neither
is ever written over while it holds what we cannot read: a damaged `report.jsonl` ends the job, a `report.csv` that
somebody changed is put aside.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

from lib_prodshot.errors import OutputError
from lib_prodshot.jobs.files.reading import open_regular
from lib_prodshot.jobs.files.staging import Staging, output_error
from lib_prodshot.jobs.report.lines import Lines
from lib_prodshot.outcome import CSV_COLUMNS, Outcome, csv_cells

JSONL_NAME = "report.jsonl"
CSV_NAME = "report.csv"

Line = Mapping[str, Any]
"""One line of `report.jsonl`: what `Outcome.to_json` gives; for a folder job's see `ledger`."""


class Report:
    """Adds one line for each outcome to both files and flushes it at once; use as a context manager.

    Lines already in the folder's report stay, without those of `redone` (files, as written in the report) and
    without a last line that a killed run left half-written. Raises `OutputError` when the folder cannot be written,
    or when its report cannot be read. `notes`: what was put aside.
    """

    def __init__(self, folder: Path, redone: Collection[str] = ()) -> None:
        self.folder = folder
        self.notes: tuple[str, ...] = ()
        self._redone = frozenset(redone)

    def __enter__(self) -> Report:
        try:
            self.notes = rewrite(self.folder, self._others)
            self._jsonl, self._csv = Lines(self.folder / JSONL_NAME), Lines(self.folder / CSV_NAME)
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

    def _others(self, lines: Sequence[Line]) -> list[Line]:
        return [line for line in lines if line["file"] not in self._redone]


def rewrite(folder: Path, choose: Callable[[Sequence[Line]], Sequence[Line]]) -> tuple[str, ...]:
    """Put the lines that `choose` makes of a report's whole lines into both files; a file that holds them is left as
    it is. Returns what was put aside, in sentences. Raises `OutputError` and OSError."""
    lines = whole_lines(folder / JSONL_NAME)
    notes = _put_foreign_table_aside(folder / CSV_NAME, lines)
    chosen = choose(lines)
    texts = {
        # first, for a row without a line would pass for somebody else's
        CSV_NAME: "".join([csv_row(list(CSV_COLUMNS)), *(csv_row(csv_cells(line)) for line in chosen)]),
        JSONL_NAME: "".join(json.dumps(line) + "\n" for line in chosen),
    }
    with Staging(folder) as staging:
        for name, text in texts.items():
            data = text.encode("utf-8", "backslashreplace")
            if _bytes_of(folder / name) != data:
                staging.path(name).write_bytes(data)
    return notes


def read_report(folder: Path) -> list[dict[str, Any]]:
    """The lines of a folder's `report.jsonl`, oldest first; a line that a killed run left half-written is left out.

    Raises `OutputError` when there is no report or it cannot be read.
    """
    path = folder / JSONL_NAME
    if _bytes_of(path) is None:
        raise OutputError(f"{folder} has no {JSONL_NAME}")
    return whole_lines(path)


def whole_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a report, without a last one that was cut short. Raises `OutputError` for any other line that is
    none of a report, for what cannot be read is not absent."""
    *ended, last = (_bytes_of(path) or b"").split(b"\n")
    lines = []
    for number, data in enumerate(ended, 1):
        line = _line(data)
        if line is None:
            raise _unreadable(path, f"line {number} is not one of a report")
        lines.append(line)
    line = _line(last)
    if line is not None:
        lines.append(line)
    elif last.strip(b"\0") and not last.startswith(b"{"):
        raise _unreadable(path, f"line {len(ended) + 1} is not one of a report")
    return lines


def _line(data: bytes) -> dict[str, Any] | None:
    """A line that stands for a picture, and that a row can be made of."""
    try:
        line = json.loads(data)
        csv_cells(line)
        return line if isinstance(line["file"], str) and isinstance(line["status"], str) else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _bytes_of(path: Path) -> bytes | None:
    """None when there is no such file. Raises `OutputError` when there is one and it cannot be read."""
    try:
        with open_regular(path) as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise _unreadable(path, problem.strerror or str(problem)) from problem


def _unreadable(path: Path, reason: str) -> OutputError:
    advice = "mend it, move it away, or choose another output folder"
    return OutputError(f"{path.name} in {path.parent} cannot be read ({reason}): {advice}")


def _put_foreign_table_aside(path: Path, lines: Sequence[Line]) -> tuple[str, ...]:
    """Give a table another name when it holds more than rows of these lines: it was edited, or is somebody else's."""
    data = _bytes_of(path)
    if data is None or _is_drawn_from(data, lines):
        return ()
    names = (path.with_name(f"{path.stem}.kept-{number}{path.suffix}") for number in count(1))
    aside = next(name for name in names if not os.path.lexists(name))
    path.rename(aside)
    return (f"{path.name} had been changed by somebody else; it is kept as {aside.name}",)


def _is_drawn_from(table: bytes, lines: Sequence[Line]) -> bool:
    ours = {tuple(map(_as_written, csv_cells(line))) for line in lines} | {CSV_COLUMNS}
    try:
        text = table.rstrip(b"\0").decode("utf-8")
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except (UnicodeDecodeError, csv.Error):
        return False
    # a last row without its end was cut short
    whole = rows if text.endswith(csv.excel.lineterminator) else rows[:-1]
    return all(tuple(row) in ours for row in whole)


def _as_written(cell: str) -> str:
    """A cell as it reads after a file name that is not UTF-8 was written with escapes."""
    return cell.encode("utf-8", "backslashreplace").decode("utf-8")


def csv_row(cells: list[str]) -> str:
    """One row with its line end, quoted where that is needed."""
    row = io.StringIO(newline="")
    csv.writer(row).writerow(cells)
    return row.getvalue()
