"""What every finder speaks: boxes from words (`Detector`), masks from boxes (`Segmenter`), both joined (`Finder`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lib_prodshot.products import ProductClass

Picture = npt.NDArray[np.uint8]
"""H×W×3 RGB."""

SoftMask = npt.NDArray[np.uint8]
"""H×W, a probability of belonging to the product scaled to 0..255."""


@dataclass(frozen=True)
class Box:
    """One detection before it has a mask.

    `class_index` points into the classes asked for; `score` is calibrated, so that 0.3 is every backend's usual
    operating point; `corners` are x0, y0, x1, y1 in pixels of the picture, inside it, x0 < x1 and y0 < y1.
    """

    class_index: int
    score: float
    corners: tuple[float, float, float, float]


@dataclass(frozen=True)
class Boxes:
    """A detector's answer: boxes at or above their class's threshold, best first, and the best score seen at all.

    `best_scores` has one entry for each class, also for those below their threshold, so that a skip can say how
    near it was. `notes` are warnings for the user (such as a caption that needed several forwards).
    """

    boxes: tuple[Box, ...]
    best_scores: tuple[float, ...]
    notes: tuple[str, ...] = ()


class Detector(Protocol):
    """Boxes from text."""

    name: str

    def detect(self, picture: Picture, classes: Sequence[ProductClass], text_threshold: float) -> Boxes:
        """Look for all classes at once in an H×W×3 uint8 RGB picture; each class carries its box threshold.

        Raises `UnknownProduct` when a class has no phrase that the detector knows, `FinderError` when the model
        fails (not finite, out of memory after its retry).
        """

    def unload(self) -> None:
        """Give back the model's memory; the next call loads it again."""


class Segmenter(Protocol):
    """Masks from boxes."""

    name: str

    def segment(self, picture: Picture, boxes: Sequence[Box]) -> list[SoftMask]:
        """One H×W soft mask for each box, in their order. Never called without boxes.

        Raises `FinderError` when the model fails.
        """

    def unload(self) -> None:
        """Give back the model's memory; the next call loads it again."""


@dataclass(frozen=True)
class Find:
    """One detection with its soft mask (H×W uint8)."""

    box: Box
    soft_mask: SoftMask


@dataclass(frozen=True)
class Findings:
    """What a finder says of one picture. `seconds` has the stages 'detect' and 'segment'."""

    finds: tuple[Find, ...]
    best_scores: tuple[float, ...]
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)


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
        from time import perf_counter

        from lib_prodshot.finding.answers import checked_boxes, checked_masks

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
