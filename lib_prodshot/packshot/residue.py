"""What matting leaves behind: a veil of ground that is hardly there, and specks of it that belong to nothing.

Neither is part of a product, and on white both are pixels that are not white where a marketplace counts them.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.components import components_of
from lib_prodshot.packshot.cutout import CutOut
from lib_prodshot.packshot.framing import product_box
from lib_prodshot.packshot.sparse import SparseAlpha

FAINT = 0.1
"""Below this share a pixel shows next to nothing of the product: it does not count for the product's box either."""

REACH = 2
"""Pixels around all that is less faint in which faint ones are its soft edge, in the photograph."""

FRAME_REACH = 8
"""The same in the frame, however much it was enlarged for it: as far as a JPEG's blocks reach."""

OPAQUE = 0.5
"""A piece that is nowhere more opaque than this, and touches none that is, belongs to no product."""

_ROWS = 128


def cleared(cut: CutOut, reach: int = REACH) -> CutOut:
    """The cut-out without veil and specks; nothing that is `FAINT` or more and hangs together with the product
    changes, and neither does what is fainter within `reach` pixels of it."""
    return _without_specks(_without_veil(cut, reach), OPAQUE)


def unveiled(cut: CutOut, reach: int) -> CutOut:
    """The cut-out without its veil, and without what enlarging tore off its soft edge; pieces that the product's box
    counts and would be another without stay, for it has been framed."""
    clear = _without_veil(cut, reach)
    whole = _without_specks(clear, OPAQUE)
    if whole is clear:
        return clear
    is_framed_the_same = product_box(whole.shares.opacity) == product_box(clear.shares.opacity)
    return whole if is_framed_the_same else _without_specks(clear, FAINT)


def _without_veil(cut: CutOut, reach: int) -> CutOut:
    shares = cut.shares.shares
    # what 8 bits cannot tell from nothing is nothing; resampling leaves such ripples
    veil = ~_beside_seen(cut.shares, reach) | (shares < 0.5 / 255)
    return cut.with_shares(np.where(veil, np.float32(0), shares)) if veil.any() else cut


def _beside_seen(alpha: SparseAlpha, reach: int) -> npt.NDArray[np.bool_]:
    """Which of the partial pixels lie within `reach` of one that is not faint."""
    height, width = alpha.shape
    beside = np.empty(len(alpha.places), np.bool_)
    for top in range(0, height, _ROWS):
        bottom = min(top + _ROWS, height)
        first, last = max(0, top - reach), min(height, bottom + reach)
        seen = np.equal(alpha.opacity[first:last], 255).view(np.uint8)
        part = alpha.within(first, last)
        seen.ravel()[alpha.places[part] - first * width] = alpha.shares[part] >= FAINT
        edge = cv2.dilate(seen, np.ones((2 * reach + 1,) * 2, np.uint8))
        own = alpha.within(top, bottom)
        beside[own] = edge.ravel()[alpha.places[own] - first * width]
    return beside


def _without_specks(cut: CutOut, least: float) -> CutOut:
    """Without pieces that are nowhere as opaque as `least`."""
    opacity, places, shares = cut.shares.opacity, cut.shares.places, cut.shares.shares
    pieces = components_of(opacity)
    pieces_there = pieces.at(places)
    # a piece that has more pixels than partial ones has a whole one
    kept = pieces.areas > np.bincount(pieces_there, minlength=pieces.count)
    kept[pieces_there[shares >= least]] = True
    return cut if kept.all() else cut.with_shares(np.where(kept[pieces_there], shares, np.float32(0)))
