"""Damaged pictures and lying headers: every format that is read, flipped, cut, spliced; and headers that claim other
sizes, depths and kinds. Reading one ends in a `PictureError` or in a picture that is whole in itself."""

from __future__ import annotations

import faulthandler
import io
import random
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from lib_prodshot import pictures
from lib_prodshot.errors import OutputError, PictureError
from lib_prodshot.pictures import LoadedPicture, png, reading, tiff, tiff_tags

PATIENCE = 60
"""Seconds after which a case counts as endless, and the process ends with a traceback."""

SMALL_LIMIT = 400_000
"""Pixels: the limit while damaged files are read, so that a claim just below it costs milliseconds."""

TRIED_BACK = 8
"""Every so manieth picture that was read is also written, with other colours."""


@cache
def corpus() -> tuple[tuple[str, bytes], ...]:
    """Suffix and bytes of small pictures in every format, mode and layout that is read."""
    return tuple((suffix, data) for suffix, data in _corpus() if data)


def _corpus() -> Iterator[tuple[str, bytes]]:
    samples = np.random.default_rng(5).integers(0, 256, (18, 26, 4), dtype=np.uint8)
    rgba = Image.fromarray(samples)
    modes = {mode: rgba.convert("RGB").convert(mode) for mode in ("1", "L", "P", "RGB", "CMYK")}
    modes |= {"RGBA": rgba, "LA": rgba.convert("LA")}
    deep = Image.fromarray(samples[..., 0].astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[274], exif[271] = 6, "maker"
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        yield ".png", _saved(modes[mode], "PNG", exif=exif, dpi=(72, 72))
    yield ".png", _saved(deep, "PNG")
    yield ".png", _saved(modes["P"], "PNG", transparency=bytes(range(200)))
    yield ".png", _saved(rgba, "PNG", save_all=True, append_images=[rgba.rotate(180)])
    yield ".png", _deep_png()
    for mode in ("L", "RGB", "CMYK"):
        yield ".jpg", _saved(modes[mode], "JPEG", exif=exif, quality=80)
    yield ".jpg", _saved(modes["RGB"], "JPEG", progressive=True, optimize=True)
    yield ".jpg", _saved(modes["RGB"], "MPO", save_all=True, append_images=[modes["RGB"].rotate(90)])
    for options in ({"lossless": True}, {"quality": 70}, {"save_all": True, "append_images": [rgba.rotate(90)]}):
        yield ".webp", _saved(rgba, "WEBP", exif=exif, **options)
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        yield ".tif", _saved(modes["RGB"], "TIFF", compression=compression)
        yield ".tif", _saved(deep, "TIFF", compression=compression)
    for mode in ("1", "L", "P", "RGBA", "CMYK"):
        yield ".tif", _saved(modes[mode], "TIFF")
    yield ".tif", _saved(modes["RGB"], "TIFF", compression="jpeg")
    yield from ((".tif", data) for data in _other_tiffs(samples))
    yield ".tif", _saved(modes["RGB"], "TIFF", save_all=True, append_images=[modes["RGB"]])
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield ".bmp", _saved(modes[mode], "BMP")
    yield ".dib", _saved(modes["RGB"], "DIB")
    yield ".gif", _saved(modes["P"], "GIF", save_all=True, append_images=[modes["L"]], transparency=3)
    yield ".gif", _saved(modes["L"], "GIF")
    for mode in ("1", "L", "RGB"):
        yield ".ppm", _saved(modes[mode], "PPM")
    yield ".ppm", b"P6\n26 18\n65535\n" + samples.astype(">u2").tobytes()[: 26 * 18 * 6]
    for mode in ("L", "P", "RGB", "RGBA"):
        yield ".tga", _saved(modes[mode], "TGA")
        yield ".tga", _saved(modes[mode], "TGA", compression="tga_rle")
    if features.check("jpg_2000"):
        yield ".jp2", _saved(rgba, "JPEG2000")
    if features.check("avif"):
        yield ".avif", _saved(rgba, "AVIF")


def _other_tiffs(samples: Any) -> Iterator[bytes]:
    """Both byte orders, classic and big, with a directory inside, and channels beside the picture."""
    for order in "<>":
        for big in (False, True):
            tags = tiff_tags.Tags(order, big)
            maker = tiff_tags.Entry(tiff_tags.ASCII, 6, b"maker\0")
            entries = {
                274: tags.entry(tiff_tags.SHORT, 6),
                338: tags.entry(tiff_tags.SHORT, 1, 0),
                34665: tiff_tags.Entry(tiff_tags.LONG, 1, b"", {271: maker}),
            }
            file = io.BytesIO()
            told = tiff_tags.Tags(order, big, entries)
            tiff.write(file, samples.astype(np.uint16) * 257, "RGBa;16", told, extra=samples[..., :1].astype(np.uint16))
            yield file.getvalue()


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    try:
        image.save(file, kind, **options)
    except (OSError, ValueError, KeyError):  # a Pillow that lacks this codec
        return b""
    return file.getvalue()


def _deep_png() -> bytes:
    file = io.BytesIO()
    png.write_deep(file, np.random.default_rng(6).integers(0, 65536, (18, 26, 3), dtype=np.uint16), ())
    return file.getvalue()


# --- damage ---------------------------------------------------------------------------------------------------------


def flip_bits(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 2, 8, 40))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def put_bytes(data: bytearray, chance: random.Random) -> None:
    """Over the header more often than over the rest: what it says decides."""
    for _ in range(chance.choice((1, 2, 4))):
        place = chance.randrange(min(len(data), chance.choice((32, 128, len(data)))))
        data[place] = chance.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, chance.randrange(256)))


