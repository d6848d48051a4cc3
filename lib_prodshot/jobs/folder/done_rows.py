"""Which rows of a settled report are done, and what that rests upon, kept beside it: a job with nothing to do parses no
line of its report and no hash of its pictures.

A block holds what is known of so many consecutive rows, with the totals of all of them. It counts for a report with the
SHA-256 that it was made of, and for pictures of the same folder. One that is missing, damaged or of another version
says nothing; then the lines are read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lib_prodshot import __version__
from lib_prodshot.errors import OutputError
from lib_prodshot.jobs.files.reading import is_file
from lib_prodshot.jobs.files.staging import Staging
from lib_prodshot.jobs.report.summary import Summary

BLOCK = 256
"""Rows of one block."""

_VERSION = 3
_DIGEST_LETTERS = 32


class DoneRow(NamedTuple):
    """A picture that was done: its name, the state that tells its file from another one, the fingerprint of the
    settings, the stem that its results were called by, and the least bytes of each of its results by name."""

    name: str
    state: str
    settings: str
    stem: str
    files: dict[str, int]


@dataclass(frozen=True)
class Block:
    """Rows that were done, and the totals of their lines."""

    rows: Sequence[DoneRow]
    totals: Summary


class DoneRows:
    """The blocks in the file `path`, of a job with pictures of the folder `inputs`. Where it cannot be written the next
    run reads the report."""

    def __init__(self, path: Path, inputs: str) -> None:
        self._path = path
        self._inputs = inputs

    def fits(self, digest: str) -> bool:
        """Whether the blocks were made of the report with this SHA-256."""
        with suppress(OSError):
            if digest and is_file(self._path):
                with self._path.open("rb") as file:
                    return _checked(file.readline()) == self._about(digest)
        return False

    def blocks(self, digest: str) -> Iterator[Block | None]:
        """Yield the blocks of the report with this SHA-256 ('': not known), in their order; None for one of which
        nothing is known, none behind the last."""
        if not self.fits(digest):
            return
        with self._path.open("rb") as file:
            file.readline()
            for data in file:
                yield _block(_checked(data))

    def write(self, digest: str, blocks: Iterable[Block | None]) -> None:
        """Note the blocks of the report with this SHA-256."""
        with suppress(OSError, OutputError), Staging(self._path.parent) as staging:
            path = staging.path(self._path.name)
            with path.open("wb") as file:
                file.write(_signed(self._about(digest)))
                file.writelines(_signed(block and [block.rows, block.totals.to_cache()]) for block in blocks)

    def _about(self, digest: str) -> dict[str, Any]:
        return {"version": _VERSION, "program": __version__, "rows": BLOCK, "inputs": self._inputs, "report": digest}


def _signed(value: Any) -> bytes:
    data = json.dumps(value, separators=(",", ":")).encode()
    return _digest(data) + data + b"\n"


def _checked(data: bytes) -> Any:
    """What a line says; None where it is damaged."""
    own, said = data[:_DIGEST_LETTERS], data[_DIGEST_LETTERS:-1]
    with suppress(ValueError, RecursionError):
        return json.loads(said) if data.endswith(b"\n") and _digest(said) == own else None
    return None


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST_LETTERS // 2).hexdigest().encode()


def _block(value: Any) -> Block | None:
    return Block([DoneRow(*row) for row in value[0]], Summary.from_cache(value[1])) if value else None
