"""What matting leaves behind: a veil of ground that is hardly there, and specks of it that belong to nothing.

Neither is part of a product, and on white both are pixels that are not white where a marketplace counts them.
"""

from __future__ import annotations

import cv2
import numpy as np

from lib_prodshot.packshot.cutout import CutOut
from lib_prodshot.packshot.framing import product_box

FAINT = 0.1
"""Below this share a pixel shows next to nothing of the product: it does not count for the product's box either."""

REACH = 2
"""Pixels around all that is less faint in which faint ones are its soft edge, in the photograph."""

FRAME_REACH = 8
"""The same in the frame, however much it was enlarged for it: as far as a JPEG's blocks reach."""

OPAQUE = 0.5
"""A piece that is nowhere more opaque than this, and touches none that is, belongs to no product."""


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
    shares, places = cut.shares.shares, cut.shares.places
    seen = np.equal(cut.shares.opacity, 255).view(np.uint8)
    seen.ravel()[places] = shares >= FAINT
    edge = cv2.dilate(seen, np.ones((2 * reach + 1,) * 2, np.uint8))
    # what 8 bits cannot tell from nothing is nothing; resampling leaves such ripples
    veil = (edge.ravel()[places] == 0) | (shares < 0.5 / 255)
    return cut.with_shares(np.where(veil, np.float32(0), shares)) if veil.any() else cut


def _without_specks(cut: CutOut, least: float) -> CutOut:
    """Without pieces that are nowhere as opaque as `least`."""
    opacity, places, shares = cut.shares.opacity, cut.shares.places, cut.shares.shares
    count, pieces, figures, _ = cv2.connectedComponentsWithStats(opacity, connectivity=8)
    pieces_there = pieces.ravel()[places]
    # a piece that has more pixels than partial ones has a whole one
    kept = figures[:, cv2.CC_STAT_AREA] > np.bincount(pieces_there, minlength=count)
    kept[pieces_there[shares >= least]] = True
    kept[0] = True
    return cut if kept.all() else cut.with_shares(np.where(kept[pieces_there], shares, np.float32(0)))
