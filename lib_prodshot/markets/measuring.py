"""What a written picture file measures: everything is taken from the file itself, decoded again."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from lib_prodshot import pictures, provenance
from lib_prodshot.bounds import bounding_box
from lib_prodshot.pictures import xmp
from lib_prodshot.pictures.colour import from_profile
from lib_prodshot.pictures.embedding import xmp_of

Grey = npt.NDArray[np.uint8]
"""H×W uint8."""

PRODUCT_ALPHA = 26
"""From this alpha on (a tenth) a pixel counts for the product's box."""

GROUND_LEVELS = 12
"""A pixel that differs by no more from the border's median colour, in any channel, may be ground."""

BLOCK = 8
"""A lossy codec's ringing reaches this many pixels around what has edges (JPEG's block)."""

SOFT_EDGE = 0.016
"""A product's soft edge, and what of it is nearly white, reaches no further from all that is darker: a share of the
picture's longer side, and at least a block. As far as it was seen to in packshots that their alpha passes."""

RING = 0.01
"""The picture's border, as a share of its shorter side."""

BORDER_DEPTH = 0.04
"""The widest border that is looked for, as a share of the side; what is wider may be a box on its ground."""

_LOSSY = ("JPEG", "MPO", "WEBP", "AVIF", "HEIF")
_AI_TYPES = (provenance.TRAINED, provenance.COMPOSITE, "compositeSynthetic")
_SHADOW_LEVELS = 6
_SHADOW_SIDE = 500
_OPEN = 0.3
"""At least so much of a shadow's outline is light ground; of a product's shades less, its own edge is around them."""

_NEUTRAL = 12
_SHARPNESS_SIDE = 512
_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png", ".apng"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "HEIF": (".heic", ".heif", ".hif"),
    "AVIF": (".avif",),
}
_MODES = {"1": "black and white", "L": "grey", "I;16": "grey", "LA": "grey", "LA;16": "grey", "P": "palette"}

_LUMINANCE = 57.625
"""The mean of the luminance table that libjpeg scales by its quality (ITU-T T.81, table K.1)."""


@dataclass(frozen=True)
class Support:
    """Where the product is: `mask` (H×W, 255 = it or its soft edge), its `box` (x, y, width, height), and how that is
    known. `is_known`: by an alpha, not estimated from the picture."""

    mask: Grey
    box: tuple[int, int, int, int]
    how: str
    is_known: bool


