"""What a JPEG file says besides its pixels, from its marker segments.

Sources: ITU-T T.81 annex B; T.871 (JFIF); CIPA DC-008 (EXIF); Adobe, "XMP Specification Part 3", section 1.1.3;
Adobe, "Photoshop File Formats", image resource blocks.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lib_prodshot.pictures.tiff_tags import is_tiff

XMP_HEADER, XMP_MORE_HEADER = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
"""What the contents of APP1 segments with an XMP packet, and with extended XMP, begin with."""

_EXIF, _XMP, _XMP_MORE = b"Exif\0\0", XMP_HEADER, XMP_MORE_HEADER
_PHOTOSHOP, _ICC = b"Photoshop 3.0\0", b"ICC_PROFILE\0"
_JFIF = b"JFIF\0"
_OWN = (_JFIF, b"Adobe", _EXIF, _XMP, _XMP_MORE, _PHOTOSHOP, _ICC)
_NAMES = {
    b"JFXX\0": "JFIF thumbnail",
    b"MPF\0": "",
    b"urn:iso:std:iso:ts:21496:-1\0": "HDR gain map",
    b"FPXR\0": "FlashPix data",
    b"Ducky": "",
    b"JP": "content credentials (JUMBF)",
}
"""What a segment that is not carried over is called; nothing is said of those that hold no description of ours:
the index of further pictures (they have a note of their own) and a quality setting."""

_STANDALONE = (0x01, *range(0xD0, 0xD9))
_END, _SCAN = 0xD9, 0xDA
_AFTER_SCAN = re.compile(rb"\xff\xff*[^\0\xd0-\xd7\xff]")
"""The next marker behind entropy-coded bytes, in which 0xFF is followed by 0 or a restart marker's number. Begun with a
plain byte, which Python looks for fifteen times as fast as for a repeated one."""

_MOST_PICTURES = 64
"""In one file; what a hostile one holds behind so many counts as bytes."""

_FILMS = (b"MotionPhoto", b"MicroVideo")
"""What XMP, or Samsung's trailer, says where a film is appended to the picture (Android "Motion Photo format 1.0")."""

_FRAMES = (0xC0, 0xC1, 0xC2, 0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7)


@dataclass(frozen=True)
class Jpeg:
    """Bits per sample, channels and coding process (SOF marker), and the blocks of the file.

    `density` is JFIF's unit (0 none, 1 inch, 2 centimetre) and numbers across and down; `profiled` tells whether there
    are pieces of an ICC profile, whole or not; `trailer` are the bytes behind the picture's end.
    """

    bits: int = 8
    channels: int = 3
    process: int = 0xC0
    xmp: bytes | None = None
    extended_xmp: bytes | None = None
    photoshop: bytes | None = None
    comments: tuple[bytes, ...] = ()
    others: tuple[str, ...] = ()
    exif: bytes | None = None
    density: tuple[int, int, int] | None = None
    profiled: bool = False
    trailer: bytes = b""

    @property
    def kind(self) -> str:
        """The row of `formats.TABLE` that this picture belongs to."""
        if self.process == 0xF7:
            return "JPEG-LS"
        if self.bits != 8:
            return f"{self.bits} bits" if self.bits == 12 else "other bits"
        if self.process in (0xC3, 0xC7, 0xCB, 0xCF):
            return "lossless process"
        return {1: "grey 8", 3: "colour 8", 4: "CMYK 8"}.get(self.channels, "other channels")


