"""What the last run knew of a report, kept beside it: where its rows are, and that both files hold the same ones.

It counts for what stands in the files byte for byte (SHA-256) as it did then, whatever their times say: that is not
parsed again. What was added since is read; a file that differs is read as if there were no index.
"""

from __future__ import annotations

import hashlib
import json
import sys
from array import array
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from lib_prodshot import __version__
from lib_prodshot.errors import OutputError
from lib_prodshot.jobs.files.reading import is_file, open_regular
from lib_prodshot.jobs.files.staging import Staging
from lib_prodshot.jobs.report.rows import Rows
from lib_prodshot.outcome import CSV_COLUMNS

_VERSION = 1
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Prefix:
    """The first bytes of a file: how many, and their SHA-256."""

    size: int
    digest: str

    @classmethod
    def of(cls, path: Path, size: int | None = None) -> Prefix:
        """Of the first `size` bytes of a file, or of all. Raises OSError."""
        digest, read = hashlib.sha256(), 0
        with open_regular(path) as file:
            while size is None or read < size:
                block = file.read(_BLOCK if size is None else min(_BLOCK, size - read))
                if not block:
                    break
                digest.update(block)
                read += len(block)
        return cls(read, digest.hexdigest())

    def begins(self, path: Path) -> bool:
        """Whether a file begins with these bytes."""
        try:
            return path.stat().st_size >= self.size and Prefix.of(path, self.size) == self
        except OSError:
            return False


@dataclass(frozen=True)
class Indexed:
    """Rows of a report, and how much of `report.jsonl` and of `report.csv` is theirs and nothing else."""

    jsonl: Prefix
    table: Prefix
    rows: Rows


class ReportIndex:
    """The index of a report in the file `path`. One that is missing, damaged, or of another version says nothing; where
    it cannot be written the next run reads everything."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, jsonl: Path, table: Path) -> Indexed | None:
        """Return what is known of the beginnings of these files; None where that does not fit them."""
        if not is_file(self._path):
            return None
        try:
            with self._path.open("rb") as file:
                told = json.loads(file.readline())
                keys, offsets = _halves(file, self._path.stat().st_size - file.tell())
            if {key: told[key] for key in _about()} != _about() or _digest(keys, offsets) != told["body"]:
                return None
            known = Indexed(Prefix(*told["jsonl"]), Prefix(*told["table"]), Rows(keys, offsets))
        except (OSError, EOFError, ValueError, TypeError, KeyError, RecursionError):
            return None
        return known if known.jsonl.begins(jsonl) and known.table.begins(table) else None

    def write(
        self, jsonl: Path, table: Path, rows: Rows, sizes: tuple[int | None, int | None] = (None, None)
    ) -> Indexed | None:
        """Note that both files hold these rows and nothing else, or that the first bytes of them do, so many of each;
        None where that cannot be noted."""
        with suppress(OSError, OutputError):
            known = Indexed(Prefix.of(jsonl, sizes[0]), Prefix.of(table, sizes[1]), rows)
            files = {"jsonl": [known.jsonl.size, known.jsonl.digest], "table": [known.table.size, known.table.digest]}
            head = json.dumps({**_about(), **files, "body": _digest(rows.keys, rows.offsets)})
            with Staging(self._path.parent) as staging, staging.path(self._path.name).open("wb") as file:
                file.write(head.encode() + b"\n")
                rows.keys.tofile(file)
                rows.offsets.tofile(file)
            return known
        return None


def _halves(file: BinaryIO, size: int) -> tuple[array[int], array[int]]:
    """Read as many words as there are in `size` bytes, each half into an array."""
    halves = array("Q"), array("Q")
    for half in halves:
        half.fromfile(file, size // 2 // half.itemsize)
    return halves


def _digest(*words: array[int]) -> str:
    digest = hashlib.sha256()
    for some in words:
        digest.update(some)
    return digest.hexdigest()


def _about() -> dict[str, Any]:
    """What another index would be needed for."""
    columns = hashlib.sha256(json.dumps(CSV_COLUMNS).encode()).hexdigest()[:16]
    return {"version": _VERSION, "program": __version__, "columns": columns, "order": sys.byteorder}
