"""The pictures that wait for a worker."""

from __future__ import annotations

from collections.abc import Sequence

from lib_prodshot.jobs.folder.work_list import Entry


class Queue:
    """Gives entries in their order; those that were put back come first. Not thread-safe. An entry of a large folder is
    made when its turn comes."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._next = 0
        self._returned: list[Entry] = []

    def __len__(self) -> int:
        return len(self._entries) - self._next + len(self._returned)

    def pop(self) -> Entry:
        """Return the next entry. Raises IndexError when there is none."""
        if self._returned:
            return self._returned.pop()
        entry = self._entries[self._next]
        self._next += 1
        return entry

    def put_back(self, entry: Entry) -> None:
        """Have an entry come next again."""
        self._returned.append(entry)
