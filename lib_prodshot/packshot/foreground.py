"""The product's own colours where it shares a pixel with its old ground.

Source: Chuang, Curless, Salesin and Szeliski, "A Bayesian Approach to Digital Matting" (2001): of all colours of
product and ground that explain what is seen by its alpha, those most likely by the colours around. It measures better
than multi-level estimation (Germer et al. 2020), most of all on plain grounds, whose colour is as good as known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lib_prodshot.packshot.arrays import Alpha, Floats, Rgb
from lib_prodshot.packshot.colour_model import CELL, NOISE, Cells, own_colours
from lib_prodshot.packshot.sparse import SparseAlpha

_BESIDE = 0.1
"""What a pixel that is nearly all product tells of its colour beside one that is all product; the ground's likewise."""

_AT_ONCE = 16384
"""Pixels whose floats are in memory at once."""

_USUAL = 1024
_NEARLY = 8
"""A mixed pixel counts by this power of its share."""


@dataclass(frozen=True)
class _Ground:
    """1 where the product's alpha is exactly 0, and `shares` (n) where it is neither that nor 1."""

    product: SparseAlpha
    shares: Floats

    def rows(self, top: int, bottom: int) -> Alpha:
        """In these rows (H×W)."""
        ground = np.equal(self.product.opacity[top:bottom], 0).astype(np.float32)
        part = self.product.within(top, bottom)
        ground.ravel()[self.product.places[part] - top * self.product.shape[1]] = self.shares[part]
        return ground


def estimate(rgb: Rgb, alpha: SparseAlpha) -> Rgb:
    """The product's colours (n×3) in an H×W×3 picture where alpha is neither 0 nor 1."""
    places, share = alpha.places, alpha.shares
    if not len(places):
        return np.empty((0, 3), np.uint8)
    # in a larger picture colours run over more pixels, and cells may be larger
    cells = Cells(rgb, CELL * max(1, round(max(alpha.shape) / _USUAL)))
    product = SparseAlpha(alpha.opacity, places, _BESIDE * share**_NEARLY)
    ground = _Ground(alpha, _BESIDE * (1 - share) ** _NEARLY)
    fields = cells.fitted(product), cells.fitted(ground)
    result = np.empty((len(places), 3), np.uint8)
    for first in range(0, len(places), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        colours = cells.at(places[part])
        of_product, of_ground = (colours.around(field) for field in fields)
        own = own_colours(colours.seen, share[part], of_product, of_ground, NOISE)
        result[part] = np.rint(np.clip(own.T, 0, 1) * 255)
    return result
