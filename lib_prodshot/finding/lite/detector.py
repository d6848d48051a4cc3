"""Boxes from words: the regions of a picture, scored for the products that were asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.finding.interface import Box, Boxes, Picture
from lib_prodshot.finding.lite import boxes, score_fusion
from lib_prodshot.finding.lite.boxes import Corners, Fused
from lib_prodshot.finding.lite.features import SALIENT, Features, Floats, Models, Region, supports
from lib_prodshot.finding.lite.label_map import Concept
from lib_prodshot.finding.lite.vocabulary import concepts_of
from lib_prodshot.finding.models.preprocessing import as_rgb
from lib_prodshot.products import ProductClass

_SAME_OBJECT = 0.6
_WITHIN = 0.8
"""A region with this share inside another one is part of it (a watch's dial, a car's wheel)."""

_MOSTLY = 0.5
"""A region with this share inside a better one of its class shows the same thing off its middle."""

_COVERED = 0.75
"""Instances that cover this share of a region together are what it is made of (the two shoes of a pair)."""

_ALIKE = 0.7
"""Instances of one kind are about equally sure: the weakest has at least this share of the best one's score."""

_SALIENT_BONUS = 0.15
"""What is salient has truer borders than what a detector boxed, so it may be this much less sure."""

_OWN_SUPPORT, _OWN_SALIENCE = 0.3, 0.25
"""A further instance of a class needs one of them for itself. Set on the "tune" half of `benchmarks/recall.py`'s
pictures: of 9 false ones 7 go and no true one; .15 would have kept one more, salience from .15 to .4 is alike."""

_SURE = 0.5
"""A detection this sure shows the whole of what a region shows a part of (.4 to .6 are alike on the "tune" half)."""

_CUT_THROUGH = 0.8
"""A box whose border is salient to this share lies inside a thing, not around one (.5 to .9 are alike there)."""


class LiteDetector:
    """Closed vocabulary; any number of products costs the same, since the picture is looked at once."""

    name = "lite"

    def __init__(self, models: Models) -> None:
        self._models = models

    def detect(self, picture: Picture, classes: Sequence[ProductClass], text_threshold: float) -> Boxes:
        """See `Detector`. `text_threshold` has no meaning for a closed vocabulary.

        Raises `RequestError` without classes, `UnknownProduct` for a class of which no phrase is known,
        `FinderError` when a model fails.
        """
        if not classes:
            raise RequestError([FieldProblem("products", "no product is named", "such as 'handbag, shoe'")])
        known = [concepts_of(item) for item in classes]
        picture = as_rgb(picture)
        features = self._models.extract(picture)
        concepts = [found for found, _ in known]
        scores = np.stack([_class_scores(features, found) for found in concepts], axis=1)
        detections = [score_fusion.detections_of(features.detections, found) for found in concepts]
        chosen = _choose(features, scores, detections, [item.threshold for item in classes])
        notes = tuple(note for _, said in known for note in said)
        placed = tuple(_in_picture(box, features, picture) for box in chosen)
        return Boxes(placed, tuple(float(best) for best in scores.max(axis=0)), notes)

    def unload(self) -> None:
        """Give back the memory of all models."""
        self._models.unload()


def _class_scores(features: Features, concepts: Sequence[Concept]) -> score_fusion.Table:
    return np.asarray(score_fusion.calibrated(features.regions, concepts).max(axis=1))


def _choose(
    features: Features, scores: score_fusion.Table, detections: Sequence[Sequence[Fused]], thresholds: Sequence[float]
) -> list[Box]:
    """Boxes at or above their threshold, best first: one class for each region, one region for each object.

    `scores` is regions×classes; `detections` has for each class what the detectors boxed as it.
    """
    candidates: list[tuple[float, Box]] = []
    for region, row in zip(features.regions, scores, strict=True):
        leads = row - np.asarray(thresholds)
        winner = int(leads.argmax())
        if leads[winner] >= 0:
            rank = float(row[winner]) + (0.0 if region.kind == "boxed" else _SALIENT_BONUS)
            corners = _whole(region, detections[winner], features)
            candidates.append((rank, Box(winner, float(row[winner]), corners)))
    ranked = [box for _, box in sorted(candidates, key=lambda pair: -pair[0])]
    kept: list[Box] = []
    for box in ranked:
        if _is_sum(box, ranked) or any(_means_the_same(box, other) for other in kept):
            continue
        better = [other.corners for other in kept if other.class_index == box.class_index]
        if not better or _earns_its_place(box.corners, better, detections[box.class_index], features.salience):
            kept.append(box)
    return sorted(kept, key=lambda box: -box.score)


