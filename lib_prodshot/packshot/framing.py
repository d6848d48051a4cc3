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
from lib_prodshot.packshot.arrays import Alpha
from lib_prodshot.packshot.cutout import CutOut
from lib_prodshot.packshot.placement import Placement

BOX_ALPHA = 0.1
"""From this alpha on a pixel counts for the product's box."""

MAX_SIDE = 20_000
"""Pixels of a frame's side at most."""

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
    of fill: pixels of the frame for one of the picture. `may_enlarge`: else a frame too large for the picture is made
    smaller."""

    size: Size | None
    fill: float
    margin: float = 0.0
    align: Align = "centre"
    scale: float = 0.0
    may_enlarge: bool = True


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
    if not is_ratio and max(width, height) > MAX_SIDE:
        raise ValueError(f"{text!r} is too large")
    return Size(width, height, is_ratio)


def product_box(alpha: Alpha) -> Box:
    """The box of a product (H×W alpha in 0..1)."""
    return bounding_box(np.greater_equal(alpha, BOX_ALPHA).view(np.uint8))


def fill_of(box: Box, width: int, height: int) -> float:
    """The share of a frame that a box takes along the side where it takes more."""
    return max(box[2] / width, box[3] / height)


def frame(cutout: CutOut, wanted: Frame) -> Framed:
    """Place a product in its frame as asked. Raises ValueError where the cut-out is empty."""
    box = product_box(cutout.alpha)
    if not box[2]:
        raise ValueError("nothing of the product is left to frame")
    width, height, scale, notes = _geometry(box, cutout.alpha.shape, wanted)
    placement = _placed(box, width, height, scale, wanted)
    # what resampling makes of the soft edge moves the box by up to a pixel: measured, and set right once
    cropped, placement = _cropped(cutout, placement)
    shown = product_box(placement.placed(cropped.alpha))
    if placement.is_resampled and shown[2] and not wanted.scale:
        scale *= _aim(wanted) / fill_of(shown, width, height)
        placement = _placed(box, width, height, scale, wanted)
        cropped, placement = _cropped(cutout, placement)
        shown = product_box(placement.placed(cropped.alpha))
    placement = _set_right(placement, shown, wanted)
    shown = product_box(placement.placed(cropped.alpha))
    share = shown[2] * shown[3] / (width * height)
    notes += _enlarged(scale)
    return Framed(cropped, placement, round(fill_of(shown, width, height), 4), round(share, 4), notes)


def _aim(wanted: Frame) -> float:
    """The share of the frame that the product may take along each side: its fill, within the margins."""
    return min(wanted.fill, 1 - 2 * wanted.margin)


def _geometry(box: Box, shape: tuple[int, ...], wanted: Frame) -> tuple[int, int, float, tuple[str, ...]]:
    """Width and height of the frame, and the scale of the picture in it."""
    size = wanted.size or Size(shape[1], shape[0], is_ratio=True)
    share = _aim(wanted)
    if size.is_ratio:
        scale = wanted.scale or 1.0
        ratio = size.width / size.height
        height = max(box[3] / share, box[2] / share / ratio) * scale
        return max(1, round(height * ratio)), max(1, round(height)), scale, ()
    width, height = int(size.width), int(size.height)
    scale = wanted.scale or min(share * width / box[2], share * height / box[3])
    if scale <= 1 or wanted.may_enlarge:
        return width, height, scale, ()
    smaller = (max(1, round(width / scale)), max(1, round(height / scale)))
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
    height, width = cutout.alpha.shape
    scale = placement.scale
    spare = _SPARE + math.ceil(_SPARE / scale)
    x0 = max(0, math.floor(-placement.left / scale) - spare)
    y0 = max(0, math.floor(-placement.top / scale) - spare)
    x1 = min(width, math.ceil((placement.width - placement.left) / scale) + spare)
    y1 = min(height, math.ceil((placement.height - placement.top) / scale) + spare)
    if (x0, y0, x1, y1) == (0, 0, width, height):
        return cutout, placement
    part = (slice(y0, y1), slice(x0, x1))
    cropped = CutOut(cutout.picture[part], cutout.alpha[part], cutout.foreground[part], cutout.band[part])
    left, top = placement.left + round(x0 * scale), placement.top + round(y0 * scale)
    return cropped, replace(placement, left=left, top=top)


def _enlarged(scale: float) -> tuple[str, ...]:
    if scale <= 1:
        return ()
    return (f"the product was enlarged {scale:.2f} times to fill its frame; a larger photograph would be sharper",)
