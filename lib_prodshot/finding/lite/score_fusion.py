"""Score fusion: how well each region of a picture fits each concept.

The classifier's odds and the two detectors' scores are added as logits (naive Bayes, with weights below one since the
models are not independent); a region that fits a rival concept clearly better is marked down. Calibrated so that 0.3
is the operating point of every concept.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from lib_prodshot.finding.lite.boxes import Fused
from lib_prodshot.finding.lite.features import Detections, Region
from lib_prodshot.finding.lite.label_map import COCO, CONCEPTS, IMAGENET, OPENIMAGES, Concept

Table = npt.NDArray[np.float64]

RELATED: dict[str, dict[int, float]] = {
    "watch": {635: 1.0, 426: 0.3, 409: 0.05},  # magnetic compass, barometer, analog clock: a dial is a dial
    "bottle": {631: 0.5, 711: 0.5, 838: 0.3, 585: 0.5, 804: 0.5, 899: 0.3, 720: 0.5, 901: 0.7},
    "handbag": {790: 0.3, 893: 0.3, 414: 0.2},  # shopping basket, wallet, backpack
    "laptop": {810: 0.5},  # space bar
}
"""How far an ImageNet class (by its column) stands for a concept that it does not name, or only half names."""

MISTAKEN = (("watch", "cell phone"), ("watch", "clock"), ("vase", "cup"))
MISTAKEN_SHARE = 3.0
"""What ImageNet's photographs did not have is split between what it resembles: a smartwatch is a bit of a digital watch
and more of a phone, a watch with a dial a stopwatch and more of a clock, a ring vase more of a cup. Where the
classifier is unsure, odds of the second move to the first, up to this many times what the first has: .04 against .19 on
a drawn smartwatch, .18 against .60 on a photographed watch; of .84 against .05 on an alarm clock hardly anything."""

DETECTOR_WEIGHT = 0.45
FLOOR = 0.05
"""A detector that does not see the class counts no more against it than this score."""

RIVAL_MARGIN = 2.0
"""A rival concept may fit this much better (in logits) before the region is marked down."""

_EVEN_ODDS = np.log(0.3 / 0.7)
"""The logit of 0.3, which every operating point is mapped to."""

_DETECTORS_ONLY = (1.2, -1.6)
"""Slope and shift of the detectors' logit where ImageNet has no class: they must then be clearer."""

UNNAMED = frozenset({"suitcase"})
DOUBT_FROM, DOUBT_SLOPE = 0.15, 2.5
"""Of a thing that ImageNet has no name for the classifier is never sure: where its best guess passes this share
(a belt's buckle .94, a handbag's purse .61; suitcases stay below .1), the detectors' logit falls with this slope."""

OPERATING_POINT = -1.25
OPERATING_POINTS = {"bottle": -0.5, "box": 0.0, "suitcase": -0.25, "book": 0.0, "table": 0.0, "desk": 0.0}
"""The logit that stands for the calibrated score 0.3; higher where false finds on photographs of other things are
likelier (`docs/finders.md` says on which pictures it was set)."""

_IMPOSSIBLE = -99.0


def calibrated(regions: Sequence[Region], concepts: Sequence[Concept]) -> Table:
    """R×K scores in 0..1 of R regions for K concepts; 0.3 is the operating point of each."""
    logits = fits(regions)
    index = {concept.name: column for column, concept in enumerate(CONCEPTS)}
    columns = [index[concept.name] for concept in concepts]
    marked_down = np.stack([_against_rivals(logits, column) for column in columns], axis=1)
    points = np.array([OPERATING_POINTS.get(concept.name, OPERATING_POINT) for concept in concepts])
    return np.asarray(1 / (1 + np.exp(-(marked_down - points + _EVEN_ODDS))))


def detections_of(detections: Detections, concepts: Sequence[Concept]) -> list[Fused]:
    """What both detectors boxed as one of the concepts."""
    coco = {COCO[name] for concept in concepts for name in concept.coco}
    openimages = {OPENIMAGES[name] for concept in concepts for name in concept.openimages}
    tables = ((detections.coco, coco), (detections.openimages, openimages))
    return [box for found, columns in tables for column in sorted(columns) for box in found.get(column, [])]


