"""Planes of floats made smaller or larger strip by strip, with the values that OpenCV gives the whole plane."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from lib_prodshot.packshot.arrays import Floats
from lib_prodshot.packshot.sums import weighted

_ROWS = 64
"""Rows of a strip of the result."""

_SOURCE_ROWS = 64
"""Rows whose floats are made at once."""

Rows = Callable[[int, int], Floats]
"""The plane's rows from … to …: H×W or H×W×3 float32."""


def shrunk_strips(rows: Rows, height: int, size: tuple[int, int]) -> Iterator[tuple[int, Floats]]:
    """Where each strip of the result begins, and the strip: the mean of the covered area (INTER_AREA). `rows` gives the
    rows of a plane of that `height`; `size` is the result's width and height, neither larger than the plane's.

    A plane is never there as a whole: its rows are made narrower a few at a time, and then weighted into the strips.
    """
    scale = height / size[1]
    for top in range(0, size[1], _ROWS):
        bottom = min(top + _ROWS, size[1])
        first, last = int(top * scale), min(height, int(np.ceil(bottom * scale)))
        starts = range(first, last, _SOURCE_ROWS)
        narrow = np.concatenate([_narrowed(rows(at, min(at + _SOURCE_ROWS, last)), size[0]) for at in starts])
        strip = weighted(_weights(top, bottom, scale, first, last), narrow.reshape(last - first, -1))
        yield top, strip.reshape(bottom - top, *narrow.shape[1:])


def _narrowed(strip: Floats, width: int) -> Floats:
    return np.asarray(cv2.resize(strip, (width, len(strip)), interpolation=cv2.INTER_AREA), np.float32)


def _weights(top: int, bottom: int, scale: float, first: int, last: int) -> Floats:
    """How much of each row from `first` to `last` lies in each of the result's rows from `top` to `bottom`."""
    begins = np.arange(top, bottom)[:, None] * scale
    rows = np.arange(first, last)[None, :]
    covered = np.minimum(begins + scale, rows + 1) - np.maximum(begins, rows)
    # a sliver of a row is rounding
    covered[covered < 1e-3] = 0
    return np.asarray(covered / covered.sum(axis=1, keepdims=True), np.float32)


def enlarged_strips(small: Floats, size: tuple[int, int]) -> Iterator[Floats]:
    """A plane of floats at a height and width that are larger, cubically interpolated (INTER_CUBIC), in strips."""
    wide = np.asarray(cv2.resize(small, (size[1], len(small)), interpolation=cv2.INTER_CUBIC), np.float32)
    # what becomes of the identity are the weights that OpenCV interpolates by
    one = np.eye(len(small), dtype=np.float32)
    weights = np.asarray(cv2.resize(one, (len(small), size[0]), interpolation=cv2.INTER_CUBIC), np.float32)
    for top in range(0, size[0], _ROWS):
        part = weights[top : top + _ROWS]
        strip = weighted(part, wide.reshape(len(wide), -1))
        yield strip.reshape(len(part), *wide.shape[1:])
