"""What GIF and WebP files hold besides their pixels, which Pillow hands on in part or not at all.

Sources: CompuServe, "Graphics Interchange Format 89a"; Adobe, "XMP Specification Part 3", section 1.1.2; RFC 9649
(WebP).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_XMP, _ANIMATIONS = b"XMP DataXMP", (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_MAGIC_TRAILER = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
"""What follows an XMP packet in a GIF, so that readers of sub-blocks find the end."""

_WEBP_KNOWN = frozenset((b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP "))
_WEBP_SINGLE = {b"EXIF": "a second EXIF block", b"XMP ": "a second XMP block", b"ICCP": "a second ICC profile"}


@dataclass(frozen=True)
class Gif:
    """A GIF's texts, its XMP packet, how many samples go into one length across and down, and what else it holds."""

    comments: tuple[bytes, ...] = ()
    xmp: bytes | None = None
    aspect: tuple[int, int] | None = None
    others: tuple[str, ...] = ()


def read_gif(data: bytes) -> Gif:
    """The facts of a GIF file."""
    comments: list[bytes] = []
    xmp: bytes | None = None
    others: list[str] = []
    place = 13 + _table(data, 10)
    while place + 1 < len(data):
        mark, label = data[place], data[place + 1]
        if mark == 0x2C:
            place, _ = _blocks(data, place + 11 + _table(data, place + 9))
            continue
        if mark != 0x21:
            break
        start = place + 2
        place, body = _blocks(data, start)
        name = data[start + 1 : start + 12]
        if label == 0xFE:
            comments.append(body)
        elif label == 0x01:
            others.append("text drawn over it")
        elif label == 0xFF and name == _XMP and xmp is None:
            raw = data[start + 12 : place]
            xmp = raw.removesuffix(_MAGIC_TRAILER) if raw.endswith(_MAGIC_TRAILER) else body[11:]
        elif label == 0xFF and name not in _ANIMATIONS:
            others.append(f"application data ({name.decode('ascii', 'replace').strip()})")
    if data[place : place + 1] == b";" and any(data[place + 1 :]):
        others.append(f"{len(data) - place - 1} bytes behind its end")
    aspect = (64, data[12] + 15) if data[12] not in (0, 49) else None
    return Gif(tuple(comments), xmp, aspect, tuple(dict.fromkeys(others)))


def _table(data: bytes, flags: int) -> int:
    """Bytes of the colour table that the flags at that place tell of."""
    told = data[flags] if flags < len(data) else 0
    return 3 * (2 << (told & 7)) if told & 0x80 else 0


def _blocks(data: bytes, place: int) -> tuple[int, bytes]:
    """Where a chain of sub-blocks ends, and what is in it."""
    parts: list[bytes] = []
    while place < len(data) and data[place]:
        parts.append(data[place + 1 : place + 1 + data[place]])
        place += 1 + data[place]
    return place + 1, b"".join(parts)


def _chunks(data: bytes, place: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """Type and contents of each RIFF chunk."""
    while place + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, place)
        yield kind, data[place + 8 : place + 8 + length]
        place += 8 + length + (length & 1)


def is_lossless_webp(data: bytes) -> bool:
    """Whether the first picture of a WebP, which may be an animation's, is of the lossless kind (chunk VP8L)."""
    for kind, body in _chunks(data, 12, len(data)):
        inside = (name for name, _ in _chunks(body, 16, len(body))) if kind == b"ANMF" else iter((kind,))
        picture = next((name for name in inside if name in (b"VP8L", b"VP8 ")), b"")
        if picture:
            return picture == b"VP8L"
    return False


def webp_others(data: bytes) -> tuple[str, ...]:
    """Names for what a WebP holds that is neither pixels nor a description that is carried over."""
    others: list[str] = []
    seen: dict[bytes, bytes] = {}
    end = min(8 + struct.unpack_from("<I", data, 4)[0], len(data))
    for kind, body in _chunks(data, 12, end):
        if kind not in _WEBP_KNOWN:
            others.append(f"chunk '{kind.decode('ascii', 'replace').strip()}'")
        elif kind in _WEBP_SINGLE and seen.setdefault(kind, body) != body:
            others.append(_WEBP_SINGLE[kind])
    if any(data[end:]):
        others.append(f"{len(data) - end} bytes behind its end")
    return tuple(dict.fromkeys(others))
