"""What a packshot stands on: a picture of the frame's size, made anew."""

from __future__ import annotations

import cv2
import numpy as np

from lib_prodshot.packshot.arrays import Floats, Rgb
from lib_prodshot.packshot.cutout import CutOut
from lib_prodshot.packshot.placement import Placement
from lib_prodshot.packshot.shrinking import enlarged_strips, shrunk_strips


def plain(height: int, width: int, colour: tuple[int, int, int]) -> Rgb:
    """H×W×3 of one colour."""
    ground = np.empty((height, width, 3), np.uint8)
    # row by row: numpy copies three bytes at a time else
    ground[:] = np.tile(np.array(colour, np.uint8), (width, 1))
    return ground


_ROWS = 128
"""Rows whose floats are in memory at once."""

_HORIZON = 0.62
_FALL = (1.0, 0.86, 0.95)
"""Light of a studio sweep at its top, at the bend and at the front edge, as shares of its colour."""


def sweep(height: int, width: int, colour: tuple[int, int, int]) -> Rgb:
    """H×W×3 of a studio's paper sweep: one colour, darker towards the bend between wall and floor, lighter in the
    middle than at the sides. Dithered, so that no bands show."""
    down = np.interp(np.linspace(0, 1, height), (0, _HORIZON, 1), _FALL)
    down = cv2.GaussianBlur(down.astype(np.float32)[:, None], (1, 0), 0, sigmaY=height / 12)
    across = 1 - 0.08 * np.square(np.linspace(-1, 1, width, dtype=np.float32))
    chance = np.random.default_rng(0)
    ground = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _ROWS):
        rows = ground[top : top + _ROWS]
        light = down[top : top + _ROWS] * across
        grain = chance.random(light.shape, np.float32) - np.float32(0.5)
        for channel, level in enumerate(colour):
            rows[..., channel] = np.clip(np.rint(light * level + grain), 0, 255)
    return ground


def fitted(picture: Rgb, height: int, width: int) -> Rgb:
    """An H×W×3 picture scaled so that it covers the frame, its middle shown."""
    scale = max(height / picture.shape[0], width / picture.shape[1])
    size = (max(width, round(picture.shape[1] * scale)), max(height, round(picture.shape[0] * scale)))
    scaled = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width])


_BLUR = 0.03
"""Sigma of the blurred original, as a share of the picture's longer side."""


def blurred(cutout: CutOut, placement: Placement) -> Rgb:
    """The picture's own ground out of focus, with the product's place filled from around it (H×W×3 in the frame)."""
    height, width = cutout.shares.shape
    factor = min(1.0, 256 / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))

    def far(top: int, bottom: int) -> Floats:
        """The ground's colours, and 1 for it."""
        is_far = (cutout.shares.opacity[top:bottom] == 0) & (cutout.band[top:bottom] == 0)
        ground = is_far.view(np.uint8)[..., None]
        return np.concatenate([cutout.picture[top:bottom] * ground, ground], axis=2, dtype=np.float32)

    shrunk = np.concatenate([strip for _, strip in shrunk_strips(far, height, size)])
    weighted, weight = np.ascontiguousarray(shrunk[..., :3]), np.ascontiguousarray(shrunk[..., 3])
    result, filled = np.zeros_like(weighted), np.zeros_like(weight)
    # from the narrowest blur that reaches the place to the widest, so that the fill comes from near
    for sigma in (_BLUR * 256, 4 * _BLUR * 256, 16 * _BLUR * 256):
        total = cv2.GaussianBlur(weight, (0, 0), sigma)
        mean = cv2.GaussianBlur(weighted, (0, 0), sigma) / np.maximum(total, 1e-6)[..., None]
        added = np.clip(total * 4, 0, 1) * (1 - filled)
        result += mean * added[..., None]
        filled += added
    result /= np.maximum(filled, 1e-6)[..., None]
    size = (max(1, round(height * placement.scale)), max(1, round(width * placement.scale)))
    shown = np.concatenate(
        [np.clip(np.rint(strip), 0, 255).astype(np.uint8) for strip in enlarged_strips(result, size)]
    )
    return _extended(shown, placement)


def _extended(shown: Rgb, placement: Placement) -> Rgb:
    """The scaled ground in the frame, its border repeated where the frame is larger."""
    if placement.left == placement.top == 0 and shown.shape[:2] == (placement.height, placement.width):
        return shown
    rows = np.clip(np.arange(placement.height) - placement.top, 0, len(shown) - 1)
    columns = np.clip(np.arange(placement.width) - placement.left, 0, shown.shape[1] - 1)
    return np.ascontiguousarray(shown[rows[:, None], columns])