def _whole(region: Region, detections: Sequence[Fused], features: Features) -> Corners:
    """The region's corners, or those of the whole of which it is a part (a laptop's lid, a bag's clasp).

    The whole is what a detector surely sees around it, else the salient thing around a box that no detector knows.
    """
    corners = region.corners
    wholes = [found for found in detections if found.score >= _SURE and _is_part(corners, found.corners)]
    if wholes:
        return max(wholes, key=lambda found: found.score).corners
    if region.kind != "boxed" or _own_support(corners, (), detections) >= _OWN_SUPPORT:
        return corners
    if _salient_border(corners, features.salience) < _CUT_THROUGH:
        return corners
    around = [other.corners for other in features.regions if other.kind != "boxed" and _is_part(corners, other.corners)]
    return min(around, key=boxes.area, default=corners)


def _salient_border(corners: Corners, salience: Floats) -> float:
    """The share of a box's border that cuts through something salient."""
    left, top, right, bottom = _pixels(corners)
    part = salience[top:bottom, left:right] > SALIENT
    return float(np.concatenate([part[0], part[-1], part[:, 0], part[:, -1]]).mean())


def _earns_its_place(
    corners: Corners, better: Sequence[Corners], detections: Sequence[Fused], salience: Floats
) -> bool:
    """Whether a further instance shows in the detectors or in the salience, beyond what the better ones show."""
    if _own_support(corners, better, detections) >= _OWN_SUPPORT:
        return True
    return _own_salience(corners, better, salience) >= _OWN_SALIENCE


def _own_support(corners: Corners, others: Sequence[Corners], detections: Sequence[Fused]) -> float:
    """The best score of a detection that means this box, and none of the others as well or better."""
    return max(
        (
            found.score
            for found in detections
            if supports(found.corners, corners)
            and all(boxes.iou(other, found.corners) < boxes.iou(corners, found.corners) for other in others)
        ),
        default=0.0,
    )


def _own_salience(corners: Corners, others: Sequence[Corners], salience: Floats) -> float:
    """The mean salience of what lies in this box and in none of the others; 0 where that is nothing."""
    left, top, right, bottom = _pixels(corners)
    alone = np.ones((bottom - top, right - left), np.bool_)
    for x0, y0, x1, y1 in map(_pixels, others):
        alone[max(y0 - top, 0) : max(y1 - top, 0), max(x0 - left, 0) : max(x1 - left, 0)] = False
    return float(salience[top:bottom, left:right][alone].mean()) if alone.any() else 0.0


def _pixels(corners: Corners) -> tuple[int, int, int, int]:
    """Whole pixels of the working copy, at least one."""
    left, top = int(corners[0]), int(corners[1])
    return left, top, max(left + 1, round(corners[2])), max(top + 1, round(corners[3]))


def _is_sum(box: Box, candidates: Sequence[Box]) -> bool:
    """Whether a region is but the sum of separate instances of its own class."""
    parts: list[Box] = []
    for other in sorted(candidates, key=lambda item: -item.score):
        if other is box or other.class_index != box.class_index or not _is_part(other.corners, box.corners):
            continue
        if other.score >= _ALIKE * (parts or [other])[0].score and all(_apart(other, part) for part in parts):
            parts.append(other)
    return len(parts) > 1 and sum(boxes.area(part.corners) for part in parts) >= _COVERED * boxes.area(box.corners)


def _is_part(corners: Corners, larger: Corners) -> bool:
    return boxes.inside(corners, larger) > _WITHIN and boxes.area(corners) < _SAME_OBJECT * boxes.area(larger)


def _apart(box: Box, other: Box) -> bool:
    """Instances whose boxes overlap (a pair of shoes that touch) cannot be told apart by what is salient."""
    return boxes.overlap(box.corners, other.corners) == 0


def _means_the_same(box: Box, better: Box) -> bool:
    if boxes.iou(box.corners, better.corners) > _SAME_OBJECT:
        return True
    if box.class_index != better.class_index:
        return False
    if boxes.inside(box.corners, better.corners) > _MOSTLY:
        return True
    return boxes.inside(better.corners, box.corners) > _WITHIN


def _in_picture(box: Box, features: Features, picture: Picture) -> Box:
    """The box in the picture's own pixels: inside it, at least one pixel wide and high."""
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = (side / features.factor for side in box.corners)
    left, top = min(max(x0, 0.0), width - 1.0), min(max(y0, 0.0), height - 1.0)
    right, bottom = min(max(x1, left + 1), float(width)), min(max(y1, top + 1), float(height))
    return Box(box.class_index, box.score, (left, top, right, bottom))
