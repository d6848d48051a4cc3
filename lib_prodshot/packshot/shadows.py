"""Shadows under a product on its new ground: drawn from its outline, or the real one taken along."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.bounds import bounding_box
from lib_prodshot.packshot.arrays import Alpha, Grey, Rgb

Floats = npt.NDArray[np.float32]

_SUPPORT = 0.05
"""The lowest share of the product's height that is taken to stand on the floor."""

_SQUASH = 0.17
"""How flat a circle on the floor looks from a usual camera: its height for a width of 1."""


def contact(alpha: Alpha, softness: float, length: float) -> Alpha:
    """The dark line where a product (H×W alpha in the frame) stands: its lowest part seen flat, a tight and a wide blur
    of it. `softness` scales the blur, `length` how deep it reaches. H×W cover, 0..1."""
    _, y, width, height = _box(alpha)
    cover = np.zeros_like(alpha)
    if not height:
        return cover
    rows = max(2, round(_SUPPORT * height))
    floor = y + height
    widths = alpha[floor - rows : floor].max(axis=0)
    depth = max(1, round(_SQUASH * length * 0.4 * rows + 1))
    cover[max(0, floor - depth) : floor + depth] = widths
    tight, wide = max(0.6, 0.004 * width * softness), max(1.2, 0.02 * width * softness)
    return np.asarray(np.clip(0.6 * _blurred(cover, tight) + 0.4 * _blurred(cover, wide), 0, 1), np.float32)


def soft(alpha: Alpha, softness: float, length: float) -> Alpha:
    """A product's outline (H×W alpha in the frame) laid on the floor, as under a large light from above: squashed
    around the line on which it stands, and blurred. H×W cover, 0..1."""
    x, y, width, height = _box(alpha)
    cover = np.zeros_like(alpha)
    if not height:
        return cover
    outline = alpha[y : y + height, x : x + width]
    flat = max(2, round(_SQUASH * length * height))
    laid = np.asarray(cv2.resize(outline, (width, flat), interpolation=cv2.INTER_AREA), np.float32)
    top = y + height - flat // 2
    shown = max(0, min(flat, len(alpha) - top))
    cover[top : top + shown, x : x + width] = laid[:shown]
    sigma = max(1.0, 0.035 * max(width, height) * softness)
    return np.asarray(np.clip(_blurred(cover, sigma) * 0.8 + contact(alpha, softness, length) * 0.4, 0, 1), np.float32)


def _box(alpha: Alpha) -> tuple[int, int, int, int]:
    return bounding_box((alpha > 0.5).view(np.uint8))


def _blurred(cover: Alpha, sigma: float) -> Floats:
    """A Gaussian blur; beyond the frame there is no shadow."""
    return np.asarray(cv2.GaussianBlur(cover, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT), np.float32)


_PLAIN = 0.035
"""A ground whose light differs from a smooth surface by more (standard deviation, of 1) is no plain one."""

_NOISE = 0.02
"""Less shadow than this is noise."""


def kept(rgb: Rgb, alpha: Alpha, band: Grey) -> Alpha | None:
    """The real shadow of a picture (H×W×3): how much darker its ground is than without the product, which a smooth
    surface tells that is fitted to the light parts of it (light ratios multiply). H×W cover, 0..1; 0 under the product
    and its band, where the nearest ground's stands in. None where the ground is not plain.
    """
    light = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / np.float32(255)
    ground = (alpha == 0) & (band == 0)
    surface = _unshadowed(light, ground)
    if surface is None:
        return None
    ratio = np.clip(light / np.maximum(surface, 1 / 255), 0, 1)
    # the picture's noise is none of the shadow's: averaged over ground alone
    weight = ground.astype(np.float32)
    sigma = max(1.0, 0.002 * max(alpha.shape))
    total = cv2.GaussianBlur(weight, (0, 0), sigma)
    smooth = cv2.GaussianBlur(ratio * weight, (0, 0), sigma) / np.maximum(total, 1e-4)
    cover = np.clip(1 - smooth - _NOISE, 0, 1) / (1 - _NOISE)
    unknown = ((total < 1e-2) | ~ground).astype(np.uint8)
    near = _from_nearest(cover.astype(np.float32), unknown)
    return np.asarray(np.where(alpha == 1, 0, near), np.float32)


def _from_nearest(cover: Floats, unknown: Grey) -> Floats:
    """Each unknown pixel gets the value of the nearest known one."""
    _, labels = cv2.distanceTransformWithLabels(unknown, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    values = np.zeros(int(labels.max()) + 1, np.float32)
    is_known = unknown == 0
    values[labels[is_known]] = cover[is_known]
    return np.asarray(values[labels], np.float32)


def _unshadowed(light: Floats, ground: npt.NDArray[np.bool_]) -> Floats | None:
    """The light of an H×W ground without shadows: a surface of second degree through its lighter parts."""
    height, width = light.shape
    step = max(1, max(height, width) // 200)
    rows, columns = np.nonzero(ground[::step, ::step])
    if len(rows) < 60:
        return None
    values = light[rows * step, columns * step].astype(np.float64)
    places = _terms(columns * step / width, rows * step / height)
    weight = np.ones(len(values))
    for _ in range(12):
        factors = np.linalg.lstsq(places * weight[:, None], values * weight, rcond=None)[0]
        off = values - places @ factors
        spread = max(0.004, 1.48 * float(np.median(np.abs(off))))
        # darker than the surface: probably shadow (an asymmetric least-squares fit)
        weight = np.where(off < -spread, 0.02, 1.0) * (np.abs(off) < 4 * spread).clip(0.02)
    lit = off > -2 * spread
    if lit.mean() < 0.3 or float(off[lit].std()) > _PLAIN:
        return None
    across, down = np.meshgrid(np.arange(width) / width, np.arange(height) / height)
    return np.asarray((_terms(across.ravel(), down.ravel()) @ factors).reshape(height, width), np.float32)


def _terms(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.column_stack([np.ones_like(x), x, y, x * y, x * x, y * y])
