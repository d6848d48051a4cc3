"""Score fusion: calibrated scores of each region of a picture for each category.

The classifier's probabilities and the two detectors' scores are added as logits (naive Bayes, with weights below one
since the models are not independent); where a rival category has a clearly higher logit the region is penalised.
Calibrated so that 0.3 is the operating point of every category.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from lib_prodshot.finding.lite.augmentation import Detections
from lib_prodshot.finding.lite.boxes import FusedDetection
from lib_prodshot.finding.lite.features import Region
from lib_prodshot.finding.lite.label_map import CATEGORIES, COCO, IMAGENET, OPENIMAGES, Category

Scores = npt.NDArray[np.float64]

RELATED_CLASSES: dict[str, dict[int, float]] = {
    "watch": {635: 1.0, 426: 0.3, 409: 0.05},  # magnetic compass, barometer, analog clock: a dial is a dial
    "bottle": {631: 0.5, 711: 0.5, 838: 0.3, 585: 0.5, 804: 0.5, 899: 0.3, 720: 0.5, 901: 0.7},
    "handbag": {790: 0.3, 893: 0.3, 414: 0.2},  # shopping basket, wallet, backpack
    "laptop": {810: 0.5},  # space bar
}
"""Weight of an ImageNet class (by its column) for a category that it does not name, or only half names."""

CONFUSIONS = (("watch", "cell phone"), ("watch", "clock"), ("vase", "cup"))
CONFUSION_FACTOR = 3.0
"""Pairs that the classifier confuses because ImageNet has no photographs of the first: a smartwatch is scored as a
phone more than as a digital watch, a watch with a dial as a clock more than as a stopwatch, a ring vase as a cup. Where
the classifier is unsure, probability of the second moves to the first, up to this many times what the first has: .04
against .19 on a drawn smartwatch, .18 against .60 on a photographed watch; of .84 against .05 on an alarm clock hardly
anything."""

DETECTOR_WEIGHT = 0.45
DETECTOR_FLOOR = 0.05
"""Detector scores are clipped to at least this: a class that is not detected is no stronger evidence against it."""

RIVAL_MARGIN = 2.0
"""A rival category may fit this much better (in logits) before the region is penalised."""

_OPERATING_LOGIT = np.log(0.3 / 0.7)
"""The logit of 0.3, which every operating point is mapped to."""

_DETECTORS_ONLY = (1.2, -1.6)
"""Slope and shift of the detectors' logit where ImageNet has no class: they must then be clearer."""

NOT_IN_IMAGENET = frozenset({"suitcase"})
PENALTY_FROM, PENALTY_SLOPE = 0.15, 2.5
"""On an object that ImageNet has no class for the classifier is never confident: where its best probability is higher
(a belt's buckle .94, a handbag's purse .61; suitcases stay below .1), the detectors' logit falls with this slope."""

OPERATING_POINT = -1.25
OPERATING_POINTS = {"bottle": -0.5, "box": 0.0, "suitcase": -0.25, "book": 0.0, "table": 0.0, "desk": 0.0}
"""The logit that is mapped to the calibrated score 0.3; higher where false detections on photographs of other objects
are likelier (`docs/finders.md` says on which pictures it was set)."""


def calibrated_scores(regions: Sequence[Region], categories: Sequence[Category]) -> Scores:
    """R×K scores in 0..1 of R regions for K categories; 0.3 is the operating point of each."""
    logits = category_logits(regions)
    index = {category.name: column for column, category in enumerate(CATEGORIES)}
    columns = [index[category.name] for category in categories]
    penalised = np.stack([_penalised_by_rivals(logits, column) for column in columns], axis=1)
    points = np.array([OPERATING_POINTS.get(category.name, OPERATING_POINT) for category in categories])
    return np.asarray(1 / (1 + np.exp(-(penalised - points + _OPERATING_LOGIT))))


def detections_of(detections: Detections, categories: Sequence[Category]) -> list[FusedDetection]:
    """Fused detections of both detectors for the categories."""
    coco = {COCO[name] for category in categories for name in category.coco}
    openimages = {OPENIMAGES[name] for category in categories for name in category.openimages}
    tables = ((detections.coco, coco), (detections.openimages, openimages))
    return [box for found, columns in tables for column in sorted(columns) for box in found.get(column, [])]


