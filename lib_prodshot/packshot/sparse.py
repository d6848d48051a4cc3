"""Alpha of a large picture: a byte for every pixel, and floats only where it is neither 0 nor 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lib_prodshot.packshot.arrays import Alpha, Floats, Grey

Places = npt.NDArray[np.int32]
"""Flat places of pixels (row · width + column), ascending; a picture has fewer than two thousand million of them."""


def levels_of(shares: Floats) -> Grey:
    """Shares (any shape, 0..1) as levels 0..255, rounded; 255 where they are exactly 1 and nowhere else, 0 likewise."""
    rounded = np.rint(shares * np.float32(255)).astype(np.uint8)
    np.clip(rounded, 1, 254, out=rounded)
    rounded[shares <= 0] = 0
    rounded[shares >= 1] = 255
    return rounded


def _partial(opacity: Grey) -> Places:
    return np.flatnonzero((opacity > 0) & (opacity < 255)).astype(np.int32)


@dataclass(frozen=True)
class SparseAlpha:
    """`opacity` (H×W uint8) is 255 where alpha is exactly 1 and 0 where it is exactly 0; at `places`, which are all
    others, it is the rounded level 1..254 of `shares` (n float32, between 0 and 1)."""

    opacity: Grey
    places: Places
    shares: Floats

    @classmethod
    def of(cls, alpha: Alpha) -> SparseAlpha:
        """Of a whole H×W alpha."""
        opacity = levels_of(alpha)
        places = _partial(opacity)
        return cls(opacity, places, alpha.ravel()[places])

    @classmethod
    def of_levels(cls, opacity: Grey) -> SparseAlpha:
        """Of H×W levels 0..255."""
        places = _partial(opacity)
        return cls(opacity, places, np.asarray(opacity.ravel()[places] / np.float32(255), np.float32))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.opacity.shape[0], self.opacity.shape[1]

    def within(self, top: int, bottom: int) -> slice:
        """Which of the places lie in these rows."""
        # of the places' own type, or all of them would be converted
        ends = np.array((top * self.shape[1], bottom * self.shape[1]), np.int32)
        first, last = np.searchsorted(self.places, ends)
        return slice(int(first), int(last))

    def rows(self, top: int, bottom: int) -> Alpha:
        """Alpha in these rows, as floats."""
        alpha = np.equal(self.opacity[top:bottom], 255).astype(np.float32)
        part = self.within(top, bottom)
        alpha.ravel()[self.places[part] - top * self.shape[1]] = self.shares[part]
        return alpha

    def whole(self) -> Alpha:
        """The whole alpha: four bytes for every pixel."""
        return self.rows(0, self.shape[0])

    def with_shares(self, shares: Floats) -> SparseAlpha:
        """The same with other shares at the places, among them such that are exactly 0 or 1."""
        opacity = self.opacity.copy()
        opacity.ravel()[self.places] = levels_of(shares)
        partial = (shares > 0) & (shares < 1)
        return SparseAlpha(opacity, self.places[partial], shares[partial])

    def cropped(self, part: tuple[slice, slice]) -> tuple[SparseAlpha, npt.NDArray[np.intp]]:
        """The part in these rows and columns; and which of the places lie in it."""
        opacity = self.opacity[part]
        places, inside = self.moved_places(opacity.shape, -part[0].start, -part[1].start)
        return SparseAlpha(opacity, places, self.shares[inside]), inside

    def moved_places(self, shape: tuple[int, ...], top: int, left: int) -> tuple[Places, npt.NDArray[np.intp]]:
        """Where the places are in a frame of that shape in which this picture's corner lies at `top`, `left`; and which
        of them that are."""
        height, width = shape
        rows, columns = np.divmod(self.places, np.int32(self.shape[1]))
        rows += np.int32(top)
        columns += np.int32(left)
        inside = np.flatnonzero((rows >= 0) & (rows < height) & (columns >= 0) & (columns < width))
        return rows[inside] * np.int32(width) + columns[inside], inside
