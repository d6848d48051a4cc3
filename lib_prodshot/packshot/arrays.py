"""The arrays that packshots are made of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Rgb = npt.NDArray[np.uint8]
"""H×W×3 RGB."""

Grey = npt.NDArray[np.uint8]
"""H×W."""

Alpha = npt.NDArray[np.float32]
"""H×W, 0..1: the product's share of each pixel."""

Floats = npt.NDArray[np.float32]

Places = npt.NDArray[np.intp]
"""Flat places of pixels: row · width + column."""


def shades(rgb: Rgb) -> Floats:
    """H×W×3 levels as 0..1."""
    return np.asarray(rgb.astype(np.float32) / np.float32(255))
