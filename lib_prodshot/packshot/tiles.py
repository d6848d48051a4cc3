"""Parts of a picture that are worked on one after the other, so that floats never stand for all of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lib_prodshot.packshot.arrays import Alpha, Floats, Places


@dataclass(frozen=True)
class Tile:
    """Rows from `top` to `bottom` and columns from `left` to `right`, the ends not counted."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Of a plane."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def widened(self, pixels: int) -> Tile:
        """With so much more on every side."""
        return Tile(self.top - pixels, self.bottom + pixels, self.left - pixels, self.right + pixels)

    def cut(self, shape: tuple[int, ...]) -> Tile:
        """What of it lies in a picture of that shape."""
        return Tile(max(0, self.top), min(shape[0], self.bottom), max(0, self.left), min(shape[1], self.right))

    def within(self, wider: Tile) -> tuple[slice, slice]:
        """Of a plane of the wider tile."""
        top, left = self.top - wider.top, self.left - wider.left
        return slice(top, top + self.bottom - self.top), slice(left, left + self.right - self.left)

    def tiles(self, height: int, width: int = 0) -> Iterator[Tile]:
        """Tiles of that height and width (0: square) that cover it, row by row."""
        for top in range(self.top, self.bottom, height):
            for left in range(self.left, self.right, width or height):
                yield Tile(top, min(top + height, self.bottom), left, min(left + (width or height), self.right))


class Enlarged:
    """A small plane (h×w float32) that is interpolated to a larger shape linearly, a tile at a time."""

    def __init__(self, small: Alpha, shape: tuple[int, ...]) -> None:
        self._small = small
        self._down = _between(small.shape[0], shape[0])
        self._across = _between(small.shape[1], shape[1])

    def part(self, tile: Tile) -> Floats:
        """The tile of the large plane."""
        rows, down = (each[tile.top : tile.bottom] for each in self._down)
        columns, across = (each[tile.left : tile.right] for each in self._across)
        near = self._small[rows[0] : rows[-1] + 2, columns[0] : columns[-1] + 2]
        row, column = rows - rows[0], columns - columns[0]
        next_row, next_column = np.minimum(row + 1, len(near) - 1), np.minimum(column + 1, near.shape[1] - 1)
        wide = near[:, column] * (1 - across) + near[:, next_column] * across
        return np.asarray(wide[row] * (1 - down)[:, None] + wide[next_row] * down[:, None], np.float32)


def _between(small: int, large: int) -> tuple[Places, Floats]:
    """For each of the large side's pixels the small one's pixel before it, and how far it is beyond that one's middle;
    pixels' middles lie at halves, as OpenCV has them."""
    middles = (np.arange(large) + 0.5) * (small / large) - 0.5
    first = np.clip(np.floor(middles), 0, small - 1).astype(np.intp)
    return first, np.clip(middles - first, 0, 1).astype(np.float32)
