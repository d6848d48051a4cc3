"""The report of a job, written while it runs: `report.jsonl` (one JSON object a line) and `report.csv`.

`report.jsonl` is the source. `report.csv` is derived from it, and written again where a crash left the two different.
Neither is ever overwritten while it holds what we cannot read: a damaged `report.jsonl` ends the job, a `report.csv`
that somebody changed is moved aside.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from lib_prodshot.errors import OutputError
from lib_prodshot.jobs.files.reading import open_regular
from lib_prodshot.jobs.files.staging import Staging, output_error
from lib_prodshot.jobs.report.append_only import AppendOnlyFile
from lib_prodshot.outcome import CSV_COLUMNS, Outcome, csv_cells

if TYPE_CHECKING:
    from typing_extensions import Self

JSONL_NAME = "report.jsonl"
CSV_NAME = "report.csv"

Line = Mapping[str, Any]
"""One line of `report.jsonl`: what `Outcome.to_json` gives; for a folder job's see `ledger`."""

Choose = Callable[[Sequence[Line]], Sequence[Line]]
"""Chooses the lines that stay, in their order."""


class ReportFiles:
    """Both files of a folder's report, opened for appending; closed when the context ends.

    `notes`: sentences about what was moved aside.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes: tuple[str, ...] = ()
        self._files: tuple[AppendOnlyFile, AppendOnlyFile] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close both files; every line is already on disk."""
        for file in self._files or ():
            file.close()
        self._files = None

    def _open(self, choose: Choose) -> None:
        """Rewrite both files as `rewrite` does, and open them. Raises `OutputError`."""
        self._rewrite(choose)
        with _output_errors(self.folder):
            self._files = AppendOnlyFile(self.folder / JSONL_NAME), AppendOnlyFile(self.folder / CSV_NAME)

    def _rewrite(self, choose: Choose) -> None:
        with _output_errors(self.folder):
            self.notes += rewrite(self.folder, choose)

    def _append(self, line: Line, sync: bool = False) -> None:
        """Append one line to both files or to none; `sync`: it is on disk when this returns. Raises `OutputError`."""
        assert self._files is not None
        jsonl, table = self._files
        text, row = json.dumps(line) + "\n", csv_row(csv_cells(line))
        with _output_errors(self.folder):
            offset = jsonl.append(text, sync)
            try:
                table.append(row)
            except OSError:
                jsonl.truncate(offset)
                raise


class Report(ReportFiles):
    """Appends one line for each outcome to both files at once; use as a context manager.

    Lines already in the folder's report stay, without those of `redone` (files, as written in the report) and
    without a last line that a killed run left half-written. Raises `OutputError` when the folder cannot be written,
    or when its report cannot be read.
    """

    def __init__(self, folder: Path, redone: Collection[str] = ()) -> None:
        super().__init__(folder)
        self._redone = frozenset(redone)

    def __enter__(self) -> Self:
        self._open(lambda lines: [line for line in lines if line["file"] not in self._redone])
        return self

    def add(self, outcome: Outcome) -> None:
        """Append one outcome. Raises `OutputError`."""
        self._append(outcome.to_json())


@contextmanager
def _output_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise output_error(folder, problem) from problem


def rewrite(folder: Path, choose: Choose) -> tuple[str, ...]:
    """Rewrite both files with the lines that `choose` returns for the report's whole lines.

    A file that already holds them is not touched. Returns sentences about what was moved aside. Raises `OutputError`
    and OSError.
    """
    lines = whole_lines(folder / JSONL_NAME)
    notes = _move_foreign_table_aside(folder / CSV_NAME, lines)
    chosen = choose(lines)
    texts = {
        # the table first: a row without a line would look like a foreign one
        CSV_NAME: "".join([csv_row(list(CSV_COLUMNS)), *(csv_row(csv_cells(line)) for line in chosen)]),
        JSONL_NAME: "".join(json.dumps(line) + "\n" for line in chosen),
    }
    with Staging(folder) as staging:
        for name, text in texts.items():
            data = text.encode("utf-8", "backslashreplace")
            if _bytes_of(folder / name) != data:
                staging.path(name).write_bytes(data)
    return notes


def latest(lines: Sequence[Line]) -> list[Line]:
    """Return the last line of each file, in the order in which the files first came."""
    return list({line["file"]: line for line in lines}.values())


def read_report(folder: Path) -> list[dict[str, Any]]:
    """Read the lines of a folder's `report.jsonl`, oldest first, without a half-written last one.

    Raises `OutputError` when there is no report or it cannot be read.
    """
    path = folder / JSONL_NAME
    if _bytes_of(path) is None:
        raise OutputError(f"{folder} has no {JSONL_NAME}")
    return whole_lines(path)


def whole_lines(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a report, none where there is no file, without a last one that was cut short.

    Raises `OutputError` for any other line that is none of a report: what cannot be read is not absent.
    """
    *ended, last = (_bytes_of(path) or b"").split(b"\n")
    lines = []
    for number, data in enumerate(ended, 1):
        line = _parsed(data)
        if line is None:
            raise _unreadable(path, f"line {number} is not one of a report")
        lines.append(line)
    line = _parsed(last)
    if line is not None:
        lines.append(line)
    elif last.strip(b"\0") and not last.startswith(b"{"):
        raise _unreadable(path, f"line {len(ended) + 1} is not one of a report")
    return lines


def _parsed(data: bytes) -> dict[str, Any] | None:
    """Parse the line of a picture; None for what is none, or gives no row."""
    try:
        line = json.loads(data)
        csv_cells(line)
        return line if isinstance(line["file"], str) and isinstance(line["status"], str) else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _bytes_of(path: Path) -> bytes | None:
    """Read a file; None when there is none. Raises `OutputError` when there is one and it cannot be read."""
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


def _move_foreign_table_aside(path: Path, lines: Sequence[Line]) -> tuple[str, ...]:
    """Rename a table that holds more than rows of these lines: it was edited, or is somebody else's."""
    data = _bytes_of(path)
    if data is None or _is_derived_from(data, lines):
        return ()
    names = (path.with_name(f"{path.stem}.kept-{number}{path.suffix}") for number in count(1))
    aside = next(name for name in names if not os.path.lexists(name))
    path.rename(aside)
    return (f"{path.name} had been changed by somebody else; it is kept as {aside.name}",)


def _is_derived_from(table: bytes, lines: Sequence[Line]) -> bool:
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
    """Return a cell as it reads back after a file name that is not UTF-8 was written with escapes."""
    return cell.encode("utf-8", "backslashreplace").decode("utf-8")


def csv_row(cells: list[str]) -> str:
    """Return one row with its line end, quoted where that is needed."""
    row = io.StringIO(newline="")
    csv.writer(row).writerow(cells)
    return row.getvalue()
