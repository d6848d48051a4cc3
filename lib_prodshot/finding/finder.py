"""`Finder` joins a detector and a segmenter; a `Backend` loads one."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from lib_prodshot.corrections import ChosenBox, Point, Prompt, iou, matched
from lib_prodshot.errors import FinderError
from lib_prodshot.finding.interface import (
    Box,
    Boxes,
    Detector,
    Find,
    Findings,
    Picture,
    PointSegmenter,
    Segmenter,
    Selection,
    SoftMask,
)
from lib_prodshot.finding.validation import validated_boxes, validated_masks
from lib_prodshot.products import ProductClass
from lib_prodshot.provenance import Model

Middleware = Callable[[Callable[[], Findings], Picture, Sequence[ProductClass]], Findings]
"""What runs around a call of `Finder.find` or `segment`: it gets the call itself, the picture (H×W×3 uint8 RGB)
and the classes."""


UNCHOSEN = Selection()

CANDIDATE_SCORE = 0.1
"""From this score on a box below its threshold is a candidate that a user may take."""

MAX_CANDIDATES = 8
"""Candidates of one picture: each costs a mask."""

SAME_OBJECT_IOU = 0.6
"""A candidate that overlaps a find more is the same object."""


@dataclass(frozen=True)
class Finder:
    """Detects and segments products in one call; `name` is what reports call it, `weights` are its files."""

    name: str
    detector: Detector
    segmenter: Segmenter
    weights: tuple[Model, ...] = field(default=(), kw_only=True)

    def find(
        self,
        picture: Picture,
        classes: Sequence[ProductClass],
        text_threshold: float = 0.25,
        clock: Callable[[], float] | None = None,
        precision: str = "full",
        selection: Selection = UNCHOSEN,
    ) -> Findings:
        """Detect boxes, then segment those that are taken; without any the segmenter is not run.

        `picture` is H×W×3 uint8 RGB; `precision` is the setting of that name, for models that know it; `selection` is
        what a user chose in the picture. Raises what the detector and the segmenter raise, and `FinderError` for output
        that fails validation (`finding.validation`).
        """
        clock = clock or perf_counter
        if precision != "full":
            detector, segmenter = (_at(part, precision) for part in (self.detector, self.segmenter))
            return Finder(self.name, detector, segmenter).find(
                picture, classes, text_threshold, clock, "full", selection
            )
        start = clock()
        answer = self._detect(picture, classes, text_threshold)
        found = answer.boxes
        is_wider = selection.with_candidates or selection.boxes is not None
        boxes = (*found, *(self._below(picture, classes, text_threshold, found) if is_wider else ()))
        taken = _taken(selection.boxes, boxes, classes, len(found))
        detected = clock()
        seconds = {"detect": detected - start}
        wanted = set(range(len(boxes))) if selection.with_candidates else set(taken)
        if not wanted:
            return Findings((), answer.best_scores, answer.notes, seconds)
        masks = self._segment(picture, boxes, len(found), wanted)
        finds = [Find(boxes[number], masks[number]) for number in taken]
        if selection.prompts and finds:
            finds = self._refined(picture, finds, selection.prompts)
        others = tuple(Find(boxes[number], masks[number]) for number in sorted(wanted - set(taken)))
        seconds["segment"] = clock() - detected
        return Findings(tuple(finds), answer.best_scores, answer.notes, seconds, others)

    def _detect(self, picture: Picture, classes: Sequence[ProductClass], text_threshold: float) -> Boxes:
        answer = self.detector.detect(picture, classes, text_threshold)
        return validated_boxes(self.detector.name, answer, picture, len(classes))

    def _below(
        self, picture: Picture, classes: Sequence[ProductClass], text_threshold: float, found: Sequence[Box]
    ) -> list[Box]:
        """Candidates: the best boxes below their threshold that are of none of the objects found."""
        lowered = [replace(item, threshold=min(item.threshold, CANDIDATE_SCORE)) for item in classes]
        if lowered == list(classes):
            return []
        boxes = self._detect(picture, lowered, min(text_threshold, CANDIDATE_SCORE)).boxes
        below = [
            box
            for box in boxes
            if box.score < classes[box.class_index].threshold
            and all(iou(box.corners, other.corners) < SAME_OBJECT_IOU for other in found)
        ]
        return below[:MAX_CANDIDATES]

    def _segment(
        self, picture: Picture, boxes: Sequence[Box], found: int, wanted: Collection[int]
    ) -> Mapping[int, SoftMask]:
        """Masks by the box's number. Boxes above their thresholds are segmented together, as they are without any
        choice; candidates singly, so that none of them changes another's mask."""
        groups = [list(range(found))] if any(number < found for number in wanted) else []
        groups += [[number] for number in sorted(wanted) if number >= found]
        masks: dict[int, SoftMask] = {}
        for group in groups:
            asked = [boxes[number] for number in group]
            answer = self.segmenter.segment(picture, asked)
            masks |= zip(group, validated_masks(self.segmenter.name, answer, picture, len(asked)), strict=True)
        return masks

    def _refined(self, picture: Picture, finds: Sequence[Find], prompts: Sequence[Prompt]) -> list[Find]:
        """The finds, segmented again with the points inside their boxes; what is included elsewhere is segmented by
        itself and joined to the nearest of them."""
        if not isinstance(self.segmenter, PointSegmenter):
            raise FinderError(
                f"the {self.name} finder takes no points ('include', 'exclude' of 'mask_edits'): "
                "draw them with the brush ('add', 'erase'), or choose the finder 'langsam'"
            )
        inside: dict[int, list[Prompt]] = {}
        outside: dict[int, list[Prompt]] = {}
        for prompt in prompts:
            number = min(range(len(finds)), key=lambda place: _distance(finds[place].box, prompt.point))
            near = inside if _distance(finds[number].box, prompt.point) == 0 else outside
            if near is inside or prompt.includes:
                near.setdefault(number, []).append(prompt)
        asked: list[tuple[Box | None, Sequence[Prompt]]] = [(finds[number].box, inside[number]) for number in inside]
        alone = [(number, prompt) for number in outside for prompt in outside[number]]
        asked += [(None, [prompt]) for _, prompt in alone]
        answer = self.segmenter.segment_points(picture, asked)
        masks = validated_masks(self.segmenter.name, answer, picture, len(asked))
        refined = list(finds)
        for number, mask in zip(inside, masks):
            refined[number] = replace(refined[number], soft_mask=mask)
        for (number, _), mask in zip(alone, masks[len(inside) :], strict=True):
            refined[number] = replace(refined[number], soft_mask=np.maximum(refined[number].soft_mask, mask))
        return refined

    def segment(self, picture: Picture, boxes: Sequence[Box], classes: Sequence[ProductClass]) -> Findings:
        """Segment given boxes in a picture (H×W×3 uint8 RGB) without looking for anything; `classes` are those that the
        boxes belong to. Raises as `find` does.
        """
        masks = self._segment(picture, boxes, len(boxes), range(len(boxes)))
        finds = tuple(Find(box, masks[number]) for number, box in enumerate(boxes))
        return Findings(finds, tuple(0.0 for _ in classes))

    def refuse_unknown(self, classes: Sequence[ProductClass]) -> None:
        """Raise `UnknownProducts` for classes that the detector can tell to be unknown without a picture; a detector
        that cannot has no method of this name."""
        check = getattr(self.detector, "refuse_unknown", None)
        if check is not None:
            check(classes)

    def unload(self) -> None:
        """Free the memory of both models; the next call loads them again."""
        self.detector.unload()
        self.segmenter.unload()

    def wrapped(self, middleware: Middleware, around_segment: bool = True) -> Finder:
        """A finder whose `find`, and `segment` unless that is left as it is, runs `middleware`, which calls this one's
        or answers in its place."""
        return _WrappedFinder(
            self.name, self.detector, self.segmenter, self, middleware, around_segment, weights=self.weights
        )


