"""A scene around a product: what the inpaint pass starts from, and the light of what it painted."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.packshot import composite, grounds
from lib_prodshot.packshot.arrays import Alpha, Grey, Rgb
from lib_prodshot.packshot.cutout import CutOut
from lib_prodshot.packshot.placement import Placement

Floats = npt.NDArray[np.float32]

_RING = 0.04
"""How far around the product its light is measured, as a share of the frame's longer side."""

_LEAST_RING = 64
"""Pixels of old and of new ground that a measurement needs."""

_DARK, _BRIGHT = 8.0, 250.0
"""Levels between which a ground says something of the light; a page burnt out to white says nothing."""

_ROWS = 128
"""Rows whose floats are in memory at once."""

_MEAN, _SLOPE = 0.15, 0.35
"""How far the painted ground may be changed at most, as natural logarithms of light: as a whole, and from side to side
of the frame. A dark table stays one under a product that was photographed on white."""


def whole(rgb: Rgb) -> CutOut:
    """The whole picture (H×W×3) as what is kept: nothing of it is ground."""
    return CutOut(rgb, np.ones(rgb.shape[:2], np.float32), rgb, np.zeros(rgb.shape[:2], np.uint8))


def start(cutout: CutOut, placement: Placement) -> tuple[Rgb, Grey]:
    """What the inpaint pass gets for a product (in its picture's geometry): H×W×3, the product in the frame over its
    own ground, blurred (a picture that is kept whole: over itself, blurred and extended); and H×W, 255 where it is to
    be painted, which is all that the product does not wholly cover."""
    placed = placement.placed_cutout(cutout)
    alpha = cutout.alpha if cutout.alpha.min() < 1 else np.zeros_like(cutout.alpha)
    ground = grounds.blurred(replace(cutout, alpha=alpha), placement)
    picture = composite.compose(placed, ground).rgb
    mask = np.where(placed.alpha < 1, 255, 0).astype(np.uint8)
    return picture, mask


def lit(painted: Rgb, cutout: CutOut, placement: Placement, strength: float) -> tuple[Rgb, float]:
    """The painted ground (H×W×3, the frame's size) with the light that lay around the product in its own picture, and
    how much that changed it at most (a factor, 1 for nothing).

    Around the product, old ground and new one are compared: their mean lightness, and how it falls from side to side,
    by a plane through the logarithms of both. `strength` 0..1 is the share of the difference that is made up for.
    Product pixels are not touched: they are laid over the ground afterwards.
    """
    field = _light_difference(painted, cutout, placement)
    if field is None or strength <= 0:
        return painted, 1.0
    gain = np.exp(np.float32(strength) * field)
    changed = np.empty_like(painted)
    for top in range(0, len(painted), _ROWS):
        rows = slice(top, top + _ROWS)
        changed[rows] = np.clip(np.rint(painted[rows] * gain[rows, :, None]), 0, 255)
    return changed, float(np.exp(strength * np.abs(field).max()))


def _light_difference(painted: Rgb, cutout: CutOut, placement: Placement) -> Floats | None:
    """H×W: the logarithm of what the new ground's light is short of the old one's; None where either says nothing."""
    height, width = painted.shape[:2]
    old = placement.placed(cutout.picture)
    inside = placement.placed(np.ones(cutout.alpha.shape, np.uint8)) > 0
    ring = _ring(np.clip(placement.placed(cutout.alpha), 0, 1))
    planes = []
    for picture, where in ((old, ring & inside), (painted, ring)):
        light = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY).astype(np.float32)
        known = where & (light > _DARK) & (light < _BRIGHT)
        if np.count_nonzero(known) < _LEAST_RING:
            return None
        planes.append(_plane(np.log(light[known]), *_coordinates(known)))
    mean, across, down = planes[0] - planes[1]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None] * across
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * down
    level = np.clip(mean, -_MEAN, _MEAN)
    return np.asarray(level + np.clip(x + y, -_SLOPE, _SLOPE), np.float32)


def _ring(alpha: Alpha) -> npt.NDArray[np.bool_]:
    """The pixels around a product, free of its edge."""
    reach = max(3, round(_RING * max(alpha.shape)))
    product = np.asarray(alpha > 0, np.uint8)
    near = cv2.dilate(product, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    edge = cv2.dilate(product, np.ones((3, 3), np.uint8))
    return np.asarray((near > 0) & (edge == 0))


def _coordinates(where: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """x and y of the pixels, from -1 to 1 over the frame."""
    rows, columns = np.nonzero(where)
    height, width = where.shape
    return (
        (2 * columns / max(1, width - 1) - 1).astype(np.float32),
        (2 * rows / max(1, height - 1) - 1).astype(np.float32),
    )


def _plane(values: Floats, x: Floats, y: Floats) -> npt.NDArray[np.float64]:
    """Mean, slope in x and slope in y of the plane through values, by least squares."""
    system = np.column_stack((np.ones_like(x), x, y))
    solved, *_ = np.linalg.lstsq(system, values, rcond=None)
    return np.asarray(solved, np.float64)
