"""The report of a folder job, and at the same time its memory: a picture is done when its line is safely on disk.

A line holds what `Outcome.to_json` gives, `file` relative to the input folder, `mask` and `output` relative to the
output folder, and

- `sha256`: of the input's bytes; `settings`: of all settings that matter (`fingerprint`); `seed`: the picture's own;
- `retry`: a failure that another try may cure (no WebUI, no memory), so that the same command tries again;
- `worker`: who enhanced it. With `seconds` the only entry that may differ from run to run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from lib_prodshot.jobs.files.staging import output_error
from lib_prodshot.jobs.report.lines import Lines
from lib_prodshot.jobs.report.report import CSV_NAME, JSONL_NAME, Line, csv_row, rewrite, whole_lines
from lib_prodshot.outcome import csv_cells

__all__ = ["Ledger", "Line"]


class Ledger:
    """Adds one line for each picture to both files. Use as a context manager, under the job's lock.

    Raises `OutputError` when the folder cannot be written or the report cannot be read. `notes`: what was put aside.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes: tuple[str, ...] = ()
        self._jsonl: Lines | None = None
        self._csv: Lines | None = None

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def lines(self) -> list[Line]:
        """The last whole line of each picture, in the order in which the pictures first came."""
        return _latest(whole_lines(self.folder / JSONL_NAME))

    def open(self, keep: Callable[[Line], bool]) -> None:
        """Make both files whole, without the lines that `keep` refuses, and get ready to add."""
        try:
            self._rewrite(lambda lines: [line for line in lines if keep(line)])
            self._jsonl, self._csv = Lines(self.folder / JSONL_NAME), Lines(self.folder / CSV_NAME)
        except OSError as problem:
            raise output_error(self.folder, problem) from problem

    def add(self, line: Line) -> None:
        """Put one line on disk (fsync); when this returns, the picture is done."""
        assert self._jsonl is not None and self._csv is not None
        try:
            self._jsonl.add(_as_text(line), sync=True)
            self._csv.add(csv_row(csv_cells(line)))
        except OSError as problem:
            raise output_error(self.folder, problem) from problem

    def settle(self, names: Sequence[str]) -> None:
        """Close, with the lines in the order of `names` (input files); lines of other pictures follow."""
        self.close()
        places = {name: place for place, name in enumerate(names)}
        try:
            self._rewrite(lambda lines: sorted(lines, key=lambda line: places.get(line["file"], len(places))))
        except OSError as problem:
            raise output_error(self.folder, problem) from problem

    def close(self) -> None:
        """Close both files; every line is already on disk."""
        for file in (self._jsonl, self._csv):
            if file is not None:
                file.close()
        self._jsonl = self._csv = None

    def _rewrite(self, choose: Callable[[Sequence[Line]], Sequence[Line]]) -> None:
        self.notes += rewrite(self.folder, lambda lines: choose(_latest(lines)))


def _latest(lines: Sequence[Line]) -> list[Line]:
    return list({line["file"]: line for line in lines}.values())


def _as_text(line: Line) -> str:
    return json.dumps(line) + "\n"
