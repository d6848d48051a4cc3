"""The text gate: lines read inside the product before and after, matched by place and compared by edit distance."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.bounds import bounding_box
from lib_prodshot.gates.interface import Answer, Rectangle, by_limits, not_checked

Rgb = npt.NDArray[np.uint8]
"""H×W×3 RGB."""

Mask = npt.NDArray[np.uint8]

LIMIT = 0.18
"""Share of a line's letters that may change; docs/gates.md says on what it was chosen."""

SMALLEST = 48
"""A product under this many pixels wide or high has no text that anyone could read."""

SURE = 0.8
"""A line read with a lower score is not compared: harmless noise changes what is read there."""

INVENTED = 0.9
"""A line that was not there before counts from this score on."""

ALIKE = str.maketrans({"0": "o", "1": "l", "i": "l", "|": "l", "!": "l", "ı": "l", "$": "s", "5": "s"})
"""Letters that readers confuse in sound print; exchanged for each other they are no difference."""


@dataclass(frozen=True)
class Line:
    """One line of text: `score` 0..1 as the reader is sure of it, `box` around it in the picture that was read, and its
    own four `corners` (x, y) in their order where the reader tells them."""

    text: str
    score: float
    box: Rectangle
    corners: tuple[tuple[float, float], ...] = ()

    def moved(self, x: int, y: int) -> Line:
        """The same line in a picture of which what was read is a part, at x and y."""
        x0, y0, x1, y1 = self.box
        corners = tuple((across + x, down + y) for across, down in self.corners)
        return Line(self.text, self.score, (x0 + x, y0 + y, x1 + x, y1 + y), corners)


class TextReader(Protocol):
    """Reads text in pictures."""

    name: str

    def read(self, picture: Rgb) -> Sequence[Line]:
        """The lines of an H×W×3 uint8 RGB picture, in any order. Raises `EnhanceError` when the reader fails."""


@dataclass(frozen=True)
class Comparison:
    """One stretch of text before and after, in whatever number of lines: `distance` is the edit distance of the two
    texts (without spaces, case and what readers confuse), `box` where it stands."""

    before: str
    after: str
    distance: int
    box: Rectangle

    @property
    def share(self) -> float:
        """The distance as a share of the longer text, 0..1."""
        return self.distance / max(len(self.before), len(self.after), 1)


def read_inside(reader: TextReader, picture: Rgb, mask: Mask) -> tuple[Line, ...]:
    """The lines whose middle is inside the mask (H×W), read in the rectangle around it."""
    height, width = mask.shape
    x, y, wide, high = bounding_box(mask)
    margin = round(0.05 * max(wide, high))
    x0, y0, x1, y1 = (
        max(0, x - margin),
        max(0, y - margin),
        min(width, x + wide + margin),
        min(height, y + high + margin),
    )
    lines = [line.moved(x0, y0) for line in reader.read(np.ascontiguousarray(picture[y0:y1, x0:x1]))]
    return split(lines, mask)[0]


def split(lines: Sequence[Line], mask: Mask) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    """The lines whose middle is inside the mask (H×W), small gaps in it filled, and the others."""
    filled = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    is_inside = [bool(filled[_middle(line.box, *mask.shape)]) for line in lines]
    inside = tuple(line for line, within in zip(lines, is_inside) if within)
    return inside, tuple(line for line, within in zip(lines, is_inside) if not within)


def _middle(box: Rectangle, height: int, width: int) -> tuple[int, int]:
    x0, y0, x1, y1 = box
    return min(max((y0 + y1) // 2, 0), height - 1), min(max((x0 + x1) // 2, 0), width - 1)


def plain(text: str) -> str:
    """Text as it is compared: NFKC, letters and digits only, in small letters, those that readers confuse as one.

    >>> plain("Hand Soap, 500 ml!")
    'handsoapsoomll'
    """
    folded = unicodedata.normalize("NFKC", text).casefold().translate(ALIKE)
    return "".join(letter for letter in folded if letter.isalnum())


def edit_distance(one: str, other: str) -> int:
    """How many letters must be put in, taken out or exchanged (Levenshtein 1966).

    >>> edit_distance("handsoap", "hanosaap")
    2
    """
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        above, row[0] = row[0], number
        for place, against in enumerate(other, 1):
            above, row[place] = row[place], min(above + (letter != against), row[place] + 1, row[place - 1] + 1)
    return row[-1]


def compare(before: Sequence[Line], after: Sequence[Line]) -> tuple[Comparison, ...]:
    """The sure lines of `before` with what stands in their places after, and lines that were invented.

    A reader may split one line in two or join two into one, so lines that overlap are compared together.
    """
    return tuple(_comparisons(before, after))


def _comparisons(before: Sequence[Line], after: Sequence[Line]) -> Iterator[Comparison]:
    lines = [*before, *after]
    for group in _overlapping([line.box for line in lines]):
        old = [lines[number] for number in group if number < len(before)]
        new = [lines[number] for number in group if number >= len(before)]
        if (old and min(line.score for line in old) < SURE) or (not old and min(line.score for line in new) < INVENTED):
            continue
        was, now = (plain(" ".join(line.text for line in _in_order(side))) for side in (old, new))
        if was or now:
            yield Comparison(was, now, edit_distance(was, now), _around([line.box for line in old or new]))


def _overlapping(boxes: Sequence[Rectangle]) -> list[list[int]]:
    """Numbers of boxes that overlap by a third of the smaller one, directly or through others."""
    group = list(range(len(boxes)))
    for one in range(len(boxes)):
        for other in range(one):
            if group[one] != group[other] and _overlap(boxes[one], boxes[other]) > 1 / 3:
                old, new = group[one], group[other]
                group = [new if each == old else each for each in group]
    return [[number for number, own in enumerate(group) if own == each] for each in sorted(set(group))]


def _overlap(one: Rectangle, other: Rectangle) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return wide * high / smaller if wide > 0 and high > 0 and smaller > 0 else 0.0


def _in_order(lines: Sequence[Line]) -> list[Line]:
    """As one reads: from left to right where lines stand side by side, else from top to bottom."""
    if len(lines) < 2:
        return list(lines)
    box = _around([line.box for line in lines])
    tallest = max(line.box[3] - line.box[1] for line in lines)
    if box[3] - box[1] < 1.6 * tallest:
        return sorted(lines, key=lambda line: line.box[0])
    return sorted(lines, key=lambda line: (line.box[1], line.box[0]))


def _around(boxes: Sequence[Rectangle]) -> Rectangle:
    left, top, right, bottom = zip(*boxes)
    return min(left), min(top), max(right), max(bottom)


def answer(before: Sequence[Line], after: Sequence[Line], limit: float) -> tuple[Answer, tuple[Rectangle, ...]]:
    """Pass when no line changed by more than `limit` (edit distance as a share of its letters); and the boxes of those
    that did."""
    compared = compare(before, after)
    if not compared:
        return not_checked("text", "no line in the product could be read for sure"), ()
    worst = max(compared, key=lambda each: each.share)
    changed = [each for each in compared if each.share > limit]
    figures = {
        "lines": len(compared),
        "lines_changed": len(changed),
        "letters_changed": sum(each.distance for each in compared),
        "worst_line": round(worst.share, 4),
    }
    words = f"{len(changed)} of {len(compared)} lines of text changed: {worst.before!r} reads {worst.after!r} now"
    excess = (worst.share - limit) / max(limit, 0.01)
    return by_limits("text", figures, {"text": (excess, words)}), tuple(each.box for each in changed)
