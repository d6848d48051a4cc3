"""A product cut out of its picture: how much each pixel belongs to it, and its colours free of the old ground."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lib_prodshot.bounds import bounding_box
from lib_prodshot.packshot.arrays import Alpha, Grey, Rgb

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

    `picture` are the colours it was cut from (H×W×3 uint8), `alpha` its share of each pixel (H×W float32 in 0..1),
    `foreground` its own colours (H×W×3 uint8; `picture` itself where alpha is exactly 1, of no meaning where it is 0),
    `band` is 255 (H×W uint8) where alpha was estimated and not given by the mask.
    """

    picture: Rgb
    alpha: Alpha
    foreground: Rgb
    band: Grey

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x, y, width and height of all that is not wholly transparent; 0, 0, 0, 0 of nothing."""
        return bounding_box(np.greater(self.alpha, 0).view(np.uint8))


def source_of(loaded: LoadedPicture) -> Source:
    """The picture's 8-bit RGB samples with their profile; sRGB where they are no RGB (grey, CMYK) or a profile cannot
    say what they mean (HDR, code points)."""
    notes = ("16-bit samples were taken as 8-bit ones for the packshot",) if loaded.native.dtype == np.uint16 else ()
    if loaded.mode in _RGB_MODES and loaded.space is None:
        return Source(loaded.rgb, loaded.metadata.icc, notes)
    return Source(loaded.in_srgb(), None, notes)


def hard_alpha(mask: Grey) -> Alpha:
    """1 inside an H×W mask (0 or 255), 0 outside."""
    return np.asarray(mask > 0, np.float32)


def feather_alpha(mask: Grey, sigma: float) -> Alpha:
    """The mask (H×W, 0 or 255) blurred by a Gaussian of `sigma` pixels; exactly 0 and 1 from 2.5 sigma off its edge."""
    reach = int(2.5 * sigma + 0.5)
    if not reach:
        return hard_alpha(mask)
    size = 2 * reach + 1
    # of whole levels: a float sum of equal values might be not exactly 0 or 1
    blurred = cv2.GaussianBlur(mask, (size, size), sigma)
    return np.asarray(blurred / np.float32(255), np.float32)


def by_blur(rgb: Rgb, mask: Grey, sigma: float) -> CutOut:
    """Cut a picture (H×W×3) along a mask (H×W, 0 or 255), its edge blurred by `sigma` pixels; colours as they are."""
    alpha = feather_alpha(mask, sigma)
    band = np.where((alpha > 0) & (alpha < 1), np.uint8(255), np.uint8(0))
    return CutOut(rgb, alpha, rgb, band)


def by_matte(rgb: Rgb, mask: Grey, soft: Grey | None, guided: bool = False) -> tuple[CutOut, bool]:
    """Cut a picture (H×W×3) along the product's true edge near that of its mask (H×W, 0 or 255), with colours free of
    the old ground; `soft` is the segmenter's soft mask (H×W, 0..255) where there is one that fits.

    Only the part around the product is worked on. Also tells whether matting was solved, and not filtered (`guided`).
    """
    from lib_prodshot.packshot import foreground, matting

    band = matting.band_around(mask, soft)
    x, y, width, height = bounding_box(np.maximum(mask, band))
    margin = 16 + max(mask.shape) // 50
    part = (slice(max(0, y - margin), y + height + margin), slice(max(0, x - margin), x + width + margin))
    inner, inner_mask, inner_band = (np.ascontiguousarray(plane[part]) for plane in (rgb, mask, band))
    inner_soft = None if soft is None else np.ascontiguousarray(soft[part])
    if guided:
        alpha, is_matted = matting.guided(inner, matting.as_alpha(inner_mask), inner_band), False
    else:
        alpha, is_matted = matting.estimate(inner, inner_mask, inner_band, inner_soft)
    # a share that 8 bits cannot tell from nothing or all is nothing or all
    alpha[alpha < 0.5 / 255], alpha[alpha > 254.5 / 255] = 0, 1
    whole, colours = np.zeros(mask.shape, np.float32), rgb.copy()
    whole[part], colours[part] = alpha, foreground.estimate(inner, alpha)
    return CutOut(rgb, whole, colours, band), is_matted


def by_own_alpha(rgb: Rgb, own: Grey, mask: Grey) -> CutOut:
    """Cut by the picture's own transparency (H×W, 0..255): every piece of it that the mask touches, as it stands."""
    count, pieces = cv2.connectedComponents((own > 0).astype(np.uint8), connectivity=8)
    touched = np.zeros(count, np.bool_)
    touched[np.unique(pieces[mask > 0])] = True
    touched[0] = False
    alpha = np.where(touched[pieces], own / np.float32(255), np.float32(0)).astype(np.float32)
    return CutOut(rgb, alpha, rgb, np.zeros_like(mask))


def limited(cut: CutOut, own: Grey) -> CutOut:
    """A cut-out that is nowhere less transparent than the picture itself (H×W, 0..255)."""
    return replace(cut, alpha=np.minimum(cut.alpha, own / np.float32(255)))


def levels(alpha: Alpha) -> Grey:
    """Alpha in 0..1 as levels 0..255, rounded; 255 where it is exactly 1 and nowhere else, 0 likewise."""
    opacity = np.where(alpha >= 1, np.uint8(255), np.uint8(0))
    partial = np.flatnonzero((alpha > 0) & (alpha < 1))
    opacity.ravel()[partial] = np.clip(np.rint(alpha.ravel()[partial] * 255), 1, 254)
    return opacity


_SIDES = ("top", "bottom", "left", "right")


def edge_notes(alpha: Alpha) -> tuple[str, ...]:
    """A sentence where the product (H×W alpha) touches the picture's border: what lies beyond is not invented."""
    borders = (alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1])
    touched = [side for side, border in zip(_SIDES, borders) if (border > 0.5).any()]
    if not touched:
        return ()
    return (f"the product touches the picture's edge ({', '.join(touched)}) and is cut off there",)
