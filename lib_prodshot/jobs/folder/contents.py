"""The hashes of a job's pictures, kept with each file's size and times, so that resuming does not read every picture
again: a hundred thousand photographs are half a terabyte."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from time import time_ns

from lib_prodshot.jobs.files.compact import DiskMap
from lib_prodshot.jobs.files.reading import Stamp, is_file
from lib_prodshot.jobs.seeds import content_of

SETTLED = 2_000_000_000
"""Nanoseconds that a file must have been left alone before its hash is kept: within the resolution of a file system's
times it may change once more and look the same (git's "racy" files)."""


class ContentBook:
    """The SHA-256 of pictures by path, on disk as lines of JSON. Thread-safe.

    A hash counts as long as the file's size, inode, modification time and status change time are the same; the last
    changes with every write, whatever a program does to the others. Where the book cannot be written it is only
    remembered.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._known: DiskMap | None = None

    def content_of(self, source: Path) -> str:
        """Return the SHA-256 of a file's bytes, hexadecimal. Raises OSError as `seeds.content_of`."""
        (known,) = self.known([source])
        if known is not None:
            return known[1]
        state = _state_of(source.stat())
        content = content_of(source)
        if _is_settled(source) and _state_of(source.stat()) == state:
            self._keep(str(source), state, content)
        return content

    def known(self, sources: Sequence[Path]) -> list[tuple[Stamp, str] | None]:
        """Return what is known of each of these files without reading any: its stamp and its SHA-256, hexadecimal."""
        with self._lock:
            kept = self._read().get(list(map(str, sources)))
        return [_unless_changed(source, kept.get(str(source))) for source in sources]

    def state_of(self, source: Path) -> str:
        """Return what tells a file from one with other bytes; '' where nothing does."""
        try:
            return "" if os.name == "nt" else _state_of(source.stat())
        except OSError:
            return ""

    def states_of(self, sources: Sequence[Path], contents: Sequence[str]) -> list[str]:
        """Return what `state_of` gave when the files had these contents; '' where that is not kept."""
        with self._lock:
            kept = self._read().get(list(map(str, sources)))
        known = (kept.get(str(source), "").rpartition(" ") for source in sources)
        return [state if content == then else "" for (state, _, content), then in zip(known, contents)]

    def _read(self) -> DiskMap:
        if self._known is None:
            self._known = DiskMap()
            self._known.put(self._lines())
        return self._known

    def _lines(self) -> Iterator[tuple[str, str]]:
        if not is_file(self._path):
            return
        with suppress(OSError), self._path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                # a line cut short is hashed again
                with suppress(ValueError, TypeError, RecursionError):
                    source, state, content = json.loads(line)
                    yield str(source), f"{state} {content}"

    def _keep(self, source: str, state: str, content: str) -> None:
        with self._lock:
            self._read().put({source: f"{state} {content}"})
            with suppress(OSError), self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([source, state, content]) + "\n")


def _unless_changed(source: Path, kept: str | None) -> tuple[Stamp, str] | None:
    if kept is None:
        return None
    state, _, content = kept.rpartition(" ")
    try:
        status = source.stat()
    except OSError:
        return None
    return ((status.st_size, status.st_mtime_ns), content) if _state_of(status) == state else None


def _state_of(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def _is_settled(source: Path) -> bool:
    # Windows has a file's creation there, which tells nothing: its pictures are read again
    status = source.stat()
    return os.name != "nt" and time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > SETTLED
