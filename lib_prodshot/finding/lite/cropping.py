"""The working copy of a picture, and crops scaled to a model's input size.

Corners are x0, y0, x1, y1 in pixels of the picture a crop is taken from, and may reach beyond it.
"""

from __future__ import annotations

import cv2
import numpy as np

from lib_prodshot.finding.interface import Picture
from lib_prodshot.finding.lite.boxes import Corners
from lib_prodshot.resampling import by_area

WORK_SIDE = 1024


def working_copy(picture: Picture) -> tuple[Picture, float]:
    """The picture with its longer side at most 1024 pixels, and the factor it was scaled by (H×W×3 uint8)."""
    height, width = picture.shape[:2]
    factor = min(1.0, WORK_SIDE / max(height, width))
    if factor == 1.0:
        return np.ascontiguousarray(picture), 1.0
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return by_area(picture, size), factor


def full_box(picture: Picture) -> Corners:
    """The corners of the whole picture."""
    height, width = picture.shape[:2]
    return (0.0, 0.0, float(width), float(height))


def square_around(corners: Corners, factor: float) -> Corners:
    """A square around the middle of `corners`, its side their longer side times `factor`."""
    x0, y0, x1, y1 = corners
    half = max(x1 - x0, y1 - y0) * factor / 2
    return ((x0 + x1) / 2 - half, (y0 + y1) / 2 - half, (x0 + x1) / 2 + half, (y0 + y1) / 2 + half)


def flipped(picture: Picture) -> Picture:
    """Copy of the picture flipped horizontally."""
    return np.asarray(cv2.flip(picture, 1), np.uint8)


def pixel_window(picture: Picture, corners: Corners) -> tuple[int, int, int, int]:
    """The picture's pixels that `corners` touch (left, top, right, bottom), at least one."""
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = corners
    left, top = int(np.floor(np.clip(x0, 0, width - 1))), int(np.floor(np.clip(y0, 0, height - 1)))
    right, bottom = int(np.ceil(np.clip(x1, left + 1, width))), int(np.ceil(np.clip(y1, top + 1, height)))
    return left, top, right, bottom


def crop(picture: Picture, corners: Corners, side: int, fill: int | None = None) -> Picture:
    """Crop and scale to side×side×3; padded with the grey value `fill`, or by replicating the edge."""
    x0, y0, x1, y1 = corners
    left, top, right, bottom = pixel_window(picture, corners)
    across, down = side / max(x1 - x0, 1.0), side / max(y1 - y0, 1.0)
    before_x, before_y = (min(max(round(gap), 0), side - 1) for gap in ((left - x0) * across, (top - y0) * down))
    inner = (
        min(max(1, round((right - left) * across)), side - before_x),
        min(max(1, round((bottom - top) * down)), side - before_y),
    )
    part = _resize(picture[top:bottom, left:right], inner)
    edges = (before_y, side - before_y - inner[1], before_x, side - before_x - inner[0])
    if fill is None:
        return np.asarray(cv2.copyMakeBorder(part, *edges, cv2.BORDER_REPLICATE), np.uint8)
    return np.asarray(cv2.copyMakeBorder(part, *edges, cv2.BORDER_CONSTANT, value=(fill, fill, fill)), np.uint8)


def _resize(picture: Picture, size: tuple[int, int]) -> Picture:
    shrinks = size[0] < picture.shape[1] or size[1] < picture.shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)
