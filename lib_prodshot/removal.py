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

CONTRAST = 8
"""Levels by which a letter differs from the ground behind it at least; above that Otsu's threshold (1979) decides."""

LARGEST_FILL = 0.5
"""The share of a picture from which on too little is left to fill the rest from."""

_NUMBER = r"-?\d{1,6}(?:\.\d+)?%?"
_BOX = re.compile(rf"{_NUMBER}(?:[\s,]+{_NUMBER}){{3}}")

Rectangle = tuple[int, int, int, int]

Quad = Sequence[tuple[float, float]]
"""Four corners x, y in their order."""


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

    def __bool__(self) -> bool:
        return self.text or bool(self.boxes)


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


def region_of_letters(picture: Rgb, quads: Sequence[Quad]) -> Mask:
    """H×W, 255 on the letters of lines of text and close around them: what stands out from the ground behind the line,
    as the median of its surroundings has it. Where that says nothing, all of the line. `quads` are the lines' four
    corners (x, y) in their order, however slanted."""
    import numpy as np

    region = np.zeros(picture.shape[:2], np.uint8)
    for quad in quads:
        _add_letters(region, picture, quad)
    return region


def _add_letters(region: Mask, picture: Rgb, quad: Quad) -> None:
    import cv2
    import numpy as np

    corners = np.array(quad, np.float32)
    tall = max(
        1, round(min(float(np.linalg.norm(corners[0] - corners[1])), float(np.linalg.norm(corners[1] - corners[2]))))
    )
    margin = 2 + tall // 5
    left, top = (max(0, int(value)) for value in np.floor(corners.min(axis=0)) - 2 * margin)
    right, bottom = (int(value) for value in np.ceil(corners.max(axis=0)) + 2 * margin)
    part = (slice(top, bottom), slice(left, right))
    if not picture[part].size:
        return
    line = np.zeros(picture[part].shape[:2], np.uint8)
    cv2.fillConvexPoly(line, np.round(corners - (left, top)).astype(np.int32), 255)
    wide = np.asarray(cv2.dilate(line, _disc(margin)), np.uint8)
    region[part] |= _letters(picture[part], line, wide, tall)


def _letters(part: Rgb, line: Mask, wide: Mask, tall: int) -> Mask:
    """The letters within `wide`, which is the line and its margin; the line itself where they cannot be told."""
    import cv2
    import numpy as np

    ground = cv2.medianBlur(np.ascontiguousarray(part), min(255, 2 * tall + 1))
    contrast = cv2.absdiff(part, ground).max(axis=2)
    limit, _ = cv2.threshold(contrast[wide > 0][None], 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    strokes = np.where((contrast > max(limit, CONTRAST)) & (wide > 0), np.uint8(255), np.uint8(0))
    if not 0.02 < cv2.countNonZero(strokes) / max(1, cv2.countNonZero(wide)) < 0.6:
        return line
    return np.asarray(cv2.bitwise_and(cv2.dilate(strokes, _disc(2 + tall // 10)), wide), np.uint8)


def _disc(radius: int) -> Mask:
    import cv2
    import numpy as np

    side = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


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
