"""Validation of what detectors and segmenters return.

Invalid output is a failure: it must neither be reported as an absent product nor become a mask.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from lib_prodshot.errors import FinderError
from lib_prodshot.finding.interface import Box, Boxes, Picture, SoftMask


def validated_boxes(detector: str, answer: Boxes, picture: Picture, classes: int) -> Boxes:
    """Validate a detector's output and clip its boxes to the picture (H×W×3). `classes`: how many were asked for.

    Raises `FinderError` for another type, scores that are not finite, a box of no class or wholly outside.
    """
    if not isinstance(answer, Boxes) or len(answer.best_scores) != classes:
        raise FinderError(f"the detector {detector} gave no answer for the products asked for")
    if not all(math.isfinite(score) for score in (*answer.best_scores, *(box.score for box in answer.boxes))):
        raise FinderError(f"the detector {detector} gave scores that are not numbers (NaN); its weights may be damaged")
    height, width = picture.shape[:2]
    return replace(answer, boxes=tuple(_clipped(detector, box, height, width, classes) for box in answer.boxes))


def _clipped(detector: str, box: Box, height: int, width: int, classes: int) -> Box:
    if not all(math.isfinite(corner) for corner in box.corners) or len(box.corners) != 4:
        raise FinderError(f"the detector {detector} gave a box that is not four numbers (NaN)")
    if not 0 <= box.class_index < classes:
        raise FinderError(f"the detector {detector} found a product that was not asked for")
    x0, y0, x1, y1 = box.corners
    left, top, right, bottom = max(0.0, x0), max(0.0, y0), min(float(width), x1), min(float(height), y1)
    if left >= right or top >= bottom:
        raise FinderError(f"the detector {detector} gave a box outside of the picture")
    if (left, top, right, bottom) == (x0, y0, x1, y1):
        return box
    return replace(box, corners=(left, top, right, bottom))


def validated_masks(segmenter: str, masks: Any, picture: Picture, boxes: int) -> list[SoftMask]:
    """Validate a segmenter's output: one mask for each box, each H×W uint8 of the picture (H×W×3).

    Raises `FinderError`.
    """
    masks = list(masks or ())
    if len(masks) != boxes:
        raise FinderError(f"the segmenter {segmenter} gave {len(masks)} masks for {boxes} boxes")
    for mask in masks:
        _check_mask(segmenter, mask, picture.shape[:2])
    return masks


def _check_mask(segmenter: str, mask: Any, size: tuple[int, ...]) -> None:
    if not isinstance(mask, np.ndarray) or mask.shape != size:
        shape = "×".join(map(str, getattr(mask, "shape", ()))) or "no size"
        raise FinderError(f"the segmenter {segmenter} gave a mask of {shape} for a picture of {size[0]}×{size[1]}")
    if mask.dtype != np.uint8:
        raise FinderError(f"the segmenter {segmenter} gave a mask of {mask.dtype} values instead of 0 to 255")
