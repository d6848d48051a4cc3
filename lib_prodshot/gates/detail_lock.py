"""Detail lock: the original's fine detail on the result's colours and light (frequency separation).

result + strength · (high band of the original − high band of the result), where the high band is what a Gaussian
takes away. Light, colour and large shapes stay the result's; weave, print and letters become the original's again.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.bounds import bounding_box
from lib_prodshot.gates.interface import Rectangle

Rgb = npt.NDArray[np.uint8]
"""H×W×3 RGB."""

Mask = npt.NDArray[np.uint8]

RADIUS_SHARE = 0.008
"""The Gaussian's sigma, as a share of the longer side of the mask's rectangle: about the stroke of a letter."""

SMALLEST_RADIUS = 2.0


def lock(original: Rgb, result: Rgb, mask: Mask, strength: float) -> Rgb:
    """`result` (H×W×3) with the original's detail inside the mask (H×W, 0..255), at a strength of 0 to 1."""
    x, y, width, height = bounding_box(mask)
    if strength <= 0 or not width:
        return result
    sigma = max(SMALLEST_RADIUS, RADIUS_SHARE * max(width, height))
    return _with_detail(original, result, mask, strength, sigma, (x, y, x + width, y + height))


def restore(original: Rgb, result: Rgb, mask: Mask, boxes: Sequence[Rectangle]) -> Rgb:
    """`result` with all of the original's detail in these boxes, inside the mask: letters as high as a box too."""
    for box in boxes:
        height, width = mask.shape
        x0, y0, x1, y1 = max(0, box[0]), max(0, box[1]), min(width, box[2]), min(height, box[3])
        if x0 >= x1 or y0 >= y1:
            continue
        sigma = max(SMALLEST_RADIUS, min(x1 - x0, y1 - y0) / 2)
        margin = round(min(x1 - x0, y1 - y0) / 4) + 1
        inside = np.zeros_like(mask)
        cv2.rectangle(inside, (x0 - margin, y0 - margin), (x1 + margin, y1 + margin), 255, -1)
        inside = np.minimum(cv2.GaussianBlur(inside, (0, 0), margin / 2), mask)
        around = (
            max(0, x0 - 2 * margin),
            max(0, y0 - 2 * margin),
            min(width, x1 + 2 * margin),
            min(height, y1 + 2 * margin),
        )
        result = _with_detail(original, result, inside, 1.0, sigma, around)
    return result


def _with_detail(original: Rgb, result: Rgb, mask: Mask, strength: float, sigma: float, box: Rectangle) -> Rgb:
    height, width = mask.shape
    reach = round(3 * sigma)
    x0, y0, x1, y1 = (
        max(0, box[0] - reach),
        max(0, box[1] - reach),
        min(width, box[2] + reach),
        min(height, box[3] + reach),
    )
    part = (slice(y0, y1), slice(x0, x1))
    missing = original[part].astype(np.float32) - result[part].astype(np.float32)
    missing = missing - np.asarray(cv2.GaussianBlur(missing, (0, 0), sigma), np.float32)
    missing *= (mask[part].astype(np.float32) * np.float32(strength / 255))[..., None]
    locked = result.copy()
    locked[part] = np.clip(np.rint(result[part] + missing), 0, 255).astype(np.uint8)
    return locked
