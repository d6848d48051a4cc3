"""The frame of a packshot: where the product's box goes, how large, and what of the picture is needed for that.

Fill is the share of the frame that the product's box takes along the side where it takes more: its longer side by the
frame's side where both are alike, which is how marketplaces count it. The box holds all pixels of at least a tenth of
full opacity.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lib_prodshot.bounds import bounding_box
from lib_prodshot.packshot.arrays import Grey
from lib_prodshot.packshot.cutout import CutOut
from lib_prodshot.packshot.placement import Placement

BOX_LEVEL = 26
"""From this level on a pixel counts for the product's box: an alpha of 0.1."""

MAX_SIDE = 20_000
"""Pixels of a frame's side at most."""

MAX_PIXELS = 105_000_000
"""Pixels of a frame at most, as of a picture that is read."""

_SPARE = 8
"""Pixels of the picture kept around what the frame shows, for the resampling's reach."""

Box = tuple[int, int, int, int]
"""x, y, width and height."""

Align = Literal["centre", "baseline"]


@dataclass(frozen=True)
class Size:
    """A frame's size in pixels, or its ratio alone (`is_ratio`)."""

    width: float
    height: float
    is_ratio: bool = False


@dataclass(frozen=True)
class Frame:
    """What is asked of a frame: its size or ratio (None: the picture's own ratio), `fill` 0..1, at least `margin`
    (a share of the frame's shorter side) around the product, and where the box stands. `scale` above 0 takes the place
    of fill: pixels of the frame for one of the picture. `reference` is the width and height of the box that would fill
    the frame as asked; others keep their size beside it. `may_enlarge`: else a frame too large for the picture is made
    smaller."""

    size: Size | None
    fill: float
    margin: float = 0.0
    align: Align = "centre"
    scale: float = 0.0
    may_enlarge: bool = True
    reference: tuple[int, int] | None = None


@dataclass(frozen=True)
class Framed:
    """A cut-out cropped to what its frame shows, and where it goes; `fill` and `area_share` as they came out, and notes
    about what was asked for and could not be."""

    cutout: CutOut
    placement: Placement
    fill: float
    area_share: float
    notes: tuple[str, ...] = ()


def parse_size(text: str) -> Size | None:
    """'2000x2000' (pixels) or '4:5' (a ratio); None for an empty text. Raises ValueError with what is wrong.

    >>> parse_size("1801x2600"), parse_size(" 4:5 ").is_ratio, parse_size("")
    (Size(width=1801.0, height=2600.0, is_ratio=False), True, None)
    """
    if not text.strip():
        return None
    found = re.fullmatch(r"\s*(\d{1,6}(?:\.\d+)?)\s*([x×:*])\s*(\d{1,6}(?:\.\d+)?)\s*", text.lower())
    if found is None:
        raise ValueError(f"{text!r} is neither a size nor a ratio")
    width, height, is_ratio = float(found[1]), float(found[3]), found[2] == ":"
    if is_ratio and not (width and height and 0.1 <= width / height <= 10):
        raise ValueError(f"{text!r} is no ratio between 1:10 and 10:1")
    if not is_ratio and not (width.is_integer() and height.is_integer() and min(width, height) >= 16):
        raise ValueError(f"{text!r} is not a size in whole pixels, 16 or more")
    if not is_ratio and _is_too_large(width, height):
        raise ValueError(f"{text!r} is too large")
    return Size(width, height, is_ratio)


def parse_reference(text: str) -> tuple[int, int] | None:
    """'1200x900': width and height in pixels; None for an empty text. Raises ValueError with what is wrong.

    >>> parse_reference("1200x900"), parse_reference("")
    ((1200, 900), None)
    """
    if not text.strip():
        return None
    found = re.fullmatch(r"\s*(\d{1,6})\s*[x×*]\s*(\d{1,6})\s*", text.lower())
    if found is None or not (int(found[1]) and int(found[2])):
        raise ValueError(f"{text!r} is no width and height in pixels")
    return int(found[1]), int(found[2])


def product_box(opacity: Grey) -> Box:
    """The box of a product (H×W, 0..255)."""
    return bounding_box(np.greater_equal(opacity, BOX_LEVEL).view(np.uint8))


def fill_of(box: Box, width: int, height: int) -> float:
    """The share of a frame that a box takes along the side where it takes more."""
    return max(box[2] / width, box[3] / height)


def frame(cutout: CutOut, wanted: Frame) -> Framed:
    """Place a product in its frame as asked. Raises ValueError where the cut-out is empty, and where the frame that
    follows from its box would be too large."""
    box = product_box(cutout.shares.opacity)
    if not box[2]:
        raise ValueError("nothing of the product is left to frame")
    width, height, scale, notes = _geometry(box, cutout.shares.shape, wanted)
    if _is_too_large(width, height):
        raise ValueError(f"the frame would be {width}×{height} pixels; set a larger fill, or a size in pixels")
    placement = _placed(box, width, height, scale, wanted)
    cropped, placement = _cropped(cutout, placement)
    shown = product_box(placement.placed_levels(cropped.shares))
    if placement.is_resampled and not wanted.scale and wanted.reference is None:
        # what resampling makes of the soft edge moves the box by up to a pixel: measured, and set right
        for spare in range(_TRIES):
            change = _change(shown, width, height, wanted, spare)
            if change == 1:
                break
            scale *= change
            placement = _placed(box, width, height, scale, wanted)
            cropped, placement = _cropped(cutout, placement)
            shown = product_box(placement.placed_levels(cropped.shares))
    placement = _set_right(placement, shown, wanted)
    shown = product_box(placement.placed_levels(cropped.shares))
    share = shown[2] * shown[3] / (width * height)
    if max(box[2] * scale / width, box[3] * scale / height) > 1:
        notes += ("the product is larger than its frame at this scale, and is cut off",)
    return Framed(cropped, placement, round(fill_of(shown, width, height), 4), round(share, 4), notes)


