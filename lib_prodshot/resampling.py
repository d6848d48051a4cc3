"""Resampling by area of large pictures, and halving, by what OpenCV has vector code for.

OpenCV's `INTER_AREA` narrows every row of the source sample by sample, and adds the narrowed rows: 75 to 92 ms at 24
megapixels. Added first, by `accumulateWeighted`, there are a quarter or fewer rows left to narrow: 20 to 28 ms.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

ROWS_FIRST = 4
"""From this factor on, in both directions, rows are added before they are narrowed."""

_STRIP = 16
"""Rows of the result that are worked on at once: their floats stay in the processor's cache."""

_LEAST = 1e-3
"""A smaller share of a row is left out, as OpenCV does."""


def by_area(picture: Samples, size: tuple[int, int]) -> Samples:
    """The picture (H×W or H×W×3) at `size` (width, height), each pixel the mean of the area that it covers.

    Below a factor of 4 the bytes are `INTER_AREA`'s own; from there on they are the same means, added in another order:
    what lies in the middle between two levels, a few samples of a million, may be rounded the other way.
    """
    if not is_far(picture, size):
        return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    width, height = size
    scale = picture.shape[0] / height
    small = np.empty((height, width, *picture.shape[2:]), np.uint8)
    # zeros, for what is there at first is multiplied by nothing, which not every float survives
    rows = np.zeros((_STRIP, *picture.shape[1:]), np.float32)
    for top in range(0, height, _STRIP):
        strip = small[top : top + _STRIP]
        for number in range(len(strip)):
            at = top + number
            _average(picture, at * scale, (at + 1) * scale, rows[number : number + 1])
        narrow = cv2.resize(rows[: len(strip)], (width, len(strip)), interpolation=cv2.INTER_AREA)
        cv2.convertScaleAbs(narrow, strip)
    return small


def is_far(picture: Samples, size: tuple[int, int]) -> bool:
    """Whether both of the picture's sides are at least 4 times those of `size` (width, height)."""
    return picture.shape[1] >= ROWS_FIRST * size[0] and picture.shape[0] >= ROWS_FIRST * size[1]


def _average(picture: Samples, begin: float, end: float, into: Floats) -> None:
    """The mean of the picture's rows from `begin` to `end`, cut ones by their share, written `into` one row."""
    covered = 0.0
    for row in range(int(begin), min(math.ceil(end), len(picture))):
        share = min(row + 1, end) - max(row, begin)
        if share > _LEAST:
            covered += share
            cv2.accumulateWeighted(picture[row : row + 1], into, share / covered)


def halve(picture: Samples, into: Samples | None = None) -> Samples:
    """The means of whole squares of 2×2 samples, written `into` a part of an array where there is one; the last row or
    column of an odd side is left out.

    Both sides must be 2 samples at least.
    """
    height, width = picture.shape[0] // 2, picture.shape[1] // 2
    whole = picture[: 2 * height, : 2 * width]
    return np.asarray(cv2.resize(whole, (width, height), into, interpolation=cv2.INTER_AREA), np.uint8)


def halve_all(picture: Samples) -> Samples:
    """As `halve`, but of an odd side the last row or column is there too (the result's sides are rounded up), as the
    means of the pairs along it."""
    height, width = picture.shape[:2]
    down, across = height // 2, width // 2
    half = np.empty(((height + 1) // 2, (width + 1) // 2, *picture.shape[2:]), np.uint8)
    if down and across:
        halve(picture, into=half[:down, :across])
    for edge, size, place in (
        (picture[: 2 * down, 2 * across :], (1, down), half[:down, across:]),
        (picture[2 * down :, : 2 * across], (across, 1), half[down:, :across]),
    ):
        if edge.size:
            place[...] = cv2.resize(edge, size, interpolation=cv2.INTER_AREA).reshape(place.shape)
    half[down:, across:] = picture[2 * down :, 2 * across :]
    return half