class Measures:
    """One file's measures, each taken when it is asked for. `alpha` is what made the picture (H×W uint8, the file's own
    size); without it the file's own alpha stands for it, else the support is estimated.

    Raises `PictureError` for a file that cannot be read, ValueError for an alpha of another size.
    """

    def __init__(self, file: Path, alpha: Grey | None = None) -> None:
        self.file = file
        self._loaded = pictures.read(file)
        if alpha is not None and alpha.shape != self._loaded.size:
            raise ValueError(f"an alpha of {alpha.shape} for a picture of {self._loaded.size}")
        self._alpha = alpha

    @cached_property
    def bytes(self) -> int:
        """The file's size."""
        return self.file.stat().st_size

    @property
    def width(self) -> int:
        """Pixels across, as shown (after EXIF rotation)."""
        return self._loaded.size[1]

    @property
    def height(self) -> int:
        """Pixels down, as shown."""
        return self._loaded.size[0]

    @property
    def longest_side(self) -> int:
        """Pixels of the longer side."""
        return max(self._loaded.size)

    @property
    def shortest_side(self) -> int:
        """Pixels of the shorter side."""
        return min(self._loaded.size)

    @property
    def side_sum(self) -> int:
        """Width and height together."""
        return sum(self._loaded.size)

    @property
    def megapixels(self) -> float:
        """Millions of pixels."""
        return round(self.width * self.height / 1e6, 3)

    @property
    def ratio(self) -> float:
        """Width by height."""
        return round(self.width / self.height, 4)

    @property
    def format(self) -> str:
        """What the file's bytes are: JPEG, PNG, WEBP, TIFF, GIF …"""
        return "JPEG" if self._loaded.format == "MPO" else self._loaded.format

    @property
    def extension_fits(self) -> bool:
        """Whether the file's name ends as its format's do."""
        return self.file.suffix.lower() in _SUFFIXES.get(self._loaded.format, (f".{self._loaded.format.lower()}",))

    @property
    def frames(self) -> int:
        """How many pictures the file holds; above 1 it is animated or has pages."""
        return 1 if self._loaded.format == "MPO" else self._loaded.frames

    @property
    def depth(self) -> int:
        """Bits of a sample."""
        return 16 if self._loaded.native.dtype == np.uint16 else 8

    @property
    def mode(self) -> str:
        """RGB, CMYK, grey, palette or black and white."""
        mode = self._loaded.mode
        return _MODES.get(mode) or ("CMYK" if mode == "CMYK" else "RGB" if mode.upper().startswith("RGB") else "grey")

    @cached_property
    def profile(self) -> str:
        """sRGB (by name or by effect), none, or the name of another colour space."""
        if self._loaded.space is not None:
            return "another space, told without a profile"
        icc = self._loaded.metadata.icc
        if icc is None:
            return "none"
        levels = np.linspace(0, 255, 6).astype(np.uint8)
        cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
        name = _profile_name(icc)
        if self.mode == "RGB":
            shown = from_profile(cube, "RGB", icc)
            is_srgb = "srgb" in name.lower() if shown is None else int(cv2.absdiff(shown, cube).max()) <= 3
            return "sRGB" if is_srgb else name
        return name

    @cached_property
    def ai_label(self) -> str | None:
        """What the file says of a trained model's part in it: trainedAlgorithmicMedia,
        compositeWithTrainedAlgorithmicMedia or compositeSynthetic; 'no AI' for another digital source type, 'missing'
        where there is none though the file names an AI system or holds a WebUI's infotext; None where nothing is
        said."""
        told = self._told
        kind = provenance.short_name(told.get(provenance.SOURCE_TYPE, ""))
        if kind:
            return kind if kind in _AI_TYPES else "no AI"
        return "missing" if told.get(provenance.SYSTEM) or self._has_infotext else None

    @property
    def _told(self) -> dict[tuple[str, str], str]:
        packet = xmp_of(self._loaded)
        try:
            return xmp.values(packet) if packet else {}
        except xmp.XmpError:
            return {}

    @property
    def _has_infotext(self) -> bool:
        chunks = self._loaded.metadata.png_chunks
        return any(kind in (b"tEXt", b"zTXt", b"iTXt") and data.startswith(b"parameters\0") for kind, data in chunks)

    @cached_property
    def jpeg_quality(self) -> int | None:
        """The quality that libjpeg would have needed for the luminance table of a JPEG file; None for other files."""
        if self.format != "JPEG":
            return None
        with Image.open(self.file) as image:
            tables: dict[int, Any] = getattr(image, "quantization", {})
        if not tables:
            return None
        scale = float(np.mean(np.asarray(tables[min(tables)], float)) / _LUMINANCE * 100)
        return round((200 - scale) / 2 if scale <= 100 else 5000 / scale)

    @cached_property
    def transparent_pixels(self) -> int:
        """Pixels of the file that are not opaque."""
        alpha = self._loaded.alpha
        return 0 if alpha is None else int(np.count_nonzero(alpha != 255))

    @cached_property
    def support(self) -> Support:
        """Where the product is, and how that is known."""
        if self._alpha is not None:
            return _by_alpha(self._alpha, "the alpha that made the picture")
        own = self._loaded.alpha
        if own is not None and int(own.min()) < 255:
            return _by_alpha(own, "the file's own alpha")
        return self._estimated()

    def _estimated(self) -> Support:
        """The part that is not connected to the border by pixels of its median colour, with a margin for ringing."""
        colour = self._border_colour
        near = self._difference_from(colour) <= GROUND_LEVELS
        _, labels = cv2.connectedComponents(near.astype(np.uint8), connectivity=4)
        ring = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
        ground = np.isin(labels, ring[ring != 0])
        product = np.where(ground, np.uint8(0), np.uint8(255))
        # single noisy pixels are no product, a thin strap that hangs on one is
        thick = cv2.morphologyEx(product, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        count, pieces = cv2.connectedComponents(product, connectivity=8)
        whole = np.zeros(count, np.uint8)
        whole[pieces[thick > 0]] = 255
        product = np.asarray(whole[pieces], np.uint8)
        reach = BLOCK if self._loaded.format in _LOSSY else 1
        grown = np.asarray(cv2.dilate(product, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)), np.uint8)
        further = reach + max(BLOCK, round(SOFT_EDGE * self.longest_side))
        beside = np.asarray(cv2.dilate(product, np.ones((2 * further + 1, 2 * further + 1), np.uint8)), np.uint8)
        grown[self._nearly_white(grown, beside)] = 255
        how = (
            f"estimated: what is not joined to the border by pixels within {GROUND_LEVELS} levels of its median "
            f"colour, {reach} pixels around it, and what is nearly white there and ends within {further} pixels of it"
        )
        return Support(grown, bounding_box(np.asarray(product)), how, is_known=False)

    def _nearly_white(self, product: Grey, near: Grey) -> npt.NDArray[np.bool_]:
        """Which pixels outside the product (H×W, 255) are its soft edge and its light parts: pieces that are not white,
        nowhere by more than a few levels, and end before the last pixels that are `near` it (H×W, 255). Off-white
        ground, a veil or a shadow that runs on is none."""
        level = self._darkest
        pieces = ((level < 255) & (product == 0)).astype(np.uint8)
        count, labels = cv2.connectedComponents(pieces, connectivity=8)
        kept = np.ones(count, np.bool_)
        kept[labels[(pieces > 0) & ((near == 0) | (level < 255 - 2 * GROUND_LEVELS))]] = False
        kept[0] = False
        return np.asarray(kept[labels], np.bool_)

    @cached_property
    def _has_ground(self) -> bool:
        """Whether enough of the border is ground to tell the product from it."""
        ground = np.count_nonzero((self.support.mask == 0) & self._ring)
        return self.support.is_known or ground >= np.count_nonzero(self._ring) / 2

    @cached_property
    def fill(self) -> float | None:
        """The share of the frame that the product's box takes, along the side where it takes more; None where there is
        no plain ground to tell the product from."""
        _, _, width, height = self.support.box
        if not self._has_ground:
            return None
        return round(max(width / self.width, height / self.height), 4)

    @cached_property
    def area_share(self) -> float | None:
        """The share of the frame's area that the product's box takes; None as for `fill`."""
        _, _, width, height = self.support.box
        if not self._has_ground:
            return None
        return round(width * height / (self.width * self.height), 4)

    @cached_property
    def not_white(self) -> int:
        """Pixels outside the support that are not 255, 255, 255; of a lossy file outside what its codec codes together
        with it (see `ringing`). Where most of the border is no ground, those of the border count as well: a picture
        without any ground has no white one."""
        outside = self._reached == 0
        if not self._has_ground:
            outside = outside | self._ring
        return int(np.count_nonzero(outside & (self._darkest < 255)))

    @cached_property
    def ringing(self) -> int:
        """How far from 255 ground is, at most, that a lossy codec coded together with the product; else 0."""
        beside = (self._reached > 0) & (self.support.mask == 0)
        return int(255 - self._darkest[beside].min(initial=255))

    @cached_property
    def _reached(self) -> Grey:
        """The support, and of a lossy file what its codec codes together with it: its JPEG blocks (8 pixels; 16, and
        one around them, where chroma is subsampled); of other codecs all within 16 pixels."""
        support = self.support
        if not support.is_known or self._loaded.format not in _LOSSY:
            return support.mask
        if self.format != "JPEG":
            return np.asarray(cv2.dilate(support.mask, np.ones((33, 33), np.uint8)))
        side, around = (BLOCK, 0) if self._is_444 else (2 * BLOCK, 1)
        height, width = support.mask.shape
        padded = np.pad(support.mask, ((0, -height % side), (0, -width % side)))
        blocks = padded.reshape(padded.shape[0] // side, side, padded.shape[1] // side, side).max(axis=(1, 3))
        whole = np.repeat(np.repeat(blocks, side, axis=0), side, axis=1)[:height, :width]
        return np.asarray(cv2.dilate(np.ascontiguousarray(whole), np.ones((2 * around + 1,) * 2, np.uint8)))

    @property
    def _is_444(self) -> bool:
        with Image.open(self.file) as image:
            layers = getattr(image, "layer", ())
        return len({layer[1:3] for layer in layers}) <= 1

    @cached_property
    def ground_level(self) -> int:
        """The darkest channel of the ground's median colour along the border."""
        return int(self._border_colour.min())

    @cached_property
    def ground_spread(self) -> int:
        """How far the border's pixels are from their median colour: the 95th percentile, in levels."""
        return int(np.percentile(self._difference_from(self._border_colour)[self._border_ground], 95))

    @cached_property
    def shadow_share(self) -> float:
        """The share of the frame that is ground, neutral, and darker than the rest of it by more than a few levels.
        Where the product is not known that is what the border reaches by small steps, lies open to light ground, and is
        no thin line: not the product's soft edge, and not its own shades behind a gap in that."""
        if not self.support.is_known:
            return self._open_shadow()
        outside = self.support.mask == 0
        if self._loaded.format in _LOSSY:
            outside = cv2.erode(outside.astype(np.uint8), np.ones((2 * BLOCK + 1,) * 2, np.uint8)).astype(bool)
        return round(float(np.count_nonzero(outside & self._shaded(self._seen))) / outside.size, 5)

    def _shaded(self, seen: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        """Which pixels (H×W×3) are neutral, and darker than the border by more than a few levels."""
        colour, channels = self._border_colour, _channels(seen)
        total = sum(channel.astype(np.int16) for channel in channels)
        darker = 3 * int(colour.mean()) - total > 3 * _SHADOW_LEVELS
        unlike = np.maximum.reduce(channels) - np.minimum.reduce(channels)
        return np.asarray(darker & (unlike <= _NEUTRAL + int(np.ptp(colour))), np.bool_)

    def _open_shadow(self) -> float:
        """Looked for in a small picture: there a product's soft edge is a step, and a shadow's is not."""
        scale = _SHADOW_SIDE / self.longest_side
        size = (max(1, round(self.width * scale)), max(1, round(self.height * scale)))
        small = np.asarray(
            cv2.resize(self._seen, size, interpolation=cv2.INTER_AREA) if scale < 1 else self._seen, np.uint8
        )
        ground, shaded = self._faded(small), self._shaded(small)
        square = np.ones((3, 3), np.uint8)
        thick = cv2.morphologyEx((ground & shaded).astype(np.uint8), cv2.MORPH_OPEN, square)
        count, labels, boxes, _ = cv2.connectedComponentsWithStats(thick)
        light = ground & ~shaded
        total = 0
        for number in range(1, count):
            x, y, width, height = boxes[number, :4]
            part = (slice(max(0, y - 1), y + height + 1), slice(max(0, x - 1), x + width + 1))
            piece = (labels[part] == number).astype(np.uint8)
            ring = (cv2.dilate(piece, square) > 0) & (piece == 0)
            if np.count_nonzero(ring & light[part]) >= _OPEN * np.count_nonzero(ring):
                total += int(boxes[number, cv2.CC_STAT_AREA])
        return round(total / thick.size, 5)

    def _faded(self, seen: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        """What is joined to the border by small steps, though it may be far from its colour: ground with its shadow."""
        colour = tuple(int(level) for level in self._border_colour)
        framed = cv2.copyMakeBorder(seen, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=colour)
        flooded = np.zeros((framed.shape[0] + 2, framed.shape[1] + 2), np.uint8)
        flags = 4 | cv2.FLOODFILL_MASK_ONLY | (255 << 8)
        cv2.floodFill(framed, flooded, (0, 0), 0, (3, 3, 3), (3, 3, 3), flags)
        return np.asarray(flooded[2:-2, 2:-2] > 0)

    @cached_property
    def border_sides(self) -> int:
        """Sides along which an even line lies between the picture's edge and the picture. White margins are ground, and
        so is whatever lies outside a known support."""
        return sum(self._has_border(turns) for turns in range(4))

    def _has_border(self, turns: int) -> bool:
        turned = np.rot90(self._seen, turns)
        outer = np.median(turned[0], axis=0)
        if np.percentile(np.abs(turned[0] - outer).max(axis=1), 95) > GROUND_LEVELS:
            return False
        is_ground = np.rot90(self.support.mask, turns)[0].max() == 0 and self.support.is_known
        if outer.min() >= 240 or is_ground:
            return False
        # of a picture of one row nothing lies behind its edge
        for depth in range(1, min(len(turned), max(2, round(len(turned) * BORDER_DEPTH)))):
            line = turned[depth, depth : turned.shape[1] - depth]
            if len(line) and np.mean(np.abs(line - outer).max(axis=1) > 2 * GROUND_LEVELS) >= 0.98:
                return True
        return False

    @cached_property
    def sharpness(self) -> float:
        """The variance of the Laplacian of the product's box, at most 512 pixels long (Pech-Pacheco et al. 2000)."""
        grey = cv2.cvtColor(self._product, cv2.COLOR_RGB2GRAY)
        scale = _SHARPNESS_SIDE / max(grey.shape)
        if scale < 1:
            size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        return round(float(cv2.Laplacian(grey, cv2.CV_64F).var()), 1)

    @cached_property
    def clipped_share(self) -> float:
        """The share of the product's box, inside the support, that is black or white in all channels."""
        x, y, width, height = self.support.box
        part = (slice(y, y + height), slice(x, x + width))
        inside = self.support.mask[part] > 0
        low, high = self._lightest[part] <= 2, self._darkest[part] >= 254
        count = np.count_nonzero(inside)
        return round(float(np.count_nonzero(inside & (low | high))) / count, 4) if count else 0.0

    @property
    def _product(self) -> npt.NDArray[np.uint8]:
        x, y, width, height = self.support.box
        return self._seen[y : y + height, x : x + width] if width and height else self._seen

    @cached_property
    def _seen(self) -> npt.NDArray[np.uint8]:
        return self._loaded.seen()

    @cached_property
    def _darkest(self) -> Grey:
        """Each pixel's darkest channel."""
        return np.asarray(np.minimum.reduce(_channels(self._seen)), np.uint8)

    @cached_property
    def _lightest(self) -> Grey:
        """Each pixel's lightest channel."""
        return np.asarray(np.maximum.reduce(_channels(self._seen)), np.uint8)

    @cached_property
    def _ring(self) -> npt.NDArray[np.bool_]:
        wide = max(1, round(RING * self.shortest_side))
        ring = np.ones(self._loaded.size, bool)
        ring[wide:-wide, wide:-wide] = False
        return ring

    @cached_property
    def _border_ground(self) -> npt.NDArray[np.bool_]:
        """The border without the product that is known to reach it."""
        known = self._alpha if self._alpha is not None else self._loaded.alpha
        ground = self._ring if known is None else self._ring & (known == 0)
        return ground if ground.any() else self._ring

    @cached_property
    def _border_colour(self) -> npt.NDArray[np.uint8]:
        return np.asarray(np.median(self._seen[self._border_ground], axis=0), np.uint8)

    def _difference_from(self, colour: npt.NDArray[np.uint8]) -> Grey:
        plain = np.broadcast_to(colour, self._seen.shape).copy()
        off = _channels(np.asarray(cv2.absdiff(self._seen, plain), np.uint8))
        return np.asarray(np.maximum.reduce(off), np.uint8)


def _channels(rgb: npt.NDArray[np.uint8]) -> list[Grey]:
    """The three channels of an H×W×3 picture, each side by side: numpy reduces three bytes at a time slowly."""
    return [np.ascontiguousarray(rgb[..., channel]) for channel in range(3)]


def suffix_of(kind: str) -> str:
    """The usual suffix of a file format's files."""
    return _SUFFIXES.get(kind, (f".{kind.lower()}",))[0]


def _by_alpha(alpha: Grey, how: str) -> Support:
    mask = np.where(alpha > 0, np.uint8(255), np.uint8(0))
    return Support(mask, bounding_box(np.where(alpha >= PRODUCT_ALPHA, alpha, np.uint8(0))), how, is_known=True)


def _profile_name(icc: bytes) -> str:
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile
        return " ".join((profile.profile_description or "").split()) or "a profile without a name"
    except Exception:  # whatever a broken profile does to the reader of profiles
        return "a profile that cannot be read"