def fits(regions: Sequence[Region]) -> Table:
    """R×C logits of all concepts, before rivals count."""
    weights, in_imagenet = _imagenet_weights()
    odds = np.stack([region.probabilities for region in regions]).astype(np.float64) @ weights
    coco = _best_of(np.stack([region.coco for region in regions]), _columns("coco"))
    openimages = _best_of(np.stack([region.openimages for region in regions]), _columns("openimages"))
    _move_mistaken(odds, (coco, openimages))
    both = _logit(coco, FLOOR) + _logit(openimages, FLOOR) - 2 * _logit(np.float64(0), FLOOR)
    slope, shift = _DETECTORS_ONLY
    only_detectors = slope * _logit(np.maximum(coco, openimages), 0.02) + shift
    only_detectors -= _doubt(regions)[:, None] * np.array([concept.name in UNNAMED for concept in CONCEPTS])
    return np.where(in_imagenet, _logit(odds, 0.002) + DETECTOR_WEIGHT / 2 * both, only_detectors)


def _move_mistaken(odds: Table, detected: Sequence[Table]) -> None:
    """Move odds within `MISTAKEN`, and the same share of the detectors' scores, which mean the same mistake."""
    columns = {concept.name: column for column, concept in enumerate(CONCEPTS)}
    for name, resembled in MISTAKEN:
        to, source = columns[name], columns[resembled]
        taken = odds[:, source]
        share = np.minimum(MISTAKEN_SHARE * odds[:, to] / np.maximum(taken, 1e-6), 1) * (1 - taken**2).clip(0)
        odds[:, to] += share * taken
        odds[:, source] -= share * taken
        for scores in detected:
            scores[:, to] = np.maximum(scores[:, to], share * scores[:, source])
            scores[:, source] *= 1 - share


def _doubt(regions: Sequence[Region]) -> Table:
    """How much the classifier's certainty about something else speaks against a thing it has no name for."""
    surest = np.array([float(region.probabilities.max()) for region in regions])
    return np.asarray(DOUBT_SLOPE * np.maximum(_logit(surest, 0.002) - np.log(DOUBT_FROM / (1 - DOUBT_FROM)), 0))


def _logit(probability: npt.ArrayLike, floor: float) -> Table:
    clipped = np.clip(np.asarray(probability, np.float64), floor, 0.998)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _against_rivals(logits: Table, column: int) -> Table:
    rivals = logits[:, _rivals()[column]]
    if not rivals.shape[1]:
        return logits[:, column]
    lead = rivals.max(axis=1) - logits[:, column] - RIVAL_MARGIN
    return np.asarray(logits[:, column] - np.maximum(lead, 0))


def _best_of(scores: npt.NDArray[np.float32], columns: Sequence[tuple[int, ...]]) -> Table:
    best = np.zeros((len(scores), len(columns)))
    for place, chosen in enumerate(columns):
        if chosen:
            best[:, place] = scores[:, list(chosen)].max(axis=1)
    return best


@cache
def _imagenet_weights() -> tuple[Table, npt.NDArray[np.bool_]]:
    """1000×C weights, and which concepts have any class of their own."""
    weights = np.zeros((1000, len(CONCEPTS)))
    for place, concept in enumerate(CONCEPTS):
        for name in concept.imagenet:
            weights[IMAGENET[name], place] = 1.0
        for column, weight in RELATED.get(concept.name, {}).items():
            weights[column, place] = weight
    return weights, np.array([bool(concept.imagenet) for concept in CONCEPTS])


@cache
def _columns(model: str) -> tuple[tuple[int, ...], ...]:
    table = COCO if model == "coco" else OPENIMAGES
    return tuple(tuple(table[name] for name in getattr(concept, model)) for concept in CONCEPTS)


@cache
def _rivals() -> tuple[tuple[int, ...], ...]:
    """For each concept those that the classifier knows and that share no class with it in any model."""
    return tuple(
        tuple(
            place
            for place, other in enumerate(CONCEPTS)
            if other.imagenet
            and not set(other.imagenet) & set(concept.imagenet)
            and not set(other.coco) & set(concept.coco)
            and not set(other.openimages) & set(concept.openimages)
            and other is not concept
        )
        for concept in CONCEPTS
    )
