"""Files that Pillow opens: their samples as stored, or those that it would cut to 8 bits, and what they mean."""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from lib_prodshot.errors import PictureError
from lib_prodshot.pictures import deep, facts, formats, jpeg_pixels, png, samples
from lib_prodshot.pictures.loaded import LoadedPicture, Native, RefuseLarge, mode_of, to_display

_READABLE = (*formats.SUFFIXES, "JPEG", "MPO", "GIF", "JPEG2000", "AVIF")
_WORDS = "PNG, JPEG, WebP, TIFF, BMP, GIF, PPM, TGA, JPEG 2000, AVIF or HEIC"

_PLAIN_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")
_ALIASES = {"La": "LA", "RGBa": "RGBA", "PA": "RGBA", "RGBX": "RGB", "YCbCr": "RGB"}

_STRIP = 64
"""Rows of a strip, which stays in the processor's cache."""

_WANTED = {("TGA", "palette + alpha"): "RGBA", ("TGA", "RGB 16"): "RGB"}
"""The modes of what Pillow opens in one or another, depending on its version."""


def load(file: BinaryIO, suffix: str, refuse_large: RefuseLarge) -> LoadedPicture:
    """Read a file. Raises `PictureError` with the rest of a sentence, and what Pillow does."""
    sound = _sound(file, refuse_large)
    image = _open(sound, suffix)
    refuse_large(*image.size)
    form = image.format or ""
    kind = {"MPO": "JPEG", "DIB": "BMP"}.get(form, form)
    place = sound.tell()
    file.seek(0)
    data = file.read()
    told = facts.read(kind, data, image)
    sound.seek(place)
    orientation = _orientation(image)
    stored, mode = _decoded(data, told, image, kind)
    native = to_display(stored, orientation)
    palette = samples.read_palette(image) if mode == "P" else None
    frames, frame_notes = _frames(image)
    said = (told.row.says.format(told.bits),) if told.row.says else ()
    return LoadedPicture(
        rgb=samples.to_rgb(native, mode, palette),
        native=native,
        mode=mode,
        format=form,
        suffix=formats.suffix_of(form, suffix),
        lossless=told.row.result == formats.OWN and not (kind == "BMP" and told.metadata.icc),
        orientation=orientation,
        frames=frames,
        palette=palette,
        key=_key(image, mode, told.bits),
        compressed=image.info.get("compression", "raw") != "raw",
        metadata=told.metadata,
        notes=(*frame_notes, *said, *told.notes),
        space=told.space,
    )


def _sound(file: BinaryIO, refuse_large: RefuseLarge) -> BinaryIO:
    """The file itself; of a PNG what Pillow can open although descriptions in it are damaged. Raises ValueError where a
    PNG's pixels are, and what `refuse_large` does."""
    file.seek(0)
    if file.read(len(png.SIGNATURE)) != png.SIGNATURE:
        return file
    refuse_large(*struct.unpack(">8x2I", file.read(16)))
    file.seek(0)
    data = file.read()
    png.check_pixels(data)
    sound = png.without_damaged_descriptions(data)
    return file if sound is data else io.BytesIO(sound)


def _refuse_damage(data: bytes) -> None:
    told = jpeg_pixels.damage(data)
    if told:
        raise PictureError(
            f"is damaged inside: parts of it are grey, shifted or in wrong colours (libjpeg: {told}). Copy it from the "
            f"camera or card again; if it looks right to you, save it anew in an image editor"
        )


def as_stored(image: Image.Image, wanted: str = "") -> tuple[Native, str]:
    """The samples of a decoded picture and their mode, converted only where a mode is `wanted` or cannot be kept."""
    if wanted and image.mode != wanted:
        return np.asarray(image.convert(wanted)), wanted
    if image.mode.startswith("I"):
        return np.asarray(image).astype(np.uint16), "I;16"
    if image.mode in _PLAIN_MODES:
        return _array_of(image), image.mode
    if image.mode in _ALIASES:
        return np.asarray(image.convert(_ALIASES[image.mode])), _ALIASES[image.mode]
    raise PictureError(f"has samples of the kind {image.mode}, which cannot be kept; save it as RGB with 8 or 16 bits")


