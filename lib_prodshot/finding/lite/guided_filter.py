"""Fast guided filter: edge-aware upsampling of a soft mask to the full-size picture.

Source: He and Sun, "Fast Guided Filter" (2015): the coefficients are computed on a small copy and applied to the
full-size grey picture, in bands of rows so that memory stays bounded.
"""

from __future__ import annotations

import cv2
import numpy as np

from lib_prodshot.finding.interface import Picture, SoftMask
from lib_prodshot.finding.lite.networks.onnx_model import Floats
from lib_prodshot.resampling import by_area

_SIDE = 768  # coefficients are computed on a copy at most this wide or high
_RADIUS = 0.008  # of that copy's longer side
_EPSILON = 1e-4
_ROWS = 512
_STRIP = 32
"""Rows of a band that are worked on at once: their float copies stay in the processor's cache."""


def guided_upsample(soft: Floats, picture: Picture, into: SoftMask | None = None) -> SoftMask:
    """Upsample a soft mask of any size (0..1) to a picture (H×W×3 uint8 RGB): H×W uint8, 0..255, written `into` an
    array or a part of one where there is one."""
    height, width = picture.shape[:2]
    factor = min(1.0, _SIDE / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = by_area(picture, size)
    resized = np.asarray(cv2.resize(soft, size, interpolation=cv2.INTER_LINEAR), np.float32)
    slope, offset = _coefficients(_grey(small), resized)
    result = np.empty((height, width), np.uint8) if into is None else into
    for top in range(0, height, _ROWS):
        bottom = min(height, top + _ROWS)
        slopes, offsets = (_rows(values, top, bottom, height, width) for values in (slope, offset))
        for start in range(0, bottom - top, _STRIP):
            strip = slice(start, min(start + _STRIP, bottom - top))
            value = slopes[strip]
            value *= _grey(picture[top:bottom][strip])
            value += offsets[strip]
            value *= np.float32(255)
            np.clip(value, 0, 255, out=value)
            # rounds halves to even, as NumPy does
            cv2.convertScaleAbs(value, dst=result[top:bottom][strip])
    return result


def _grey(picture: Picture) -> Floats:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) / np.float32(255), np.float32)


def _coefficients(guide: Floats, soft: Floats) -> tuple[Floats, Floats]:
    radius = max(1, round(_RADIUS * max(guide.shape)))

    def mean(values: Floats) -> Floats:
        return np.asarray(cv2.boxFilter(values, -1, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REFLECT), np.float32)

    guide_mean, soft_mean = mean(guide), mean(soft)
    variance = mean(guide * guide) - guide_mean * guide_mean + _EPSILON
    slope = np.asarray((mean(guide * soft) - guide_mean * soft_mean) / variance, np.float32)
    return mean(slope), mean(np.asarray(soft_mean - slope * guide_mean, np.float32))


def _rows(values: Floats, top: int, bottom: int, height: int, width: int) -> Floats:
    """Rows `top` to `bottom` of `values` scaled to height×width, without building the whole."""
    across, down = width / values.shape[1], height / values.shape[0]
    matrix = np.asarray(
        [[1 / across, 0, 0.5 / across - 0.5], [0, 1 / down, (top + 0.5) / down - 0.5]], np.float64
    )  # pixel centres onto pixel centres, as cv2.resize does
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(values, matrix, (width, bottom - top), flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32
    )
