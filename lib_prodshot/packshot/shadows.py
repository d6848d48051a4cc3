"""Shadows under a product on its new ground: drawn from its outline, or the real one taken along.

A shadow is smooth: what is kept of it is small, and its cover of a frame is made for the rows that are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.bounds import bounding_box
from lib_prodshot.packshot.arrays import Floats, Grey, Rgb
from lib_prodshot.packshot.cutout import CutOut
from lib_prodshot.packshot.placement import Placement
from lib_prodshot.packshot.shrinking import shrunk_strips
from lib_prodshot.packshot.sparse import SparseAlpha
from lib_prodshot.packshot.sums import least_squares, weighted
from lib_prodshot.packshot.tiles import Tile

_ROWS = 128

Levels = npt.NDArray[np.uint16]
"""H×W: a cover in 1/65535."""


class Cover(Protocol):
    """How much of a frame's ground a shadow covers."""

    def rows(self, top: int, bottom: int) -> Floats:
        """In these rows (H×W float32, 0..1)."""


def largest(cover: Cover, height: int) -> float:
    """The largest cover in a frame of that height."""
    return max(float(cover.rows(top, min(top + _ROWS, height)).max()) for top in range(0, height, _ROWS))


_SUPPORT = 0.05
"""The lowest share of the product's height that is taken to stand on the floor."""

_SQUASH = 0.17
"""How flat a circle on the floor looks from a usual camera: its height for a width of 1."""


@dataclass(frozen=True)
class _Product:
    """A separable shadow: the cover at a row and a column is the product of both, of several such added up."""

    parts: tuple[tuple[Floats, Floats], ...]

    def rows(self, top: int, bottom: int) -> Floats:
        """See `Cover`."""
        planes = [down[top:bottom, None] * across for down, across in self.parts]
        return np.asarray(np.clip(np.add.reduce(planes), 0, 1), np.float32)


@dataclass(frozen=True)
class Strengthened:
    """A cover times a factor, 1 at most."""

    cover: Cover
    factor: float

    def rows(self, top: int, bottom: int) -> Floats:
        """See `Cover`."""
        return np.minimum(self.cover.rows(top, bottom) * np.float32(self.factor), 1)


def contact(alpha: SparseAlpha, softness: float, length: float) -> Cover:
    """The dark line where a product (its alpha in the frame) stands: its lowest part seen flat, a tight and a wide blur
    of it. `softness` scales the blur, `length` how deep it reaches."""
    _, y, width, height = _box(alpha)
    frame_height, frame_width = alpha.shape
    if not height:
        return _Product(((np.zeros(frame_height, np.float32), np.zeros(frame_width, np.float32)),))
    rows = max(2, round(_SUPPORT * height))
    floor = y + height
    widths = alpha.rows(max(0, floor - rows), floor).max(axis=0)
    depth = max(1, round(_SQUASH * length * 0.4 * rows + 1))
    line = np.zeros(frame_height, np.float32)
    line[max(0, floor - depth) : floor + depth] = 1
    tight, wide = max(0.6, 0.004 * width * softness), max(1.2, 0.02 * width * softness)
    # a rectangle of equal rows is blurred along each of its sides alone
    blurs = ((tight, np.float32(0.6)), (wide, np.float32(0.4)))
    return _Product(tuple((_blurred(line, sigma) * share, _blurred(widths, sigma)) for sigma, share in blurs))


def _blurred(line: Floats, sigma: float) -> Floats:
    """A line of values blurred by a Gaussian; beyond its ends there is no shadow."""
    # so far as OpenCV's blur of floats reaches
    kernel = cv2.getGaussianKernel(round(8 * sigma + 1) | 1, sigma, cv2.CV_32F)
    filtered = cv2.sepFilter2D(line[None], cv2.CV_32F, kernel, np.ones(1, np.float32), borderType=cv2.BORDER_CONSTANT)
    return np.asarray(filtered[0], np.float32)


_FINENESS = 8
"""A blur is made at the size at which its sigma is about so many pixels."""


@dataclass(frozen=True)
class _Laid:
    """An outline that lies blurred in a frame, from `top` and `left` on, under a contact shadow: `wide` are rows of it,
    `weights` how much of each of these each row of the frame takes."""

    top: int
    left: int
    width: int
    wide: Floats
    weights: Floats
    contact: Cover

    def rows(self, top: int, bottom: int) -> Floats:
        """See `Cover`."""
        cover = self.contact.rows(top, bottom) * np.float32(0.4)
        first, last = max(top, self.top), min(bottom, self.top + len(self.weights))
        if first < last:
            laid = weighted(self.weights[first - self.top : last - self.top], self.wide)
            left, right = max(0, self.left), min(self.width, self.left + laid.shape[1])
            place = cover[first - top : last - top, left:right]
            place += np.clip(laid[:, left - self.left : right - self.left], 0, 1) * np.float32(0.8)
        return np.clip(cover, 0, 1)


