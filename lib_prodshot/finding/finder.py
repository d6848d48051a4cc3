"""A finder (a detector and a segmenter that work together), and the backends that load one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from lib_prodshot.finding.interface import Detector, Find, Findings, Picture, Segmenter
from lib_prodshot.finding.validation import checked_boxes, checked_masks
from lib_prodshot.products import ProductClass


@dataclass(frozen=True)
class Finder:
    """A detector and a segmenter that work together; `name` is what reports call them."""

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
        """Boxes, then masks for the boxes that survived; the segmenter is not touched when there are none.

        `picture` is H×W×3 uint8 RGB. Raises what the detector and the segmenter raise, and `FinderError` for answers
        that are none.
        """
        clock = clock or perf_counter
        start = clock()
        answer = self.detector.detect(picture, classes, text_threshold)
        answer = checked_boxes(self.detector.name, answer, picture, len(classes))
        detected = clock()
        if not answer.boxes:
            return Findings((), answer.best_scores, answer.notes, {"detect": detected - start})
        masks = checked_masks(
            self.segmenter.name, self.segmenter.segment(picture, answer.boxes), picture, len(answer.boxes)
        )
        finds = tuple(Find(box, mask) for box, mask in zip(answer.boxes, masks, strict=True))
        seconds = {"detect": detected - start, "segment": clock() - detected}
        return Findings(finds, answer.best_scores, answer.notes, seconds)

    def unload(self) -> None:
        """Give back the memory of both models."""
        self.detector.unload()
        self.segmenter.unload()


@dataclass(frozen=True)
class Backend:
    """One way to build a `Finder`. `lacking(models_dir)` gives one sentence for each missing package or file."""

    name: str
    lacking: Callable[[Path | None], Sequence[str]]
    load: Callable[[Path | None], Finder]
