"""What a job keeps of each of its files, compactly: a folder may hold millions."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path


def key_of(name: str) -> int:
    """Return 64 bits of a hash of a name, which need not be UTF-8. Among ten million names two have the same in one
    of 400,000 jobs."""
    return int.from_bytes(hashlib.blake2b(_blob(name), digest_size=8).digest(), "big")


class PathSet:
    """An immutable set of paths, or of names, in 8 bytes each, that tells whether it holds one. See `key_of`."""

    def __init__(self, paths: Iterable[Path | str] = ()) -> None:
        self._keys = array("Q", (key_of(str(path)) for path in paths))
        self._keys = array("Q", sorted(self._keys))

    def __contains__(self, path: object) -> bool:
        key = key_of(str(path))
        place = bisect_left(self._keys, key)
        return place < len(self._keys) and self._keys[place] == key


class DiskMap:
    """A mapping of texts to texts that takes no memory, however much it holds: a temporary database of SQLite's, on
    disk where it grows, gone when it is closed. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None

    def get(self, keys: Sequence[str]) -> dict[str, str]:
        """Return what stands under these keys, by key."""
        marks = ", ".join("?" * len(keys))
        with self._lock:
            found = self._opened().execute(f"SELECT key, value FROM map WHERE key IN ({marks})", list(map(_blob, keys)))
            return {_text(key): _text(value) for key, value in found}

    def put(self, values: Mapping[str, str]) -> None:
        """Put values under their keys, in place of former ones."""
        blobs = [(_blob(key), _blob(value)) for key, value in values.items()]
        with self._lock:
            self._opened().executemany("INSERT OR REPLACE INTO map VALUES (?, ?)", blobs)

    def close(self) -> None:
        """Drop it all."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            # '' is a database of its own in a temporary file
            self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            for command in ("journal_mode = OFF", "synchronous = OFF"):
                self._database.execute(f"PRAGMA {command}")
            self._database.execute("CREATE TABLE map (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
        return self._database


def _blob(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(blob: bytes) -> str:
    return blob.decode("utf-8", "surrogatepass")
