"""Which part of a picture an inpaint pass works on, and at what size: only the product's surroundings, enlarged.

The idea is the WebUI's "only masked" area; the size follows the crop's own ratio, so that nothing is stretched.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

GRID = 64
"""Passes are multiples of this many pixels where the picture allows it: a UNet halves its latents three times."""

FINE_GRID = 8
"""One latent cell: the size of a pass is always a multiple of this."""

_RATIO_ERROR = 0.02

Array = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Crop:
    """A rectangle of the picture (x0, y0, x1, y1 in pixels, inside it) and the size at which a pass sees it."""

    x0: int
    y0: int
    x1: int
    y1: int
    width: int
    height: int

    @property
    def area(self) -> int:
        """How many pixels of the picture it holds."""
        return (self.x1 - self.x0) * (self.y1 - self.y0)

    @property
    def scale(self) -> float:
        """Pixels of the pass for one pixel of the picture (geometric mean of both directions)."""
        return math.sqrt(self.width * self.height / self.area)

    def cut(self, picture: Array) -> Array:
        """The rectangle of an H×W×3 picture at the pass's size."""
        return _resize(picture[self.y0 : self.y1, self.x0 : self.x1], self.width, self.height)

    def cut_mask(self, mask: Array) -> Array:
        """The rectangle of an H×W mask at the pass's size, 0 or 255 again.

        A pixel of the pass counts from a quarter covered on, so that straps and laces outlive shrinking.
        """
        part = mask[self.y0 : self.y1, self.x0 : self.x1]
        resized = _resize(part, self.width, self.height, Image.Resampling.BILINEAR)
        return np.where(resized > 63, 255, 0).astype(np.uint8)

    def paste(self, picture: Array, painted: Array) -> Array:
        """A copy of the H×W×3 picture with the pass's result in the rectangle."""
        result = picture.copy()
        result[self.y0 : self.y1, self.x0 : self.x1] = _resize(painted, self.x1 - self.x0, self.y1 - self.y0)
        return result


def crop_around(mask: Array, padding: int | None, pixels: int) -> Crop:
    """The crop around a mask (H×W, not empty) with `padding` pixels on each side; None takes the whole picture."""
    height, width = mask.shape[:2]
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return crop_of_box(box, (width, height), padding, pixels)


def crop_of_box(inner: tuple[int, int, int, int], picture: tuple[int, int], padding: int | None, pixels: int) -> Crop:
    """The crop around a box (x0, y0, x1, y1) of a picture (width, height), as `crop_around` has it.

    The pass gets about `pixels` pixels in the crop's own ratio; the crop is widened, where the picture has room, to
    the exact ratio of the size that was chosen.
    """
    width, height = picture
    box = (0, 0, width, height) if padding is None else _padded(inner, picture, padding)
    for grid in (GRID, FINE_GRID):
        size = _size(box, pixels, grid)
        wide = _widen(box, size, width, height)
        if grid == FINE_GRID or _ratio_error(wide, size) <= _RATIO_ERROR:
            break
    return Crop(*wide, *size)


def _padded(box: tuple[int, int, int, int], picture: tuple[int, int], padding: int) -> tuple[int, int, int, int]:
    return (
        max(0, box[0] - padding),
        max(0, box[1] - padding),
        min(picture[0], box[2] + padding),
        min(picture[1], box[3] + padding),
    )


def _size(box: tuple[int, int, int, int], pixels: int, grid: int) -> tuple[int, int]:
    """Width and height of the pass: the box's ratio at a constant number of pixels, on the grid."""
    ratio = (box[2] - box[0]) / (box[3] - box[1])
    width = max(grid, round(math.sqrt(pixels * ratio) / grid) * grid)
    height = max(grid, round(math.sqrt(pixels / ratio) / grid) * grid)
    return width, height


def _widen(box: tuple[int, int, int, int], size: tuple[int, int], width: int, height: int) -> tuple[int, int, int, int]:
    """The box grown in one direction to the ratio of `size`, shifted and cut where the picture ends."""
    x0, y0, x1, y1 = box
    wanted = size[0] / size[1]
    if (x1 - x0) / (y1 - y0) < wanted:
        x0, x1 = _grow(x0, x1, round((y1 - y0) * wanted), width)
    else:
        y0, y1 = _grow(y0, y1, round((x1 - x0) / wanted), height)
    return x0, y0, x1, y1


def _grow(start: int, end: int, length: int, limit: int) -> tuple[int, int]:
    length = min(max(length, end - start), limit)
    start = max(0, min(start - (length - (end - start)) // 2, limit - length))
    return start, start + length


def _ratio_error(box: tuple[int, int, int, int], size: tuple[int, int]) -> float:
    ratio = (box[2] - box[0]) / (box[3] - box[1])
    return abs(size[0] / size[1] / ratio - 1)


def _resize(array: Array, width: int, height: int, how: Image.Resampling = Image.Resampling.LANCZOS) -> Array:
    if array.shape[1] == width and array.shape[0] == height:
        return array.copy()
    return np.asarray(Image.fromarray(array).resize((width, height), how))
