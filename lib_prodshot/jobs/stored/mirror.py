"""Files that only grow, kept in an object store as well, where nothing can be appended to.

What was added since the last time becomes an object of its own beneath `.prodshot/parts`, called by the offset at which
it begins: the file is the object of its own name, if there is one, and all parts that follow on without a gap. So the
cost of a report is its length, not its length for each time that it is brought there, and a part that was left behind
by a killed run fits nowhere and is passed over.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from lib_prodshot.jobs.files.staging import STATE_FOLDER
from lib_prodshot.storage.store import Store

MAX_PARTS = 500
"""With more parts of one file these become one."""

_TAIL = 256


@dataclass
class _Sent:
    """How much of a file is in the store, and in which parts, the first `merged` of them large ones; by its inode and
    last bytes a file that was written anew is told."""

    size: int = 0
    inode: int = 0
    tail: bytes = b""
    has_whole: bool = False
    parts: list[str] = field(default_factory=list)
    merged: int = 0


class Mirror:
    """Brings files of `folder` that only grow to `store` and back, by their names in both. Thread-safe.

    A file that was written anew is brought whole, one that is gone is removed. Raises `StorageError` and OSError.
    """

    def __init__(self, folder: Path, store: Store, names: Sequence[str]) -> None:
        self._folder = folder
        self._store = store
        self._sent = {name: _Sent() for name in names}
        self._lock = threading.Lock()

    def restore(self, present: Collection[str]) -> None:
        """Fetch the files; `present` are the names of all objects in the store."""
        for name, sent in self._sent.items():
            path = self._folder / name
            sent.has_whole = name in present
            sent.parts = sorted(one for one in present if one.startswith(_parts_of(name)))
            if sent.has_whole:
                self._store.fetch(name, path)
            if sent.parts:
                with path.open("ab") as file:
                    for part in sent.parts:
                        if _offset(part) == file.tell():
                            file.write(self._store.read(part) or b"")
                sent.merged = len(sent.parts)
            if path.exists():
                self._remember(path, sent, path.stat().st_size)

    def send(self, name: str, whole: bool = False) -> None:
        """Bring what was added to a file; `whole`: the file is then under its own name, without parts."""
        path, sent = self._folder / name, self._sent[name]
        with self._lock:
            if not path.exists():
                self._remove(name, sent)
                return
            size = path.stat().st_size
            is_whole = sent.has_whole and not sent.parts and size == sent.size
            if (whole and not is_whole) or not self._has_only_grown(path, sent, size):
                self._store.put(path, name)
                sent.has_whole = True
                self._remove_parts(sent)
            elif size > sent.size:
                part = f"{_parts_of(name)}{sent.size:015d}"
                self._store.put_bytes(_bytes(path, sent.size, size), part)
                sent.parts.append(part)
                if len(sent.parts) - sent.merged > MAX_PARTS:
                    self._merge(path, sent, size)
            self._remember(path, sent, size)

    def send_all(self, whole: bool = False) -> None:
        """Bring what was added to any of the files; `whole` as for `send`."""
        for name in self._sent:
            self.send(name, whole)

    def _has_only_grown(self, path: Path, sent: _Sent, size: int) -> bool:
        if not sent.size:
            return not sent.has_whole
        start = sent.size - len(sent.tail)
        same = size >= sent.size and path.stat().st_ino == sent.inode
        return same and _bytes(path, start, sent.size) == sent.tail

    def _merge(self, path: Path, sent: _Sent, size: int) -> None:
        """Make the newest parts one: the first is written over by all of them, after which the others fit nowhere."""
        first, *others = sent.parts[sent.merged :]
        self._store.put_bytes(_bytes(path, _offset(first), size), first)
        sent.merged += 1
        del sent.parts[sent.merged :]
        for part in others:
            self._store.remove(part)

    def _remove(self, name: str, sent: _Sent) -> None:
        self._remove_parts(sent)
        if sent.has_whole:
            self._store.remove(name)
        self._sent[name] = _Sent()

    def _remove_parts(self, sent: _Sent) -> None:
        while sent.parts:
            self._store.remove(sent.parts[-1])
            sent.parts.pop()
        sent.merged = 0

    def _remember(self, path: Path, sent: _Sent, size: int) -> None:
        sent.size, sent.inode = size, path.stat().st_ino
        sent.tail = _bytes(path, max(0, size - _TAIL), size)


def _parts_of(name: str) -> str:
    return f"{STATE_FOLDER}/parts/{PurePosixPath(name).name}/"


def _offset(part: str) -> int:
    digits = part.rpartition("/")[2]
    return int(digits) if digits.isdecimal() else -1


def _bytes(path: Path, start: int, end: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(end - start)
