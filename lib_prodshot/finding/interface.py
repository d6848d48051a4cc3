"""Interfaces of detectors (boxes from text) and segmenters (masks from boxes), and the types that they exchange."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from lib_prodshot.corrections import ChosenBox, Prompt
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
    """A detector's output: boxes at or above their class's threshold, best first, and the best score of each class.

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
        """Detect all classes at once in an H×W×3 uint8 RGB picture; each class carries its box threshold.

        Raises `UnknownProducts`, naming every class that has no phrase which the detector knows, `FinderError` when the
        model fails (not finite, out of memory after its retry).
        """

    def unload(self) -> None:
        """Free the model's memory; the next call loads it again."""


class Segmenter(Protocol):
    """Masks from boxes."""

    name: str

    def segment(self, picture: Picture, boxes: Sequence[Box]) -> list[SoftMask]:
        """One H×W soft mask for each box, in their order. Never called without boxes.

        Raises `FinderError` when the model fails.
        """

    def unload(self) -> None:
        """Free the model's memory; the next call loads it again."""


@runtime_checkable
class PointSegmenter(Segmenter, Protocol):
    """A segmenter that can also be told points."""

    def segment_points(
        self, picture: Picture, prompts: Sequence[tuple[Box | None, Sequence[Prompt]]]
    ) -> list[SoftMask]:
        """One H×W soft mask for each box with its points, or for points alone (None, at least one of them included).

        Raises `FinderError` when the model fails.
        """


@dataclass(frozen=True)
class Selection:
    """What a user has chosen in one picture: `boxes` to take whatever their scores (None: those at their thresholds),
    `prompts` for the segmenter; `with_candidates` asks for what was not taken as well."""

    boxes: tuple[ChosenBox, ...] | None = None
    prompts: tuple[Prompt, ...] = ()
    with_candidates: bool = False


@dataclass(frozen=True)
class Find:
    """One detection with its soft mask (H×W uint8)."""

    box: Box
    soft_mask: SoftMask


@dataclass(frozen=True)
class Findings:
    """A finder's output for one picture. `seconds` has the stages 'detect' and 'segment'; `candidates` are further
    detections, below their threshold or not chosen, best first, where the caller asked for them. `outside` are
    detections that lie outside a region to which the finder was restricted: no finds, but not absent either."""

    finds: tuple[Find, ...]
    best_scores: tuple[float, ...]
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    candidates: tuple[Find, ...] = ()
    outside: tuple[Box, ...] = ()
