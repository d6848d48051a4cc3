"""A scene around a product: what the inpaint pass starts from, and the light of what it painted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.packshot import composite, grounds
from lib_prodshot.packshot.arrays import Grey, Rgb
from lib_prodshot.packshot.cutout import CutOut
from lib_prodshot.packshot.placement import Placement
from lib_prodshot.packshot.sparse import SparseAlpha

Floats = npt.NDArray[np.float32]

_RING = 0.04
"""How far around the product its light is measured, as a share of the frame's longer side."""

_LEAST_RING = 64
"""Pixels of old and of new ground that a measurement needs."""

_DARK, _BRIGHT = 8, 250
"""Levels between which a ground says something of the light; a page burnt out to white says nothing."""

_ROWS = 128
"""Rows whose floats are in memory at once."""

_MEAN, _SLOPE = 0.15, 0.35
"""How far the painted ground may be changed at most, as natural logarithms of light: as a whole, and from side to side
of the frame. A dark table stays one under a product that was photographed on white."""


def whole(rgb: Rgb) -> CutOut:
    """The whole picture (H×W×3) as what is kept: nothing of it is ground."""
    return CutOut(rgb, _of_one(rgb, 255), np.empty((0, 3), np.uint8), np.zeros(rgb.shape[:2], np.uint8))


def _of_one(rgb: Rgb, level: int) -> SparseAlpha:
    """One level, 0 or 255, for a whole picture (H×W×3)."""
    nowhere, nothing = np.empty(0, np.int32), np.empty(0, np.float32)
    return SparseAlpha(np.full(rgb.shape[:2], level, np.uint8), nowhere, nothing)


def start(cutout: CutOut, placement: Placement) -> tuple[Rgb, Grey]:
    """What the inpaint pass gets for a product (in its picture's geometry): H×W×3, the product in the frame over its
    own ground, blurred (a picture that is kept whole: over itself, blurred and extended); and H×W, 255 where it is to
    be painted, which is all that the product does not wholly cover."""
    placed = placement.placed_cutout(cutout)
    is_whole = int(cutout.shares.opacity.min()) == 255
    ground = grounds.blurred(replace(cutout, shares=_of_one(cutout.picture, 0)) if is_whole else cutout, placement)
    picture = composite.compose(placed, ground, in_place=True).rgb
    mask = np.not_equal(placed.shares.opacity, 255).view(np.uint8) * np.uint8(255)
    return picture, mask


def lit(painted: Rgb, cutout: CutOut, placement: Placement, strength: float) -> tuple[Rgb, float]:
    """The painted ground (H×W×3, the frame's size; changed in place) with the light that lay around the product in its
    own picture, and how much that changed it at most (a factor, 1 for nothing).

    Around the product, old ground and new one are compared: their mean lightness, and how it falls from side to side,
    by a plane through the logarithms of both. `strength` 0..1 is the share of the difference that is made up for.
    Product pixels are not touched: they are laid over the ground afterwards.
    """
    difference = _light_difference(painted, cutout, placement)
    if difference is None or strength <= 0:
        return painted, 1.0
    largest = 0.0
    for top in range(0, len(painted), _ROWS):
        rows = slice(top, top + _ROWS)
        field = difference.rows(top, min(top + _ROWS, len(painted)))
        largest = max(largest, float(np.abs(field).max()))
        painted[rows] = np.clip(np.rint(painted[rows] * np.exp(np.float32(strength) * field)[..., None]), 0, 255)
    return painted, float(np.exp(strength * largest))


@dataclass(frozen=True)
class _Difference:
    """The logarithm of what the new ground's light is short of the old one's: `level`, and by how much from the middle
    of a frame of that size to its right edge and to its lower one."""

    height: int
    width: int
    level: float
    across: float
    down: float

    def rows(self, top: int, bottom: int) -> Floats:
        """In these rows (H×W)."""
        x = np.linspace(-1, 1, self.width, dtype=np.float32)[None] * self.across
        y = np.linspace(-1, 1, self.height, dtype=np.float32)[top:bottom, None] * self.down
        return np.asarray(self.level + np.clip(x + y, -_SLOPE, _SLOPE), np.float32)


def _light_difference(painted: Rgb, cutout: CutOut, placement: Placement) -> _Difference | None:
    """None where either ground says nothing of the light."""
    height, width = painted.shape[:2]
    old = placement.placed(cutout.picture)
    inside = placement.placed(np.ones(cutout.shares.shape, np.uint8)) > 0
    ring = _ring(placement.placed_alpha(cutout.shares).opacity)
    planes = [_plane(picture, where) for picture, where in ((old, ring & inside), (painted, ring))]
    if planes[0] is None or planes[1] is None:
        return None
    mean, across, down = (float(each) for each in planes[0] - planes[1])
    return _Difference(height, width, min(max(mean, -_MEAN), _MEAN), across, down)


def _ring(opacity: Grey) -> npt.NDArray[np.bool_]:
    """The pixels around a product, free of its edge."""
    reach = max(3, round(_RING * max(opacity.shape)))
    product = np.not_equal(opacity, 0)
    return np.asarray(_widened(product, reach) & ~_widened(product, 1))


def _widened(where: npt.NDArray[np.bool_], reach: int) -> npt.NDArray[np.bool_]:
    """All that lies within so many pixels, across and down: by tripling, for OpenCV's dilation takes a step for every
    pixel of its kernel's side."""
    result = where.copy()
    for plane in (result, result.T):
        reached = 0
        while reached < reach:
            step = min(2 * reached + 1, reach - reached)
            before = plane.copy(order="K")
            plane[step:] |= before[:-step]
            plane[:-step] |= before[step:]
            reached += step
    return result


def _plane(picture: Rgb, where: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64] | None:
    """Mean, slope in x and slope in y, from -1 to 1 over the frame, of the plane through the logarithms of a ground's
    lightness, by least squares. None where too few of its pixels say something."""
    height, width = where.shape
    normal, right, count = np.zeros((3, 3)), np.zeros(3), 0
    for top in range(0, height, _ROWS):
        light = cv2.cvtColor(np.ascontiguousarray(picture[top : top + _ROWS]), cv2.COLOR_RGB2GRAY)
        rows, columns = np.nonzero(where[top : top + _ROWS] & (light > _DARK) & (light < _BRIGHT))
        x, y = 2 * columns / max(1, width - 1) - 1, 2 * (rows + top) / max(1, height - 1) - 1
        system = np.stack((np.ones_like(x), x, y))
        normal += np.einsum("in,jn->ij", system, system)
        right += np.einsum("in,n->i", system, _LOGARITHMS[light[rows, columns]])
        count += len(x)
    if count < _LEAST_RING:
        return None
    return np.asarray(np.linalg.lstsq(normal, right, rcond=None)[0], np.float64)


_LOGARITHMS = np.log(np.maximum(np.arange(256), 1)).astype(np.float32)