def read(data: bytes) -> Jpeg:
    """The facts of a JPEG file."""
    frame: tuple[int, int, int] | None = None
    xmp: bytes | None = None
    more: dict[int, bytes] = {}
    photoshop, comments, others = b"", [], []
    exif: bytes | None = None
    density: tuple[int, int, int] | None = None
    profiled, trailer = False, b""
    for marker, body in _segments(data):
        if marker in _FRAMES and frame is None and len(body) >= 6:
            frame = (body[0], body[5], marker)
        elif marker == 0xFE:
            comments.append(body)
        elif marker == _END:
            trailer = body
        elif marker == 0xE1 and body.startswith(_EXIF):
            block = body[len(_EXIF) :]
            if exif is not None and is_tiff(block) and block != exif:
                others.append("a second EXIF block")
            elif exif is None or not is_tiff(block):  # a block longer than a segment goes on in the next
                exif = (exif or b"") + block
        elif marker == 0xE1 and body.startswith(_XMP):
            if xmp is not None and xmp != body[len(_XMP) :]:
                others.append("a second XMP block")
            xmp = xmp or body[len(_XMP) :]
        elif marker == 0xE2 and body.startswith(_ICC):
            profiled = True
        elif marker == 0xE1 and body.startswith(_XMP_MORE) and len(body) > len(_XMP_MORE) + 40:
            head = len(_XMP_MORE) + 40
            more[int.from_bytes(body[head - 4 : head], "big")] = body[head:]
        elif marker == 0xED and body.startswith(_PHOTOSHOP):
            photoshop += body[len(_PHOTOSHOP) :]
        elif 0xE0 <= marker <= 0xEF and not body.startswith(_OWN):
            others.append(_name(marker, body))
        elif marker == 0xE0 and body.startswith(_JFIF) and len(body) >= 14:
            density = density or struct.unpack(">B2H", body[7:12])
            if body[12] and body[13]:
                others.append("JFIF thumbnail")
    bits, channels, process = frame or (8, 3, 0xC0)
    extended = b"".join(more[place] for place in sorted(more)) or None
    listed = tuple(dict.fromkeys(name for name in others if name))
    blocks = xmp, extended, photoshop or None, tuple(comments), listed, exif
    return Jpeg(bits, channels, process, *blocks, density, profiled, trailer)


def after_the_pictures(trailer: bytes) -> bytes:
    """What lies behind the further JPEGs that follow a picture (multi-picture format), and behind zeros."""
    rest = trailer.lstrip(b"\0")
    for _ in range(_MOST_PICTURES):
        if not rest.startswith(b"\xff\xd8\xff"):
            break
        rest = next((body for marker, body in _segments(rest) if marker == _END), b"").lstrip(b"\0")
    return rest


def trailer_name(trailer: bytes, xmp: bytes | None) -> str:
    """What the bytes behind a picture's end are called in a note."""
    told = xmp or b""
    film = b"ftyp" in trailer and any(mark in told or mark in trailer for mark in _FILMS)
    return "the film of its motion photo" if film else f"{len(trailer)} bytes behind its end"


def _name(marker: int, body: bytes) -> str:
    known = next((name for start, name in _NAMES.items() if body.startswith(start)), None)
    if known is not None:
        return known
    label = body[:12].split(b"\0")[0].decode("ascii", "replace")
    return f"APP{marker - 0xE0} ({label})" if label.isprintable() and label else f"APP{marker - 0xE0}"


def pixels_only(data: bytes) -> bytes:
    """A JPEG without descriptions in front of its pixels, and without what lies behind its end."""
    kept, scan, end = [data[:2]], len(data), len(data)
    for marker, start, first, last in _places(data):
        if marker == _END:
            end = first
        elif marker == _SCAN:
            scan = min(scan, start)
        elif scan == len(data) and not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.append(data[start:last])
    return b"".join((*kept, data[scan:end]))


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and contents of each segment; of the end marker, what lies behind it."""
    for marker, _, first, last in _places(data):
        yield marker, data[first:last]


def _places(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Each segment's marker, where it begins, and where its contents begin and end (exclusive); those of the end marker
    are what lies behind it."""
    place = 2
    while place + 4 <= len(data) or data[place:] == b"\xff\xd9":
        if data[place] != 0xFF:
            place = data.find(b"\xff", place)
            if place < 0:
                return
            continue
        marker = data[place + 1]
        if marker == _END:
            yield marker, place, place + 2, len(data)
            return
        if marker == 0xFF or marker in _STANDALONE:
            place += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack(">H", data[place + 2 : place + 4])
        yield marker, place, place + 4, place + 2 + length
        place += 2 + max(length, 2)
        if marker == _SCAN:
            following = _AFTER_SCAN.search(data, place)
            if following is None:
                return
            place = following.end() - 2


def with_xmp_segments(data: bytes, bodies: Sequence[bytes]) -> bytes:
    """A JPEG with APP1 segments of these contents instead of its own XMP, behind JFIF's and EXIF's; every other byte is
    as it was."""
    kept, place, behind = [data[:2]], 2, 1
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] != _SCAN:
        if data[place + 1] == 0xFF:  # fill bytes
            place += 1
            continue
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        marker, body = data[place + 1], data[place + 4 : end]
        if not (marker == 0xE1 and body.startswith((_XMP, _XMP_MORE))):
            kept.append(data[place:end])
            if marker == 0xE0 or (marker == 0xE1 and body.startswith(_EXIF)):
                behind = len(kept)
        place = end
    kept[behind:behind] = [b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body for body in bodies]
    return b"".join(kept) + data[place:]
