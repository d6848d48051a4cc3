"""What somebody should look at before a packshot is used, each reason in a few words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lib_prodshot.components import components_of
from lib_prodshot.packshot.arrays import Grey

if TYPE_CHECKING:
    from lib_prodshot.steps.interface import State

SCORE_MARGIN = 0.05
"""A score nearer to its threshold than this is a close call."""

UNKNOWN_SHARE = 0.15
"""So much of the product's pixels are estimated edge: hair, straps, glass, or a mask that misses the product."""

AGREEMENT = 0.9
"""Masks by two thresholds overlap less than this (intersection by union): the segmenter is not sure of the edge."""

THRESHOLDS = (0.3, 0.7)

ENLARGED = 2.0
"""A product enlarged by more looks soft."""

_ROWS = 256


def reasons(state: State) -> Iterator[str]:
    """Why the packshots of a picture need a look: the find was close, the edge is unsure, the product is cut off, in
    pieces, or enlarged, a marketplace's rule is missed. Call it when the packshots are made, with the state behind the
    cut-out; where each product has its own frame once for each."""
    assert state.findings is not None and state.built is not None and state.cutout is not None
    classes = state.request.classes
    boxes = [state.findings.finds[index].box for index in state.built.chosen]
    if any(box.score - classes[box.class_index].threshold < SCORE_MARGIN for box in boxes):
        yield "the score is close to its threshold"
    opacity = state.cutout.shares.opacity
    product = cv2.countNonZero(opacity)
    if product and cv2.countNonZero(state.cutout.band) > UNKNOWN_SHARE * product:
        yield "much of the product is estimated edge"
    if min((_agreement(state.findings.finds[index].soft_mask) for index in state.built.chosen), default=1) < AGREEMENT:
        yield "the mask's edge is unsure"
    if max(opacity[0].max(), opacity[-1].max(), opacity[:, 0].max(), opacity[:, -1].max()) > 127:
        yield "the product is cut off by the picture's edge"
    pieces = _pieces(state.built.mask)
    if pieces > len(boxes):
        yield f"the mask is in {pieces} pieces"
    if len(boxes) > 1:
        yield f"{len(boxes)} products are in one frame"
    if any(made.scale > ENLARGED for made in state.outcome.packshots if made.number == state.number):
        yield "the product was enlarged"


def _agreement(soft_mask: Grey) -> float:
    wider, narrower = (_count_from(soft_mask, round(255 * threshold)) for threshold in THRESHOLDS)
    return narrower / wider if wider else 1.0


def _count_from(soft_mask: Grey, level: int) -> int:
    # by strips: no truths for a whole photograph
    return sum(np.count_nonzero(soft_mask[top : top + _ROWS] >= level) for top in range(0, len(soft_mask), _ROWS))


def _pieces(mask: Grey) -> int:
    areas = components_of(mask).areas
    return int(np.count_nonzero(areas >= 0.01 * areas.max(initial=0)))
