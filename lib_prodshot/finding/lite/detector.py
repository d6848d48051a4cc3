"""Boxes from words: the regions of a picture, judged for the products that were asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.finding.interface import Box, Boxes, Picture
from lib_prodshot.finding.lite import boxes, judge
from lib_prodshot.finding.lite.concepts import Concept
from lib_prodshot.finding.lite.evidence import Evidence, Eyes
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


class LiteDetector:
    """Closed vocabulary; any number of products costs the same, since the picture is looked at once."""

    name = "lite"

    def __init__(self, eyes: Eyes) -> None:
        self._eyes = eyes

    def detect(self, picture: Picture, classes: Sequence[ProductClass], text_threshold: float) -> Boxes:
        """See `Detector`. `text_threshold` has no meaning for a closed vocabulary.

        Raises `RequestError` without classes, `UnknownProduct` for a class of which no phrase is known,
        `FinderError` when a model fails.
        """
        if not classes:
            raise RequestError([FieldProblem("products", "no product is named", "such as 'handbag, shoe'")])
        known = [concepts_of(item) for item in classes]
        picture = as_rgb(picture)
        evidence = self._eyes.look(picture)
        scores = np.stack([_class_scores(evidence, concepts) for concepts, _ in known], axis=1)
        notes = tuple(note for _, said in known for note in said)
        found = _choose(evidence, scores, [item.threshold for item in classes])
        placed = tuple(_in_picture(box, evidence, picture) for box in found)
        return Boxes(placed, tuple(float(best) for best in scores.max(axis=0)), notes)

    def unload(self) -> None:
        """Give back the memory of all models."""
        self._eyes.unload()


def _class_scores(evidence: Evidence, concepts: Sequence[Concept]) -> judge.Table:
    return np.asarray(judge.calibrated(evidence.regions, concepts).max(axis=1))


def _choose(evidence: Evidence, scores: judge.Table, thresholds: Sequence[float]) -> list[Box]:
    """Boxes at or above their threshold, best first: one class for each region, one region for each object."""
    candidates: list[tuple[float, Box]] = []
    for region, row in zip(evidence.regions, scores, strict=True):
        leads = row - np.asarray(thresholds)
        winner = int(leads.argmax())
        if leads[winner] >= 0:
            rank = float(row[winner]) + (0.0 if region.kind == "boxed" else _SALIENT_BONUS)
            candidates.append((rank, Box(winner, float(row[winner]), region.corners)))
    ranked = [box for _, box in sorted(candidates, key=lambda pair: -pair[0])]
    kept: list[Box] = []
    for box in ranked:
        if not _is_sum(box, ranked) and not any(_means_the_same(box, other) for other in kept):
            kept.append(box)
    return sorted(kept, key=lambda box: -box.score)


def _is_sum(box: Box, candidates: Sequence[Box]) -> bool:
    """Whether a region is but the sum of separate instances of its own class."""
    parts: list[Box] = []
    for other in sorted(candidates, key=lambda item: -item.score):
        if other is box or other.class_index != box.class_index or not _is_part(other, box):
            continue
        if other.score >= _ALIKE * (parts or [other])[0].score and all(_apart(other, part) for part in parts):
            parts.append(other)
    return len(parts) > 1 and sum(boxes.area(part.corners) for part in parts) >= _COVERED * boxes.area(box.corners)


def _is_part(box: Box, larger: Box) -> bool:
    inside = boxes.inside(box.corners, larger.corners) > _WITHIN
    return inside and boxes.area(box.corners) < _SAME_OBJECT * boxes.area(larger.corners)


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


def _in_picture(box: Box, evidence: Evidence, picture: Picture) -> Box:
    """The box in the picture's own pixels: inside it, at least one pixel wide and high."""
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = (side / evidence.factor for side in box.corners)
    left, top = min(max(x0, 0.0), width - 1.0), min(max(y0, 0.0), height - 1.0)
    right, bottom = min(max(x1, left + 1), float(width)), min(max(y1, top + 1), float(height))
    return Box(box.class_index, box.score, (left, top, right, bottom))
