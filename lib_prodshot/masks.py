"""Mask post-processing: soft masks to one binary mask and its feathered alpha.

Masks are H×W uint8, 0 or 255. Each step works on the part of the picture that can change, never on the whole frame
for one small product. Order: each instance is thresholded, loses specks, has holes filled, grows; then all chosen
ones are joined, perhaps inverted, and feathered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.bounds import bounding_box
from lib_prodshot.components import components_of
from lib_prodshot.corrections import Stroke
from lib_prodshot.errors import EnhanceError
from lib_prodshot.finding.interface import Box, Find, SoftMask

if TYPE_CHECKING:
    from lib_prodshot.request import Request

Mask = npt.NDArray[np.uint8]
"""H×W, 0 or 255."""

Alpha = npt.NDArray[np.uint8]
"""H×W, 0..255; 0 = untouched, 255 = wholly new."""

Region = tuple[slice, slice]
"""Rows and columns."""


@dataclass(frozen=True)
class Piece:
    """One instance's mask and where in the picture it lies; both are empty for an instance of which nothing is left."""

    region: Region
    mask: Mask

    def box(self, reach: int, width: int, height: int) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 around the mask (not empty) and `reach` pixels more, inside a picture of that size."""
        x, y, wide, high = bounding_box(self.mask)
        left, top = x + self.region[1].start, y + self.region[0].start
        right, bottom = left + wide, top + high
        return max(0, left - reach), max(0, top - reach), min(width, right + reach), min(height, bottom + reach)

    def whole(self, height: int, width: int) -> Mask:
        """The mask in a picture of that size."""
        whole = np.zeros((height, width), np.uint8)
        whole[self.region] = self.mask
        return whole


@dataclass(frozen=True)
class BuiltMask:
    """The joined mask of the chosen finds, and where the enhancer may change pixels.

    `mask` is the joined mask before, `alpha` after feathering (both H×W uint8); `chosen` are the indices of the
    finds that made it, `areas` the pixels of each one's own mask, `pieces` these masks themselves. Without any chosen
    find both are all 0.
    """

    mask: Mask
    alpha: Alpha
    chosen: tuple[int, ...]
    areas: tuple[int, ...]
    pieces: tuple[Piece, ...] = ()


def build_mask(
    finds: Sequence[Find], request: Request, strokes: Sequence[Stroke] = (), chosen: Sequence[int] | None = None
) -> BuiltMask:
    """Join the chosen finds of one picture into a mask, as the request's mask settings say. `finds` is not empty;
    `chosen` are the indices to join (None: as the request's `instances` says). `strokes` correct the joined mask.

    Raises `EnhanceError` when nothing is left to work on: shrunk away, below the threshold, or inverted to nothing.
    """
    pieces = [piece_of(find, request) for find in finds]
    areas = [cv2.countNonZero(piece.mask) for piece in pieces]
    if chosen is None:
        chosen = choose_instances([find.box for find in finds], areas, request.instances, request.instance_index)
    mask = np.zeros(finds[0].soft_mask.shape, np.uint8)
    if not chosen:
        return BuiltMask(mask, mask, (), ())
    for index in chosen:
        if areas[index]:
            part = mask[pieces[index].region]
            np.maximum(part, pieces[index].mask, out=part)
    if not any(areas[index] for index in chosen) and not strokes:
        raise EnhanceError(_why_empty(request))
    if request.invert:
        mask = invert(mask)
    if strokes:
        mask = _corrected(mask, strokes)
    if strokes and not request.invert:
        pieces = _shared_out(mask, pieces, chosen, [find.box for find in finds])
        areas = [cv2.countNonZero(piece.mask) for piece in pieces]
    if not mask.any() and strokes:
        raise EnhanceError("the edits have erased the whole mask; undo some of them (setting 'mask_edits')")
    if not mask.any():
        raise EnhanceError("the product fills the whole picture: its inverted mask is empty; turn 'invert' off")
    alpha = feather(mask, request.feather)
    if not alpha.any():
        raise EnhanceError(f"the mask is too small for a feather of {request.feather:g} pixels; lower 'feather'")
    own_areas, own_pieces = (
        tuple(areas[index] for index in chosen),
        tuple(_within(mask, pieces[index]) for index in chosen),
    )
    return BuiltMask(mask, alpha, tuple(chosen), own_areas, own_pieces)


def _within(mask: Mask, piece: Piece) -> Piece:
    """The piece as a part of the joined mask where that is the same there: its pixels are then not kept twice."""
    part = mask[piece.region]
    return Piece(piece.region, part) if np.array_equal(part, piece.mask) else piece


def _why_empty(request: Request) -> str:
    if request.grow < 0 or request.grow_share < 0:
        return "the mask is empty after shrinking; shrink less (settings 'grow' and 'grow_share')"
    return f"the mask is empty: no pixel reaches {request.mask_threshold:g}; lower 'mask_threshold'"


def piece_of(find: Find, request: Request) -> Piece:
    """The mask of one find: thresholded, without specks, its holes filled, grown."""
    soft = find.soft_mask
    whole = threshold(soft, request.mask_threshold)
    pixels = _growth(find.box, request)
    region = _region_around(whole, max(pixels, 0) + 1)
    mask = np.ascontiguousarray(whole[region])
    if not mask.size:
        return Piece(region, mask)
    if request.drop_specks:
        mask = drop_specks(mask, request.drop_specks)
    if request.fill_holes:
        mask = fill_holes(mask, request.fill_holes)
    return Piece(region, grow(mask, pixels))


def _growth(box: Box, request: Request) -> int:
    return request.grow + share_in_pixels(box, request.grow_share)


def _corrected(mask: Mask, strokes: Sequence[Stroke]) -> Mask:
    """The mask with strokes drawn on it, in their order."""
    corrected = mask.copy()
    for stroke in strokes:
        draw_stroke(corrected, stroke)
    return corrected


def draw_stroke(mask: Mask, stroke: Stroke) -> None:
    """Draw a stroke on a mask, in place: every pixel whose middle is no further than the radius from the line through
    the stroke's points. The panel's script draws by the same formula, in the same arithmetic, so that both masks are
    one."""
    ends = list(zip(stroke.points, stroke.points[1:])) or [(stroke.points[0], stroke.points[0])]
    height, width = mask.shape
    reach = stroke.radius
    for (x0, y0), (x1, y1) in ends:
        left, right = max(0, min(x0, x1) - reach), min(width, max(x0, x1) + reach + 1)
        top, bottom = max(0, min(y0, y1) - reach), min(height, max(y0, y1) + reach + 1)
        if left >= right or top >= bottom:
            continue
        across = np.arange(left, right, dtype=np.float64)[None, :] - x0
        down = np.arange(top, bottom, dtype=np.float64)[:, None] - y0
        dx, dy = float(x1 - x0), float(y1 - y0)
        length = dx * dx + dy * dy
        along = np.clip((across * dx + down * dy) / length, 0.0, 1.0) if length else np.zeros((1, 1))
        off_x, off_y = across - along * dx, down - along * dy
        near = off_x * off_x + off_y * off_y <= float(reach * reach)
        mask[top:bottom, left:right][near] = 255 if stroke.adds else 0


def _shared_out(mask: Mask, pieces: Sequence[Piece], chosen: Sequence[int], boxes: Sequence[Box]) -> list[Piece]:
    """The pieces after a correction of their joined mask: each without what was erased, and what was added to the one
    whose box is nearest to it."""
    height, width = mask.shape
    wholes = {index: np.minimum(pieces[index].whole(height, width), mask) for index in chosen}
    added = np.where(union(list(wholes.values())) > 0, np.uint8(0), mask)
    count, labels, _, centres = cv2.connectedComponentsWithStats(added, connectivity=8, ltype=cv2.CV_32S)
    for number in range(1, count):
        x, y = centres[number]
        nearest = min(chosen, key=lambda index: _distance(boxes[index], x, y))
        wholes[nearest][labels == number] = 255
    everything = (slice(0, height), slice(0, width))
    return [Piece(everything, wholes[index]) if index in wholes else piece for index, piece in enumerate(pieces)]


def _distance(box: Box, x: float, y: float) -> float:
    x0, y0, x1, y1 = box.corners
    return math.hypot(max(x0 - x, x - x1, 0.0), max(y0 - y, y - y1, 0.0))


def share_in_pixels(box: Box, share: float) -> int:
    """A share of the box's longer side in whole pixels, rounded."""
    x0, y0, x1, y1 = box.corners
    return round(share * max(x1 - x0, y1 - y0))


def _region_around(mask: Mask, margin: int) -> Region:
    """The rectangle around all that is not 0, widened by `margin` pixels inside the picture; empty if it is."""
    x, y, width, height = bounding_box(mask)
    if not width:
        return slice(0, 0), slice(0, 0)
    return slice(max(0, y - margin), y + height + margin), slice(max(0, x - margin), x + width + margin)


def choose_instances(boxes: Sequence[Box], areas: Sequence[int], how: str, index: int = 0) -> list[int]:
    """Select finds, in their order: for each product class all, its largest (by `areas`), its best scored,
    or the one at place `index` by score (0 is the best). A class with fewer instances contributes none."""
    if how == "all":
        return list(range(len(boxes)))
    by_class: dict[int, list[int]] = {}
    for number, box in enumerate(boxes):
        by_class.setdefault(box.class_index, []).append(number)
    chosen: list[int] = []
    for members in by_class.values():
        ranked = sorted(members, key=lambda number: -boxes[number].score)
        if how == "largest":
            ranked = sorted(ranked, key=lambda number: -areas[number])
        place = index if how == "index" else 0
        chosen.extend(ranked[place : place + 1])
    return sorted(chosen)


def threshold(soft: SoftMask, probability: float) -> Mask:
    """Pixels of a soft mask (0..255) whose probability is at least `probability` (0..1).

    >>> threshold(np.array([[0, 127, 128, 255]], np.uint8), 0.5)
    array([[  0,   0, 255, 255]], dtype=uint8)
    """
    level = math.ceil(probability * 255 - 1e-9)
    _, mask = cv2.threshold(soft, level - 1, 255, cv2.THRESH_BINARY)
    return np.asarray(mask, dtype=np.uint8)


def drop_specks(mask: Mask, min_share: float) -> Mask:
    """Remove connected components (8-connected) smaller than `min_share` of the largest one's area."""
    components = components_of(mask)
    small = components.areas < min_share * components.areas.max(initial=0)
    if not small.any():
        return mask
    kept = mask.copy()
    components.draw(small, kept, 0)
    return kept


def fill_holes(mask: Mask, max_share: float) -> Mask:
    """Fill holes that are at most `max_share` of the mask's own area; 1 or more fills every hole.

    A hole is background that no path of edge-sharing pixels joins to the mask's outside; a gap that reaches the
    picture's border is not one.

    >>> ring = np.array([[255, 255, 255], [255, 0, 255], [255, 255, 255]], np.uint8)
    >>> bool(fill_holes(ring, 0.125).all()), bool(fill_holes(ring, 0.1).all())
    (True, False)
    """
    framed = cv2.copyMakeBorder(cv2.bitwise_not(mask), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=255)
    outside = np.asarray(framed, np.uint8)
    gaps = components_of(outside, connectivity=4)
    limit = math.inf if max_share >= 1 else max_share * cv2.countNonZero(mask)
    filled = gaps.areas <= limit
    filled[gaps.labels[0]] = False
    if not filled.any():
        return mask
    gaps.draw(filled, outside, 0)
    return np.asarray(cv2.bitwise_not(outside[1:-1, 1:-1]))


def grow(mask: Mask, pixels: int) -> Mask:
    """Dilate (or, below 0, erode) a mask by a disc of that radius in pixels.

    What lies beyond the picture counts as neither: a product cut by the picture's border does not shrink there.

    >>> grow(np.array([[0, 0, 255, 255, 255]], np.uint8), 1)
    array([[  0, 255, 255, 255, 255]], dtype=uint8)
    >>> grow(np.array([[0, 0, 255, 255, 255]], np.uint8), -1)
    array([[  0,   0,   0, 255, 255]], dtype=uint8)
    """
    if not pixels or not mask.any() or (pixels < 0 and mask.all()):
        return mask
    background = cv2.bitwise_not(mask) if pixels > 0 else mask
    distance = cv2.distanceTransform(background, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # distances are roots of whole numbers: halfway between two of them no rounding can confuse
    near = distance <= math.sqrt(pixels * pixels + 0.5)
    return np.where(near == (pixels > 0), np.uint8(255), np.uint8(0))


def union(masks: Sequence[Mask]) -> Mask:
    """Union of one or more masks of the same size; of one it is that one itself."""
    if len(masks) == 1:
        return masks[0]
    joined = masks[0].copy()
    for mask in masks[1:]:
        np.maximum(joined, mask, out=joined)
    return joined


def invert(mask: Mask) -> Mask:
    """Everything but the mask."""
    return np.asarray(cv2.bitwise_not(mask), dtype=np.uint8)


def feather_reach(blur: float) -> int:
    """How many pixels beyond the mask (a square dilation) a feather reaches at most; exactly 0 further out.

    >>> feather_reach(4.0)
    10
    """
    return int(2.5 * blur + 0.5)


def feather(mask: Mask, blur: float) -> Alpha:
    """Feather a mask's edge as the WebUI's mask blur does: a Gaussian of sigma `blur` pixels whose kernel is
    2 · int(2.5 · blur + 0.5) + 1 wide, so that the result is 0 beyond `feather_reach`.

    Source: AUTOMATIC1111 WebUI 1.10.1, `modules/processing.py` (StableDiffusionProcessingImg2Img.init).
    """
    reach = feather_reach(blur)
    if not reach or not mask.any():
        return mask
    # twice the reach, so that what the blur mirrors at the cut's own border is all 0
    region = _region_around(mask, 2 * reach)
    size = 2 * reach + 1
    alpha = np.zeros_like(mask)
    cv2.GaussianBlur(mask[region], (size, size), blur, dst=alpha[region])
    return alpha
