"""Registration: an engine that repaints a whole picture may shift, zoom or squeeze it; its result is put back onto the
input by what must not have changed.

A translation by phase correlation (Kuglin and Hines 1975) on a small copy, then an affine map by maximising the
enhanced correlation coefficient (Evangelidis and Psarakis 2008), which neither brightness nor contrast moves. Whether
it holds is measured afterwards, tile by tile, and not taken from the fit.

Where what must not have changed is plain (a shop's white ground), nothing there tells how a picture lies; then the
outline of what was to change is taken, which an edit of its material keeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.errors import EnhanceError

Rgb = npt.NDArray[np.uint8]
Alpha = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

LARGEST = 0.05
"""No corner may have moved further than this share of the longer side: beyond it the picture was composed anew."""

HELD = 0.5
"""Pixels that nine tenths of the tiles may be off afterwards."""

_COARSE, _FINE = 256, 1024
"""Longer sides of the copies on which the map is fitted, in pixels."""

_TILE = 64
_NARROW = 32
_TILES = 6
"""Tiles that are measured afterwards: their side in pixels of the fine copy, along an outline too, and how many there
must be at least."""

_TEXTURE = 4.0
"""Standard deviation (levels of 255) from which a tile has something to hold on to."""

_OUTLINE = (0.02, 0.06)
_LEAST = (8, _NARROW)
"""How far the band along an outline reaches into what was to change and out of it, as shares of the longer side, and in
pixels at least."""

_APART = 16.0
"""Levels by which something stands out against a plain ground at least."""

_PEAK = 0.08
"""Response of phase correlation from which a tile's shift counts as seen."""

_BLANK = 16
"""Levels within which a strip is of one colour: so much grain or compression may be in it."""

_MARGIN = 4
"""Pixels of a copy beside what shows nothing, or lies outside, which interpolation and smoothing mix with it."""

_STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 80, 1e-5)


class NotRegistered(EnhanceError):
    """The result cannot be put back onto the input; says why."""


class _Plain(NotRegistered):
    """There is nothing to put it back by."""


