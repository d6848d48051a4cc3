"""From a file or its bytes to a `LoadedPicture`; whatever is wrong with it becomes one plain sentence."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from lib_prodshot.errors import PictureError
from lib_prodshot.pictures import png, samples, tiff
from lib_prodshot.pictures.loaded import LoadedPicture, Metadata, Native, to_8_bits, to_display

MAX_PIXELS = 105_000_000
"""Larger pictures are refused from their header: room for a 102-megapixel medium-format camera, and short of what
a decompression bomb needs."""

_SUFFIXES = {
    "PNG": (".png", ".apng"),
    "BMP": (".bmp", ".dib"),
    "DIB": (".dib", ".bmp"),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "TGA": (".tga", ".icb", ".vda", ".vst"),
    "WEBP": (".webp",),
}
_LOSSLESS = frozenset(("PNG", "BMP", "DIB", "TIFF", "PPM", "TGA"))
_READABLE = (*_SUFFIXES, "JPEG", "MPO", "GIF", "JPEG2000", "AVIF")
_WORDS = "PNG, JPEG, WebP, TIFF, BMP, GIF, PPM, TGA, JPEG 2000 or AVIF"

_PLAIN_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")
_UNKEPT = "has 16-bit samples of a kind ({}) that cannot be kept exactly; save it as plain 16-bit RGB or with 8 bits"
_ALIASES = {"La": "LA", "RGBa": "RGBA", "PA": "RGBA", "RGBX": "RGB", "YCbCr": "RGB"}


def read(source: Path | bytes) -> LoadedPicture:
    """Read a picture from a file or from the bytes of one.

    Raises `PictureError`: no such file, a folder, not readable, empty, not a picture, damaged or cut short, more than
    `MAX_PIXELS` pixels (told by the header, before anything is decoded), samples that could not be kept exactly.
    """
    if isinstance(source, bytes):
        return _read_file(io.BytesIO(source), "the picture", "")
    try:
        if source.is_dir():
            raise PictureError(f"{source} is a folder; give the pictures in it")
        if source.exists() and not source.is_file():
            raise PictureError(f"{source} is not a regular file")
        with source.open("rb") as file:
            return _read_file(file, str(source), source.suffix.lower())
    except FileNotFoundError as error:
        raise PictureError(f"there is no file {source}") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PictureError(f"{source} cannot be read: {reason.lower()}") from error


def _read_file(file: BinaryIO, name: str, suffix: str) -> LoadedPicture:
    if not file.read(1):
        raise PictureError(f"{name} is empty (zero bytes)")
    file.seek(0)
    try:
        image = Image.open(file, formats=_formats(suffix))
    except UnidentifiedImageError as error:
        raise PictureError(f"{name} is not a picture that can be read ({_WORDS})") from error
    except Image.DecompressionBombError as error:
        raise _too_large(name, "") from error
    except Exception as error:
        raise _damaged(name, error) from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _too_large(name, f"{width}×{height} pixels, ")
    try:
        return _decode(file, image, suffix)
    except PictureError as error:
        raise PictureError(f"{name} {error}") from error
    except MemoryError:
        raise
    except Exception as error:  # decoders meet hostile bytes: no exception of theirs may pass for one of ours
        raise _damaged(name, error) from error


def _formats(suffix: str) -> list[str]:
    Image.init()
    readable = [kind for kind in _READABLE if kind in Image.OPEN]
    # TGA has no signature, so that noise may look like one: only its name tells
    return [kind for kind in readable if kind != "TGA" or suffix in _SUFFIXES["TGA"]]


def _too_large(name: str, size: str) -> PictureError:
    return PictureError(f"{name} is too large: {size}at most {MAX_PIXELS // 1_000_000} megapixels are accepted")


def _damaged(name: str, error: Exception) -> PictureError:
    detail = " ".join(str(error).split()) or type(error).__name__
    return PictureError(f"{name} is damaged or cut short and cannot be decoded ({detail})")


@dataclass(frozen=True)
class _Pixels:
    """Samples as stored in the file and their mode."""

    stored: Native
    mode: str
    notes: tuple[str, ...] = ()


def _decode(file: BinaryIO, image: Image.Image, suffix: str) -> LoadedPicture:
    """Raises `PictureError` with the rest of a sentence that begins with the file's name."""
    kind = image.format or ""
    orientation = _orientation(image)
    tags = tiff.read_tags(image) if kind == "TIFF" else {}
    # read before Pillow decodes, as libtiff moves the file's position behind Python's back
    deep = _whole(file) if _is_deep_colour(file, image) else b""
    image.load()
    if kind == "PNG":
        png.check_pixels(file)
    pixels = _deep_pixels(deep, image) if deep else _pixels(image)
    metadata = _metadata(file, image, tags)
    # Pillow and OpenCV turn TIFFs by themselves, and nothing else
    native = np.ascontiguousarray(pixels.stored) if kind == "TIFF" else to_display(pixels.stored, orientation)
    palette = samples.read_palette(image) if pixels.mode == "P" else None
    key = _key(image, pixels.mode)
    frames, frame_note = _frames(image)
    own = _SUFFIXES.get(kind, ())
    lossless = kind in _LOSSLESS or (kind == "WEBP" and _is_lossless_webp(file))
    return LoadedPicture(
        rgb=samples.to_rgb(native, pixels.mode, palette),
        native=native,
        mode=pixels.mode,
        format=kind,
        suffix=suffix if suffix in own else (own[0] if own else suffix),
        lossless=lossless,
        orientation=orientation,
        frames=frames,
        palette=palette,
        key=key,
        compressed=image.info.get("compression", "raw") != "raw",
        metadata=metadata,
        notes=(*frame_note, *pixels.notes),
    )


