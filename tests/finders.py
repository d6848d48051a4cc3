"""Finders with fixed answers, for tests of everything around finding. The real ones are tested in tests/finding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lib_prodshot.finding.finder import Finder
from lib_prodshot.finding.interface import Box, Boxes, Picture, SoftMask
from lib_prodshot.products import ProductClass


class FixedDetector:
    """Finds the first class in the middle half of every picture that is brighter than `darkest` on average."""

    name = "fixed"

    def __init__(
        self, score: float = 0.8, darkest: float = 0.0, further: Sequence[tuple[float, Sequence[float]]] = ()
    ) -> None:
        """`further`: scores and boxes (shares of width and height) of further detections of the first class."""
        self.further = further
        self.score = score
        self.darkest = darkest
        self.calls = 0

    def detect(self, picture: Picture, classes: Sequence[ProductClass], text_threshold: float) -> Boxes:
        self.calls += 1
        if picture.mean() < self.darkest:
            return Boxes((), tuple(0.07 for _ in classes))
        height, width = picture.shape[:2]
        corners = (width // 4, height // 4, width - width // 4, height - height // 4)
        scores = tuple(self.score if index == 0 else 0.05 for index in range(len(classes)))
        boxes = (Box(0, self.score, corners),) if self.score >= classes[0].threshold else ()
        for score, (x0, y0, x1, y1) in self.further:
            if score >= classes[0].threshold:
                boxes += (Box(0, score, (x0 * width, y0 * height, x1 * width, y1 * height)),)
        return Boxes(boxes, scores)

    def unload(self) -> None:
        pass


class BoxSegmenter:
    """Takes the whole box for the product."""

    name = "box"

    def __init__(self) -> None:
        self.calls = 0

    def segment(self, picture: Picture, boxes: Sequence[Box]) -> list[SoftMask]:
        self.calls += 1
        return [self._mask(picture, box) for box in boxes]

    @staticmethod
    def _mask(picture: Picture, box: Box) -> SoftMask:
        mask = np.zeros(picture.shape[:2], np.uint8)
        x0, y0, x1, y1 = map(round, box.corners)
        mask[y0:y1, x0:x1] = 255
        return mask

    def unload(self) -> None:
        pass


def fixed_finder(
    score: float = 0.8, darkest: float = 0.0, further: Sequence[tuple[float, Sequence[float]]] = ()
) -> Finder:
    return Finder("fixed", FixedDetector(score, darkest, further), BoxSegmenter())
