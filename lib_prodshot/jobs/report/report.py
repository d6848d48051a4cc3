"""The report of a job, written while it runs: `report.jsonl` (one JSON object a line) and `report.csv`.

`report.jsonl` is the source, and read line by line: it may be larger than memory. `report.csv` is derived from it, and
written again where a crash left the two different. Neither is ever overwritten while it holds what we cannot read: a
damaged `report.jsonl` ends the job, a `report.csv` that somebody changed is moved aside.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from lib_prodshot.errors import OutputError
from lib_prodshot.jobs.files.reading import open_regular
from lib_prodshot.jobs.files.staging import Staging, output_error
from lib_prodshot.jobs.report.append_only import AppendOnlyFile
from lib_prodshot.jobs.report.index import Indexed, ReportIndex
from lib_prodshot.jobs.report.rows import Row, Rows
from lib_prodshot.outcome import CSV_COLUMNS, Outcome, csv_cells

if TYPE_CHECKING:
    from typing_extensions import Self

JSONL_NAME = "report.jsonl"
CSV_NAME = "report.csv"
_BUFFER = 1 << 16

Line = Mapping[str, Any]
"""One line of `report.jsonl`: what `Outcome.to_json` gives; for a folder job's see `ledger`."""

Choose = Callable[[Rows], Rows]
"""Chooses the rows that stay, in their order."""


class ReportFiles:
    """Both files of a folder's report, opened for appending; closed when the context ends.

    `notes`: sentences about what was moved aside.
    """

    def __init__(self, folder: Path, index: ReportIndex | None = None) -> None:
        self.folder = folder
        self.notes: tuple[str, ...] = ()
        self._files: tuple[AppendOnlyFile, AppendOnlyFile] | None = None
        self._index = index
        self._indexed: Indexed | None = None
        self._held: Rows | None = None

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

    @property
    def rows(self) -> Rows:
        """The rows of the report, read once: nobody else writes it meanwhile. Raises `OutputError`."""
        if self._held is None:
            jsonl, table = self.folder / JSONL_NAME, self.folder / CSV_NAME
            self._indexed = self._index.read(jsonl, table) if self._index else None
            self._held = rows_of(jsonl, self._indexed)
        return self._held

    def _open(self, choose: Choose) -> None:
        """Rewrite both files as `rewrite` does, and open them. Raises `OutputError`."""
        self._rewrite(choose)
        with _output_errors(self.folder):
            self._files = AppendOnlyFile(self.folder / JSONL_NAME), AppendOnlyFile(self.folder / CSV_NAME)

    def _rewrite(self, choose: Choose) -> None:
        with _output_errors(self.folder):
            chosen = choose(self.rows)
            if self._indexed and chosen is self._held and self._is_whole(self._indexed):
                return
            notes, self._held = rewrite(self.folder, chosen, self._indexed, self._held)
            self.notes += notes
            if self._index:
                table = self.folder / CSV_NAME
                self._indexed = self._index.write(self.folder / JSONL_NAME, table, self._held.copied())

    def note(self, lock: AbstractContextManager[Any]) -> None:
        """Note where the rows are by now, for the run after one that is killed. While the `lock` is held nobody adds a
        line. Raises `OutputError`."""
        jsonl, table = self.folder / JSONL_NAME, self.folder / CSV_NAME
        with _output_errors(self.folder), lock:
            rows, sizes = self.rows.copied(), (jsonl.stat().st_size, table.stat().st_size)
        if self._index:
            self._index.write(jsonl, table, rows, sizes)

    def _is_whole(self, indexed: Indexed) -> bool:
        """Whether both files hold what was indexed, and nothing was added since."""
        files = ((JSONL_NAME, indexed.jsonl), (CSV_NAME, indexed.table))
        return all((self.folder / name).stat().st_size == known.size for name, known in files)

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
        self.rows.add(Row(line["file"], offset))


