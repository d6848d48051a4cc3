"""The retouch's single steps, each a function of lightness and the product's mask. Lightness is CIE L* scaled to
0..255 (uint8); masks are h×w uint8, 255 = product."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.resampling import by_area, is_far

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_SRGB = np.arange(256) / 255.0
LINEAR = np.where(_SRGB <= 0.04045, _SRGB / 12.92, ((_SRGB + 0.055) / 1.055) ** 2.4)
"""Linear light of each sRGB level (IEC 61966-2-1)."""

_LUMINANCE = (0.2126, 0.7152, 0.0722)

_CUBE = np.where(LINEAR > (6 / 29) ** 3, np.cbrt(LINEAR), LINEAR * (29 / 6) ** 2 / 3 + 4 / 29)
_LIGHTNESS = np.rint((116 * _CUBE - 16) * 2.55).astype(np.uint8)
"""L* of each grey level (CIE 15:2004), scaled to 0..255."""

TEXTURE = 20.0
"""Standard deviations well below this (levels) are texture, well above it edges; the guided filter's √ε."""

_SMALL = 256
"""Longer side of the small copy that large-radius means are taken on."""


def lightness(rgb: Bytes) -> Bytes:
    """h×w lightness of h×w×3 sRGB: L* of the luma (BT.601); exact for greys, near enough for statistics of colours."""
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.LUT(luma, _LIGHTNESS, dst=luma), dtype=np.uint8)


def histogram(level: Bytes, mask: Bytes) -> npt.NDArray[np.float64]:
    """Share of the product's pixels at or below each of 256 levels (cumulative, ends at 1)."""
    counts = cv2.calcHist([level], [0], mask, [256], [0, 256]).ravel().astype(np.float64)
    return np.asarray(np.cumsum(counts) / max(counts.sum(), 1.0))


def exposure_curve(cumulative: npt.NDArray[np.float64]) -> Floats:
    """What each level is moved by at full strength (256 float32): black and white points spread a little towards the
    ends of the scale, the middle pulled a third of its way into the range where surfaces show their texture.

    A dark product stays dark: the white point rises by 20 levels at most, the black point falls by 12, the median
    moves by 15. Method: levels and midtone of photographic printing (black point, white point, gamma), as a
    piecewise curve, monotone by construction.
    """
    black, middle, white = (float(np.searchsorted(cumulative, share)) for share in (0.005, 0.5, 0.995))
    new_black = black - min(12.0, max(0.0, black - 6) * 0.5)
    new_white = white + min(20.0, max(0.0, 245 - white) * 0.5)
    stretched = float(np.interp(middle, (black, white), (new_black, new_white))) if white > black else middle
    aim = min(max(stretched, 95.0), 165.0)
    new_middle = stretched + min(max(0.35 * (aim - stretched), -15.0), 15.0)
    points = [(0.0, 0.0), (black, new_black), (middle, new_middle), (white, new_white), (255.0, 255.0)]
    old, new = np.array(_spread(points)).T
    levels = np.arange(256)
    curve = np.interp(levels, old, new) - levels
    smooth = cv2.blur(curve.astype(np.float32)[None], (31, 1), borderType=cv2.BORDER_REPLICATE)[0]
    return np.asarray(np.clip(smooth + levels, 0, 255) - levels, dtype=np.float32)


