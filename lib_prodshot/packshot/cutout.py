"""A product cut out of its picture: how much each pixel belongs to it, and its colours free of the old ground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lib_prodshot.bounds import bounding_box
from lib_prodshot.components import components_of
from lib_prodshot.packshot.arrays import Alpha, Floats, Grey, Rgb
from lib_prodshot.packshot.sparse import SparseAlpha, levels_of

if TYPE_CHECKING:
    from lib_prodshot.pictures import LoadedPicture

_RGB_MODES = ("RGB", "RGBA", "P", "RGBa", "RGB;16", "RGBA;16", "RGBa;16")


@dataclass(frozen=True)
class Source:
    """What a packshot is made of: 8-bit RGB (H×W×3), and the profile that says what its numbers mean (None: sRGB)."""

    rgb: Rgb
    icc: bytes | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CutOut:
    """A product without its ground, all in one geometry: its picture's own at first, the frame's when it is placed.

    `picture` are the colours it was cut from (H×W×3 uint8), `shares` its share of each pixel (alpha). Where that is
    neither 0 nor 1, `colours` (n×3 uint8) are the product's own; where it is 1 they are those of `picture`. `band` is
    255 (H×W uint8) where alpha was estimated and not given by the mask.
    """

    picture: Rgb
    shares: SparseAlpha
    colours: Rgb
    band: Grey

    @classmethod
    def of(cls, picture: Rgb, alpha: Alpha, foreground: Rgb, band: Grey) -> CutOut:
        """Of whole planes: H×W float32 in 0..1, and H×W×3 colours that count where that is above 0 and below 1."""
        shares = SparseAlpha.of(alpha)
        return cls(picture, shares, foreground.reshape(-1, 3)[shares.places], band)

    @property
    def alpha(self) -> Alpha:
        """The product's share of each pixel (H×W float32), made anew at each call."""
        return self.shares.whole()

    @property
    def foreground(self) -> Rgb:
        """The product's own colours (H×W×3, the picture's where alpha is 0), made anew at each call."""
        return self.foreground_rows(0, len(self.picture))

    def foreground_rows(self, top: int, bottom: int) -> Rgb:
        """The product's own colours in these rows: a copy."""
        rows = self.picture[top:bottom].copy()
        part = self.shares.within(top, bottom)
        rows.reshape(-1, 3)[self.shares.places[part] - top * self.shares.shape[1]] = self.colours[part]
        return rows

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x, y, width and height of all that is not wholly transparent; 0, 0, 0, 0 of nothing."""
        return bounding_box(self.shares.opacity)

    def with_shares(self, shares: Floats) -> CutOut:
        """The same with other shares where they are neither 0 nor 1 now."""
        partial = (shares > 0) & (shares < 1)
        return CutOut(self.picture, self.shares.with_shares(shares), self.colours[partial], self.band)

    def cropped(self, part: tuple[slice, slice]) -> CutOut:
        """The part in these rows and columns."""
        shares, inside = self.shares.cropped(part)
        return CutOut(self.picture[part], shares, self.colours[inside], self.band[part])


def source_of(loaded: LoadedPicture) -> Source:
    """The picture's 8-bit RGB samples with their profile; sRGB where they are no RGB (grey, CMYK) or a profile cannot
    say what they mean (HDR, code points)."""
    notes = ("16-bit samples were taken as 8-bit ones for the packshot",) if loaded.native.dtype == np.uint16 else ()
    if loaded.mode in _RGB_MODES and loaded.space is None:
        return Source(loaded.rgb, loaded.metadata.icc, notes)
    return Source(loaded.in_srgb(), None, notes)


def feather_levels(mask: Grey, sigma: float) -> Grey:
    """The mask (H×W, 0 or 255) blurred by a Gaussian of `sigma` pixels; exactly 0 and 255 from 2.5 sigma off its
    edge."""
    reach = int(2.5 * sigma + 0.5)
    if not reach:
        return mask
    size = 2 * reach + 1
    # of whole levels: a float sum of equal values might be not exactly 0 or 1
    return np.asarray(cv2.GaussianBlur(mask, (size, size), sigma), np.uint8)


def by_blur(rgb: Rgb, mask: Grey, sigma: float) -> CutOut:
    """Cut a picture (H×W×3) along a mask (H×W, 0 or 255), its edge blurred by `sigma` pixels; colours as they are."""
    shares = SparseAlpha.of_levels(feather_levels(mask, sigma))
    band = np.zeros_like(mask)
    band.ravel()[shares.places] = 255
    return CutOut(rgb, shares, rgb.reshape(-1, 3)[shares.places], band)


def by_matte(rgb: Rgb, mask: Grey, soft: Grey | None, guided: bool = False) -> tuple[CutOut, bool]:
    """Cut a picture (H×W×3) along the product's true edge near that of its mask (H×W, 0 or 255), with colours free of
    the old ground; `soft` is the segmenter's soft mask (H×W, 0..255) where there is one that fits.

    Only the part around the product is worked on. Also tells whether matting was solved, and not filtered (`guided`).
    """
    from lib_prodshot.packshot import foreground, matting

    band = matting.band_around(mask, soft)
    part = _part_around(mask, band)
    if guided:
        alpha, is_matted = matting.guided_band(rgb[part], mask[part], band[part]), False
    else:
        inner_soft = None if soft is None else soft[part]
        alpha, is_matted = matting.estimate_band(rgb[part], mask[part], band[part], inner_soft)
    # a share that 8 bits cannot tell from nothing or all is nothing or all
    alpha[alpha < 0.5 / 255], alpha[alpha > 254.5 / 255] = 0, 1
    shares = SparseAlpha(mask, np.flatnonzero(band).astype(np.int32), alpha).with_shares(alpha)
    colours = foreground.estimate(rgb[part], shares.cropped(part)[0])
    return CutOut(rgb, shares, colours, band), is_matted


def _part_around(mask: Grey, band: Grey) -> tuple[slice, slice]:
    """The rows and columns around all of both."""
    boxes = [bounding_box(plane) for plane in (mask, band)]
    boxes = [box for box in boxes if box[2]] or [(0, 0, 0, 0)]
    margin = 16 + max(mask.shape) // 50
    left, top = min(box[0] for box in boxes), min(box[1] for box in boxes)
    right, bottom = max(box[0] + box[2] for box in boxes), max(box[1] + box[3] for box in boxes)
    height, width = mask.shape
    return (
        slice(max(0, top - margin), min(height, bottom + margin)),
        slice(max(0, left - margin), min(width, right + margin)),
    )


def by_own_alpha(rgb: Rgb, own: Grey, mask: Grey) -> CutOut:
    """Cut by the picture's own transparency (H×W, 0..255): every piece of it that the mask touches, as it stands."""
    pieces = components_of(own)
    seen = np.flatnonzero(cv2.bitwise_and(own, mask)).astype(np.int32)
    untouched = np.ones(pieces.count, np.bool_)
    untouched[pieces.at(seen)] = False
    opacity = np.ascontiguousarray(own)
    if untouched.any():
        opacity = opacity.copy()
        pieces.draw(untouched, opacity, 0)
    shares = SparseAlpha.of_levels(opacity)
    return CutOut(rgb, shares, rgb.reshape(-1, 3)[shares.places], np.zeros_like(mask))