class Report(ReportFiles):
    """Appends one line for each outcome to both files at once; use as a context manager.

    Lines already in the folder's report stay, without a last line that a killed run left half-written. Of several lines
    of one picture the last counts: the others go when the report is closed, so that a run which ends early, or is
    killed, has cost no line. Raises `OutputError` when the folder cannot be written, or when its report cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._dropped: set[str] = set()

    def __enter__(self) -> Self:
        self._open(Rows.newest)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        # what ended the run is told, not that the report could not be put in order: the next run does that
        with suppress(*(() if kind is None else (OutputError,))):
            chosen = self.rows.newest().without(self._dropped)
            if chosen is not self.rows:
                self._rewrite(lambda rows: chosen)

    def add(self, outcome: Outcome, stays: Line | None = None) -> None:
        """Append one outcome; `stays`: what of earlier runs stands there of the picture, and which of it are
        packshots. Raises `OutputError`."""
        self._append({**outcome.to_json(), **({"stays": stays} if stays else {})})
        self._dropped.discard(outcome.file)

    def line_of(self, file: str) -> Line | None:
        """Return the last line of a picture (`file` as written in the report); None where it has none."""
        return next(lines_at(self.folder / JSONL_NAME, self.rows.last_of(file)), None)

    def change(self, line: Line, is_empty: bool) -> None:
        """Append what a picture's line is to say from now on; it goes when the report is closed where it `is_empty`,
        unless the picture gets another one. Raises `OutputError`."""
        self._append(line)
        if is_empty:
            self._dropped.add(str(line["file"]))


@contextmanager
def _output_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise output_error(folder, problem) from problem


def rewrite(
    folder: Path, chosen: Rows, indexed: Indexed | None = None, held: Rows | None = None
) -> tuple[tuple[str, ...], Rows]:
    """Rewrite both files with these rows of the report. A file that already holds them is not touched. What is
    `indexed` is not looked at again. `held`: all rows that `report.jsonl` has, where they are known.

    Returns sentences about what was moved aside, and where the rows are now. Raises `OutputError` and OSError.
    """
    jsonl, table = folder / JSONL_NAME, folder / CSV_NAME
    is_same_table = _is_table(table, jsonl, chosen, indexed)
    is_ours = is_same_table or (indexed and held and _stands(table, jsonl, held, indexed))
    notes = () if is_ours else _move_foreign_table_aside(table, jsonl)
    placed = chosen.placed(map(len, _lines(jsonl, chosen)))
    with Staging(folder) as staging:
        # the table first: a row without a line would look like a foreign one
        if not is_same_table:
            _write(staging.path(CSV_NAME), _table(jsonl, chosen))
        if not _holds(jsonl, _lines(jsonl, chosen)):
            _write(staging.path(JSONL_NAME), _lines(jsonl, chosen))
    return notes, placed


def _is_table(table: Path, jsonl: Path, rows: Rows, indexed: Indexed | None) -> bool:
    """Whether the table holds these rows and nothing more."""
    if indexed is None or not indexed.table.size or not rows.begin_with(indexed.rows):
        return _holds(table, _table(jsonl, rows))
    added = lines_at(jsonl, rows.behind(len(indexed.rows)))
    return _holds(table, (_encoded_row(csv_cells(line)) for line in added), indexed.table.size)


def _stands(table: Path, jsonl: Path, held: Rows, indexed: Indexed) -> bool:
    """Whether the table holds all rows of the report as they were added, so that nobody else has changed it; what was
    indexed of it by its SHA-256."""
    return indexed.table.begins(table) and _is_table(table, jsonl, held, indexed)


def _table(jsonl: Path, rows: Rows) -> Iterator[bytes]:
    yield _encoded_row(list(CSV_COLUMNS))
    for line in lines_at(jsonl, rows):
        yield _encoded_row(csv_cells(line))


def _encoded_row(cells: list[str]) -> bytes:
    return csv_row(cells).encode("utf-8", "backslashreplace")


def _write(path: Path, parts: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(parts)


def _holds(path: Path, parts: Iterable[bytes], start: int = 0) -> bool:
    """Return whether the file holds these bytes from `start` on, and nothing more."""
    with _reading(path) as file:
        if file is None:
            return False
        file.seek(start)
        return all(file.read(len(data)) == data for data in parts) and not file.read(1)


def lines_at(path: Path, rows: Rows) -> Iterator[dict[str, Any]]:
    """Read the lines of these rows, in their order."""
    return map(json.loads, _lines(path, rows))


def _lines(path: Path, rows: Rows) -> Iterator[bytes]:
    if not len(rows):
        return
    with path.open("rb") as file:
        at = 0
        for offset in rows.offsets:
            if offset != at:
                file.seek(offset)
            data = file.readline()
            at = offset + len(data)
            yield data if data.endswith(b"\n") else data + b"\n"


def rows_of(path: Path, indexed: Indexed | None = None) -> Rows:
    """Read which rows a report has; of what is `indexed` that is known. Raises `OutputError`."""
    rows = indexed.rows.copied() if indexed else Rows()
    for offset, line in numbered_lines(path, indexed.jsonl.size if indexed else 0, len(rows)):
        rows.add(Row(line["file"], offset))
    return rows


def read_report(folder: Path) -> list[dict[str, Any]]:
    """Read the lines of a folder's `report.jsonl`, oldest first, without a half-written last one.

    Raises `OutputError` when there is no report or it cannot be read.
    """
    path = folder / JSONL_NAME
    with _reading(path) as file:
        if file is None:
            raise OutputError(f"{folder} has no {JSONL_NAME}")
    return [line for _, line in numbered_lines(path)]


def numbered_lines(path: Path, offset: int = 0, passed: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the lines of a report, each with its offset in bytes; none where there is no file, and without a last one
    that was cut short. From `offset` on, before which `passed` lines stand.

    Raises `OutputError` for any other line that is none of a report: what cannot be read is not absent.
    """
    with _reading(path) as file:
        if file is not None:
            file.seek(offset)
        for number, data in enumerate(file or (), passed + 1):
            line = _parsed(data)
            if line is not None:
                yield offset, line
            elif data.endswith(b"\n") or (data.strip(b"\0") and not data.startswith(b"{")):
                raise _unreadable(path, f"line {number} is not one of a report")
            offset += len(data)


