"""Colour match: an engine that repaints a whole picture may change its light; where the truth is known, this is
measured, and taken back everywhere."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.preserve import delta_e

Rgb = npt.NDArray[np.uint8]
Alpha = npt.NDArray[np.uint8]

_ROUNDS = 4
_PRIOR = 0.002
"""What an unchanged contrast counts, as variance of a channel in 0..1: holds the slope where the known part has one
colour."""


@dataclass(frozen=True)
class Match:
    """Factor and offset (levels of 255) of each channel, and the mean ΔE2000 of the known part before and after."""

    gain: tuple[float, float, float]
    offset: tuple[float, float, float]
    before: float
    after: float


def match_colours(truth: Rgb, made: Rgb, known: Alpha) -> tuple[Rgb, Match]:
    """`made` (H×W×3, lying on `truth`) with the light of `truth`: a factor and an offset for each channel, fitted where
    `known` (H×W) is above 0. Pixels that do not follow the rest (half of them at most) do not count."""
    inside = known > 0
    # grain in what is fitted from would flatten the slope
    wanted, given = (cv2.blur(picture, (5, 5))[inside].astype(np.float64) / 255 for picture in (truth, made))
    fits = [_line(given[:, channel], wanted[:, channel]) for channel in range(3)]
    levels = np.arange(256) / 255
    table = np.stack([gain * levels + offset for gain, offset in fits], axis=1)
    matched = np.asarray(cv2.LUT(made, np.rint(np.clip(table, 0, 1) * 255).astype(np.uint8)[None]), dtype=np.uint8)
    before, after = (_apart(truth, picture, inside) for picture in (made, matched))
    if after >= before:
        return made, Match((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), before, before)
    gains, offsets = zip(*fits)
    return matched, Match(gains, tuple(255 * offset for offset in offsets), before, after)


def _apart(truth: Rgb, picture: Rgb, inside: npt.NDArray[np.bool_]) -> float:
    """Mean ΔE2000 of two pictures' light, which their grain is no part of."""
    first, second = (np.asarray(cv2.blur(each, (5, 5)), dtype=np.uint8) for each in (truth, picture))
    return delta_e(first, second, inside.astype(np.uint8))[0]


def _line(given: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Slope and offset by trimmed least squares (Rousseeuw 1984), clipped values left out."""
    usable = (given > 0.02) & (given < 0.98) & (wanted > 0.02) & (wanted < 0.98)
    if usable.sum() < 0.05 * usable.size:
        usable[:] = True
    x, y = given[usable], wanted[usable]
    slope, offset = 1.0, float(np.median(y - x))
    for _ in range(_ROUNDS):
        misfit = np.abs(slope * x + offset - y)
        kept = misfit <= max(np.median(misfit) * 2, 1 / 255)
        a, b = x[kept], y[kept]
        spread = a.var() + _PRIOR
        slope = float((((a - a.mean()) * (b - b.mean())).mean() + _PRIOR) / spread)
        offset = float(b.mean() - slope * a.mean())
    return slope, offset