def category_logits(regions: Sequence[Region]) -> Scores:
    """R×C logits of all categories, before the penalty by rivals."""
    weights, in_imagenet = _imagenet_weights()
    probabilities = np.stack([region.probabilities for region in regions]).astype(np.float64) @ weights
    coco = _max_scores(np.stack([region.coco for region in regions]), _columns("coco"))
    openimages = _max_scores(np.stack([region.openimages for region in regions]), _columns("openimages"))
    _correct_confusions(probabilities, (coco, openimages))
    both = _logit(coco, DETECTOR_FLOOR) + _logit(openimages, DETECTOR_FLOOR) - 2 * _logit(np.float64(0), DETECTOR_FLOOR)
    slope, shift = _DETECTORS_ONLY
    only_detectors = slope * _logit(np.maximum(coco, openimages), 0.02) + shift
    only_detectors -= _classifier_penalty(regions)[:, None] * np.array(
        [category.name in NOT_IN_IMAGENET for category in CATEGORIES]
    )
    return np.where(in_imagenet, _logit(probabilities, 0.002) + DETECTOR_WEIGHT / 2 * both, only_detectors)


def _correct_confusions(probabilities: Scores, detected: Sequence[Scores]) -> None:
    """Move probability within `CONFUSIONS`, and the same share of the detectors' scores, which are confused alike."""
    columns = {category.name: column for column, category in enumerate(CATEGORIES)}
    for name, confused_with in CONFUSIONS:
        to, source = columns[name], columns[confused_with]
        taken = probabilities[:, source]
        ratio = CONFUSION_FACTOR * probabilities[:, to] / np.maximum(taken, 1e-6)
        share = np.minimum(ratio, 1) * (1 - taken**2).clip(0)
        probabilities[:, to] += share * taken
        probabilities[:, source] -= share * taken
        for scores in detected:
            scores[:, to] = np.maximum(scores[:, to], share * scores[:, source])
            scores[:, source] *= 1 - share


def _classifier_penalty(regions: Sequence[Region]) -> Scores:
    """Penalty in logits, for categories that ImageNet lacks, by the classifier's confidence in some other class."""
    surest = np.array([float(region.probabilities.max()) for region in regions])
    return np.asarray(PENALTY_SLOPE * np.maximum(_logit(surest, 0.002) - np.log(PENALTY_FROM / (1 - PENALTY_FROM)), 0))


def _logit(probability: npt.ArrayLike, floor: float) -> Scores:
    clipped = np.clip(np.asarray(probability, np.float64), floor, 0.998)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _penalised_by_rivals(logits: Scores, column: int) -> Scores:
    rivals = logits[:, _rivals()[column]]
    if not rivals.shape[1]:
        return logits[:, column]
    lead = rivals.max(axis=1) - logits[:, column] - RIVAL_MARGIN
    return np.asarray(logits[:, column] - np.maximum(lead, 0))


def _max_scores(scores: npt.NDArray[np.float32], columns: Sequence[tuple[int, ...]]) -> Scores:
    best = np.zeros((len(scores), len(columns)))
    for index, chosen in enumerate(columns):
        if chosen:
            best[:, index] = scores[:, list(chosen)].max(axis=1)
    return best


@cache
def _imagenet_weights() -> tuple[Scores, npt.NDArray[np.bool_]]:
    """1000×C weights, and which categories have any class of their own."""
    weights = np.zeros((1000, len(CATEGORIES)))
    for index, category in enumerate(CATEGORIES):
        for name in category.imagenet:
            weights[IMAGENET[name], index] = 1.0
        for column, weight in RELATED_CLASSES.get(category.name, {}).items():
            weights[column, index] = weight
    return weights, np.array([bool(category.imagenet) for category in CATEGORIES])


@cache
def _columns(model: str) -> tuple[tuple[int, ...], ...]:
    table = COCO if model == "coco" else OPENIMAGES
    return tuple(tuple(table[name] for name in getattr(category, model)) for category in CATEGORIES)


@cache
def _rivals() -> tuple[tuple[int, ...], ...]:
    """For each category those that the classifier knows and that share no class with it in any model."""
    return tuple(
        tuple(
            index
            for index, other in enumerate(CATEGORIES)
            if other.imagenet
            and not set(other.imagenet) & set(category.imagenet)
            and not set(other.coco) & set(category.coco)
            and not set(other.openimages) & set(category.openimages)
            and other is not category
        )
        for category in CATEGORIES
    )
