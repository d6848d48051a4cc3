"""From a file or its bytes to a `LoadedPicture`; whatever is wrong with it becomes one plain sentence.

What a file holds is read from its own header and looked up in `formats.TABLE`: here it is told what kind of file it is,
and `tiff_loading`, `heif` or `opened` (all that Pillow opens) reads it.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from lib_prodshot.errors import PictureError
from lib_prodshot.pictures import blocks, boxes, formats, headers, heif, opened, png, tiff_loading, tiff_tags
from lib_prodshot.pictures.loaded import LoadedPicture, RefuseLarge

MAX_PIXELS = 105_000_000
"""Larger pictures are refused from their header: room for a 102-megapixel medium-format camera, and short of what
a decompression bomb needs."""

_HEAD = 4096


def read(source: Path | bytes, max_pixels: int | None = None) -> LoadedPicture:
    """Read a picture from a file or from the bytes of one.

    Raises `PictureError`: no such file, a folder, not readable, empty, not a picture, damaged or cut short, more than
    `max_pixels` (default: `MAX_PIXELS`; told by the header, before anything is decoded), samples that cannot be kept.

    >>> loaded = read(b"P6 2 1 255 " + bytes([255, 0, 0, 9, 9, 9]))
    >>> loaded.format, loaded.mode, loaded.rgb.tolist()
    ('PPM', 'RGB', [[[255, 0, 0], [9, 9, 9]]])
    """
    if isinstance(source, bytes):
        return _read_file(io.BytesIO(source), "the picture", "", max_pixels)
    try:
        if source.is_dir():
            raise PictureError(f"{source} is a folder; give the pictures in it")
        if source.exists() and not source.is_file():
            raise PictureError(f"{source} is not a regular file")
        with source.open("rb") as file:
            return _read_file(file, str(source), source.suffix.lower(), max_pixels)
    except FileNotFoundError as error:
        raise PictureError(f"there is no file {source}") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PictureError(f"{source} cannot be read: {reason.lower()}") from error


def _read_file(file: BinaryIO, name: str, suffix: str, max_pixels: int | None) -> LoadedPicture:
    head = file.read(_HEAD)
    if not head:
        raise PictureError(f"{name} is empty (zero bytes)")
    limit = min(MAX_PIXELS, max_pixels or MAX_PIXELS)

    def refuse_large(width: int, height: int) -> None:
        if width * height > limit:
            raise PictureError(f"is too large: {width}×{height} pixels, {_at_most(limit)}")

    try:
        with warnings.catch_warnings():
            # what Pillow mentions about tags and sizes on the way is no concern of whoever sees the terminal
            warnings.simplefilter("ignore")
            loaded = _read_kind(file, head, suffix, refuse_large)
    except Image.DecompressionBombError as error:
        raise PictureError(f"{name} is too large: {_at_most(limit)}") from error
    except PictureError as error:
        raise PictureError(f"{name} {error}") from error
    except MemoryError:
        raise
    except Exception as error:  # decoders meet hostile bytes: no exception of theirs may pass for one of ours
        detail = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(f"{name} is damaged or cut short and cannot be decoded ({detail})") from error
    return _without_old_pictures(loaded)


def _at_most(limit: int) -> str:
    return f"at most {limit // 1_000_000} megapixels are accepted"


def _read_kind(file: BinaryIO, head: bytes, suffix: str, refuse_large: RefuseLarge) -> LoadedPicture:
    """Raises `PictureError` with the rest of a sentence that begins with the file's name."""
    foreign = headers.foreign(head)
    if foreign:
        raise PictureError(f"is not a picture that can be read: it is {foreign}; save it as TIFF, PNG or JPEG")
    if tiff_tags.is_tiff(head):
        return tiff_loading.load(file, suffix, refuse_large)
    if boxes.family(head) == "HEIF":
        return heif.load(file, suffix, refuse_large)
    if head[:2] in (b"P7", b"Pf", b"PF") and head[2:3].isspace():
        formats.row_of("PPM", headers.ppm(head).kind)
    return opened.load(file, suffix, refuse_large)


def _without_old_pictures(loaded: LoadedPicture) -> LoadedPicture:
    """The picture without thumbnails in its descriptions, and with notes that say so."""
    metadata, notes = blocks.without_old_pictures(loaded.metadata)
    if loaded.format == "PNG":
        chunks, notes = png.without_old_pictures(metadata.png_chunks)
        metadata = replace(metadata, png_chunks=chunks)
    return replace(loaded, metadata=metadata, notes=(*loaded.notes, *notes))
