"""What the headers of BMP, PPM, TGA and PNG say that Pillow does not hand on, and files that are no pictures of ours.

Sources: Microsoft, "Bitmap Header Types"; Netpbm manuals (ppm, pgm, pbm); Truevision, "TGA File Format Specification
2.0"; W3C, "PNG Specification (Third Edition)".
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"8BPS", "a Photoshop document"),
    (b"II\xbc", "JPEG XR"),
    (b"%PDF", "a PDF"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"#?RGBE", "Radiance HDR"),
    (b"FUJIFILMCCD-RAW", "a camera's raw file"),
    (b"IIU\0", "a camera's raw file"),
    (b"IIRO", "a camera's raw file"),
    (b"IIRS", "a camera's raw file"),
    (b"FOVb", "a camera's raw file"),
    (b"qoif", "QOI"),
    (b"DDS ", "DDS"),
)
_TRUEVISION = b"TRUEVISION-XFILE.\0"


def foreign(head: bytes) -> str:
    """The name of a known format that is not read, by a file's first bytes; empty for all others."""
    if head[4:12] == b"ftypcrx " or (head[:4] == b"II*\0" and head[8:10] == b"CR"):
        return "a camera's raw file"
    if head.lstrip()[:4] == b"<svg" or (head.lstrip()[:5] == b"<?xml" and b"<svg" in head):
        return "SVG"
    return next((name for signature, name in _FOREIGN if head.startswith(signature)), "")


@dataclass(frozen=True)
class Header:
    """The row of `formats.TABLE` that a picture belongs to, and what else its header says.

    `maximum` is a PPM's highest level; `icc` a BMP's profile; `notes` name what its result cannot hold.
    """

    kind: str
    bits: int = 8
    maximum: int = 255
    icc: bytes | None = None
    notes: tuple[str, ...] = ()


def png(head: bytes) -> Header:
    """Of the first 26 bytes."""
    bits, colour_type = head[24], head[25]
    space = {0: "grey", 2: "RGB", 3: "palette", 4: "grey", 6: "RGB"}.get(colour_type, "colour type unknown")
    return Header(f"{space} {bits}{' + alpha' if colour_type in (4, 6) else ''}", bits)


def bmp(data: bytes, pillow_mode: str, device_independent: bool) -> Header:
    """Of a BMP, or of a DIB, which lacks the file header. `pillow_mode` tells whether masks hold alpha."""
    start = 0 if device_independent else 14
    (size,) = struct.unpack_from("<I", data, start)
    if size < 40:  # BITMAPCOREHEADER
        bits, packing = struct.unpack_from("<H", data, start + 10)[0], 0
    else:
        bits, packing = struct.unpack_from("<HI", data, start + 14)
    run_length = ", run-length" if packing in (1, 2) else ""
    if pillow_mode == "1":
        kind = "grey 1"
    elif bits <= 8:
        kind = f"palette {bits}{run_length}"
    else:
        kind = {16: "RGB 16", 24: "RGB 24", 32: "RGB 32 + alpha" if pillow_mode == "RGBA" else "RGB 32"}.get(
            bits, "other"
        )
    icc, notes = _bmp_colour(data, start, size)
    if start and size >= 40:
        notes += _behind(data, _bmp_end(data, bits, packing))
    return Header(kind, bits, icc=icc, notes=notes)


def _bmp_end(data: bytes, bits: int, packing: int) -> int:
    """Where a BMP ends, by the farthest of its file size, its rows or packed bytes, and its profile."""
    told, _, samples, size, width, height = struct.unpack_from("<2I2I2i", data, 2)
    (packed,) = struct.unpack_from("<I", data, 34)
    rows = packed if packing in (1, 2) else (abs(width) * bits + 31) // 32 * 4 * abs(height)
    place, length = struct.unpack_from("<2I", data, 14 + 112) if size >= 124 else (0, 0)
    return max(told, samples + rows, 14 + place + length if place else 0)


def _bmp_colour(data: bytes, start: int, size: int) -> tuple[bytes | None, tuple[str, ...]]:
    """An embedded profile (BITMAPV5HEADER), and a note about colours that are told another way."""
    if size < 108:
        return None, ()
    (space,) = struct.unpack_from("<I", data, start + 56)
    if space == 0x4D424544 and size >= 124:
        place, length = struct.unpack_from("<2I", data, start + 112)
        return data[start + place : start + place + length] or None, ()
    if space == 0x4C494E4B:
        return None, ("its colour profile is in another file and was left out",)
    calibrated = space == 0 and any(struct.unpack_from("<9I", data, start + 60))
    return None, ("its colour space, told by primaries (BMP 4), was left out",) if calibrated else ()


