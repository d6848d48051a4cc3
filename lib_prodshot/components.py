"""A mask's connected components, kept as runs of pixels in rows: labels for every pixel of a photograph take four bytes
of each, the runs of a product's mask next to nothing."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.uint8]
"""H×W; all that is not 0 belongs to it."""

Places = npt.NDArray[np.int32]
"""Flat places of pixels: row · width + column."""

Numbers = npt.NDArray[np.intp]

_ROWS = 128
"""Rows that are looked through at once: their copies stay in the processor's cache."""

_MOST_RUNS = 1 / 32
"""Of a mask with more runs for each of its pixels, such as noise, labels are less work."""


@dataclass(frozen=True)
class Components:
    """Where the components of a mask lie: its runs (`starts` and `ends`, which are not counted, both ascending), the
    component of each (`labels`), and the components' `areas` in pixels, one for each of them, in no special order."""

    starts: Places
    ends: Places
    labels: Places
    areas: npt.NDArray[np.int64]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.areas)

    def at(self, places: Places) -> Places:
        """The component of each of these pixels, which are the mask's."""
        return self.labels[np.searchsorted(self.starts, places, side="right") - 1]

    def draw(self, chosen: npt.NDArray[np.bool_], mask: Mask, level: int) -> None:
        """Give that level to the pixels of the `chosen` components (a truth for each), in a contiguous mask of the same
        size, in place."""
        is_drawn = chosen[self.labels]
        starts, ends = self.starts[is_drawn], self.ends[is_drawn]
        width = mask.shape[1]
        for top in range(0, len(mask), _ROWS):
            band = mask[top : top + _ROWS]
            first, last = np.searchsorted(starts, np.array((top * width, top * width + band.size), np.int32))
            lengths = ends[first:last] - starts[first:last]
            before = np.cumsum(lengths) - lengths
            places = np.arange(lengths.sum()) + np.repeat(starts[first:last] - before - top * width, lengths)
            band.ravel()[places] = level


def components_of(mask: Mask, connectivity: int = 8) -> Components:
    """The components of a mask, whose pixels hang together by edges (`connectivity` 4) or by corners, too (8).

    >>> found = components_of(np.array([[1, 0, 1, 1], [0, 1, 0, 0], [0, 0, 0, 9]], np.uint8))
    >>> found.count, found.areas.tolist()
    (2, [4, 1])
    """
    starts, ends = _runs(mask)
    if len(starts) > mask.size * _MOST_RUNS:
        labels = cv2.connectedComponents(mask, connectivity=connectivity, ltype=cv2.CV_32S)[1].ravel()[starts] - 1
    else:
        labels = _joined(starts, ends, mask.shape[1], connectivity)
    areas = np.bincount(labels, weights=ends - starts).astype(np.int64)
    return Components(starts, ends, labels.astype(np.int32), areas)


def _runs(mask: Mask) -> tuple[Places, Places]:
    """Where each run of a row begins, and where it ends."""
    height, width = mask.shape
    starts: list[Places] = []
    ends: list[Places] = []
    for top in range(0, height, _ROWS):
        rows = mask[top : top + _ROWS]
        # a column of nothing before each row, so that no run goes on in the next, and one pixel behind them all
        spaced = np.zeros(len(rows) * (width + 1) + 1, np.bool_)
        np.not_equal(rows, 0, out=spaced[:-1].reshape(len(rows), width + 1)[:, 1:])
        changes = np.flatnonzero(spaced[1:] != spaced[:-1])
        begins, stops = changes[::2], changes[1::2]
        # both lie in the row of the pixel before the change
        row = begins // (width + 1)
        starts.append((begins - row + top * width).astype(np.int32))
        ends.append((stops - row + top * width).astype(np.int32))
    return np.concatenate(starts), np.concatenate(ends)


def _joined(starts: Places, ends: Places, width: int, connectivity: int) -> Places:
    """The component of each run: runs of neighbouring rows belong together where they touch."""
    # rows apart by a pixel again, so that neither ends of rows nor corners across them touch
    rows = starts // np.int32(width)
    begins, stops = starts.astype(np.int64) + rows, ends.astype(np.int64) + rows
    step, corner = width + 1, int(connectivity == 8)
    first = np.searchsorted(stops, begins + step - corner, side="right")
    last = np.searchsorted(begins, stops + step + corner, side="left")
    touching = np.maximum(last - first, 0)
    upper = np.repeat(np.arange(len(starts)), touching)
    lower = np.arange(len(upper)) - np.repeat(np.cumsum(touching) - touching - first, touching)
    return np.asarray(np.unique(_roots(len(starts), upper, lower), return_inverse=True)[1], np.int32)


def _roots(count: int, these: Numbers, those: Numbers) -> Numbers:
    """For each of so many things the first of all that hang together with it, where these and those do, pair by pair.

    Source: Shiloach and Vishkin, "An O(log n) parallel connectivity algorithm" (1982): roots are hung onto smaller
    ones, and paths are halved until they are none.
    """
    roots = np.arange(count)
    while True:
        first, second = roots[these], roots[those]
        apart = first != second
        if not apart.any():
            return roots
        these, those = these[apart], those[apart]
        np.minimum.at(roots, np.maximum(first, second)[apart], np.minimum(first, second)[apart])
        above = roots[roots]
        while not np.array_equal(above, roots):
            roots, above = above, above[above]
