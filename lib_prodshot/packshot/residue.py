"""What matting leaves behind: a veil of ground that is hardly there, and specks of it that belong to nothing.

Neither is part of a product, and on white both are pixels that are not white where a marketplace counts them.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from lib_prodshot.packshot.arrays import Alpha
from lib_prodshot.packshot.cutout import CutOut

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
    alpha = _without_specks(_without_veil(cut.alpha, reach), OPAQUE)
    return cut if alpha is cut.alpha else replace(cut, alpha=alpha)


def unveiled(cut: CutOut, reach: int) -> CutOut:
    """The cut-out without its veil, and without what enlarging tore off its soft edge; every piece that counts for the
    product's box stays, for it has been framed."""
    alpha = _without_specks(_without_veil(cut.alpha, reach), FAINT)
    return cut if alpha is cut.alpha else replace(cut, alpha=alpha)


def _without_veil(alpha: Alpha, reach: int) -> Alpha:
    seen = np.greater_equal(alpha, FAINT).view(np.uint8)
    edge = cv2.dilate(seen, np.ones((2 * reach + 1,) * 2, np.uint8))
    # what 8 bits cannot tell from nothing is nothing; resampling leaves such ripples
    veil = (alpha > 0) & ((edge == 0) | (alpha < 0.5 / 255))
    return np.where(veil, np.float32(0), alpha) if veil.any() else alpha


def _without_specks(alpha: Alpha, least: float) -> Alpha:
    """Without pieces that are nowhere as opaque as `least`."""
    count, pieces = cv2.connectedComponents(np.greater(alpha, 0).view(np.uint8), connectivity=8)
    if count == 2 and alpha.max() >= least:
        return alpha
    kept = np.zeros(count, np.bool_)
    kept[pieces[alpha >= least]] = True
    kept[0] = True
    return alpha if kept.all() else np.where(kept[pieces], alpha, np.float32(0))
