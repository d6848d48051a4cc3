"""Which lines a report has and where each begins, in 16 bytes a line: a report may be larger than memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate, chain
from typing import TYPE_CHECKING, NamedTuple

from lib_prodshot.jobs.files.compact import key_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


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
        import numpy as np

        size = len(self)
        keys = _copied(self.keys)[:size]
        # as a rule each file has one: told by half the memory that it takes to find out which are first and last
        ordered = np.sort(keys)
        if not (ordered[1:] == ordered[:-1]).any():
            return self
        first = np.unique(keys, return_index=True)[1]
        return self._chosen(_last(keys)[np.argsort(first)])

    def newest(self) -> Rows:
        """The last row of each file, where it stands."""
        import numpy as np

        last = _last(_copied(self.keys))
        return self if len(last) == len(self) else self._chosen(np.sort(last))

    def last_of(self, file: str) -> Rows:
        """The last row of one file; none where it has none."""
        import numpy as np

        return self._chosen(np.flatnonzero(_copied(self.keys) == _keys([file])[0])[-1:])

    def without(self, files: Iterable[str]) -> Rows:
        """The rows of all other files."""
        import numpy as np

        stays = np.isin(_copied(self.keys), _keys(files), invert=True)
        return self if stays.all() else self._chosen(np.flatnonzero(stays))

    def of_files(self, files: Iterable[str]) -> Rows:
        """The rows of these files, in their order here."""
        import numpy as np

        return self._chosen(np.flatnonzero(np.isin(_copied(self.keys), _keys(files))))

    def in_order(self, files: Iterable[str]) -> Rows:
        """The rows in the order of these files; those of others follow."""
        import numpy as np

        keys, own = _keys(files), _copied(self.keys)
        if not len(keys):
            return self
        order = np.argsort(keys, kind="stable")
        found = np.minimum(np.searchsorted(keys, own, sorter=order), len(keys) - 1)
        places = np.where(keys[order[found]] == own, order[found], len(keys))
        return self if (places[:-1] <= places[1:]).all() else self._chosen(np.argsort(places, kind="stable"))

    def begin_with(self, others: Rows) -> bool:
        """Whether the others come first, where they are."""
        size = len(others)
        return self.keys[:size] == others.keys and self.offsets[:size] == others.offsets

    def behind(self, number: int) -> Rows:
        """The rows behind the first so many."""
        return self.part(number, None)

    def part(self, start: int, end: int | None) -> Rows:
        """The rows from `start` to `end`."""
        return Rows(self.keys[start:end], self.offsets[start:end])

    def copied(self) -> Rows:
        """The same rows, to which others are added."""
        return self.behind(0)

    def placed(self, lengths: Iterable[int]) -> Rows:
        """The same rows where lines of these lengths in bytes follow each other."""
        return Rows(self.keys[:], array("Q", accumulate(chain((0,), lengths)))[: len(self)])

    def _chosen(self, places: npt.NDArray[np.intp]) -> Rows:
        keys, offsets = (array("Q", _copied(words)[places].tobytes()) for words in (self.keys, self.offsets))
        return Rows(keys, offsets)


def _last(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
    """The place of the last row of each file, in the order of the keys."""
    import numpy as np

    return np.asarray(len(keys) - 1 - np.unique(keys[::-1], return_index=True)[1])


def _copied(words: array[int]) -> npt.NDArray[np.uint64]:
    """A copy, for an array that something looks into cannot grow, and a report grows while its page is drawn."""
    import numpy as np

    return np.frombuffer(words.tobytes(), np.uint64)


def _keys(files: Iterable[str]) -> npt.NDArray[np.uint64]:
    import numpy as np

    return np.fromiter(map(key_of, files), np.uint64)
