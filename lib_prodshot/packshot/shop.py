"""A packshot as a shop takes it: in sRGB, as JPEG, PNG, WebP or TIFF, with its profile, within a limit of bytes.

JPEG is written without chroma subsampling: its ringing then stays within the 8×8 blocks that hold some of the product.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms

from lib_prodshot import pictures
from lib_prodshot.errors import OutputError
from lib_prodshot.pictures.colour import from_profile
from lib_prodshot.pictures.embedding import file_with_xmp
from lib_prodshot.pictures.loaded import LoadedPicture, Metadata, RestoredPicture
from lib_prodshot.pictures.xmp import XmpError

if TYPE_CHECKING:
    from lib_prodshot.outcome import Packshot

SUFFIXES = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "tiff": ".tif"}
LOWEST_QUALITY = 40
_ROWS = 128


@lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """An ICC profile of sRGB, the same bytes whenever it is made: the date of making in its header is set to zero."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    data[24:36] = bytes(12)
    return bytes(data)


def in_srgb(result: RestoredPicture) -> RestoredPicture:
    """The packshot with its colours in sRGB and that profile; white stays white."""
    source = result.source
    rgb = source.rgb
    if source.metadata.icc is not None:
        shown = from_profile(rgb, "RGB", source.metadata.icc)
        if shown is not None:
            for top in range(0, len(rgb), _ROWS):
                rows = slice(top, top + _ROWS)
                shown[rows][(rgb[rows] == 255).all(axis=2)] = 255
            rgb = shown
    native = source.native
    if rgb is not source.rgb:
        native = rgb if source.mode == "RGB" else np.dstack([rgb, native[..., 3]])
    plain = replace(source, rgb=rgb, native=native, metadata=Metadata(icc=srgb_profile()))
    return RestoredPicture(plain, native, rgb, result.notes)


def format_for(asked: str, result: RestoredPicture) -> str:
    """The file format: what is asked for; 'auto' is png, and so is jpeg for a picture with transparency."""
    is_opaque = result.source.mode == "RGB"
    return "png" if asked == "auto" or (asked == "jpeg" and not is_opaque) else asked


def write(packshot: Packshot, path: Path) -> int | None:
    """Write a packshot; returns the quality that was used, None where the format knows none.

    Raises `OutputError`: the file cannot be written, or does not fit its limit of bytes at any quality.
    """
    assert packshot.result is not None
    if packshot.format in ("png", "tiff"):
        _write_lossless(packshot.result.source, packshot.format, path)
        _refuse_large(path, packshot.max_bytes)
        return None
    encode = _jpeg_encoder(packshot) if packshot.format == "jpeg" else _webp_encoder(packshot)
    data, quality = _fitting(encode, packshot.quality or 95, packshot.max_bytes)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error
    return quality


def _write_lossless(source: LoadedPicture, kind: str, path: Path) -> None:
    # of a PNG only its own chunks would be written; one that is made anew gets them from what is told of it
    as_kind = replace(source, format=kind.upper() if kind == "tiff" else "", lossless=kind == "tiff")
    pictures.write(RestoredPicture(as_kind, as_kind.native, as_kind.rgb), path)


def _refuse_large(path: Path, limit: int) -> None:
    size = path.stat().st_size
    if limit and size > limit:
        raise OutputError(f"the packshot takes {size} bytes of {limit} allowed; choose jpeg, or a smaller size")


Encode = Callable[[int], bytes]


def _fitting(encode: Encode, quality: int, limit: int) -> tuple[bytes, int]:
    """The bytes of the highest quality, at most that asked for, that fit the limit (0: none)."""
    data = encode(quality)
    if not limit or len(data) <= limit:
        return data, quality
    low, high, best = LOWEST_QUALITY, quality - 1, b""
    found = 0
    while low <= high:
        middle = (low + high) // 2
        data = encode(middle)
        if len(data) <= limit:
            best, found, low = data, middle, middle + 1
        else:
            high = middle - 1
    if not found:
        raise OutputError(f"the packshot does not fit {limit} bytes at any quality; choose a smaller size")
    return best, found


def _webp_encoder(packshot: Packshot) -> Encode:
    assert packshot.result is not None
    image = Image.fromarray(np.ascontiguousarray(packshot.result.native))

    def encode(quality: int) -> bytes:
        file = io.BytesIO()
        options = (
            {"lossless": True, "quality": 60, "exact": True} if quality == 100 else {"quality": quality, "method": 4}
        )
        image.save(file, "WEBP", icc_profile=srgb_profile(), **options)
        return _with_xmp(file.getvalue(), packshot.result)

    return encode


def _jpeg_encoder(packshot: Packshot) -> Encode:
    assert packshot.result is not None
    image = Image.fromarray(np.ascontiguousarray(packshot.result.rgb))

    def encode(quality: int) -> bytes:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality, subsampling=0, optimize=True, icc_profile=srgb_profile())
        return _with_xmp(file.getvalue(), packshot.result)

    return encode


def _with_xmp(data: bytes, result: RestoredPicture | None) -> bytes:
    """The file with the packshot's XMP, where it has one: Pillow 9.5 writes none into a JPEG."""
    packet = None if result is None else result.source.metadata.xmp
    if packet is None:
        return data
    try:
        return file_with_xmp(data, packet) or data
    except XmpError as error:
        raise OutputError(f"the packshot's XMP cannot be written: {error}") from error