def _at(part: Any, precision: str) -> Any:
    """A detector or segmenter at a precision; as it is where it knows none."""
    return part.with_precision(precision) if hasattr(part, "with_precision") else part


@dataclass(frozen=True)
class _WrappedFinder(Finder):
    inner: Finder
    middleware: Middleware
    around_segment: bool

    def find(
        self,
        picture: Picture,
        classes: Sequence[ProductClass],
        text_threshold: float = 0.25,
        clock: Callable[[], float] | None = None,
        precision: str = "full",
        selection: Selection = UNCHOSEN,
    ) -> Findings:
        """As `Finder.find`."""

        def call() -> Findings:
            return self.inner.find(picture, classes, text_threshold, clock, precision, selection)

        return self.middleware(call, picture, classes)

    def segment(self, picture: Picture, boxes: Sequence[Box], classes: Sequence[ProductClass]) -> Findings:
        """As `Finder.segment`."""

        def call() -> Findings:
            return self.inner.segment(picture, boxes, classes)

        if not self.around_segment:
            return call()
        return self.middleware(call, picture, classes)


def _taken(
    chosen: Sequence[ChosenBox] | None, boxes: Sequence[Box], classes: Sequence[ProductClass], found: int
) -> list[int]:
    """The numbers of the boxes to work on: the first `found` of them, or those that a user chose."""
    if chosen is None:
        return list(range(found))
    return matched(chosen, [ChosenBox(classes[box.class_index].name, box.corners) for box in boxes])


def _distance(box: Box, point: Point) -> float:
    """Pixels from a point to a box; 0 inside."""
    x0, y0, x1, y1 = box.corners
    return math.hypot(max(x0 - point[0], point[0] - x1, 0), max(y0 - point[1], point[1] - y1, 0))


@dataclass(frozen=True)
class Backend:
    """A loader of one kind of finder. `missing_requirements(models_dir)` returns one sentence for each missing package
    or file, `describe(models_dir)` which models it would take, `to_fetch(models_dir)` the names of the catalogue's
    weights that would make it whole (None: all of its group), `own_models()` which models of a user's own would serve
    here; all load nothing."""

    name: str
    missing_requirements: Callable[[Path | None], Sequence[str]]
    load: Callable[[Path | None], Finder]
    describe: Callable[[Path | None], str] | None = None
    to_fetch: Callable[[Path | None], Sequence[str]] | None = None
    own_models: Callable[[], Sequence[str]] = tuple