def _pixels(image: Image.Image) -> _Pixels:
    if image.mode.startswith("I"):
        return _Pixels(_grey_16(image), "I;16")
    if image.mode in _PLAIN_MODES:
        return _Pixels(np.asarray(image), image.mode)
    if image.mode in _ALIASES:
        mode = _ALIASES[image.mode]
        return _Pixels(np.asarray(image.convert(mode)), mode, (f"{image.mode} samples were read as {mode}",))
    raise PictureError(f"has samples of the kind {image.mode}, which cannot be kept; save it as RGB with 8 or 16 bits")


def _grey_16(image: Image.Image) -> Native:
    levels = np.asarray(image)
    if levels.dtype.itemsize > 2 and levels.size and not 0 <= int(levels.min()) <= int(levels.max()) <= 65535:
        raise PictureError("has 32-bit samples, which cannot be kept; save it with 16 bits")
    return levels.astype(np.uint16)


def _is_deep_colour(file: BinaryIO, image: Image.Image) -> bool:
    """Whether the file has 16-bit colour (or grey with alpha), of which Pillow hands out only 8 bits."""
    if image.format == "PNG":
        depth, colour_type = png.read_header(file)
        return depth == 16 and colour_type != 0
    if image.format == "TIFF":
        depths = image.tag_v2.get(258, (1,))  # type: ignore[attr-defined]
        return image.mode not in ("I;16", "I;16B", "I", "F", "1") and max(depths) > 8
    return image.format == "PPM" and image.mode == "RGB" and _ppm_maximum(file) > 255


def _ppm_maximum(file: BinaryIO) -> int:
    file.seek(0)
    header = re.sub(rb"#[^\n\r]*", b"", file.read(4096)).split(None, 4)
    return int(header[3])


def _whole(file: BinaryIO) -> bytes:
    place = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(place)
    return data