def _is_too_large(width: float, height: float) -> bool:
    return max(width, height) > MAX_SIDE or width * height > MAX_PIXELS


def _aim(wanted: Frame) -> float:
    """The share of the frame that the product may take along each side: its fill, within the margins."""
    return min(wanted.fill, 1 - 2 * wanted.margin)


_TRIES = 4
"""How often the scale is set right at most; the box moves by whole pixels, so that one try seldom does."""


def _change(shown: Box, width: int, height: int, wanted: Frame, spare: int) -> float:
    """By what to multiply the scale so that the box that is seen fills what was asked for, and never a pixel less; 1
    where it does. `spare` pixels are added from the third try on, where the box jumps over what was asked for."""
    if not shown[2]:
        return 1
    side, box = (width, shown[2]) if shown[2] / width >= shown[3] / height else (height, shown[3])
    least, most = math.ceil(side * wanted.fill - 1e-6), math.floor(side * (1 - 2 * wanted.margin) + 1e-6)
    aim = min(least, most)
    if box == aim or (spare and aim < box <= min(aim + 1, most)):
        return 1
    return (aim + max(0, spare - 1) / 2) / box


def _geometry(box: Box, shape: tuple[int, ...], wanted: Frame) -> tuple[int, int, float, tuple[str, ...]]:
    """Width and height of the frame, and the scale of the picture in it."""
    size = wanted.size or Size(shape[1], shape[0], is_ratio=True)
    share = _aim(wanted)
    wide, high = wanted.reference or box[2:]
    if size.is_ratio:
        scale = wanted.scale or 1.0
        ratio = size.width / size.height
        # rounded down: a frame that is a part of a pixel larger would be filled by less than was asked for
        height = max(high / share, wide / share / ratio) * scale
        return max(1, math.floor(height * ratio + 1e-6)), max(1, math.floor(height + 1e-6)), scale, ()
    width, height = int(size.width), int(size.height)
    scale = wanted.scale or min(share * width / wide, share * height / high)
    if scale <= 1 or wanted.may_enlarge:
        return width, height, scale, ()
    smaller = (max(1, math.floor(width / scale + 1e-6)), max(1, math.floor(height / scale + 1e-6)))
    note = f"a frame of {width}×{height} would enlarge the product; made {smaller[0]}×{smaller[1]} instead"
    return *smaller, 1.0, (note,)


def _placed(box: Box, width: int, height: int, scale: float, wanted: Frame) -> Placement:
    """The product's box in the middle of the frame; with 'baseline' it stands where a product of that fill would."""
    centre = (box[0] + box[2] / 2) * scale
    left = round(width / 2 - centre)
    if wanted.align == "baseline":
        bottom = height * (1 + _aim(wanted)) / 2
        return Placement(width, height, scale, left, round(bottom - (box[1] + box[3]) * scale))
    middle = (box[1] + box[3] / 2) * scale
    return Placement(width, height, scale, left, round(height / 2 - middle))


def _set_right(placement: Placement, shown: Box, wanted: Frame) -> Placement:
    """Move the picture by whole pixels until the box that is seen stands where it should."""
    left = placement.left + round((placement.width - shown[2]) / 2 - shown[0])
    if wanted.align == "baseline":
        bottom = placement.height * (1 + _aim(wanted)) / 2
        return replace(placement, left=left, top=placement.top + round(bottom - shown[1] - shown[3]))
    top = placement.top + round((placement.height - shown[3]) / 2 - shown[1])
    return replace(placement, left=left, top=top)


def _cropped(cutout: CutOut, placement: Placement) -> tuple[CutOut, Placement]:
    """The part of the picture that the frame shows, with some pixels to spare, so that no more than that is scaled."""
    height, width = cutout.shares.shape
    scale = placement.scale
    spare = _SPARE + math.ceil(_SPARE / scale)
    x0 = max(0, math.floor(-placement.left / scale) - spare)
    y0 = max(0, math.floor(-placement.top / scale) - spare)
    x1 = min(width, math.ceil((placement.width - placement.left) / scale) + spare)
    y1 = min(height, math.ceil((placement.height - placement.top) / scale) + spare)
    if (x0, y0, x1, y1) == (0, 0, width, height):
        return cutout, placement
    cropped = cutout.cropped((slice(y0, y1), slice(x0, x1)))
    left, top = placement.left + round(x0 * scale), placement.top + round(y0 * scale)
    return cropped, replace(placement, left=left, top=top, origin=(x0, y0))
