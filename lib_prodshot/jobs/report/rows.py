"""Which lines a report has and where each begins, in 16 bytes a line: a report may be larger than memory."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from typing import NamedTuple

from lib_prodshot.jobs.files.compact import key_of


class Row(NamedTuple):
    """One line: the picture's file, as written in the report, and its offset in bytes."""

    file: str
    offset: int


def _words() -> array[int]:
    return array("Q")


@dataclass(frozen=True)
class Rows:
    """Lines of a report in some order. Files are told apart by `key_of`."""

    keys: array[int] = field(default_factory=_words)
    offsets: array[int] = field(default_factory=_words)

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Rows:
        """Hold these rows in this order."""
        held = cls()
        for row in rows:
            held.add(row)
        return held

    def add(self, row: Row) -> None:
        """Hold one more row, behind the others."""
        self.keys.append(key_of(row.file))
        self.offsets.append(row.offset)

    def __len__(self) -> int:
        return len(self.offsets)

    def latest(self) -> Rows:
        """The last row of each file, in the order in which the files first came."""
        last = dict(zip(self.keys, range(len(self))))
        return self if len(last) == len(self) else self._chosen(last.values())

    def without(self, files: Collection[str]) -> Rows:
        """The rows of all other files."""
        dropped = {key_of(file) for file in files}
        return self._chosen(place for place, key in enumerate(self.keys) if key not in dropped) if dropped else self

    def in_order(self, files: Sequence[str]) -> Rows:
        """The rows in the order of these files; those of others follow."""
        places = {key_of(file): place for place, file in enumerate(files)}
        last = len(files)
        return self._chosen(sorted(range(len(self)), key=lambda place: places.get(self.keys[place], last)))

    def placed(self, lengths: Iterable[int]) -> Rows:
        """The same rows where lines of these lengths in bytes follow each other."""
        return Rows(self.keys[:], array("Q", accumulate(chain((0,), lengths)))[: len(self)])

    def _chosen(self, places: Iterable[int]) -> Rows:
        chosen = Rows()
        for place in places:
            chosen.keys.append(self.keys[place])
            chosen.offsets.append(self.offsets[place])
        return chosen
