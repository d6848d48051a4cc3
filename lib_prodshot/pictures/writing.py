"""From a `RestoredPicture` to a file that is either whole or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import numpy as np
from PIL import Image

from lib_prodshot.errors import OutputError
from lib_prodshot.pictures import png, tiff
from lib_prodshot.pictures.loaded import (
    PREMULTIPLIED,
    Grey,
    LoadedPicture,
    Native,
    RestoredPicture,
    channels_of,
    to_stored,
)

_NUMBERS = count()


def output_suffix(loaded: LoadedPicture) -> str:
    """The suffix of the result's file: the input's own when its format is lossless, '.png' otherwise ('.tif' for
    CMYK, which PNG does not know)."""
    kind = _output_format(loaded)
    if kind == loaded.format:
        return loaded.suffix
    return ".tif" if kind == "TIFF" else ".png"


def holds_xmp(loaded: LoadedPicture) -> bool:
    """Whether the result's file has a place for XMP."""
    return _output_format(loaded) in ("PNG", "TIFF", "WEBP")


def _output_format(loaded: LoadedPicture) -> str:
    if loaded.lossless:
        return loaded.format
    # what PNG cannot say
    return "TIFF" if loaded.mode == "CMYK" or loaded.mode in PREMULTIPLIED or loaded.extra is not None else "PNG"


def write(result: RestoredPicture, path: Path) -> None:
    """Write `result` to `path` in the format of `output_suffix`, with the input's ICC profile, EXIF and orientation.

    The file appears whole or not at all. Raises `OutputError` (no space, no permission, a format's own limits).
    """
    source = result.source
    stored = to_stored(result.native, source.orientation)
    with _whole_file(path) as file:
        _encode(file, stored, source, _output_format(source))


def write_grey(grey: Grey, path: Path, like: LoadedPicture | None = None) -> None:
    """Write a mask (H×W uint8, display orientation) as an 8-bit grey PNG, whole or not at all. Raises `OutputError`.

    It is stored the way the result of the picture `like` is, with the same orientation tag: their arrays fit.
    """
    orientation = like.orientation if like else 1
    chunks = () if orientation == 1 else ((b"eXIf", tiff.orientation_block(orientation)),)
    with _whole_file(path) as file:
        image = Image.fromarray(to_stored(grey, orientation))
        _save(image, _Sink(file, chunks), "PNG", compress_level=png.COMPRESSION)


@contextmanager
def _whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the name `path` when the block ends well, and is gone when it does not."""
    temporary = path.with_name(f".prodshot-{os.getpid()}-{next(_NUMBERS)}.part")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except MemoryError:
        raise
    except Exception as error:  # encoders fail in many ways; each means that nothing was written
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        raise OutputError(f"{path} cannot be written: {reason}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _encode(file: BinaryIO, stored: Native, source: LoadedPicture, kind: str) -> None:
    metadata = source.metadata
    if kind == "PNG":
        _write_png(file, stored, source)
    elif kind == "TIFF":
        tiff.write(
            file,
            stored,
            source.mode,
            metadata.tiff or tiff.tags_from(metadata, source.orientation),
            extra=None if source.extra is None else to_stored(source.extra, source.orientation),
            palette=source.palette,
            compressed=source.compressed or source.format != "TIFF",
        )
    elif kind == "PPM" and stored.dtype == np.uint16:
        magic = b"P5" if stored.ndim == 2 else b"P6"
        file.write(magic + b"\n%d %d\n65535\n" % (stored.shape[1], stored.shape[0]) + stored.astype(">u2").tobytes())
    else:
        _save(_image(stored, source), _Sink(file), kind, **_options(kind, source))


def _options(kind: str, source: LoadedPicture) -> dict[str, Any]:
    metadata = source.metadata
    if kind == "WEBP":
        known = {"icc_profile": metadata.icc, "exif": metadata.exif, "xmp": metadata.xmp}
        return {"lossless": True, "exact": True, "quality": 20, **{key: data for key, data in known.items() if data}}
    if kind == "TGA":
        told = {"id_section": metadata.comments[0].encode("latin-1")} if metadata.comments else {}
        return {**told, **({"compression": "tga_rle"} if source.compressed else {})}
    return {"dpi": metadata.dpi} if kind in ("BMP", "DIB") and metadata.dpi else {}


def _write_png(file: BinaryIO, stored: Native, source: LoadedPicture) -> None:
    metadata = source.metadata
    channels = 3 if source.mode == "P" else channels_of(stored)
    chunks = metadata.png_chunks if source.format == "PNG" else png.metadata_chunks(metadata, channels)
    if stored.dtype == np.uint16:
        png.write_deep(file, stored, chunks, source.key)
        return
    options: dict[str, Any] = {}
    if source.mode == "P" and source.format == "PNG" and metadata.bits:
        options["bits"] = metadata.bits
    if source.palette is not None and int(source.palette[:, 3].min()) < 255:
        options["transparency"] = source.palette[:, 3].tobytes()
    elif source.key is not None:
        options["transparency"] = source.key if len(source.key) > 1 else source.key[0]
    _save(_image(stored, source), _Sink(file, chunks), "PNG", compress_level=png.COMPRESSION, **options)


class _Sink:
    """A file for Pillow's writers that has no file descriptor: through one they would take a disk that fills up in
    the middle of a block for a success. PNG `chunks` go in after the header, verbatim, as Pillow could not."""

    def __init__(self, file: BinaryIO, chunks: tuple[png.Chunk, ...] = ()) -> None:
        self._file = file
        self._chunks = chunks
        self._head = b""

    def write(self, data: bytes) -> int:
        if not self._chunks:
            return self._file.write(data)
        self._head += data
        if len(self._head) >= png.HEADER_END:
            self._file.write(self._head[: png.HEADER_END])
            png.write_chunks(self._file, self._chunks)
            self._file.write(self._head[png.HEADER_END :])
            self._chunks = ()
        return len(data)

    def flush(self) -> None:
        self._file.flush()


def _save(image: Image.Image, sink: _Sink, kind: str, **options: Any) -> None:
    image.save(cast(IO[bytes], sink), kind, **options)


def _image(stored: Native, source: LoadedPicture) -> Image.Image:
    height, width = stored.shape[:2]
    if stored.dtype == bool:
        return Image.fromarray(stored)
    mode = "L" if source.mode == "P" else source.mode
    image = Image.frombuffer(mode, (width, height), stored, "raw", mode, 0, 1)
    if source.palette is not None:
        image.putpalette(source.palette[:, :3].tobytes(), "RGB")
    return image