def soft(alpha: SparseAlpha, softness: float, length: float) -> Cover:
    """A product's outline (its alpha in the frame) laid on the floor, as under a large light from above: squashed
    around the line on which it stands, and blurred."""
    x, y, width, height = _box(alpha)
    under = contact(alpha, softness, length)
    if not height:
        return under
    flat = max(2, round(_SQUASH * length * height))

    def rows(first: int, last: int) -> Floats:
        return np.ascontiguousarray(alpha.rows(y + first, y + last)[:, x : x + width])

    laid = np.concatenate([strip for _, strip in shrunk_strips(rows, height, (width, min(flat, height)))])
    if flat > height:
        laid = np.asarray(cv2.resize(laid, (width, flat), interpolation=cv2.INTER_AREA), np.float32)
    top = y + height - flat // 2
    shown = max(0, min(flat, alpha.shape[0] - top))
    sigma = max(1.0, 0.035 * max(width, height) * softness)
    fold = max(1, int(sigma / _FINENESS))
    # what lies outside of the frame is no shadow, and does not come back into it
    before = min(max(0, -top), shown)
    return _laid(laid[before:shown], (top + before, x), sigma, fold, alpha.shape[1], under)


def _laid(outline: Floats, place: tuple[int, int], sigma: float, fold: int, width: int, under: Cover) -> _Laid:
    """An outline at a place (row, column) of a frame, blurred at a `fold` of its size."""
    reach = -(-int(4 * sigma + 1) // fold) * fold + fold
    rows, columns = (-(-side // fold) * fold - side + reach for side in outline.shape)
    padded = cv2.copyMakeBorder(outline, reach, rows, reach, columns, cv2.BORDER_CONSTANT)
    height, wide = padded.shape
    small = np.asarray(cv2.resize(padded, (wide // fold, height // fold), interpolation=cv2.INTER_AREA), np.float32)
    # the mean of a square blurs a little itself
    rest = float(np.sqrt(sigma**2 - (fold**2 - 1) / 12)) / fold
    blurred = cv2.GaussianBlur(small, (0, 0), rest, borderType=cv2.BORDER_CONSTANT)
    across = np.asarray(cv2.resize(blurred, (wide, len(blurred)), interpolation=cv2.INTER_CUBIC), np.float32)
    one = np.eye(len(blurred), dtype=np.float32)
    weights = np.asarray(cv2.resize(one, (len(blurred), height), interpolation=cv2.INTER_CUBIC), np.float32)
    top, left = place[0] - reach, place[1] - reach
    return _Laid(top, left, width, across, weights, under)


def _box(alpha: SparseAlpha) -> tuple[int, int, int, int]:
    return bounding_box((alpha.opacity > 127).view(np.uint8))


_PLAIN = 0.035
"""A ground whose light differs from a smooth surface by more (standard deviation, of 1) is no plain one."""

_NOISE = 0.02
"""Less shadow than this is noise."""


@dataclass(frozen=True)
class _Kept:
    levels: Levels

    def rows(self, top: int, bottom: int) -> Floats:
        """See `Cover`."""
        return np.asarray(self.levels[top:bottom] / np.float32(65535), np.float32)


def kept(cutout: CutOut, placement: Placement) -> Cover | None:
    """The real shadow of a product's picture, in the frame: how much darker its ground is than without the product,
    which a smooth surface tells that is fitted to the light parts of it (light ratios multiply). 0 under the product;
    in its band the nearest ground's stands in. None where the ground is not plain.
    """
    opacity, band = cutout.shares.opacity, cutout.band
    surface = _unshadowed(cutout.picture, (opacity == 0) & (band == 0))
    if surface is None:
        return None
    cover, unknown = _seen(cutout, surface)
    for tile in Tile(0, len(cover), 0, cover.shape[1]).tiles(_TILE):
        wanted = (unknown[tile.slices] > 0) & (opacity[tile.slices] < 255)
        if wanted.any():
            cover[tile.slices][wanted] = _from_nearest(cover, unknown, tile, wanted)
    cover[opacity == 255] = 0
    return _Kept(np.asarray(placement.placed(cover), np.uint16))


def _seen(cutout: CutOut, surface: _Surface) -> tuple[Levels, Grey]:
    """The shadow on a picture's ground; and where (255) that says nothing, which is not changed in the first."""
    shape = cutout.shares.shape
    sigma = max(1.0, 0.002 * max(shape))
    reach = int(4 * sigma) + 2
    cover, unknown = np.zeros(shape, np.uint16), np.zeros(shape, np.uint8)
    for tile in Tile(0, shape[0], 0, shape[1]).tiles(_ROWS, shape[1]):
        wider = tile.widened(reach).cut(shape)
        rows = slice(wider.top, wider.bottom)
        light = cv2.cvtColor(np.ascontiguousarray(cutout.picture[rows]), cv2.COLOR_RGB2GRAY) / np.float32(255)
        is_ground = (cutout.shares.opacity[rows] == 0) & (cutout.band[rows] == 0)
        ratio = np.clip(light / np.maximum(surface.rows(wider.top, wider.bottom), 1 / 255), 0, 1)
        # the picture's noise is none of the shadow's: averaged over ground alone
        weight = is_ground.astype(np.float32)
        total = cv2.GaussianBlur(weight, (0, 0), sigma)
        smooth = cv2.GaussianBlur(ratio * weight, (0, 0), sigma) / np.maximum(total, 1e-4)
        part = tile.within(wider)
        told = np.clip(1 - smooth[part] - _NOISE, 0, 1) / (1 - _NOISE)
        is_unknown = (total[part] < 1e-2) | ~is_ground[part]
        cover[tile.slices] = np.rint(told * 65535)
        unknown[tile.slices] = is_unknown.view(np.uint8) * np.uint8(255)
    return cover, unknown


_TILE = 512
_NEAR = 128
"""Pixels around a tile in which the nearest ground is looked for at first."""


def _from_nearest(cover: Levels, unknown: Grey, tile: Tile, wanted: npt.NDArray[np.bool_]) -> Levels:
    """The cover of the nearest pixel that says something, for the tile's pixels that are `wanted`."""
    reach = _NEAR
    while True:
        wider = tile.widened(reach).cut(cover.shape)
        around = np.ascontiguousarray(unknown[wider.slices])
        far, labels = cv2.distanceTransformWithLabels(around, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        part = tile.within(wider)
        if around.shape == cover.shape or float(far[part][wanted].max()) <= reach:
            break
        reach *= 4
    values = np.zeros(int(labels.max()) + 1, np.uint16)
    known = around == 0
    values[labels[known]] = cover[wider.slices][known]
    return np.asarray(values[labels[part][wanted]])


@dataclass(frozen=True)
class _Surface:
    """Light of second degree over a picture of that size: the factors of 1, x, y, xy, x² and y², both from 0 to 1."""

    height: int
    width: int
    factors: npt.NDArray[np.float64]

    def rows(self, top: int, bottom: int) -> Floats:
        """In these rows (H×W)."""
        x, y = np.arange(self.width)[None] / self.width, np.arange(top, bottom)[:, None] / self.height
        flat, by_x, by_y, by_both, by_x2, by_y2 = self.factors
        return np.asarray((flat + by_x * x + by_x2 * x * x) + (by_y + by_both * x + by_y2 * y) * y, np.float32)


def _unshadowed(rgb: Rgb, ground: npt.NDArray[np.bool_]) -> _Surface | None:
    """The light of an H×W ground without shadows: a surface of second degree through its lighter parts."""
    height, width = ground.shape
    step = max(1, max(height, width) // 200)
    seen = cv2.cvtColor(np.ascontiguousarray(rgb[::step, ::step]), cv2.COLOR_RGB2GRAY)
    rows, columns = np.nonzero(ground[::step, ::step])
    if len(rows) < 60:
        return None
    values = (seen[rows, columns] / np.float32(255)).astype(np.float64)
    places = _terms(columns * step / width, rows * step / height)
    weight = np.ones(len(values))
    for _ in range(12):
        factors = least_squares(places * weight, values * weight)
        off = values - np.einsum("in,i->n", places, factors)
        spread = max(0.004, 1.48 * float(np.median(np.abs(off))))
        # darker than the surface: probably shadow (an asymmetric least-squares fit)
        weight = np.where(off < -spread, 0.02, 1.0) * (np.abs(off) < 4 * spread).clip(0.02)
    lit = off > -2 * spread
    if lit.mean() < 0.3 or float(off[lit].std()) > _PLAIN:
        return None
    return _Surface(height, width, np.asarray(factors, np.float64))


def _terms(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.stack([np.ones_like(x), x, y, x * y, x * x, y * y])