@dataclass(frozen=True)
class Drift:
    """How a result lay: the shift of its middle in pixels, its zoom (1.02: 2 % larger), how far its farthest corner had
    moved, and how far nine tenths of the tiles are off at most after registration; `by_outline`: by the outline of what
    was to change, across which alone that is measured then; `matrix` (2×3) takes the input's pixels to the result's;
    `shown` (H×W) is above 0 where the result shows something of the input's place (None: everywhere)."""

    shift: tuple[float, float]
    zoom: float
    corner: float
    left: float
    by_outline: bool = False
    matrix: Floats = field(default_factory=lambda: np.eye(2, 3, dtype=np.float32), repr=False, compare=False)
    shown: Alpha | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class _Seen:
    """By what two pictures are compared: above 0 in `mask` (H×W), `reach` (a share of the longer side) away from the
    rest; `across`: across edges alone, of what stands out against the plain `ground` (above 0 in H×W); `shown`: where
    (above 0 in H×W) the result shows anything, None: everywhere."""

    mask: Alpha
    reach: float = LARGEST / 2
    across: bool = False
    ground: Alpha | None = None
    shown: Alpha | None = None

    @property
    def tile(self) -> int:
        """The side of the tiles that are measured."""
        return _NARROW if self.across else _TILE

    def at(self, scale: float) -> Alpha:
        """The mask of a copy, less what may have moved in from the rest."""
        height, width = self.mask.shape
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(self.mask, size, interpolation=cv2.INTER_NEAREST)
        seen = _eroded(np.where(small > 0, np.uint8(255), np.uint8(0)), round(self.reach * max(size)))
        if self.shown is None or self.shown.all():
            return seen
        shown = cv2.resize(self.shown, size, interpolation=cv2.INTER_NEAREST)
        return np.asarray(cv2.bitwise_and(seen, _eroded(np.asarray(shown, np.uint8), _MARGIN)), np.uint8)

    @classmethod
    def outline(cls, known: Alpha) -> _Seen:
        """The band along the outline of what is not known."""
        inside = np.where(known > 0, np.uint8(0), np.uint8(255))
        inner, outer = (max(least, round(share * max(known.shape))) for share, least in zip(_OUTLINE, _LEAST))
        band = cv2.bitwise_and(_dilated(inside, outer), cv2.bitwise_not(_eroded(inside, inner)))
        return cls(np.asarray(band, dtype=np.uint8), 0.0, True, known)

    def plane(self, rgb: Rgb) -> Alpha:
        """What of a picture is compared: its grey; along an outline how far it is from its ground's colour, as far as
        half of the product's contrast, so that what was edited inside says nothing."""
        if self.ground is None:
            return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        colour = np.median(rgb[self.ground > 0], axis=0)
        away = np.abs(rgb - colour).max(axis=2)
        product = away[(self.ground == 0) & (away > _APART)]
        # half of its contrast: there an edge lies, however soft it is and whatever it parts
        most = max(_APART, float(np.median(product)) / 2) if product.size else _APART
        return np.asarray(np.clip(away, 0, most) * (255 / most), dtype=np.uint8)

    def shades(self, rgb: Rgb, scale: float) -> Floats:
        """That of a copy, smoothed."""
        plane = self.plane(rgb)
        if scale < 1:
            plane = np.asarray(cv2.resize(plane, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        return np.asarray(cv2.GaussianBlur(plane.astype(np.float32), (0, 0), 1.0))


def register(truth: Rgb, made: Rgb, known: Alpha, largest: float = LARGEST) -> tuple[Rgb, Drift]:
    """`made` (H×W×3) moved onto `truth` (H×W×3), and how it had lain. `known` (H×W) is above 0 where both show the
    same. Raises `NotRegistered` where the two cannot be brought together, or only by more than `largest`, a share of
    the longer side."""
    try:
        return _register(truth, made, _Seen(known), largest)
    except _Plain:
        if known.all() or not known.any():
            raise
        moved, drift = _register(truth, made, _Seen.outline(known), largest)
        return moved, replace(drift, by_outline=True)


def _register(truth: Rgb, made: Rgb, seen: _Seen, largest: float) -> tuple[Rgb, Drift]:
    height, width = truth.shape[:2]
    _refuse_plain(truth, seen)
    content = _content(truth, made)
    found = _fitted(truth, made, replace(seen, shown=content))
    corner = _farthest(found, (width, height))
    if corner > largest * max(height, width):
        unmoved = _off(truth, made, replace(seen, shown=content))
        if unmoved is not None and unmoved <= HELD:
            return made, Drift((0.0, 0.0), 1.0, 0.0, unmoved, shown=content)
        raise NotRegistered(_too_far(truth, made, content, found, seen, largest))
    moved = _moved(made, found)
    shown = _moved_mask(content, found)
    left = _left(truth, moved, replace(seen, shown=shown))
    if left > HELD:
        raise NotRegistered(
            f"the edited picture is still {left:.1f} pixels off after it was put right: the model bent it; "
            "ask for less, or try another seed"
        )
    middle = found @ np.array([width / 2, height / 2, 1.0], np.float32) - (width / 2, height / 2)
    zoom = float(np.sqrt(abs(np.linalg.det(found[:, :2]))))
    return moved, Drift((float(middle[0]), float(middle[1])), zoom, corner, left, matrix=found, shown=shown)


def _moved(made: Rgb, found: Floats) -> Rgb:
    return np.asarray(
        cv2.warpAffine(
            made,
            found,
            made.shape[1::-1],
            flags=cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        ),
        dtype=np.uint8,
    )


def _moved_mask(content: Alpha, found: Floats) -> Alpha:
    """Where a moved result shows content: what comes from outside of it is none."""
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(content, found, content.shape[::-1], flags=flags), dtype=np.uint8)


def _content(truth: Rgb, made: Rgb) -> Alpha:
    """255 (H×W) where `made` (H×W×3) shows something: a model that shifts or shrinks a picture may leave strips of one
    colour at its border."""
    shown = np.full(made.shape[:2], 255, np.uint8)
    for turns in range(4):
        depth = _blank_rows(np.rot90(truth, turns), np.rot90(made, turns))
        np.rot90(shown, turns)[:depth] = 0
    return shown


def _blank_rows(truth: Rgb, made: Rgb) -> int:
    """How many rows at the top are one colour that the input has not there."""
    plain, depth = _plain_rows(truth), _plain_rows(made)
    # of about the same depth on both it is a plain ground, in whatever light
    return 0 if plain / 2 <= depth <= 2 * plain else depth


def _plain_rows(rgb: Rgb) -> int:
    """How many rows at the top are of one colour, all of them the same."""
    least = np.minimum.accumulate(rgb.min(axis=1))
    most = np.maximum.accumulate(rgb.max(axis=1))
    return int(((most - least).max(axis=1) <= _BLANK).sum())


def _too_far(truth: Rgb, made: Rgb, content: Alpha, found: Floats, seen: _Seen, largest: float) -> str:
    """Why a result is not put right; how far it lies off is told where that can be relied on."""
    longer = max(truth.shape[:2])
    corner, limit = _farthest(found, (truth.shape[1], truth.shape[0])), largest * longer
    left = _off(truth, _moved(made, found), replace(seen, shown=_moved_mask(content, found)))
    far = f"{corner:.1f} pixels off at a corner" if left is not None and left <= HELD else "further off than that"
    most = f"up to {limit:.1f} pixels are put right" if largest else "a drift limit of 0 has nothing put right"
    if not largest and far.startswith("further"):
        far = "off"
    why = ": the model composed it anew" if corner > LARGEST * longer else ""
    return f"{most}, and the edited picture lies {far}{why}; ask for less, try another seed, or raise the drift limit"


def _fitted(truth: Rgb, made: Rgb, by: _Seen) -> Floats:
    """The map (2×3) from the pixels of `truth` to those of `made`."""
    found = np.eye(2, 3, dtype=np.float32)
    for number, side in enumerate((_COARSE, _FINE)):
        scale = min(1.0, side / max(truth.shape[:2]))
        first, second, seen = by.shades(truth, scale), by.shades(made, scale), by.at(scale)
        found[:, 2] *= scale
        if number == 0:
            found[:, 2] = _shift(first, second, seen)
        found = _refined(first, second, seen, found)
        found[:, 2] /= scale
    return found


def _dilated(mask: Alpha, reach: int) -> Alpha:
    return np.asarray(cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)), dtype=np.uint8)


