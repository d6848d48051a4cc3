"""The colour and detail gate: colour shift, hue, gradients and structure inside the product's mask, before and after.

Measured on the rectangle around the mask, reduced to `SIDE` at its longer side: what no viewer of the whole product
would see does not count, and a picture of any size costs the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot import preserve
from lib_prodshot.bounds import bounding_box
from lib_prodshot.gates.interface import Answer, by_limits, not_checked
from lib_prodshot.resampling import halve

Rgb = npt.NDArray[np.uint8]
"""H×W×3 RGB."""

Mask = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

SIDE = 768
SMALLEST = 16
"""Rectangles with a shorter side have no structure to compare."""

EDGE = 3
"""So many pixels inside the mask's edge are left out of structure: there the ground counts in."""

SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of the scales, finest first (Wang, Simoncelli, Bovik 2003: Multi-scale structural similarity)."""

_C2 = (0.03 * 255) ** 2
_FLAT = 4.0
"""Sobel's answer to half a level a pixel: a product whose gradients are no stronger (root mean square) is bare."""

_MIN_CHROMA = 8.0
"""CIE C*ab below which a colour has no hue worth comparing."""


@dataclass(frozen=True)
class Fidelity:
    """How like itself a product stayed: `delta_e_mean`, `delta_e_p95` (ΔE2000), `hue_shift` in degrees (mean over the
    coloured pixels, weighted by chroma; 0 without any), `gradient_correlation` (-1..1), `ms_ssim` (0..1, contrast
    and structure only, so that lighter or darker counts as colour and not as lost detail)."""

    delta_e_mean: float
    delta_e_p95: float
    hue_shift: float
    gradient_correlation: float
    ms_ssim: float


@dataclass(frozen=True)
class Limits:
    """Highest colour shift (mean ΔE2000) and hue shift (degrees), lowest gradient correlation and MS-SSIM."""

    delta_e: float
    hue: float
    detail: float


DIFFUSION = Limits(delta_e=5.0, hue=12.0, detail=0.94)
"""For a product that diffusion painted again; docs/gates.md says on what they were chosen."""

RETOUCH = Limits(delta_e=10.0, hue=30.0, detail=0.6)
"""For the retouch, which raises contrast and takes a colour cast away on purpose: only what went wrong is beyond."""


def measure(before: Rgb, after: Rgb, mask: Mask) -> Fidelity | None:
    """Compare two H×W×3 pictures inside an H×W mask; None where that is too small to compare.

    Raises ValueError for pictures of different sizes.
    """
    if before.shape != after.shape or before.shape[:2] != mask.shape:
        raise ValueError(f"pictures of different sizes: {before.shape}, {after.shape} and mask {mask.shape}")
    x, y, width, height = bounding_box(mask)
    if min(width, height) < SMALLEST:
        return None
    part = (slice(y, y + height), slice(x, x + width))
    old, new, inside = _reduced(before[part]), _reduced(after[part]), _reduced(mask[part])
    inside = np.asarray(cv2.threshold(inside, 127, 255, cv2.THRESH_BINARY)[1], np.uint8)
    mean, p95 = preserve.delta_e(old, new, inside)
    lightness = [cv2.cvtColor(each, cv2.COLOR_RGB2GRAY).astype(np.float32) for each in (old, new)]
    core = _core(inside)
    return Fidelity(
        mean,
        p95,
        _hue_shift(old, new, inside),
        _gradient_correlation(lightness[0], lightness[1], core),
        _ms_ssim(lightness[0], lightness[1], core),
    )


