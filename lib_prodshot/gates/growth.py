"""The growth gate: the product's silhouette before and after, by the same finder with the product's boxes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.gates.interface import Answer, by_limits, not_checked

Mask = npt.NDArray[np.uint8]
"""H×W, above 0 where the product is."""

LIMIT = 0.04
"""Share of the area that may be gained or lost with diffusion; docs/gates.md says on what it was chosen."""

SCENE_LIMIT = 0.07
"""The same for a scene that was painted around the product."""

FRAME_FILLED = 0.8
"""A product that covers more of the picture leaves no ground into which it could be seen to grow."""


@dataclass(frozen=True)
class Silhouettes:
    """Two silhouettes compared: `growth` is what is product now and was not, `loss` what was and is not, both as
    shares of the first one's area; `iou` is intersection by union, `share` how much of the picture the first covers.
    """

    growth: float
    loss: float
    iou: float
    share: float


def compare(before: Mask, after: Mask) -> Silhouettes:
    """Compare two H×W masks of one picture. Without a product before, all figures are 0 and the IoU 1.

    Raises ValueError for masks of different sizes.

    >>> before, after = np.zeros((10, 10), np.uint8), np.zeros((10, 10), np.uint8)
    >>> before[2:8, 2:8], after[2:8, 2:9] = 255, 255
    >>> compare(before, after)
    Silhouettes(growth=0.16666666666666666, loss=0.0, iou=0.8571428571428571, share=0.36)
    """
    if before.shape != after.shape:
        raise ValueError(f"masks of different sizes: {before.shape} and {after.shape}")
    was, now = before > 0, after > 0
    area = int(np.count_nonzero(was))
    if not area:
        return Silhouettes(0.0, 0.0, 1.0, 0.0)
    both = int(np.count_nonzero(was & now))
    grown = int(np.count_nonzero(now)) - both
    return Silhouettes(grown / area, (area - both) / area, both / (area + grown), area / was.size)


def answer(before: Mask, after: Mask, limit: float, can_lose: bool = True) -> Answer:
    """Pass when neither growth nor, where the product `can_lose` anything, loss is above `limit` (share of the mask
    before)."""
    if not before.any():
        return not_checked("growth", "the finder shows no silhouette of the product in the input")
    if before.size * FRAME_FILLED < cv2.countNonZero(before):
        share = np.count_nonzero(before) / before.size
        return not_checked("growth", f"the product fills {share:.0%} of the picture, which leaves no room to grow into")
    found = compare(before, after)
    figures = {"growth": round(found.growth, 4), "loss": round(found.loss, 4), "iou": round(found.iou, 4)}
    lost = f"the product lost {found.loss:.1%} of its area (limit {limit:.1%})"
    if not after.any():
        lost = "the finder finds no product there any more"
    checks = {
        "growth": (found.growth / limit - 1, f"the product grew by {found.growth:.1%} of its area (limit {limit:.1%})")
    }
    if can_lose:
        checks["loss"] = (found.loss / limit - 1, lost)
    return by_limits("growth", figures, checks)
