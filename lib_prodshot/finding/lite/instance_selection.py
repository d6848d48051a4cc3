"""Instance selection: which scored regions are separate objects, which are parts, groups or duplicates of others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lib_prodshot.finding.interface import Box
from lib_prodshot.finding.lite import boxes
from lib_prodshot.finding.lite.boxes import Corners, FusedDetection
from lib_prodshot.finding.lite.features import SALIENCY_THRESHOLD, Features, Region, supports
from lib_prodshot.finding.lite.networks.onnx_model import Floats
from lib_prodshot.finding.lite.score_fusion import Scores

_DUPLICATE_IOU = 0.6
_PART_CONTAINMENT = 0.8
"""A region with this share inside another one is part of it (a watch's dial, a car's wheel)."""

_DUPLICATE_CONTAINMENT = 0.5
"""A region with this share inside a better one of its class is the same object, badly localised."""

_GROUP_COVERAGE = 0.75
"""A region of which instances cover this share together is their group (the two shoes of a pair)."""

_GROUP_SCORE_RATIO = 0.7
"""Instances of a group score alike: the weakest has at least this share of the best one's score."""

_SALIENT_BONUS = 0.15
"""Added to the rank of salient regions, which are better localised than detected boxes."""

_EXCLUSIVE_SCORE, _EXCLUSIVE_SALIENCY = 0.3, 0.25
"""A further instance of a class needs one of them, not shared with a better instance. Set on the "tune" half of
`benchmarks/recall.py`'s pictures: of 9 false ones 7 go and no true one; .15 would have kept one more, saliency from .15
to .4 is alike."""

_CONFIDENT = 0.5
"""A region that is part of a detection with this score is extended to it (.4 to .6 are alike on the "tune" half)."""

_BORDER_SALIENCY = 0.8
"""A box whose border is salient to this share lies inside an object, not around one (.5 to .9 are alike there)."""


def select_instances(
    features: Features, scores: Scores, detections: Sequence[Sequence[FusedDetection]], thresholds: Sequence[float]
) -> list[Box]:
    """Select boxes at or above their threshold, best first: one class for each region, one region for each object.

    `scores` is regions×classes; `detections` has each class's fused detections.
    """
    candidates: list[tuple[float, Box]] = []
    for region, row in zip(features.regions, scores, strict=True):
        margins = row - np.asarray(thresholds)
        best = int(margins.argmax())
        if margins[best] >= 0:
            rank = float(row[best]) + (0.0 if region.kind == "detected" else _SALIENT_BONUS)
            corners = _extended_to_object(region, detections[best], features)
            candidates.append((rank, Box(best, float(row[best]), corners)))
    ranked = [box for _, box in sorted(candidates, key=lambda pair: -pair[0])]
    kept: list[Box] = []
    for box in ranked:
        if _is_group(box, ranked) or any(_is_duplicate(box, other) for other in kept):
            continue
        better = [other.corners for other in kept if other.class_index == box.class_index]
        if not better or _is_further_instance(box.corners, better, detections[box.class_index], features.saliency):
            kept.append(box)
    return sorted(kept, key=lambda box: -box.score)


def _extended_to_object(region: Region, detections: Sequence[FusedDetection], features: Features) -> Corners:
    """The region's corners, or those of the object of which it is a part (a laptop's lid, a bag's clasp).

    The object is a confident detection around it, else the salient region around a box that no detector supports.
    """
    corners = region.corners
    around = [found for found in detections if found.score >= _CONFIDENT and _is_part(corners, found.corners)]
    if around:
        return max(around, key=lambda found: found.score).corners
    if region.kind != "detected" or _exclusive_detector_score(corners, (), detections) >= _EXCLUSIVE_SCORE:
        return corners
    if _salient_border(corners, features.saliency) < _BORDER_SALIENCY:
        return corners
    salient = [
        other.corners for other in features.regions if other.kind != "detected" and _is_part(corners, other.corners)
    ]
    return min(salient, key=boxes.area, default=corners)


def _salient_border(corners: Corners, saliency: Floats) -> float:
    """The share of a box's border that is salient."""
    part = saliency[boxes.pixel_slices(corners)] > SALIENCY_THRESHOLD
    return float(np.concatenate([part[0], part[-1], part[:, 0], part[:, -1]]).mean())


def _is_further_instance(
    corners: Corners, better: Sequence[Corners], detections: Sequence[FusedDetection], saliency: Floats
) -> bool:
    """Whether detectors or saliency support a further instance, beyond what supports the better ones."""
    if _exclusive_detector_score(corners, better, detections) >= _EXCLUSIVE_SCORE:
        return True
    return _exclusive_saliency(corners, better, saliency) >= _EXCLUSIVE_SALIENCY


def _exclusive_detector_score(
    corners: Corners, others: Sequence[Corners], detections: Sequence[FusedDetection]
) -> float:
    """The best score of a detection that supports this box, and overlaps none of the others as much or more."""
    return max(
        (
            found.score
            for found in detections
            if supports(found.corners, corners)
            and all(boxes.iou(other, found.corners) < boxes.iou(corners, found.corners) for other in others)
        ),
        default=0.0,
    )


def _exclusive_saliency(corners: Corners, others: Sequence[Corners], saliency: Floats) -> float:
    """The mean saliency of what lies in this box and in none of the others; 0 where that is nothing."""
    alone = np.zeros(saliency.shape, np.bool_)
    alone[boxes.pixel_slices(corners)] = True
    for other in others:
        alone[boxes.pixel_slices(other)] = False
    return float(saliency[alone].mean()) if alone.any() else 0.0


def _is_group(box: Box, candidates: Sequence[Box]) -> bool:
    """Whether a region is a group of separate instances of its own class."""
    parts: list[Box] = []
    for other in sorted(candidates, key=lambda item: -item.score):
        if other is box or other.class_index != box.class_index or not _is_part(other.corners, box.corners):
            continue
        if other.score >= _GROUP_SCORE_RATIO * (parts or [other])[0].score and all(
            _disjoint(other, part) for part in parts
        ):
            parts.append(other)
    return len(parts) > 1 and sum(boxes.area(part.corners) for part in parts) >= _GROUP_COVERAGE * boxes.area(
        box.corners
    )


def _is_part(corners: Corners, larger: Corners) -> bool:
    return boxes.containment(corners, larger) > _PART_CONTAINMENT and boxes.area(corners) < _DUPLICATE_IOU * boxes.area(
        larger
    )


def _disjoint(box: Box, other: Box) -> bool:
    """Whether boxes do not overlap; instances that touch (a pair of shoes) cannot be separated by saliency."""
    return boxes.intersection(box.corners, other.corners) == 0


def _is_duplicate(box: Box, better: Box) -> bool:
    if boxes.iou(box.corners, better.corners) > _DUPLICATE_IOU:
        return True
    if box.class_index != better.class_index:
        return False
    if boxes.containment(box.corners, better.corners) > _DUPLICATE_CONTAINMENT:
        return True
    return boxes.containment(better.corners, box.corners) > _PART_CONTAINMENT