def _reduced(plane: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The plane with `SIDE` at its longer side at most: halved by the means of whole squares as long as it is twice as
    large, then interpolated. Means over cut pixels say nothing more and take six times as long."""
    while max(plane.shape[:2]) >= 2 * SIDE and min(plane.shape[:2]) > 1:
        plane = halve(plane)
    factor = SIDE / max(plane.shape[:2])
    if factor >= 1:
        return np.ascontiguousarray(plane)
    size = (max(1, round(plane.shape[1] * factor)), max(1, round(plane.shape[0] * factor)))
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _core(inside: Mask) -> npt.NDArray[np.bool_]:
    """The mask without its edge; the mask itself where nothing else is left, as of thin things."""
    # what ends at the rectangle's border ends there only because the rectangle does
    framed = cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    core = cv2.erode(framed, np.ones((2 * EDGE + 1,) * 2, np.uint8))[1:-1, 1:-1] > 0
    return core if core.any() else inside > 0


def _hue_shift(before: Rgb, after: Rgb, inside: Mask) -> float:
    rows, columns = preserve.sample_inside(inside)
    a, b = (_ab(picture[rows, columns]) for picture in (before, after))
    chroma = np.minimum(np.hypot(*a.T), np.hypot(*b.T))
    weight = np.where(chroma >= _MIN_CHROMA, chroma, 0.0)
    if weight.sum() < _MIN_CHROMA * 0.05 * len(weight):
        return 0.0
    turn = np.abs(np.arctan2(b[:, 1], b[:, 0]) - np.arctan2(a[:, 1], a[:, 0]))
    turn = np.minimum(turn, 2 * np.pi - turn)
    return float(np.degrees((turn * weight).sum() / weight.sum()))


def _ab(colours: Rgb) -> npt.NDArray[np.float64]:
    lab = cv2.cvtColor(colours[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    return np.asarray(lab[:, 1:], np.float64)


def _gradient_correlation(before: Floats, after: Floats, core: npt.NDArray[np.bool_]) -> float:
    """Correlation of the gradients (Sobel, after a Gaussian of one pixel that takes sensor noise away)."""
    inside = core.astype(np.float32)
    old, new = _gradients(before, inside), _gradients(after, inside)
    energy = [sum(float(np.vdot(part, part)) for part in each) for each in (old, new)]
    if energy[0] <= 2 * np.count_nonzero(core) * _FLAT**2:
        # a bare surface has nothing to lose; what was painted onto it is for the structure to see
        return 1.0
    return sum(float(np.vdot(*pair)) for pair in zip(old, new)) / float(np.sqrt(energy[0] * energy[1]) or 1.0)


def _gradients(lightness: Floats, inside: Floats) -> tuple[Floats, Floats]:
    """Across and down, 0 outside."""
    smooth = cv2.GaussianBlur(lightness, (0, 0), 1.0)
    return cv2.Sobel(smooth, cv2.CV_32F, 1, 0) * inside, cv2.Sobel(smooth, cv2.CV_32F, 0, 1) * inside


def _ms_ssim(before: Floats, after: Floats, core: npt.NDArray[np.bool_]) -> float:
    result, total = 1.0, 0.0
    inside = core
    for weight in SCALES:
        if not inside.any() or min(before.shape) < SMALLEST // 2:
            break
        similar = float(_contrast_structure(before, after)[inside].mean())
        result *= max(similar, 0.0) ** weight
        total += weight
        size = (max(1, before.shape[1] // 2), max(1, before.shape[0] // 2))
        before, after = (
            np.asarray(cv2.resize(each, size, interpolation=cv2.INTER_AREA), np.float32) for each in (before, after)
        )
        inside = cv2.resize(inside.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return result ** (1 / total) if total else 1.0


def _contrast_structure(x: Floats, y: Floats) -> Floats:
    """SSIM's contrast and structure term (Wang et al. 2004, equation 13 without luminance), Gaussian window of 1.5."""

    def mean(values: Floats) -> Floats:
        return np.asarray(cv2.GaussianBlur(values, (11, 11), 1.5), np.float32)

    mean_x, mean_y = mean(x), mean(y)
    variances = mean(x * x) - mean_x * mean_x + mean(y * y) - mean_y * mean_y
    covariance = mean(x * y) - mean_x * mean_y
    return np.asarray((2 * covariance + _C2) / (np.maximum(variances, 0) + _C2), np.float32)


def answer(found: Fidelity | None, limits: Limits) -> Answer:
    """Pass when the colours moved no further, and the detail stayed as like, as the limits say."""
    gate = "colour and detail"
    if found is None:
        return not_checked(gate, f"the product is under {SMALLEST} pixels wide or high")
    figures = {
        "delta_e_mean": round(found.delta_e_mean, 2),
        "delta_e_p95": round(found.delta_e_p95, 2),
        "hue_shift": round(found.hue_shift, 1),
        "gradient_correlation": round(found.gradient_correlation, 4),
        "ms_ssim": round(found.ms_ssim, 4),
    }
    detail = min(found.gradient_correlation, found.ms_ssim)
    checks = {
        "delta_e_mean": (
            found.delta_e_mean / limits.delta_e - 1,
            f"the colours moved by ΔE2000 {found.delta_e_mean:.1f} on average (limit {limits.delta_e:g})",
        ),
        "hue_shift": (
            found.hue_shift / limits.hue - 1,
            f"the hue turned by {found.hue_shift:.0f} degrees (limit {limits.hue:g})",
        ),
        "detail": (
            (limits.detail - detail) / max(1 - limits.detail, 1e-6),
            f"the detail is {detail:.2f} alike (limit {limits.detail:g})",
        ),
    }
    return by_limits(gate, figures, checks)