@dataclass(frozen=True)
class Netpbm:
    """A PPM's header: its magic number's digit, size, highest level, and where its samples begin."""

    digit: int
    width: int
    height: int
    maximum: int
    start: int
    comments: bool


def netpbm(data: bytes) -> Netpbm | None:
    """None for what is none of P1 to P6. Raises ValueError."""
    magic = re.match(rb"P([1-6])\s", data)
    if magic is None:
        return None
    digit, place, comments = int(magic[1]), 2, False
    numbers: list[int] = []
    while len(numbers) < (2 if digit in (1, 4) else 3):
        gap = re.compile(rb"(?:\s|#[^\r\n]*)*").match(data, place)
        assert gap is not None
        comments |= b"#" in gap[0]
        found = re.compile(rb"\d{1,9}").match(data, gap.end())
        if found is None:
            raise ValueError("its header is incomplete")
        numbers.append(int(found[0]))
        place = found.end()
    return Netpbm(digit, numbers[0], numbers[1], numbers[2] if len(numbers) > 2 else 1, place + 1, comments)


def ppm(data: bytes) -> Header:
    """Of a PPM, PGM or PBM."""
    if data[:2] in (b"Pf", b"PF"):
        return Header("float")
    told = netpbm(data)
    if told is None or not 0 < told.maximum < 65536:
        return Header("other")
    notes: tuple[str, ...] = ("its comments were left out",) if told.comments else ()
    bits = told.width * (1 if told.digit == 4 else 8 * (1 + (told.maximum > 255)) * (3 if told.digit == 6 else 1))
    if told.digit >= 4:
        notes += _behind(data, told.start + told.height * -(-bits // 8))
    if told.digit in (1, 4):
        return Header("grey 1", 1, 1, notes=notes)
    space = "grey" if told.digit in (2, 5) else "RGB"
    depth = {255: "8", 65535: "16"}.get(told.maximum, "below 8" if told.maximum < 255 else "9 to 15")
    return Header(f"{space} {depth}", 8 if told.maximum < 256 else 16, told.maximum, notes=notes)


def _behind(data: bytes, end: int) -> tuple[str, ...]:
    """A note where more than zeros follow a picture that ends there."""
    return (f"left out: {len(data) - end} bytes behind its end",) if any(data[end:]) else ()


def ppm_samples(data: bytes, limit: int) -> npt.NDArray[Any]:
    """The samples of a PGM or PPM, H×W or H×W×3, its levels spread to all of 8 or 16 bits. Raises ValueError.

    `limit` is the number of pixels that its caller has seen in the header.
    """
    told = netpbm(data)
    if told is None or told.digit in (1, 4) or told.width * told.height != limit:
        raise ValueError("its header contradicts itself")
    channels = 1 if told.digit in (2, 5) else 3
    count = told.width * told.height * channels
    if told.digit < 4:
        text = re.sub(rb"#[^\r\n]*", b"", data[told.start - 1 :]).split(None, count)[:count]
        levels = np.array([int(number) for number in text], np.uint32)
    else:
        levels = np.frombuffer(data, ">u2" if told.maximum > 255 else np.uint8, count, told.start).astype(np.uint32)
    if len(levels) != count or (count and int(levels.max()) > told.maximum):
        raise ValueError("its samples are incomplete or above its highest level")
    top = 255 if told.maximum < 256 else 65535
    spread = (levels * top + told.maximum // 2) // told.maximum
    shape = (told.height, told.width) if channels == 1 else (told.height, told.width, 3)
    return np.asarray(spread.astype(np.uint8 if top == 255 else np.uint16).reshape(shape))


def tga(data: bytes, pillow_mode: str) -> Header:
    """Of a TGA; its developer and extension areas are named, for they are not carried."""
    kind, map_bits, bits, alpha = data[2] & 7, data[7], data[16], " + alpha" if data[17] & 15 else ""
    if kind == 1:
        name = "palette + alpha" if pillow_mode == "PA" or map_bits == 32 else "palette 8"
    elif kind == 2:
        name = {16: f"RGB 16{alpha}", 24: "RGB 24", 32: f"RGB 32{alpha}"}.get(bits, "other")
    else:
        name = {8: "grey 8", 16: "grey 8 + alpha"}.get(bits, "other") if pillow_mode in ("L", "LA") else "other"
    notes: tuple[str, ...] = ()
    if data[-18:] == _TRUEVISION and any(struct.unpack("<2I", data[-26:-18])):
        notes = ("its extension area (author, comments, gamma, small picture) was left out",)
    return Header(name, bits, notes=notes)
