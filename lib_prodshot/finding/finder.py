"""`Finder` joins a detector and a segmenter; a `Backend` loads one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from lib_prodshot.finding.interface import Detector, Find, Findings, Picture, Segmenter
from lib_prodshot.finding.validation import validated_boxes, validated_masks
from lib_prodshot.products import ProductClass

Middleware = Callable[[Callable[[], Findings], Picture, Sequence[ProductClass]], Findings]
"""What runs around a call of `Finder.find`: it gets the call itself, the picture (H×W×3 uint8 RGB) and the classes."""


@dataclass(frozen=True)
class Finder:
    """Detects and segments products in one call; `name` is what reports call it."""

    name: str
    detector: Detector
    segmenter: Segmenter

    def find(
        self,
        picture: Picture,
        classes: Sequence[ProductClass],
        text_threshold: float = 0.25,
        clock: Callable[[], float] | None = None,
        precision: str = "full",
    ) -> Findings:
        """Detect boxes, then segment each; without boxes the segmenter is not run.

        `picture` is H×W×3 uint8 RGB; `precision` is the setting of that name, for models that know it. Raises what the
        detector and the segmenter raise, and `FinderError` for output that fails validation (`finding.validation`).
        """
        clock = clock or perf_counter
        detector, segmenter = (_at(part, precision) for part in (self.detector, self.segmenter))
        start = clock()
        answer = detector.detect(picture, classes, text_threshold)
        answer = validated_boxes(self.detector.name, answer, picture, len(classes))
        detected = clock()
        if not answer.boxes:
            return Findings((), answer.best_scores, answer.notes, {"detect": detected - start})
        masks = validated_masks(
            self.segmenter.name, segmenter.segment(picture, answer.boxes), picture, len(answer.boxes)
        )
        finds = tuple(Find(box, mask) for box, mask in zip(answer.boxes, masks, strict=True))
        seconds = {"detect": detected - start, "segment": clock() - detected}
        return Findings(finds, answer.best_scores, answer.notes, seconds)

    def unload(self) -> None:
        """Free the memory of both models; the next call loads them again."""
        self.detector.unload()
        self.segmenter.unload()

    def wrapped(self, middleware: Middleware) -> Finder:
        """A finder whose `find` runs `middleware`, which calls this one's `find` or answers in its place."""
        return _WrappedFinder(self.name, self.detector, self.segmenter, self, middleware)


def _at(part: Any, precision: str) -> Any:
    """A detector or segmenter at a precision; as it is where it knows none."""
    return part.with_precision(precision) if precision != "full" and hasattr(part, "with_precision") else part


@dataclass(frozen=True)
class _WrappedFinder(Finder):
    inner: Finder
    middleware: Middleware

    def find(
        self,
        picture: Picture,
        classes: Sequence[ProductClass],
        text_threshold: float = 0.25,
        clock: Callable[[], float] | None = None,
        precision: str = "full",
    ) -> Findings:
        """As `Finder.find`."""

        def call() -> Findings:
            return self.inner.find(picture, classes, text_threshold, clock, precision)

        return self.middleware(call, picture, classes)


@dataclass(frozen=True)
class Backend:
    """A loader of one kind of finder. `missing_requirements(models_dir)` returns one sentence for each missing package
    or file; it loads nothing."""

    name: str
    missing_requirements: Callable[[Path | None], Sequence[str]]
    load: Callable[[Path | None], Finder]
