"""Test-time augmentation: both SSD detectors run over four views of a picture, detections fused for each class.

Views are crops of the working copy; detections come back in its pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lib_prodshot.finding.interface import Picture
from lib_prodshot.finding.lite import boxes, cropping
from lib_prodshot.finding.lite.boxes import Corners, FusedDetection, ViewDetection
from lib_prodshot.finding.lite.networks import ssd
from lib_prodshot.finding.lite.networks.onnx_model import Floats, OnnxModel

_MIN_SCORE = 0.05
"""Detections with a lower score are dropped."""

_NMS_IOU = 0.5
_MAX_DETECTIONS = 8
"""For each class in each view."""


@dataclass(frozen=True)
class Detections:
    """Fused detections of both detectors, by output column; of each column the best first."""

    coco: dict[int, list[FusedDetection]]
    openimages: dict[int, list[FusedDetection]]


def detect(models: tuple[OnnxModel, OnnxModel], work: Picture, main: Corners) -> Detections:
    """Run both detectors (COCO, OpenImages) over the picture, its flip, the picture with a margin, and `main` with one.

    Raises `FinderError` when a model fails.
    """
    full = cropping.full_box(work)
    frames = (full, full, cropping.square_around(full, 1.4), cropping.square_around(main, 1.25))
    plain, *closer = (cropping.crop(work, frame, ssd.SIDE, fill=255) for frame in frames[1:])
    views = [plain, cropping.flipped(plain), *closer]
    size = (work.shape[1], work.shape[0])
    fused = []
    for model in models:
        by_class: dict[int, list[ViewDetection]] = {}
        for view, (frame, raw) in enumerate(zip(frames, ssd.detect(model, views), strict=True)):
            corners = _to_picture_pixels(raw.corners, frame, size, flipped=view == 1)
            for column in np.flatnonzero(raw.scores.max(axis=0) > _MIN_SCORE):
                kept = _non_maximum_suppression(view, corners, raw.scores[:, column])
                by_class.setdefault(int(column), []).extend(kept)
        fused.append({column: boxes.weighted_boxes_fusion(found) for column, found in by_class.items()})
    return Detections(*fused)


def _to_picture_pixels(relative: Floats, frame: Corners, size: tuple[int, int], *, flipped: bool) -> Floats:
    corners = relative.copy()
    if flipped:
        corners[:, [0, 2]] = 1 - corners[:, [2, 0]]
    for low, high, limit in ((0, 2, size[0]), (1, 3, size[1])):
        corners[:, [low, high]] = corners[:, [low, high]] * (frame[high] - frame[low]) + frame[low]
        corners[:, [low, high]] = corners[:, [low, high]].clip(0, limit)
    return corners


def _non_maximum_suppression(view: int, corners: Floats, scores: Floats) -> list[ViewDetection]:
    """Detections of one class in one view to keep, best first."""
    found: list[ViewDetection] = []
    above = np.flatnonzero(scores > _MIN_SCORE)
    for index in above[scores[above].argsort(kind="stable")[::-1]]:
        if len(found) == _MAX_DETECTIONS:
            break
        x0, y0, x1, y1 = map(float, corners[index])
        if all(boxes.iou((x0, y0, x1, y1), other.corners) < _NMS_IOU for other in found):
            found.append(ViewDetection(view, (x0, y0, x1, y1), float(scores[index])))
    return found
