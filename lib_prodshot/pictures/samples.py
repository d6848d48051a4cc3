"""Between a picture's own samples and RGB: how each mode looks, and how new colours come back into it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from lib_prodshot.bounds import bounding_box
from lib_prodshot.pictures.loaded import (
    DEEP_MODES,
    PREMULTIPLIED,
    Grey,
    LoadedPicture,
    Native,
    RestoredPicture,
    Rgb,
    is_colour,
    to_8_bits,
)

_ROWS = 256
"""Rows of one strip, for bounded memory."""

_FEW_COLOURS = {"P": "palette's colours", "1": "two levels"}
"""Modes in which every new colour may fall on the old one."""

_LUMA = (19595, 38470, 7471)
"""Weights of R, G, B in 1/65536 (ITU-R BT.601), as Pillow's conversion to grey has them."""


def read_palette(image: Image.Image) -> npt.NDArray[np.uint8]:
    """The palette of a decoded mode-P image as N×4 RGBA, N being at least the largest index in use plus one."""
    colours = np.asarray(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    used = int(np.asarray(image).max(initial=0)) + 1
    palette = np.zeros((max(len(colours), used), 4), np.uint8)
    palette[: len(colours), :3] = colours
    palette[:, 3] = 255
    transparent = image.info.get("transparency")
    if isinstance(transparent, int) and transparent < len(palette):
        palette[transparent, 3] = 0
    elif isinstance(transparent, bytes):
        opacity = np.frombuffer(transparent, np.uint8)[: len(palette)]
        palette[: len(opacity), 3] = opacity
    return palette


def to_rgb(native: Native, mode: str, palette: npt.NDArray[np.uint8] | None = None) -> Rgb:
    """How samples look: H×W×3 uint8, alpha left aside. For RGB it is `native` itself.

    CMYK is taken as device CMYK, R = (255 − C)·(255 − K) / 255 (PostScript Language Reference, section 7.2.4): a
    profile is kept but not applied, so that unchanged samples need no way back.
    """
    if mode == "RGB":
        return native
    if mode in PREMULTIPLIED:
        return to_rgb(_divided(native), mode.replace("a", "A"))
    if mode in DEEP_MODES:
        return to_rgb(to_8_bits(native), mode.replace("I;16", "L").replace(";16", ""))
    if mode == "RGBA":
        return np.asarray(cv2.cvtColor(native, cv2.COLOR_RGBA2RGB), dtype=np.uint8)
    if mode == "P":
        assert palette is not None
        colours = np.zeros((256, 3), np.uint8)
        colours[: len(palette)] = palette[:, :3]
        return np.asarray(colours[native])
    if mode == "CMYK":
        return _cmyk_to_rgb(native)
    grey = native[..., 0] if mode == "LA" else native
    grey = grey.astype(np.uint8) * np.uint8(255) if mode == "1" else np.ascontiguousarray(grey)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), dtype=np.uint8)


def restore(loaded: LoadedPicture, new_rgb: Rgb, alpha_mask: Grey, is_composed: bool = False) -> RestoredPicture:
    """Put `new_rgb` (H×W×3, display orientation) into the picture's own mode where `alpha_mask` (H×W) is above 0.

    Every sample where the mask is 0 is exactly the input's, and so is every sample whose colour did not change.
    Opacity never changes. Within the mask: 16-bit samples get the difference of the 8-bit colours added, so that
    their fine gradation stays; palette pixels the nearest colour of the palette (CIE Lab) with the same opacity;
    CMYK keeps its black where it can; grey is the new colour's luma; bilevel its nearer side of the middle.
    `is_composed`: where the mask is 0 `new_rgb` is the input already, so that of plain RGB it is the result itself.
    """
    is_plain = loaded.mode == "RGB" and loaded.key is None
    if is_plain and is_composed:
        return RestoredPicture(loaded, new_rgb, new_rgb)
    native = loaded.native.copy()
    wanted = False
    x, y, width, height = bounding_box(alpha_mask)
    for top in range(y, y + height, _ROWS):
        part = (slice(top, min(top + _ROWS, y + height)), slice(x, x + width))
        if is_plain:
            native[part] = cv2.copyTo(new_rgb[part], alpha_mask[part], native[part].copy())
            continue
        change = _Change(native[part], loaded.rgb[part], new_rgb[part])
        changed = change.where(alpha_mask[part])
        if changed.any():
            wanted = True
            where = changed if native.ndim == 2 else changed[..., None]
            np.copyto(native[part], _new_samples(loaded, change, changed), where=where)
    rgb = native if loaded.mode == "RGB" else to_rgb(native, loaded.mode, loaded.palette)
    few = _FEW_COLOURS.get(loaded.mode)
    stuck = wanted and few and np.array_equal(native, loaded.native)
    notes = (f"its {few} have no room for the new colours: the result looks like the input",) if stuck else ()
    return RestoredPicture(loaded, native, rgb, notes)


@dataclass(frozen=True)
class _Change:
    """A part of the picture: its samples (h×w or h×w×channels), its old and its new look (h×w×3 uint8)."""

    samples: Native
    old: Rgb
    new: Rgb

    def where(self, alpha: Grey) -> npt.NDArray[np.bool_]:
        """h×w: the pixels that are let through and differ."""
        red, green, blue = cv2.split(cv2.absdiff(self.old, self.new))
        return np.asarray((cv2.max(cv2.max(red, green), blue) > 0) & (alpha > 0))

    def at(self, where: npt.NDArray[np.bool_]) -> _Change:
        """The same as lists of single pixels."""
        return _Change(self.samples[where], self.old[where], self.new[where])