def _spread(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points that rise in both coordinates; those that coincide with an earlier one fall out."""
    kept = [points[0]]
    for old, new in points[1:-1]:
        if old > kept[-1][0] and old < 255 and kept[-1][1] < new < 255:
            kept.append((old, new))
    return [*kept, points[-1]]


def white_balance_gains(rgb: Bytes, mask: Bytes) -> npt.NDArray[np.float64]:
    """Factors for linear R, G, B that take a colour cast off the product; 1, 1, 1 where none can be told for sure.

    A product's own colour looks like a cast to any method that averages, so only its near-neutral lights are asked
    (L* 60..97, not clipped, chroma up to 10): sheen, metal, white seams. They must be 1 % of the product. On a
    coloured product (median chroma above 6) they count only if they lean elsewhere than the product itself does: the
    pale sheen of red leather is pinkish by right. A grey or white product's lights may still be its own pale colour, so
    at most half of the cast is taken off, and 4 % per channel. A red handbag without neutral lights stays as it is.

    Method: von Kries scaling on highlights ("white patch", Land and McCann 1971), restricted.
    """
    pixels = rgb[_every_nth(mask, 65536)]
    lab = cv2.cvtColor(pixels[None].astype(np.float32) * np.float32(1 / 255), cv2.COLOR_RGB2LAB)[0]
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    neutral = (lab[:, 0] >= 60) & (lab[:, 0] <= 97) & (chroma <= 10) & (pixels.max(axis=1) < 255)
    if np.count_nonzero(neutral) < max(32, 0.01 * len(pixels)):
        return np.ones(3)
    if _leans_like(lab[neutral, 1:].mean(axis=0), np.median(lab[:, 1:], axis=0)):
        return np.ones(3)
    cast = LINEAR[pixels[neutral]].mean(axis=0)
    luminance = cast @ _LUMINANCE
    gains = np.clip(np.sqrt(luminance / cast), 0.96, 1.04)
    return np.asarray(gains / (gains @ _LUMINANCE))


def _leans_like(cast: npt.NDArray[np.float32], body: npt.NDArray[np.float32]) -> bool:
    """Whether a cast (a*, b*) has the hue of a product that has a hue (within 45°)."""
    strength = float(np.hypot(*body))
    return strength > 6 and float(cast @ body) > 0.7 * strength * float(np.hypot(*cast))


def _every_nth(mask: Bytes, at_most: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    step = max(1, int(np.ceil(np.sqrt(cv2.countNonZero(mask) / at_most))))
    rows, columns = np.nonzero(mask[::step, ::step])
    return rows * step, columns * step


def linear_table(gains: npt.NDArray[np.float64], strength: float) -> Floats:
    """Linear light of each sRGB level and channel (256×3) under white-balance gains of that strength."""
    return np.minimum(LINEAR[:, None] * gains[None] ** strength, 1.0).astype(np.float32)


def equalise_locally(level: Bytes, mask: Bytes, cumulative: npt.NDArray[np.float64]) -> Bytes:
    """Contrast-limited adaptive histogram equalisation (Zuiderveld, Graphics Gems IV, 1994) of the product alone.

    Outside the mask, tiles are filled with levels spread like the whole product's, so that a tile with little of the
    product in it works as the product as a whole would, and the background has no say.
    """
    height, width = level.shape
    quantiles = np.searchsorted(cumulative, (np.arange(256) + 0.5) / 256).astype(np.uint8)
    # in bytes, which wrap around: sums of whole numbers of a large picture take up more than all the rest
    down, across = ((np.arange(size) * step).astype(np.uint8) for size, step in ((height, 97), (width, 57)))
    # one array for all of it: fresh memory costs as much as the work
    filled = np.add.outer(down, across)
    cv2.LUT(filled, quantiles, dst=filled)
    cv2.copyTo(level, mask, dst=filled)
    tiles = (min(8, max(1, width // 32)), min(8, max(1, height // 32)))
    return np.asarray(cv2.createCLAHE(2.0, tiles).apply(filled, filled), dtype=np.uint8)


@dataclass(frozen=True)
class Window:
    """The product on a small copy, for means over large radii: its weight in each small pixel (h'×w' float32, 0..255),
    and how many small pixels make one of the crop's, across and down."""

    weight: Floats
    scale: tuple[float, float]

    @classmethod
    def on(cls, mask: Bytes, level: Bytes) -> tuple[Window, Floats]:
        """A small copy of at most `_SMALL` pixels a side, and the crop's lightness at its size."""
        height, width = mask.shape
        factor = min(1.0, _SMALL / max(height, width))
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        weight, small = _shrunk_together(mask, level, size)
        return cls(weight, (size[0] / width, size[1] / height)), small

    def shrink(self, level: Bytes) -> Floats:
        """A crop's lightness at the size of the small copy."""
        size = (self.weight.shape[1], self.weight.shape[0])
        return by_area(level, size).astype(np.float32)

    def means(self, share: float, least: int) -> MaskedMean:
        """Box means whose radius is `share` of the longer side, and `least` small pixels at least."""
        return MaskedMean(self.weight, 2 * max(least, round(share * max(self.weight.shape))) + 1)


def _shrunk_together(one: Bytes, other: Bytes, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """Two planes (h×w) by area as floats (h'×w'), in one pass where that takes little more time than one of them."""
    if is_far(one, size) or (2 * size[0], 2 * size[1]) == one.shape[::-1]:
        # to exactly half, OpenCV rounds two channels otherwise than one
        return by_area(one, size).astype(np.float32), by_area(other, size).astype(np.float32)
    small = cv2.split(cv2.resize(cv2.merge([one, other]), size, interpolation=cv2.INTER_AREA))
    return small[0].astype(np.float32), small[1].astype(np.float32)


class MaskedMean:
    """Box means that count the product's pixels only (normalised convolution, Knutsson and Westin 1993)."""

    def __init__(self, weight: Floats, width: int) -> None:
        self._weight = weight
        self._window = (width, width)
        self._total = np.maximum(self._sum(weight), np.float32(1e-3))

    def _sum(self, values: Floats) -> Floats:
        return np.asarray(cv2.boxFilter(values, -1, self._window, normalize=False, borderType=cv2.BORDER_CONSTANT))

    def __call__(self, values: Floats) -> Floats:
        """Means around each small pixel (h'×w' float32)."""
        return np.asarray(self._sum(values * self._weight) / self._total)

    def variance(self, values: Floats, mean: Floats) -> Floats:
        """Variance around each small pixel."""
        return np.asarray(np.maximum(self(values * values) - mean * mean, np.float32(0)))


@dataclass(frozen=True)
class LocalBase:
    """The product's large shapes, as gain and offset of a guided filter on a small copy (h'×w' float32 each)."""

    gain: Floats
    offset: Floats
    scale: tuple[float, float]

    @classmethod
    def of(cls, small: Floats, window: Window) -> LocalBase:
        """Fast guided filter (He and Sun, arXiv:1505.00996) of a crop's lightness (as the window shrinks it) with
        itself, radius 6 % of the longer side, means over the product only. It follows strong edges, so that what is
        added to it has no halo there."""
        mean_of = window.means(0.06, 2)
        mean = mean_of(small)
        variance = mean_of.variance(small, mean)
        gain = np.asarray(variance / (variance + np.float32(TEXTURE**2)), dtype=np.float32)
        offset = np.asarray((1 - gain) * mean, dtype=np.float32)
        return cls(mean_of(gain), mean_of(offset), window.scale)

    def rows(self, level: Bytes, top: int) -> LinearBase:
        """What gives the base for rows `top` onwards, `level` (h×w) being those rows."""
        return LinearBase(self._rows(self.gain, level, top), self._rows(self.offset, level, top))

    def _rows(self, small: Floats, level: Bytes, top: int) -> Floats:
        across, down = self.scale
        # pixel centres: small = (large + 0.5) · scale − 0.5
        to_small = np.array([[across, 0, 0.5 * across - 0.5], [0, down, (top + 0.5) * down - 0.5]])
        size = (level.shape[1], level.shape[0])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(small, to_small, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))


@dataclass(frozen=True)
class LinearBase:
    """The base of some rows as gain and offset of their lightness (h×w float32 each)."""

    gain: Floats
    offset: Floats

    def of(self, level: Bytes, part: tuple[slice, slice]) -> Floats:
        """The base (h×w float32) of a part of these rows, `level` being its lightness."""
        scaled = cv2.multiply(self.gain[part], level, dtype=cv2.CV_32F)
        return np.asarray(cv2.add(scaled, self.offset[part]), dtype=np.float32)


def soft_limit(values: Floats, limit: float) -> Floats:
    """Values bent so that they approach ±limit and never pass it; small ones stay nearly as they are."""
    return np.asarray(values / (1 + np.abs(values) * np.float32(1 / limit)), dtype=np.float32)


_HEADROOM = (1 - np.abs(np.arange(256) / 127.5 - 1) ** 4).astype(np.float32)


def headroom(level: Bytes) -> Floats:
    """1 in the middle of the scale, falling to 0 at both ends, where there is no room to move without clipping."""
    return np.asarray(cv2.LUT(level, _HEADROOM), dtype=np.float32)


def vibrance_gain(a: Floats, b: Floats, amount: float) -> Floats:
    """Factors for CIE a* and b* (h×w float32): largest (1 + 0.7 · amount) for pale colours of chroma 13 or so, 1 for
    greys, so that they take on no colour, and near 1 for strong colours, so that they keep their detail. Hue stays."""
    squared = a * a + b * b
    rise = squared / (squared + np.float32(36))
    return np.asarray(1 + rise * (np.float32(amount * 900) / (squared + np.float32(900))), dtype=np.float32)


def local_contrast(small: Floats, window: Window) -> float:
    """Mean over the product of the standard deviation of a crop's lightness (as the window shrinks it) in windows of
    4 % of its longer side (levels)."""
    mean_of = window.means(0.02, 1)
    deviation = np.sqrt(mean_of.variance(small, mean_of(small)))
    return float((deviation * window.weight).sum() / max(float(window.weight.sum()), 1e-3))