def put_a_number(data: bytearray, chance: random.Random) -> None:
    """A length, a count or an offset that is too much."""
    size = chance.choice((2, 4))
    place = chance.randrange(max(1, len(data) - size))
    number = chance.choice((0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, chance.randrange(2**32)))
    data[place : place + size] = (number % 2 ** (8 * size)).to_bytes(size, chance.choice(("big", "little")))


def cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def leave_out(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    del data[start : start + chance.randrange(1, 64)]


def put_in(data: bytearray, chance: random.Random) -> None:
    place = chance.randrange(len(data))
    data[place:place] = chance.randbytes(chance.randrange(1, 64))


def splice(data: bytearray, chance: random.Random) -> None:
    """The end of another picture."""
    _, other = chance.choice(corpus())
    place = chance.randrange(len(data))
    data[place:] = other[chance.randrange(len(other)) :]


def repeat(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    part = data[start : start + chance.randrange(1, 200)]
    data[start:start] = part * chance.randrange(1, 6)


DAMAGES = (flip_bits, flip_bits, put_bytes, put_bytes, put_a_number, cut, leave_out, put_in, splice, repeat)


def damaged_pictures(chance: random.Random, count: int, keep: Path) -> Counter[str]:
    """A picture of the corpus with one damage or two, read from bytes and (TGA has no signature) from a file."""
    ends: Counter[str] = Counter()
    with _small_limit():
        for _ in range(count):
            suffix, whole = chance.choice(corpus())
            data = bytearray(whole)
            for damage in chance.sample(DAMAGES, chance.choice((1, 1, 2))):
                if data:
                    damage(data, chance)
            ends[_read(bytes(data), suffix, chance, keep)] += 1
    return ends


@contextmanager
def _small_limit() -> Iterator[None]:
    former, reading.MAX_PIXELS = reading.MAX_PIXELS, SMALL_LIMIT
    try:
        yield
    finally:
        reading.MAX_PIXELS = former


def _read(data: bytes, suffix: str, chance: random.Random, keep: Path) -> str:
    path = keep / f"case{suffix}"
    path.write_bytes(data)
    faulthandler.dump_traceback_later(PATIENCE, exit=True, file=sys.__stdout__)
    try:
        loaded = pictures.read(path if suffix == ".tga" or chance.random() < 0.2 else data)
    except PictureError as error:
        assert str(error) and "\n" not in str(error)
        return "refused"
    _check(loaded)
    if chance.randrange(TRIED_BACK) == 0:
        return _write_back(loaded, chance, keep)
    return "read"


def _check(loaded: LoadedPicture) -> None:
    height, width = loaded.size
    assert 0 < height * width <= reading.MAX_PIXELS, loaded.size
    assert loaded.rgb.shape == (height, width, 3) and loaded.rgb.dtype == np.uint8
    assert loaded.native.shape[:2] == (height, width), (loaded.native.shape, loaded.size)
    assert loaded.seen().shape == loaded.rgb.shape
    alpha = loaded.alpha
    assert alpha is None or alpha.shape == (height, width)


def _write_back(loaded: LoadedPicture, chance: random.Random, keep: Path) -> str:
    """With other colours in a part of it; outside not a sample may change, and what is written can be read."""
    height, width = loaded.size
    alpha = np.zeros((height, width), np.uint8)
    alpha[: height // 2 + 1, : width // 2 + 1] = 255
    result = pictures.restore(loaded, 255 - loaded.rgb, alpha)
    assert np.array_equal(result.native[alpha == 0], loaded.native[alpha == 0])
    path = keep / f"back{pictures.output_suffix(loaded)}"
    try:
        pictures.write(result, path)
    except OutputError as error:
        assert str(error)
        return "read, and not writable"
    assert np.array_equal(pictures.read(path).native, result.native), "what was written is not what was meant"
    return "read and written"


# --- headers that lie -----------------------------------------------------------------------------------------------

_LENGTHS = (0, 1, 2, 25, 26, 27, 632, 633, 20_000, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1)


def picture_headers(chance: random.Random, count: int, keep: Path) -> Counter[str]:
    """Whole files whose headers claim another size, depth or kind; PNG's with a right checksum."""
    ends: Counter[str] = Counter()
    makers = (_lying_png, _lying_bmp, _lying_tga, _lying_gif, _lying_ppm, _lying_jpeg, _lying_tiff)
    with _small_limit():
        for _ in range(count):
            suffix, data = chance.choice(makers)(chance)
            ends[_read(data, suffix, chance, keep)] += 1
    return ends


def _length(chance: random.Random, limit: int = 2**32 - 1) -> int:
    return min(limit, chance.choice((*_LENGTHS, chance.randrange(1, 64), chance.randrange(limit + 1))))


def _of(suffix: str, chance: random.Random) -> bytearray:
    # of TIFFs those whose directory the maker below understands
    known = [data for kind, data in corpus() if kind == suffix and data[:4] not in (b"MM\0*", b"MM\0+", b"II+\0")]
    return bytearray(chance.choice(known))


def _lying_png(chance: random.Random) -> tuple[str, bytes]:
    data = _of(".png", chance)
    width, height, depth, colour, packing, filtering, interlace = struct.unpack(">IIBBBBB", data[16:29])
    width, height = (_length(chance) if chance.random() < 0.4 else length for length in (width, height))
    depth = chance.choice((depth, 0, 1, 2, 4, 8, 16, 255))
    colour = chance.choice((colour, 0, 2, 3, 4, 6, 7))
    interlace = chance.choice((interlace, 1, 2))
    data[16:29] = struct.pack(">IIBBBBB", width, height, depth, colour, packing, filtering, interlace)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return ".png", bytes(data)


def _lying_bmp(chance: random.Random) -> tuple[str, bytes]:
    data = _of(".bmp", chance)
    signed = _length(chance) - chance.choice((0, 2**31, 2**32))
    data[18:22] = struct.pack("<I", _length(chance))
    data[22:26] = struct.pack("<I", signed % 2**32)
    data[28:30] = struct.pack("<H", chance.choice((0, 1, 4, 8, 16, 24, 32, 64)))
    data[30:34] = struct.pack("<I", chance.choice((0, 1, 2, 3, 4, 5, 99)))
    return ".bmp", bytes(data)


def _lying_tga(chance: random.Random) -> tuple[str, bytes]:
    data = _of(".tga", chance)
    data[1], data[2] = chance.choice((0, 1, 9)), chance.choice((0, 1, 2, 3, 9, 10, 11, 32))
    data[12:16] = struct.pack("<HH", _length(chance, 65535), _length(chance, 65535))
    data[16] = chance.choice((0, 1, 8, 15, 16, 24, 32, 64))
    return ".tga", bytes(data)


def _lying_gif(chance: random.Random) -> tuple[str, bytes]:
    data = _of(".gif", chance)
    data[6:10] = struct.pack("<HH", _length(chance, 65535), _length(chance, 65535))
    data[10] = chance.randrange(256)
    return ".gif", bytes(data)


def _lying_ppm(chance: random.Random) -> tuple[str, bytes]:
    kind = chance.choice(("P1", "P2", "P3", "P4", "P5", "P6", "P7", "Pf", "Py"))
    numbers = [chance.choice((str(_length(chance)), "-1", "1e3", "x", "")) for _ in range(3)]
    numbers[2] = chance.choice((numbers[2], "1", "255", "256", "65535", "65536"))
    return ".ppm", f"{kind}\n{numbers[0]} {numbers[1]}\n{numbers[2]}\n".encode() + chance.randbytes(3000)


def _lying_jpeg(chance: random.Random) -> tuple[str, bytes]:
    data = _of(".jpg", chance)
    for marker in (b"\xff\xc0", b"\xff\xc2"):
        place = data.find(marker)
        if 0 < place < len(data) - 10:
            data[place + 4] = chance.choice((8, 8, 12, 16, 0))
            data[place + 5 : place + 9] = struct.pack(">HH", _length(chance, 65535), _length(chance, 65535))
            data[place + 9] = chance.choice((1, 3, 4, 0, 255))
    return ".jpg", bytes(data)


def _lying_tiff(chance: random.Random) -> tuple[str, bytes]:
    """One entry or two of the first directory changed: type, count or value."""
    data = _of(".tif", chance)
    (directory,) = struct.unpack("<I", data[4:8])
    (entries,) = struct.unpack("<H", data[directory : directory + 2])
    for _ in range(chance.choice((1, 2))):
        place = directory + 2 + 12 * chance.randrange(entries)
        offset, size = chance.choice(((2, 2), (4, 4), (8, 4), (8, 2)))
        value = chance.choice((_length(chance), chance.randrange(16))) % 2 ** (8 * size)
        data[place + offset : place + offset + size] = value.to_bytes(size, "little")
    return ".tif", bytes(data)