def _array_of(image: Image.Image) -> Native:
    """The samples of a decoded picture, read-only. In strips: whole, Pillow gathers them in thousands of pieces first,
    and they are in memory twice."""
    if image.height <= _STRIP:
        return np.asarray(image)
    samples: Native | None = None
    for top in range(0, image.height, _STRIP):
        strip = np.asarray(image.crop((0, top, image.width, min(top + _STRIP, image.height))))
        if samples is None:
            samples = np.empty((image.height, *strip.shape[1:]), strip.dtype)
        samples[top : top + len(strip)] = strip
    assert samples is not None
    samples.flags.writeable = False
    return samples


def _open(file: BinaryIO, suffix: str) -> Image.Image:
    file.seek(0)
    try:
        return Image.open(file, formats=_formats(suffix))
    except UnidentifiedImageError as error:
        _refuse_by_header(file)
        raise PictureError(f"is not a picture that can be read ({_WORDS})") from error
    except (OSError, NotImplementedError) as error:
        if "unsupported" in str(error).lower():
            _refuse_by_header(file)
        raise


def _refuse_by_header(file: BinaryIO) -> None:
    file.seek(0)
    facts.refuse_by_header(file.read())


def _formats(suffix: str) -> list[str]:
    Image.init()
    readable = [kind for kind in _READABLE if kind in Image.OPEN and kind != "TIFF"]
    # TGA has no signature, so that noise may look like one: only its name tells
    return [kind for kind in readable if kind != "TGA" or suffix in formats.SUFFIXES["TGA"]]


def _decoded(data: bytes, told: facts.Facts, image: Image.Image, kind: str) -> tuple[Native, str]:
    if kind == "JPEG":
        stored = jpeg_pixels.decoded(data, image.mode, image.size)
        if stored is not None:
            return stored, image.mode
    image.load()
    if kind == "JPEG":
        _refuse_damage(data)
    return _samples(data, told, image, _WANTED.get((kind, told.row.kind), ""))


def _samples(data: bytes, told: facts.Facts, image: Image.Image, wanted: str) -> tuple[Native, str]:
    if told.deep:
        native = deep.read(data, told, image)
        return native, mode_of(native)
    stored, mode = as_stored(image, wanted)
    return (np.ascontiguousarray(stored[..., 0]), "L") if told.grey and mode == "RGB" else (stored, mode)


def _key(image: Image.Image, mode: str, bits: int) -> tuple[int, ...] | None:
    """The one colour that stands for transparent in PNGs and grey GIFs without an alpha channel. A PNG keeps it in 16
    bits, of which only those count that the samples have."""
    transparent = image.info.get("transparency")
    if mode not in ("1", "L", "RGB", "I;16", "RGB;16") or transparent is None:
        return None
    levels = (transparent,) if isinstance(transparent, int) else transparent
    if image.format == "PNG" and bits in (2, 4):
        return tuple((int(level) & ((1 << bits) - 1)) * 255 // ((1 << bits) - 1) for level in levels)
    mask = {"1": 1, "L": 255, "RGB": 255}.get(mode, 65535)
    return tuple(int(level) & mask for level in levels)


def _orientation(image: Image.Image) -> int:
    try:
        value = int(image.getexif().get(274, 1))
    except Exception:  # a broken EXIF block is no reason to refuse the pixels
        return 1
    return value if 1 <= value <= 8 else 1


def _frames(image: Image.Image) -> tuple[int, tuple[str, ...]]:
    try:
        frames = int(getattr(image, "n_frames", 1))
    except Exception:  # the first frame is whole; that later ones are not does not matter
        frames = 2
    if frames == 1:
        return 1, ()
    if image.format == "MPO":
        return frames, (f"{frames} pictures in one file: first picture only",)
    return frames, (f"animated ({frames} frames): first frame only",)
