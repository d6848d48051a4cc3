"""What a picture is between its file and the pipeline: its own samples, their RGB view, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.pictures.colour import Cicp, Space, from_profile, from_space
from lib_prodshot.pictures.tiff_tags import Tags

Rgb = npt.NDArray[np.uint8]
"""H×W×3 RGB."""

Grey = npt.NDArray[np.uint8]
"""H×W."""

Native = npt.NDArray[Any]
"""The picture's own samples: H×W or H×W×channels; bool, uint8 or uint16."""

RefuseLarge = Callable[[int, int], None]
"""Called with width and height before anything is decoded; raises `PictureError` for too many pixels."""

DEEP_MODES = ("I;16", "LA;16", "La;16", "RGB;16", "RGBA;16", "RGBa;16")
"""Modes with 16 bits per sample; the colour ones are this package's names, as Pillow has none."""

PREMULTIPLIED = ("La", "RGBa", "La;16", "RGBa;16")
"""Modes whose colours are multiplied with their alpha (TIFF's associated alpha)."""


@dataclass(frozen=True)
class Metadata:
    """What a file says besides its pixels, as it stood in the file.

    `png_chunks` (type, data) are a PNG's own, or what another format says that only they can; `tiff` is a TIFF's
    directory; `aspect` tells how many samples go into one length across and down where no unit is told; `exif` starts
    with the TIFF header (no 'Exif' prefix), `photoshop` holds image resources (IPTC among them). `bits` are the file's
    own where the samples have more.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    cicp: Cicp | None = None
    photoshop: bytes | None = None
    comments: tuple[str, ...] = ()
    bits: int | None = None
    png_chunks: tuple[tuple[bytes, bytes], ...] = ()
    tiff: Tags | None = None
    aspect: tuple[int, int] | None = None


@dataclass(frozen=True)
class LoadedPicture:
    """A decoded picture. Treat its arrays as read-only: `rgb` and `native` may be one array.

    `rgb` is H×W×3 uint8 without regard to alpha, `native` the same pixels in the picture's own `mode` (Pillow's
    names, and those of `DEEP_MODES`), both in display orientation; `orientation` is the EXIF value 1..8 that leads
    there from the file. `extra` (H×W×k) are channels that only the file knows, such as selections. `palette` is N×4
    uint8 RGBA (mode P), `key` the native colour that stands for transparent. `lossless` tells whether the result is
    written in the input's own `format`, with its own `suffix`; `space` is what its numbers mean where that is not sRGB
    and no ICC profile says it.
    """

    rgb: Rgb
    native: Native
    mode: str
    format: str
    suffix: str
    lossless: bool
    orientation: int = 1
    frames: int = 1
    palette: npt.NDArray[np.uint8] | None = None
    key: tuple[int, ...] | None = None
    compressed: bool = True
    metadata: Metadata = Metadata()
    notes: tuple[str, ...] = ()
    extra: Native | None = None
    space: Space | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in display orientation."""
        return self.rgb.shape[0], self.rgb.shape[1]

    @property
    def alpha(self) -> Grey | None:
        """H×W uint8 opacity, or None for a picture that has none."""
        return alpha_of(self.native, self.mode, self.palette, self.key)

    def seen(self) -> Rgb:
        """The picture as a viewer shows it: in sRGB, transparent parts over white. `rgb` itself where that is the
        same."""
        shown = self.in_srgb()
        alpha = self.alpha
        if alpha is None or int(alpha.min()) == 255:
            return shown
        opacity = cv2.merge([alpha, alpha, alpha])
        over = cv2.multiply(shown, opacity, scale=1 / 255)
        return np.asarray(cv2.add(over, cv2.bitwise_not(opacity)), dtype=np.uint8)

    def in_srgb(self) -> Rgb:
        """H×W×3 uint8: the colours in sRGB, without regard to alpha. `rgb` itself where that is the same."""
        if self.space is not None:
            return from_space(self.rgb, self.space)
        if self.metadata.icc is None:
            return self.rgb
        by_mode = {"L": "L", "CMYK": "CMYK"}.get(self.mode)
        shown = from_profile(self.native if by_mode else self.rgb, by_mode or "RGB", self.metadata.icc)
        return self.rgb if shown is None else shown

    @classmethod
    def from_rgb(cls, rgb: Rgb) -> LoadedPicture:
        """A picture that never was a file, such as one a WebUI has just made: H×W×3 uint8 RGB."""
        return cls(rgb, rgb, "RGB", "PNG", ".png", lossless=True)


@dataclass(frozen=True)
class RestoredPicture:
    """A result in its input's own mode: `native` like the source's, `rgb` (H×W×3) what those samples look like, and
    notes about new colours that the mode could not take."""

    source: LoadedPicture
    native: Native
    rgb: Rgb
    notes: tuple[str, ...] = ()


def alpha_of(
    native: Native, mode: str, palette: npt.NDArray[np.uint8] | None, key: tuple[int, ...] | None
) -> Grey | None:
    """H×W uint8 opacity of samples in `mode`, or None where the mode knows none."""
    if mode in ("LA", "RGBA", "La", "RGBa"):
        return np.ascontiguousarray(native[..., -1])
    if mode in ("LA;16", "RGBA;16", "La;16", "RGBa;16"):
        return to_8_bits(native[..., -1])
    if palette is not None:
        opacity = np.zeros(256, np.uint8)
        opacity[: len(palette)] = palette[:, 3]
        return np.asarray(opacity[native]) if int(palette[:, 3].min()) < 255 else None
    return np.where(is_colour(native, key), np.uint8(0), np.uint8(255)) if key is not None else None


def is_colour(native: Native, colour: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """H×W: where the samples are exactly that colour."""
    same = native == np.asarray(colour, native.dtype)
    return np.asarray(same.all(axis=2) if len(colour) > 1 else same)


def channels_of(native: Native) -> int:
    """The channels of H×W or H×W×channels samples."""
    return native.shape[2] if native.ndim == 3 else 1


def mode_of(native: Native) -> str:
    """The mode of samples that are grey or RGB, with plain alpha where they have a second or fourth channel."""
    mode = ("L", "LA", "RGB", "RGBA")[channels_of(native) - 1]
    if native.dtype != np.uint16:
        return mode
    return "I;16" if mode == "L" else f"{mode};16"


def spread(levels: Native, bits: int) -> Native:
    """Levels of so many bits over all of 16, rounded: white is white, and every level stays one of its own."""
    if levels.dtype != np.uint16 or bits == 16:
        return levels
    top = (1 << bits) - 1
    table = (np.arange(65536, dtype=np.uint64).clip(0, top) * 65535 + top // 2) // top
    return table.astype(np.uint16)[levels]


def to_8_bits(deep: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    """16-bit samples scaled to 8 bits with rounding, 65535 to 255; same shape."""
    shallow = np.empty(deep.shape, np.uint8)
    for top in range(0, len(deep), 256):
        # round(v / 257) in integers; exact for all 65536 values (a test goes through them)
        wide = deep[top : top + 256].astype(np.uint32)
        wide *= 255
        wide += 32895
        shallow[top : top + 256] = wide >> 16
    return shallow


def to_display(stored: Native, orientation: int) -> Native:
    """Turn stored pixels the way the EXIF value 1..8 asks for (TIFF 6.0, tag 274); a contiguous array."""
    turned = stored.swapaxes(0, 1) if orientation >= 5 else stored
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)


def to_stored(shown: Native, orientation: int) -> Native:
    """The inverse of `to_display`."""
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    return to_display(shown, inverse)
