"""What does not belong in a picture (stickers, dates, watermarks): where it is, and how it is filled from around it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lib_prodshot.errors import FieldProblem, RequestError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Rgb = npt.NDArray[np.uint8]
    Mask = npt.NDArray[np.uint8]

TEXT = "text"
"""The word for all text outside the product."""

MAX_BOXES = 200

RADIUS = 5
"""Pixels around a spot that its filling is taken from (Telea 2004, as OpenCV has it)."""

CONTEXT = 32
"""Pixels around the spots that the filling works on."""

CONTRAST = 12
"""Levels by which a letter differs from the ground behind it at least."""

_NUMBER = r"-?\d{1,6}(?:\.\d+)?%?"
_BOX = re.compile(rf"{_NUMBER}(?:[\s,]+{_NUMBER}){{3}}")

Rectangle = tuple[int, int, int, int]


@dataclass(frozen=True)
class Length:
    """A place along one side of a picture: in pixels, or as a share of the side."""

    value: float
    is_share: bool

    def pixels(self, side: int) -> float:
        """The place in pixels from the upper left, in a picture of that side."""
        return self.value * side if self.is_share else self.value


@dataclass(frozen=True)
class Removal:
    """What is to go: text outside the product, and boxes (x0, y0, x1, y1) anywhere."""

    text: bool = False
    boxes: tuple[tuple[Length, Length, Length, Length], ...] = ()


def parse(told: str) -> Removal:
    """Read 'text; 10 10 200 60; 70% 90% 100% 100%': boxes in pixels, or in shares of width and height.

    Raises `RequestError` naming the setting `remove` and the part that cannot be read.

    >>> parse("text; 70% 90% 100% 100%").boxes[0][0].pixels(1000)
    700.0
    """
    parts = [part.strip() for part in re.split(r"[;\n]", told) if part.strip()]
    wrong = [part for part in parts if part.lower() != TEXT and not _BOX.fullmatch(part)]
    if wrong:
        message = f"{wrong[0]!r} is neither the word text nor a box of four numbers"
        raise RequestError([FieldProblem("remove", message, "text; 10 10 200 60; 70% 90% 100% 100%")])
    if len(parts) > MAX_BOXES:
        raise RequestError([FieldProblem("remove", f"{len(parts)} boxes are too many", f"at most {MAX_BOXES}")])
    boxes = tuple(_box(part) for part in parts if part.lower() != TEXT)
    return Removal(any(part.lower() == TEXT for part in parts), boxes)


def _box(part: str) -> tuple[Length, Length, Length, Length]:
    x0, y0, x1, y1 = (
        Length(float(text.rstrip("%")) / (100 if text.endswith("%") else 1), text.endswith("%"))
        for text in re.findall(_NUMBER, part)
    )
    return x0, y0, x1, y1


def rectangles(removal: Removal, height: int, width: int) -> tuple[Rectangle, ...]:
    """The boxes in whole pixels of a picture, cut off at its edges; those that lie outside it are left out."""
    found = []
    for x0, y0, x1, y1 in removal.boxes:
        columns = sorted(min(max(round(place.pixels(width)), 0), width) for place in (x0, x1))
        rows = sorted(min(max(round(place.pixels(height)), 0), height) for place in (y0, y1))
        if columns[0] < columns[1] and rows[0] < rows[1]:
            found.append((columns[0], rows[0], columns[1], rows[1]))
    return tuple(found)


def region_of_boxes(boxes: Sequence[Rectangle], height: int, width: int) -> Mask:
    """H×W, 255 where a box covers the picture."""
    import numpy as np

    region = np.zeros((height, width), np.uint8)
    for x0, y0, x1, y1 in boxes:
        region[y0:y1, x0:x1] = 255
    return region


def region_of_letters(picture: Rgb, boxes: Sequence[Rectangle]) -> Mask:
    """H×W, 255 on the letters of lines of text and close around them: what differs from the ground behind the line, as
    the median of its surroundings has it. Where that says nothing, the line's whole box."""
    import numpy as np

    height, width = picture.shape[:2]
    region = np.zeros((height, width), np.uint8)
    for x0, y0, x1, y1 in boxes:
        tall = max(1, y1 - y0)
        margin = 2 + tall // 5
        left, top = max(0, x0 - margin), max(0, y0 - margin)
        part = (slice(top, min(height, y1 + margin)), slice(left, min(width, x1 + margin)))
        if picture[part].size:
            region[part] |= _letters(picture[part], tall)
    return region


def _letters(part: Rgb, tall: int) -> Mask:
    import cv2
    import numpy as np

    ground = cv2.medianBlur(np.ascontiguousarray(part), min(255, 2 * tall // 2 * 2 + 1))
    strokes = (cv2.absdiff(part, ground).max(axis=2) >= CONTRAST).astype(np.uint8) * 255
    if not 0.02 < strokes.mean() / 255 < 0.6:
        return np.full(part.shape[:2], 255, np.uint8)
    reach = 2 * (1 + tall // 12) + 1
    return np.asarray(cv2.dilate(strokes, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))), np.uint8)


def filled(picture: Rgb, region: Mask) -> Rgb:
    """The picture (H×W×3) with what the region (H×W) covers filled from around it; every other pixel as it was."""
    import cv2

    from lib_prodshot.bounds import bounding_box

    result = picture.copy()
    x, y, wide, high = bounding_box(region)
    if not wide:
        return result
    rows = slice(max(0, y - CONTEXT), y + high + CONTEXT)
    columns = slice(max(0, x - CONTEXT), x + wide + CONTEXT)
    part, spots = picture[rows, columns], region[rows, columns]
    painted = cv2.inpaint(part, spots, RADIUS, cv2.INPAINT_TELEA)
    cv2.copyTo(painted, spots, result[rows, columns])
    return result
