"""What somebody should look at before a packshot is used, each reason in a few words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lib_prodshot.bounds import bounding_box
from lib_prodshot.components import components_of
from lib_prodshot.outcome import WAS_ENLARGED, Doubt
from lib_prodshot.packshot.arrays import Grey
from lib_prodshot.packshot.matting import least_reach
from lib_prodshot.packshot.tiles import Tile

if TYPE_CHECKING:
    from lib_prodshot.steps.interface import State

SCORE_MARGIN = 0.05
"""A score nearer to its threshold than this is a close call."""

UNKNOWN_SHARE = 0.15
"""So much of the product's pixels are estimated edge beyond a plain outline's: hair, straps, glass, or a mask that
misses the product."""

AGREEMENT = 0.9
"""Masks by two thresholds overlap less than this (intersection by union): the segmenter is not sure of the edge."""

THRESHOLDS = (0.3, 0.7)

ENLARGED = 2.0
"""A product enlarged by more looks soft."""

_ROWS = 256
_TILE = 512


ESTIMATED, NOT_WHOLE, MISSED = 1, 2, 3
"""How grave a doubt is at least: what was estimated may be wrong; the product is not there as it is, or not alone; a
marketplace's rule or a gate is missed."""


def doubt(level: int, times: float, text: str) -> Doubt:
    """A doubt of this level whose figure is so many times its limit, once or more: the nearer to the next level."""
    return Doubt(text, level + 1 - 1 / max(1.0, times))


def of(whose: str, doubt: Doubt) -> Doubt:
    """The same doubt, told of one of several products."""
    return replace(doubt, text=f"{whose}: {doubt.text}")


def doubts(state: State) -> Iterator[Doubt]:
    """Why the packshots of a picture need a look, each with its figure: the find was close, the edge is unsure, the
    product is cut off, in pieces, or enlarged. Call it when the packshots are made, with the state behind the cut-out;
    where each product has its own frame once for each."""
    assert state.findings is not None and state.built is not None and state.cutout is not None
    classes = state.request.classes
    boxes = [state.findings.finds[index].box for index in state.built.chosen]
    nearest = min((box.score - classes[box.class_index].threshold for box in boxes), default=1.0)
    if nearest < SCORE_MARGIN:
        text = f"the score is close to its threshold ({nearest:.3f} above)"
        yield doubt(ESTIMATED, SCORE_MARGIN / max(nearest, 1e-3), text)
    opacity = state.cutout.shares.opacity
    product = cv2.countNonZero(opacity)
    unknown = _beyond_a_plain_edge(state.cutout.band, UNKNOWN_SHARE * product) / product if product else 0.0
    if unknown > UNKNOWN_SHARE:
        yield doubt(ESTIMATED, unknown / UNKNOWN_SHARE, f"much of the product is estimated edge ({unknown:.0%})")
    agreement = min((_agreement(state.findings.finds[index].soft_mask) for index in state.built.chosen), default=1.0)
    if agreement < AGREEMENT:
        text = f"the mask's edge is unsure ({agreement:.0%} of it agree)"
        yield doubt(ESTIMATED, (1 - agreement) / (1 - AGREEMENT), text)
    cut = max(float(np.mean(side > 127)) for side in (opacity[0], opacity[-1], opacity[:, 0], opacity[:, -1]))
    if cut:
        yield Doubt(f"the product is cut off by the picture's edge ({cut:.0%} of a side)", NOT_WHOLE + min(cut, 0.999))
    pieces = _pieces(state.built.mask)
    if pieces > len(boxes):
        yield doubt(NOT_WHOLE, pieces / max(1, len(boxes)), f"the mask is in {pieces} pieces")
    if len(boxes) > 1:
        yield doubt(ESTIMATED, len(boxes), f"{len(boxes)} products are in one frame")
    scale = max((made.scale for made in state.outcome.packshots if made.number == state.number), default=0.0)
    if scale > ENLARGED:
        yield doubt(ESTIMATED, scale / ENLARGED, f"{WAS_ENLARGED} ({scale:.1f} times)")


def _beyond_a_plain_edge(band: Grey, least: float) -> int:
    """How many of the band's pixels (H×W, 255 in it) lie where it is wider than along an outline whose mask is sure:
    that one's share of the product says how few pixels the photograph has, and nothing of the edge. 0 where the whole
    band has no more than `least`."""
    if cv2.countNonZero(band) <= least:
        return 0
    reach = least_reach(band.shape) + 1
    kernel = np.ones((2 * reach + 1,) * 2, np.uint8)
    left, top, width, height = bounding_box(band)
    count = 0
    for tile in Tile(top, top + height, left, left + width).tiles(_TILE):
        wider = tile.widened(2 * reach).cut(band.shape)
        opened = np.asarray(cv2.morphologyEx(band[wider.slices], cv2.MORPH_OPEN, kernel), np.uint8)
        count += cv2.countNonZero(opened[tile.within(wider)])
    return count


def _agreement(soft_mask: Grey) -> float:
    wider, narrower = (_count_from(soft_mask, round(255 * threshold)) for threshold in THRESHOLDS)
    return narrower / wider if wider else 1.0


def _count_from(soft_mask: Grey, level: int) -> int:
    # by strips: no truths for a whole photograph
    return sum(np.count_nonzero(soft_mask[top : top + _ROWS] >= level) for top in range(0, len(soft_mask), _ROWS))


def _pieces(mask: Grey) -> int:
    areas = components_of(mask).areas
    return int(np.count_nonzero(areas >= 0.01 * areas.max(initial=0)))