def limited(cut: CutOut, own: Grey) -> CutOut:
    """A cut-out that is nowhere less transparent than the picture itself (H×W, 0..255)."""
    opacity = np.minimum(cut.shares.opacity, own)
    places = np.flatnonzero((opacity > 0) & (opacity < 255)).astype(np.int32)
    limit = own.ravel()[places] / np.float32(255)
    known = np.searchsorted(cut.shares.places, places)
    before = np.ones(len(places), np.float32)
    colours = cut.picture.reshape(-1, 3)[places]
    known = np.minimum(known, max(0, len(cut.shares.places) - 1))
    if len(cut.shares.places):
        is_edge = cut.shares.places[known] == places
        before[is_edge] = cut.shares.shares[known[is_edge]]
        colours[is_edge] = cut.colours[known[is_edge]]
    shares = np.minimum(before, limit)
    opacity.ravel()[places] = levels_of(shares)
    return CutOut(cut.picture, SparseAlpha(opacity, places, shares), colours, cut.band)


_SIDES = ("top", "bottom", "left", "right")


def edge_notes(opacity: Grey) -> tuple[str, ...]:
    """A sentence where the product (H×W, 0..255) touches the picture's border: what lies beyond is not invented."""
    borders = (opacity[0], opacity[-1], opacity[:, 0], opacity[:, -1])
    touched = [side for side, border in zip(_SIDES, borders) if (border > 127).any()]
    if not touched:
        return ()
    return (f"the product touches the picture's edge ({', '.join(touched)}) and is cut off there",)
