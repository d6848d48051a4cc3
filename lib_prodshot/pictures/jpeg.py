"""What a JPEG file says besides its pixels, from its marker segments.

Sources: ITU-T T.81 annex B; T.871 (JFIF); CIPA DC-008 (EXIF); Adobe, "XMP Specification Part 3", section 1.1.3;
Adobe, "Photoshop File Formats", image resource blocks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_EXIF, _XMP, _XMP_MORE = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
_PHOTOSHOP, _ICC = b"Photoshop 3.0\0", b"ICC_PROFILE\0"
_OWN = (b"JFIF\0", b"Adobe", _EXIF, _XMP, _XMP_MORE, _PHOTOSHOP, _ICC)
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

_STANDALONE = (0x01, *range(0xD0, 0xDA))
_FRAMES = (0xC0, 0xC1, 0xC2, 0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7)


@dataclass(frozen=True)
class Jpeg:
    """Bits per sample, channels and coding process (SOF marker), and the blocks of the file."""

    bits: int = 8
    channels: int = 3
    process: int = 0xC0
    xmp: bytes | None = None
    extended_xmp: bytes | None = None
    photoshop: bytes | None = None
    comments: tuple[bytes, ...] = ()
    others: tuple[str, ...] = ()

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
    """The facts of a JPEG file, up to its first scan."""
    frame: tuple[int, int, int] | None = None
    xmp: bytes | None = None
    more: dict[int, bytes] = {}
    photoshop, comments, others = b"", [], []
    for marker, body in _segments(data):
        if marker in _FRAMES and frame is None and len(body) >= 6:
            frame = (body[0], body[5], marker)
        elif marker == 0xFE:
            comments.append(body)
        elif marker == 0xE1 and body.startswith(_XMP):
            xmp = xmp or body[len(_XMP) :]
        elif marker == 0xE1 and body.startswith(_XMP_MORE) and len(body) > len(_XMP_MORE) + 40:
            head = len(_XMP_MORE) + 40
            more[int.from_bytes(body[head - 4 : head], "big")] = body[head:]
        elif marker == 0xED and body.startswith(_PHOTOSHOP):
            photoshop += body[len(_PHOTOSHOP) :]
        elif 0xE0 <= marker <= 0xEF and not body.startswith(_OWN):
            others.append(_name(marker, body))
        elif marker == 0xE0 and body.startswith(b"JFIF\0") and len(body) >= 14 and body[12] and body[13]:
            others.append("JFIF thumbnail")
    bits, channels, process = frame or (8, 3, 0xC0)
    extended = b"".join(more[place] for place in sorted(more)) or None
    listed = tuple(dict.fromkeys(name for name in others if name))
    return Jpeg(bits, channels, process, xmp, extended, photoshop or None, tuple(comments), listed)


def _name(marker: int, body: bytes) -> str:
    known = next((name for start, name in _NAMES.items() if body.startswith(start)), None)
    if known is not None:
        return known
    label = body[:12].split(b"\0")[0].decode("ascii", "replace")
    return f"APP{marker - 0xE0} ({label})" if label.isprintable() and label else f"APP{marker - 0xE0}"


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    place = 2
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            place += 1
            continue
        marker = data[place + 1]
        if marker in (0xDA, 0xD9):
            return
        if marker == 0xFF or marker in _STANDALONE:
            place += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack(">H", data[place + 2 : place + 4])
        yield marker, data[place + 4 : place + 2 + length]
        place += 2 + max(length, 2)
