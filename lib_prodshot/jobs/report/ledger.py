"""The report of a folder job, which also records its progress: a picture is done when its line is on disk.

A line holds what `Outcome.to_json` gives, `file` relative to the input folder, `mask` and `output` relative to the
output folder, and

- `sha256`: of the input's bytes; `settings`: of all settings that matter (`fingerprint`); `seed`: the picture's own;
- `retry`: a failure that another run may cure (no WebUI, no memory), so that the same command tries again;
- `worker`: who enhanced it. With `seconds` the only entry that may differ from run to run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lib_prodshot.jobs.report.report import JSONL_NAME, Line, ReportFiles, latest, whole_lines

__all__ = ["Ledger", "Line"]


class Ledger(ReportFiles):
    """Appends one line for each picture to both files. Use as a context manager, under the folder's lock.

    Raises `OutputError` when the folder cannot be written or the report cannot be read.
    """

    def lines(self) -> list[Line]:
        """Return the last whole line of each picture, in the order in which the pictures first came."""
        return latest(whole_lines(self.folder / JSONL_NAME))

    def open(self, keep: Callable[[Line], bool]) -> None:
        """Repair both files, without the lines that `keep` refuses, and open them for appending."""
        self._open(lambda lines: [line for line in latest(lines) if keep(line)])

    def add(self, line: Line) -> None:
        """Write one line to disk (fsync); when this returns, the picture is done."""
        self._append(line, sync=True)

    def settle(self, names: Sequence[str]) -> None:
        """Close, with the lines in the order of `names` (input files); lines of other pictures follow."""
        self.close()
        places = {name: place for place, name in enumerate(names)}
        self._rewrite(lambda lines: sorted(latest(lines), key=lambda line: places.get(line["file"], len(places))))
