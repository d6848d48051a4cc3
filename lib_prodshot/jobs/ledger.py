"""The report of a folder job, and at the same time its memory: a picture is done when its line is safely on disk.

`report.jsonl` decides. `report.csv` is drawn from it, and made anew from it where a crash left the two apart.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from lib_prodshot.jobs.lines import Lines
from lib_prodshot.jobs.report import CSV_NAME, JSONL_NAME, csv_row, whole_lines
from lib_prodshot.jobs.staging import Staging, output_error
from lib_prodshot.outcome import CSV_COLUMNS, csv_cells

Line = Mapping[str, Any]
"""One line of `report.jsonl`: what `Outcome.to_json` gives, `file` relative to the input folder, `mask` and `output`
relative to the output folder, and

- `sha256`: of the input's bytes; `settings`: of all settings that matter (`fingerprint`); `seed`: the picture's own;
- `retry`: a failure that another try may cure (no WebUI, no memory), so that the same command tries again;
- `worker`: who enhanced it. With `seconds` the only entry that may differ from run to run.
"""


class Ledger:
    """Adds one line for each picture to both files. Use as a context manager, under the job's lock.

    Raises `OutputError` when the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
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
        try:
            lines = whole_lines(self.folder / JSONL_NAME)
        except OSError as problem:
            raise output_error(self.folder, problem) from problem
        return list({str(line.get("file")): line for line in lines}.values())

    def open(self, keep: Callable[[Line], bool]) -> None:
        """Make both files whole, without the lines that `keep` refuses, and get ready to add."""
        self._rewrite([line for line in self.lines() if keep(line)])
        try:
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
        self._rewrite(sorted(self.lines(), key=lambda line: places.get(str(line.get("file")), len(places))))

    def close(self) -> None:
        """Close both files; every line is already on disk."""
        for file in (self._jsonl, self._csv):
            if file is not None:
                file.close()
        self._jsonl = self._csv = None

    def _rewrite(self, lines: Iterable[Line]) -> None:
        lines = list(lines)
        texts = {
            JSONL_NAME: "".join(_as_text(line) for line in lines),
            CSV_NAME: "".join([csv_row(list(CSV_COLUMNS)), *(csv_row(csv_cells(line)) for line in lines)]),
        }
        with Staging(self.folder) as staging:
            for name, text in texts.items():
                data = text.encode("utf-8", "backslashreplace")
                if not _holds(self.folder / name, data):
                    staging.path(name).write_bytes(data)


def _as_text(line: Line) -> str:
    return json.dumps(line) + "\n"


def _holds(path: Path, data: bytes) -> bool:
    return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data