def _parsed(data: bytes) -> dict[str, Any] | None:
    """Parse the line of a picture; None for what is none, or gives no row."""
    try:
        line = json.loads(data)
        csv_cells(line)
        return line if isinstance(line["file"], str) and isinstance(line["status"], str) else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


@contextmanager
def _reading(path: Path) -> Iterator[BinaryIO | None]:
    """Open a file for reading; None when there is none. Raises `OutputError` when there is one that cannot be read."""
    try:
        with open_regular(path) as plain, io.BufferedReader(cast("io.FileIO", plain), _BUFFER) as file:
            yield file
    except FileNotFoundError:
        yield None
    except OSError as problem:
        raise _unreadable(path, problem.strerror or str(problem)) from problem


def _unreadable(path: Path, reason: str) -> OutputError:
    advice = "mend it, move it away, or choose another output folder"
    return OutputError(f"{path.name} in {path.parent} cannot be read ({reason}): {advice}")


def _move_foreign_table_aside(path: Path, jsonl: Path) -> tuple[str, ...]:
    """Rename a table that holds more than rows of these lines: it was edited, or is somebody else's."""
    with _reading(path) as file:
        if file is None or _is_derived_from(file, jsonl):
            return ()
    names = (path.with_name(f"{path.stem}.kept-{number}{path.suffix}") for number in count(1))
    aside = next(name for name in names if not os.path.lexists(name))
    path.rename(aside)
    return (f"{path.name} had been changed by somebody else; it is kept as {aside.name}",)


def _columns_of(table: BinaryIO) -> int:
    """How many columns a table of ours has: those of earlier versions lack the last ones."""
    head = tuple(table.readline().decode("utf-8", "replace").rstrip("\r\n").split(","))
    table.seek(0)
    return len(head) if head == CSV_COLUMNS[: len(head)] else len(CSV_COLUMNS)


def _is_derived_from(table: BinaryIO, jsonl: Path) -> bool:
    columns = _columns_of(table)
    cells = (tuple(map(_as_written, csv_cells(line)[:columns])) for _, line in numbered_lines(jsonl))
    # hashes, for a row has a kilobyte; equal ones of different rows would keep one that was changed from being kept
    ours = {*map(hash, cells), hash(CSV_COLUMNS[:columns])}
    last = ""

    def texts() -> Iterator[str]:
        nonlocal last
        for text in io.TextIOWrapper(table, "utf-8", newline=""):
            last = text.rstrip("\0")
            yield last

    waiting: list[str] | None = None
    try:
        for row in csv.reader(texts()):
            if waiting is not None and hash(tuple(waiting)) not in ours:
                return False
            waiting = row
    except (UnicodeDecodeError, csv.Error):
        return False
    # a last row without its end was cut short
    is_cut = not last.endswith(csv.excel.lineterminator)
    return waiting is None or is_cut or hash(tuple(waiting)) in ours


def _as_written(cell: str) -> str:
    """Return a cell as it reads back after a file name that is not UTF-8 was written with escapes."""
    return cell.encode("utf-8", "backslashreplace").decode("utf-8")


def csv_row(cells: list[str]) -> str:
    """Return one row with its line end, quoted where that is needed."""
    row = io.StringIO(newline="")
    csv.writer(row).writerow(cells)
    return row.getvalue()