def _deep_pixels(data: bytes, image: Image.Image) -> _Pixels:
    """16-bit samples by OpenCV, in Pillow's order of channels, if Pillow read the same picture in 8 bits."""
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    # Pillow opens 16-bit grey with alpha (colour type 4) as LA or as RGBA, depending on its version
    mode = "LA" if image.format == "PNG" and data[25] == 4 else image.mode
    channels = {"LA": [0, 3], "RGB": [2, 1, 0], "RGBA": [2, 1, 0, 3]}.get(mode)
    if channels is None or decoded is None or decoded.dtype != np.uint16 or decoded.ndim != 3:
        raise PictureError(_UNKEPT.format(mode))
    if decoded.shape[2] <= max(channels) or decoded.shape[:2] != (image.height, image.width):
        raise PictureError(_UNKEPT.format(mode))
    native = np.ascontiguousarray(decoded[..., channels], dtype=np.uint16)
    shallow = np.asarray(image if image.mode == mode else image.convert(mode))
    for top in range(0, len(native), 256):
        rows = slice(top, top + 256)
        if int(cv2.absdiff(to_8_bits(native[rows]), shallow[rows]).max(initial=0)) > 1:
            raise PictureError(_UNKEPT.format(mode))
    return _Pixels(native, f"{mode};16")


def _key(image: Image.Image, mode: str) -> tuple[int, ...] | None:
    """The one colour that stands for transparent in PNGs and grey GIFs without an alpha channel. A PNG keeps it in 16
    bits, of which only those count that the samples have."""
    transparent = image.info.get("transparency")
    if mode not in ("1", "L", "RGB", "I;16", "RGB;16") or transparent is None:
        return None
    levels = (transparent,) if isinstance(transparent, int) else transparent
    bits = {"1": 1, "L": 255, "RGB": 255}.get(mode, 65535)
    return tuple(int(level) & bits for level in levels)


def _orientation(image: Image.Image) -> int:
    try:
        value = int(image.getexif().get(274, 1))
    except Exception:  # a broken EXIF block is no reason to refuse the pixels
        return 1
    return value if 1 <= value <= 8 else 1


def _metadata(file: BinaryIO, image: Image.Image, tiff_tags: dict[int, Any]) -> Metadata:
    info = image.info
    exif = info.get("exif")
    if isinstance(exif, bytes) and exif.startswith(b"Exif\0\0"):
        exif = exif[6:]
    dpi = info.get("dpi")
    return Metadata(
        icc=info.get("icc_profile") or None,
        exif=exif if isinstance(exif, bytes) and not tiff_tags else None,
        xmp=None if tiff_tags else _xmp(image),
        dpi=(float(dpi[0]), float(dpi[1])) if dpi else None,
        png_chunks=png.read_chunks(file) if image.format == "PNG" else (),
        tiff_tags=tiff_tags,
    )


def _xmp(image: Image.Image) -> bytes | None:
    found = image.info.get("xmp")
    if isinstance(found, bytes):
        return found
    marker = b"http://ns.adobe.com/xap/1.0/\0"
    segments = getattr(image, "applist", ())
    return next((data[len(marker) :] for kind, data in segments if kind == "APP1" and data.startswith(marker)), None)


def _frames(image: Image.Image) -> tuple[int, tuple[str, ...]]:
    try:
        frames = int(getattr(image, "n_frames", 1))
    except Exception:  # the first frame is whole; that later ones are not does not matter
        frames = 2
    if frames == 1:
        return 1, ()
    if image.format == "TIFF":
        return frames, (f"{frames} pages: first page only",)
    if image.format == "MPO":
        return frames, (f"{frames} pictures in one file: first picture only",)
    return frames, (f"animated ({frames} frames): first frame only",)


def _is_lossless_webp(file: BinaryIO) -> bool:
    """Whether the first picture of a WebP is of the lossless kind (chunk VP8L; RFC 9649)."""
    file.seek(12)
    while len(head := file.read(8)) == 8:
        if head[:4] in (b"VP8L", b"VP8 "):
            return head[:4] == b"VP8L"
        if head[:4] == b"ANMF":
            file.seek(16, 1)
            continue
        length = int.from_bytes(head[4:], "little")
        file.seek(length + (length & 1), 1)
    return False