def _eroded(mask: Alpha, reach: int) -> Alpha:
    # the picture's own edge is no end of what is seen
    return np.asarray(cv2.erode(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8), borderValue=255), np.uint8)


def _shift(first: Floats, second: Floats, seen: Alpha) -> tuple[float, float]:
    """How far `second` is shifted against `first`, by what is seen of both."""
    weight = cv2.GaussianBlur(seen.astype(np.float32) / 255, (0, 0), 6.0)
    window = cv2.createHanningWindow(first.shape[::-1], cv2.CV_32F) * weight
    one, other = ((plane - _mean(plane, seen)) * window for plane in (_edges(first), _edges(second)))
    (x, y), _ = cv2.phaseCorrelate(np.asarray(one, np.float32), np.asarray(other, np.float32))
    return float(x), float(y)


def _edges(plane: Floats) -> Floats:
    return np.asarray(plane - cv2.GaussianBlur(plane, (0, 0), 8.0))


def _mean(plane: Floats, seen: Alpha) -> float:
    return float(cv2.mean(plane, seen)[0])


def _refined(first: Floats, second: Floats, seen: Alpha, start: Floats) -> Floats:
    try:
        _, found = cv2.findTransformECC(first, second, start.copy(), cv2.MOTION_AFFINE, _STEPS, seen, 3)
    except cv2.error as error:
        raise NotRegistered(
            "the edited picture has nothing in common with the input outside of what was to change; ask for less, or "
            "try another seed"
        ) from error
    return np.asarray(found, dtype=np.float32)


def _farthest(found: Floats, size: tuple[int, int]) -> float:
    width, height = size
    corners = np.array([(0, 0, 1), (width, 0, 1), (0, height, 1), (width, height, 1)], np.float32)
    return float(np.linalg.norm(corners @ found.T - corners[:, :2], axis=1).max())


def _tiles(shades: Floats, seen: Alpha, side: int) -> Iterator[tuple[slice, slice]]:
    """Tiles that are wholly seen and have something to hold on to."""
    for top in range(0, shades.shape[0] - side + 1, side // 2):
        for start in range(0, shades.shape[1] - side + 1, side // 2):
            part = slice(top, top + side), slice(start, start + side)
            if seen[part].min() and shades[part].std() >= _TEXTURE:
                yield part


def _refuse_plain(truth: Rgb, by: _Seen) -> None:
    scale = min(1.0, _FINE / max(truth.shape[:2]))
    if sum(1 for _ in _tiles(by.shades(truth, scale), by.at(scale), by.tile)) < _TILES:
        raise _Plain(
            "too little of the picture stays as it was to put the edited one right by: its ground is plain, or the "
            "mask leaves too little of it"
        )


def _off(truth: Rgb, moved: Rgb, by: _Seen) -> float | None:
    """As `_left`; None for too few tiles."""
    try:
        return _left(truth, moved, by)
    except NotRegistered:
        return None


def _left(truth: Rgb, moved: Rgb, by: _Seen) -> float:
    """How far nine tenths of the tiles are off at most, in pixels. Raises `NotRegistered` for too few of them."""
    scale = min(1.0, _FINE / max(truth.shape[:2]))
    first, second = by.shades(truth, scale), by.shades(moved, scale)
    window = cv2.createHanningWindow((by.tile, by.tile), cv2.CV_32F)
    off = []
    for part in _tiles(first, by.at(scale), by.tile):
        (x, y), peak = cv2.phaseCorrelate(_edges(first[part]), _edges(second[part]), window)
        if peak >= _PEAK:
            off.append(abs(np.dot(_across(first[part]), (x, y))) if by.across else np.hypot(x, y))
    if len(off) < _TILES:
        raise NotRegistered(
            "too little of the picture outside of what was to change can be recognised in the edited one; ask for "
            "less, or try another seed"
        )
    return float(np.percentile(off, 90)) / scale


def _across(tile: Floats) -> Floats:
    """The direction (x, y) in which a tile changes most: the first eigenvector of its structure tensor (Förstner and
    Gülch 1987)."""
    x, y = cv2.Sobel(tile, cv2.CV_32F, 1, 0), cv2.Sobel(tile, cv2.CV_32F, 0, 1)
    tensor = np.array([[(x * x).sum(), (x * y).sum()], [(x * y).sum(), (y * y).sum()]])
    return np.asarray(np.linalg.eigh(tensor)[1][:, 1], dtype=np.float32)
