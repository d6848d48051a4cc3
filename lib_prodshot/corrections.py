"""What a user corrects by hand, as text settings: which boxes to take, and strokes and points on the mask.

Text, so that a correction stands in infotexts, presets and reports, and gives the same mask again wherever it is read.
Coordinates are whole pixels of the picture as shown (after EXIF rotation), (0, 0) being the upper left one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lib_prodshot.errors import FieldProblem, RequestError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Point = tuple[int, int]
"""x, y."""

NONE = "none"
"""The text for "no box at all"."""

MAX_RADIUS = 2048
MAX_EDITS = 2000

_BOX = re.compile(r"(?:(?P<label>.*?)\s+)?(?P<numbers>-?\d{1,6}(?:\s+-?\d{1,6}){3})", re.DOTALL)
_PICTURE = re.compile(r"of\s+(?P<picture>[0-9a-f]{8})")
_STROKE = re.compile(r"(?P<kind>add|erase)\s+(?P<radius>\d{1,4})\s*:\s*(?P<points>.+)", re.DOTALL)
_PROMPT = re.compile(r"(?P<kind>include|exclude)\s*:\s*(?P<points>.+)", re.DOTALL)
_POINT = re.compile(r"(-?\d{1,6})\s+(-?\d{1,6})")


@dataclass(frozen=True)
class ChosenBox:
    """A box that a user took: corners x0, y0, x1, y1, and the product's name (empty: of any product)."""

    label: str
    corners: tuple[float, float, float, float]

    def as_text(self) -> str:
        """The box as a list of boxes writes it."""
        return " ".join([*([self.label] if self.label else []), *(str(round(corner)) for corner in self.corners)])


@dataclass(frozen=True)
class Stroke:
    """A brush stroke of round tips of that radius along a line of points; `adds` to the mask or erases from it."""

    adds: bool
    radius: int
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Prompt:
    """A point that the segmenter is told to be part of the product, or not."""

    point: Point
    includes: bool


@dataclass(frozen=True)
class MaskEdits:
    """Corrections of one picture's mask, in their order; `picture` is its `fingerprint` (empty: of any picture)."""

    picture: str = ""
    strokes: tuple[Stroke, ...] = ()
    prompts: tuple[Prompt, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.strokes or self.prompts)

    def fits(self, rgb: npt.NDArray[np.uint8]) -> bool:
        """Whether they were made on this picture (H×W×3 uint8), or on none in particular."""
        return not self.picture or self.picture == fingerprint(rgb)


def fingerprint(rgb: npt.NDArray[np.uint8]) -> str:
    """Eight hexadecimal digits that tell a picture (H×W×3 uint8) from any other: of SHA-256 over size and samples."""
    digest = hashlib.sha256(f"{rgb.shape[1]}x{rgb.shape[0]}".encode())
    digest.update(rgb.tobytes())
    return digest.hexdigest()[:8]


def parse_boxes(text: str) -> tuple[ChosenBox, ...] | None:
    """Read 'handbag 30 20 90 60, 100 5 120 40', or 'none' for no box; None where nothing is said.

    Raises `RequestError` (field boxes).

    >>> parse_boxes("hand bag 30 20 90 60")
    (ChosenBox(label='hand bag', corners=(30.0, 20.0, 90.0, 60.0)),)
    """
    if not text.strip():
        return None
    if text.strip().lower() == NONE:
        return ()
    return tuple(_parse_box(entry.strip()) for entry in re.split(r"[,;\n]", text) if entry.strip())


def _parse_box(entry: str) -> ChosenBox:
    match = _BOX.fullmatch(entry)
    x0, y0, x1, y1 = map(float, match["numbers"].split()) if match else (0.0, 0.0, 0.0, 0.0)
    if match is None or x0 >= x1 or y0 >= y1:
        message = f"{entry!r} is no box: left, top, right and bottom in pixels, after the product's name or without it"
        raise RequestError([FieldProblem("boxes", message, "such as 'handbag 30 20 90 60', or 'none'")])
    return ChosenBox(" ".join((match["label"] or "").split()), (x0, y0, x1, y1))


def parse_edits(text: str) -> MaskEdits:
    """Read 'of 1a2b3c4d; add 12: 30 40, 35 44; erase 6: 80 20; include: 50 50; exclude: 10 12'.

    'of' names the picture by its fingerprint, 'add' and 'erase' draw with a round brush of that radius, 'include' and
    'exclude' are points for the segmenter. Raises `RequestError` (field mask_edits).
    """
    picture, strokes, prompts = "", [], []
    entries = [entry.strip() for entry in re.split(r"[;\n]", text) if entry.strip()]
    for entry in entries:
        if match := _PICTURE.fullmatch(entry):
            picture = match["picture"]
        elif match := _STROKE.fullmatch(entry):
            strokes.append(Stroke(match["kind"] == "add", _radius(entry, match["radius"]), _points(entry, match)))
        elif match := _PROMPT.fullmatch(entry):
            prompts += [Prompt(point, match["kind"] == "include") for point in _points(entry, match)]
        else:
            raise _edits_problem(entry)
    if len(entries) > MAX_EDITS:
        raise RequestError([FieldProblem("mask_edits", f"{len(entries)} edits", f"at most {MAX_EDITS}")])
    return MaskEdits(picture, tuple(strokes), tuple(prompts))


def _radius(entry: str, digits: str) -> int:
    if not 1 <= int(digits) <= MAX_RADIUS:
        raise _edits_problem(entry)
    return int(digits)


def _points(entry: str, match: re.Match[str]) -> tuple[Point, ...]:
    found = [_POINT.fullmatch(part.strip()) for part in match["points"].split(",")]
    if not all(found):
        raise _edits_problem(entry)
    return tuple((int(point[1]), int(point[2])) for point in found if point)


def _edits_problem(entry: str) -> RequestError:
    told = entry if len(entry) <= 60 else f"{entry[:60]}…"
    allowed = "such as 'add 12: 30 40, 35 44; erase 6: 80 20; include: 50 50; exclude: 10 12'"
    return RequestError([FieldProblem("mask_edits", f"{told!r} is no edit of a mask", allowed)])


def matched(chosen: Sequence[ChosenBox], boxes: Sequence[ChosenBox], least: float = 0.5) -> list[int]:
    """Which of `boxes` each of the `chosen` means: the one that it overlaps best, from an IoU of `least` on, of its
    own label, and none twice. Sorted indices."""
    taken: set[int] = set()
    for wanted in chosen:
        fitting = ((iou(wanted.corners, box.corners), -number) for number, box in _of_label(wanted.label, boxes))
        overlap, number = max((pair for pair in fitting if -pair[1] not in taken), default=(0.0, 0))
        if overlap >= least:
            taken.add(-number)
    return sorted(taken)


def _of_label(label: str, boxes: Sequence[ChosenBox]) -> Iterator[tuple[int, ChosenBox]]:
    wanted = label.casefold()
    return ((number, box) for number, box in enumerate(boxes) if not wanted or box.label.casefold() == wanted)


def iou(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1)."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    if across <= 0 or down <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return across * down / (sum(areas) - across * down)
