"""What a packshot stands on: a picture of the frame's size, made anew."""

from __future__ import annotations

import numpy as np

from lib_prodshot.packshot.cutout import Rgb


def plain(height: int, width: int, colour: tuple[int, int, int]) -> Rgb:
    """H×W×3 of one colour."""
    ground = np.empty((height, width, 3), np.uint8)
    ground[:] = colour
    return ground
