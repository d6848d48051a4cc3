"""Phrase-grounding detector, shared by the implementations of GroundingDINO."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lib_prodshot.errors import FinderError
from lib_prodshot.finding.interface import Box, Boxes, Picture
from lib_prodshot.finding.last_picture import LastPicture
from lib_prodshot.finding.models.captions import (
    MAX_BOXES,
    AssignedBoxes,
    Caption,
    Captions,
    Floats,
    assign,
    make_captions,
    merge,
    non_maximum_suppression,
)
from lib_prodshot.finding.models.preprocessing import SHORT_SIDE, as_rgb, detector_pixels
from lib_prodshot.finding.models.runtime import ModelHandle, moved
from lib_prodshot.products import ProductClass

SMALLER_SIDE = 512
"""The shorter side of the second attempt after out-of-memory on the CPU: about 0.4 of the work."""


@dataclass(frozen=True)
class GroundingModel:
    """Adapter for a loaded model: its module, its fast tokenizer, and a function that runs it.

    `forward(pixels, caption)` takes a tensor 1 × 3 × height × width and gives raw logits (queries × tokens) and boxes
    (queries × 4: centre x, centre y, width, height, as shares of the picture).
    """

    module: Any
    tokenizer: Any
    forward: Callable[[Any, str], tuple[Any, Any]]
    halve: Callable[[Any, Any], Any] | None = None
    """None: a detector stays float32, which is as fast on a GPU (docs/performance.md) and ranks boxes alike."""


class GroundedDetector:
    """`Detector` that runs a grounding model: all classes in one caption, one caption in one forward pass.

    Captions are never batched: those of different lengths corrupt each other's boxes in both implementations.
    """

    def __init__(self, name: str, handle: ModelHandle[GroundingModel]) -> None:
        self.name = name
        self._handle = handle
        self._last: LastPicture[list[tuple[Floats, Floats]]] = LastPicture()

    def detect(self, picture: Picture, classes: Sequence[ProductClass], text_threshold: float) -> Boxes:
        """As `Detector.detect`. Retried once on out-of-memory: from a GPU on the CPU, else on a smaller input."""
        picture = as_rgb(picture)

        def attempt(short_side: int) -> Callable[[GroundingModel, Any], tuple[Captions, AssignedBoxes]]:
            return lambda model, device: self._detect(model, device, picture, classes, text_threshold, short_side)

        attempts = [attempt(SHORT_SIDE), attempt(SMALLER_SIDE)]
        (captions, found), retried = self._handle.run(attempts, "detector")
        boxes, notes = to_boxes(found, picture.shape[0], picture.shape[1])
        best = tuple(float(score) for score in found.best)
        return Boxes(boxes, best, (*captions.notes, *retried, *notes))

    def _detect(
        self,
        model: GroundingModel,
        device: Any,
        picture: Picture,
        classes: Sequence[ProductClass],
        text_threshold: float,
        short_side: int,
    ) -> tuple[Captions, AssignedBoxes]:
        captions = make_captions(classes, model.tokenizer, self.name)
        key = (tuple(caption.text for caption in captions.captions), short_side)
        read = self._last.recall(picture, key)
        if read is None:
            pixels = moved(detector_pixels(picture, short_side), device)
            read = self._last.keep(picture, [_read(model, pixels, caption) for caption in captions.captions], key)
        parts = [
            assign(*answer, caption, classes, text_threshold)
            for answer, caption in zip(read, captions.captions, strict=True)
        ]
        return captions, merge(parts)

    def offload(self) -> None:
        """Move the model off the GPU; the next call moves it back."""
        self._handle.offload()

    def unload(self) -> None:
        """Free the model's memory; the next call loads it again."""
        self._last.forget()
        self._handle.unload()


def _read(model: GroundingModel, pixels: Any, caption: Caption) -> tuple[Floats, Floats]:
    logits, boxes = model.forward(pixels, caption.text)
    corners = boxes.float().cpu().numpy()
    if not np.isfinite(corners).all():
        raise FinderError("the detector gave boxes that are not finite numbers; its weights may be damaged")
    return corners, logits[:, : caption.length].float().cpu().numpy()


def to_boxes(found: AssignedBoxes, height: int, width: int) -> tuple[tuple[Box, ...], tuple[str, ...]]:
    """Convert relative boxes (centre, size) to pixel corners and apply non-maximum suppression and the box limit.

    Returns the boxes and notes for the user.
    """
    frame = np.array([width, height] * 2, np.float32)
    centre, size = found.boxes[:, :2], found.boxes[:, 2:]
    ends = np.concatenate((centre - size / 2, centre + size / 2), axis=1) * frame
    corners = np.clip(ends, 0, frame).astype(np.float32)
    order = np.flatnonzero((corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1]))
    order = order[non_maximum_suppression(corners[order])]
    notes = []
    if len(order) > MAX_BOXES:
        notes.append(f"{len(order)} boxes are above the threshold; the {MAX_BOXES} best are kept")
    if found.below_text_threshold:
        notes.append(
            f"{found.below_text_threshold} boxes reach the box threshold,"
            " but no word of a product's name reaches the text threshold"
        )
    boxes = tuple(
        Box(int(found.classes[index]), float(found.scores[index]), _corners(corners[index]))
        for index in order[:MAX_BOXES]
    )
    return boxes, tuple(notes)


def _corners(row: Floats) -> tuple[float, float, float, float]:
    return float(row[0]), float(row[1]), float(row[2]), float(row[3])