def _new_samples(loaded: LoadedPicture, change: _Change, changed: npt.NDArray[np.bool_]) -> Native:
    """Samples of the part with the new look; only those at `changed` count."""
    mode = loaded.mode
    if mode in ("P", "CMYK"):
        fresh = change.samples.copy()
        listed = change.at(changed)
        fresh[changed] = _rgb_to_cmyk(listed) if mode == "CMYK" else _nearest_indices(loaded, listed)
        return fresh
    fresh = _luma(change.new) >= 128 if mode == "1" else _with_colour(change, mode)
    return fresh if loaded.key is None else _keep_transparent(loaded.key, change.samples, fresh)


def _with_colour(change: _Change, mode: str) -> Native:
    """Grey or colour replaced (16 bits: moved by the difference); an alpha channel stays."""
    if mode in PREMULTIPLIED:
        plain = replace(change, samples=_divided(change.samples))
        return _multiplied(_with_colour(plain, mode.replace("a", "A")), change.samples)
    is_grey = mode[0] in "LI"
    old, new = (_luma(change.old), _luma(change.new)) if is_grey else (change.old, change.new)
    deep = mode in DEEP_MODES
    if change.samples.ndim == 2 or change.samples.shape[2] == 3:
        return _moved(change.samples, old, new) if deep else new
    fresh = change.samples.copy()
    colour = fresh[..., 0] if is_grey else fresh[..., :3]
    colour[...] = _moved(colour, old, new) if deep else new
    return fresh


def _divided(native: Native) -> Native:
    """Premultiplied samples (H×W×channels) as plain ones; black where alpha is 0."""
    plain = native.copy()
    top = np.iinfo(native.dtype).max
    for row in range(0, len(native), _ROWS):
        part = native[row : row + _ROWS].astype(np.uint32)
        alpha = np.maximum(part[..., -1:], 1)
        plain[row : row + _ROWS, :, :-1] = np.minimum((part[..., :-1] * top + alpha // 2) // alpha, top)
    return plain


def _multiplied(plain: Native, old: Native) -> Native:
    """The inverse, rounded; the old samples where alpha is 0."""
    top = np.iinfo(plain.dtype).max
    alpha = plain[..., -1:].astype(np.uint32)
    fresh = plain.copy()
    fresh[..., :-1] = np.where(alpha == 0, old[..., :-1], (plain[..., :-1] * alpha + top // 2) // top)
    return fresh


def _moved(samples: Native, old: npt.NDArray[np.uint8], new: npt.NDArray[np.uint8]) -> Native:
    step = new.astype(np.int32) - old
    step *= 257
    step += samples
    return np.clip(step, 0, 65535, out=step).astype(np.uint16)


def _luma(rgb: Rgb) -> Grey:
    red, green, blue = (rgb[..., channel].astype(np.uint32) * weight for channel, weight in enumerate(_LUMA))
    return np.asarray((red + green + blue + 0x8000) >> 16, dtype=np.uint8)


def _keep_transparent(key: tuple[int, ...], old: Native, fresh: Native) -> Native:
    """Keep what was transparent, and step aside by one level where a new colour would turn transparent."""
    fresh = fresh.copy()
    hits = is_colour(fresh, key)
    aside = fresh[..., -1] if len(key) > 1 else fresh
    aside[hits] = not key[-1] if fresh.dtype == bool else key[-1] - 1 if key[-1] else 1
    was = is_colour(old, key)
    fresh[was] = old[was]
    return fresh


def _nearest_indices(loaded: LoadedPicture, change: _Change) -> npt.NDArray[np.uint8]:
    """The palette's nearest colours (Euclidean in CIE Lab) among those with the pixel's own opacity, and, for pixels
    that were not clipped, among those that are not clipped either; the old index where there is no such colour."""
    from scipy.spatial import cKDTree

    palette = loaded.palette
    assert palette is not None
    clipped = ((palette[:, :3] == 0) | (palette[:, :3] == 255)).any(axis=1)
    opacity = palette[:, 3].astype(np.int32)
    fresh = change.samples.copy()
    kinds = opacity[change.samples] * 2 + clipped[change.samples]
    for kind in np.unique(kinds):
        allowed = np.flatnonzero((opacity == kind >> 1) & (clipped <= (kind & 1)))
        if not len(allowed):
            continue
        pixels = kinds == kind
        packed = change.new[pixels].astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
        colours, where = np.unique(packed, return_inverse=True)
        wanted = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1).astype(np.uint8)
        _, nearest = cKDTree(_lab(palette[allowed, :3])).query(_lab(wanted))
        fresh[pixels] = allowed[nearest][where.reshape(-1)]
    return fresh


def _lab(rgb: Rgb) -> npt.NDArray[np.float32]:
    scaled = rgb.reshape(1, -1, 3).astype(np.float32) / np.float32(255)
    return np.asarray(cv2.cvtColor(scaled, cv2.COLOR_RGB2LAB)[0], dtype=np.float32)


def _cmyk_to_rgb(cmyk: Native) -> Rgb:
    rgb = np.empty((*cmyk.shape[:2], 3), np.uint8)
    light = cv2.bitwise_not(np.ascontiguousarray(cmyk[..., 3]))
    for channel in range(3):
        paper = cv2.bitwise_not(np.ascontiguousarray(cmyk[..., channel]))
        rgb[..., channel] = cv2.multiply(paper, light, scale=1 / 255)
    return rgb


def _rgb_to_cmyk(change: _Change) -> Native:
    """The inverse with the old black; less black only where a channel is brighter than it lets through."""
    new = change.new.astype(np.float32)
    light = np.maximum(255.0 - change.samples[:, 3], new.max(axis=1))
    ink = 255 - new * (255 / np.maximum(light, 1))[:, None]
    fresh = np.column_stack([ink, 255 - light])
    return np.asarray(np.clip(np.rint(fresh), 0, 255), dtype=np.uint8)
