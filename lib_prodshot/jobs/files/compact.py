"""What a job keeps of each of its files, compactly: a folder may hold millions."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import overload

_AT_ONCE = 400
"""Keys of one query: older SQLites take 999 at most."""

_CACHE_KIB = 256
"""Of a database's pages so much is in memory, where SQLite itself takes 2,000: a job goes through its files in their
order, so that it asks for pages that it has just had."""


def key_of(name: str) -> int:
    """Return 64 bits of a hash of a name, which need not be UTF-8. Among ten million names two have the same in one
    of 400,000 jobs."""
    return int.from_bytes(hashlib.blake2b(_blob(name), digest_size=8).digest(), "big")


class PathSet:
    """An immutable set of paths, or of names, in 8 bytes each, that tells whether it holds one. See `key_of`."""

    def __init__(self, paths: Iterable[Path | str] = ()) -> None:
        import numpy as np

        keys = np.fromiter((key_of(str(path)) for path in paths), np.uint64)
        keys.sort()
        self._keys = array("Q", keys.tobytes())

    def __contains__(self, path: object) -> bool:
        key = key_of(str(path))
        place = bisect_left(self._keys, key)
        return place < len(self._keys) and self._keys[place] == key


class Texts(Sequence[str]):
    """An immutable sequence of texts, in 8 bytes and their own ones each."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._bytes = bytearray()
        self._ends = array("Q")
        for text in texts:
            self._bytes += _blob(text)
            self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[str, ...]: ...

    def __getitem__(self, place: int | slice) -> str | tuple[str, ...]:
        if isinstance(place, slice):
            return tuple(self[one] for one in range(*place.indices(len(self))))
        end = self._ends[place]
        start = self._ends[place - 1] if place and place != -len(self) else 0
        return _text(self._bytes[start:end])

    def __iter__(self) -> Iterator[str]:
        start = 0
        for end in self._ends:
            yield _text(self._bytes[start:end])
            start = end


class Places:
    """Where each of many names stands in their sequence, in 16 bytes each. See `key_of`."""

    def __init__(self, names: Iterable[str]) -> None:
        import numpy as np

        keys = np.fromiter(map(key_of, names), np.uint64)
        order = np.argsort(keys, kind="stable")
        self._keys, self._places = array("Q", keys[order].tobytes()), array("Q", order.astype(np.uint64).tobytes())

    def get(self, name: str) -> int | None:
        """Return the place of a name; None for one that is not among them."""
        key = key_of(name)
        found = bisect_left(self._keys, key)
        return self._places[found] if found < len(self._keys) and self._keys[found] == key else None


class DiskMap:
    """A mapping of texts to texts that takes no memory, however much it holds: a temporary database of SQLite's, on
    disk where it grows, gone when it is closed. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None

    def get(self, keys: Sequence[str]) -> dict[str, str]:
        """Return what stands under these keys, by key."""
        found: dict[str, str] = {}
        rest = iter(keys)
        while some := list(map(_blob, islice(rest, _AT_ONCE))):
            query = f"SELECT key, value FROM map WHERE key IN ({', '.join('?' * len(some))})"
            with self._lock:
                found.update((_text(key), _text(value)) for key, value in self._opened().execute(query, some))
        return found

    def put(self, values: Mapping[str, str] | Iterable[tuple[str, str]]) -> None:
        """Put values under their keys, in place of former ones."""
        pairs = values.items() if isinstance(values, Mapping) else values
        blobs = ((_blob(key), _blob(value)) for key, value in pairs)
        with self._lock:
            database = self._opened()
            database.execute("BEGIN")
            database.executemany("INSERT OR REPLACE INTO map VALUES (?, ?)", blobs)
            database.execute("COMMIT")

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
            for command in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
                self._database.execute(f"PRAGMA {command}")
            self._database.execute("CREATE TABLE map (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
        return self._database


def _blob(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(blob: bytes | bytearray) -> str:
    return blob.decode("utf-8", "surrogatepass")
