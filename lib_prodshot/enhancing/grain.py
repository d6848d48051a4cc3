"""Grain of an edited picture: brought to that of the photograph it is to stand in."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Rgb = npt.NDArray[np.uint8]
Alpha = npt.NDArray[np.uint8]

LEAST = 0.75
"""Levels of 255 by which the grain must differ for anything to be done: less is not seen."""

_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_MEDIAN_OF_NORMAL = 0.6745
"""The median of the magnitude of a normal variable of spread 1."""


def spread(rgb: Rgb, known: Alpha) -> float:
    """Standard deviation of the grain (levels of 255) of an H×W×3 picture where `known` (H×W) is above 0; 0 where
    nothing is.

    The difference of two Laplacians (Immerkær 1996) answers edges weakly; its median, and not its mean, takes the
    texture out that is left.
    """
    answers = np.abs(cv2.filter2D(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32), -1, _MASK))
    seen = answers[known > 0]
    # 6: the norm of the mask's coefficients
    return float(np.median(seen)) / (6 * _MEDIAN_OF_NORMAL) if seen.size else 0.0


def match_grain(rgb: Rgb, known: Alpha, wanted: float, seed: int) -> Rgb:
    """An H×W×3 picture with grain of spread `wanted` (levels of 255), as measured where `known` (H×W) is above 0:
    smoothed by non-local means (Buades, Coll and Morel 2005) and mixed, or with grey noise drawn from `seed` laid over
    it."""
    had = spread(rgb, known)
    if abs(had - wanted) < LEAST:
        return rgb
    if had > wanted:
        smooth = np.asarray(cv2.fastNlMeansDenoisingColored(rgb, None, had, had, 5, 15), dtype=np.uint8)
        left = spread(smooth, known)
        share = min(1.0, max(0.0, (wanted - left) / max(had - left, 1e-6)))
        return np.asarray(cv2.addWeighted(rgb, share, smooth, 1 - share, 0.0), dtype=np.uint8)
    more = np.sqrt(wanted**2 - had**2)
    noise = np.random.default_rng(seed).normal(0, more, rgb.shape[:2]).astype(np.float32)
    return np.clip(np.rint(rgb + noise[..., None]), 0, 255).astype(np.uint8)
