"""The report of a folder job, which also records its progress: a picture is done when its line is on disk.

A line holds what `Outcome.to_json` gives, `file` relative to the input folder, `mask` and `output` relative to the
output folder, and

- `bytes`: sizes of the files that it names (`resume.files_of`);
- `sha256`: of the input's bytes; `settings`: of all settings that matter (`fingerprint`); `seed`: the picture's own;
- `retry`: a failure that another run may cure (no WebUI, no memory), so that the same command tries again;
- `worker`: who enhanced it. With `seconds` the only entry that may differ from run to run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from lib_prodshot.jobs.files.staging import STATE_FOLDER
from lib_prodshot.jobs.report.index import ReportIndex
from lib_prodshot.jobs.report.report import JSONL_NAME, Line, ReportFiles, lines_at
from lib_prodshot.jobs.report.rows import Rows

__all__ = ["Ledger", "Line"]


class Ledger(ReportFiles):
    """Appends one line for each picture to both files. Use as a context manager, under the folder's lock.

    Raises `OutputError` when the folder cannot be written or the report cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, ReportIndex(folder / STATE_FOLDER / "report.index"))

    @property
    def digest(self) -> str:
        """A hash of the whole report, where it stands as it was settled; '' where none is known."""
        indexed = self._indexed if len(self.rows) else None
        return indexed.jsonl.digest if indexed and self._is_whole(indexed) else ""

    def lines(self, rows: Rows | None = None) -> Iterator[Line]:
        """Read the last whole line of each picture, in the order in which the pictures first came; or those of `rows`,
        some of `self.rows`."""
        return lines_at(self.folder / JSONL_NAME, self.rows.latest() if rows is None else rows)

    def open(self, redone: Iterable[str] = ()) -> None:
        """Repair both files, without the lines of these pictures, and open them for appending."""
        self._open(lambda rows: rows.latest().without(redone))

    def add(self, line: Line) -> None:
        """Write one line to disk (fsync); when this returns, the picture is done."""
        self._append(line, sync=True)

    def settle(self, names: Iterable[str]) -> None:
        """Close, with the lines in the order of `names` (input files); lines of other pictures follow."""
        self.close()
        self._rewrite(lambda rows: rows.latest().in_order(names))
