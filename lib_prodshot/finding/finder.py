"""`Finder` joins a detector and a segmenter; a `Backend` loads one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

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
    ) -> Findings:
        """Detect boxes, then segment each; without boxes the segmenter is not run.

        `picture` is H×W×3 uint8 RGB. Raises what the detector and the segmenter raise, and `FinderError` for output
        that fails validation (`finding.validation`).
        """
        clock = clock or perf_counter
        start = clock()
        answer = self.detector.detect(picture, classes, text_threshold)
        answer = validated_boxes(self.detector.name, answer, picture, len(classes))
        detected = clock()
        if not answer.boxes:
            return Findings((), answer.best_scores, answer.notes, {"detect": detected - start})
        masks = validated_masks(
            self.segmenter.name, self.segmenter.segment(picture, answer.boxes), picture, len(answer.boxes)
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
    ) -> Findings:
        """As `Finder.find`."""
        return self.middleware(lambda: self.inner.find(picture, classes, text_threshold, clock), picture, classes)


@dataclass(frozen=True)
class Backend:
    """A loader of one kind of finder. `missing_requirements(models_dir)` returns one sentence for each missing package
    or file; it loads nothing."""

    name: str
    missing_requirements: Callable[[Path | None], Sequence[str]]
    load: Callable[[Path | None], Finder]
