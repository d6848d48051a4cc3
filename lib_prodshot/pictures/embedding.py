"""XMP in and out of pictures: of a loaded one, which will be written by `writing`, and of files that others wrote.

Sources: Adobe, "XMP Specification Part 3", sections 1.1.2 (PNG), 1.1.3 (JPEG, with extended XMP), 1.1.4 (TIFF); Google,
"WebP Container Specification" (extended file format).
"""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Iterator
from dataclasses import replace

from lib_prodshot.pictures import png, tiff, xmp
from lib_prodshot.pictures.jpeg import XMP_HEADER, XMP_MORE_HEADER, with_xmp_segments
from lib_prodshot.pictures.loaded import LoadedPicture
from lib_prodshot.pictures.tiff_tags import BYTE, UNDEFINED, Entry

_LONGEST = 65502
"""Bytes of a packet in one segment of a JPEG."""

_PIECE = 65400
"""Bytes of extended XMP in one segment."""

_HAS_MORE = ("http://ns.adobe.com/xmp/note/", "HasExtendedXMP")
_HAS_XMP, _HAS_ALPHA = 0x04, 0x10


def xmp_of(loaded: LoadedPicture) -> bytes | None:
    """The XMP packet of a picture, wherever its format keeps it."""
    metadata = loaded.metadata
    if metadata.tiff is not None:
        return tiff.value(metadata.tiff.entries, tiff.XMP)
    return png.xmp_of(metadata.png_chunks) or metadata.xmp


def with_xmp(loaded: LoadedPicture, packet: bytes) -> LoadedPicture:
    """The picture with this packet instead of its own, every other block as it was."""
    metadata = replace(loaded.metadata, xmp=packet)
    if loaded.format == "PNG" or png.xmp_of(metadata.png_chunks) is not None:
        metadata = replace(metadata, png_chunks=png.with_xmp(metadata.png_chunks, packet))
    if metadata.tiff is not None:
        own = metadata.tiff.entries.get(tiff.XMP)
        entry = Entry(own.type if own and own.type == UNDEFINED else BYTE, len(packet), packet)
        entries = {**metadata.tiff.entries, tiff.XMP: entry}
        metadata = replace(metadata, tiff=replace(metadata.tiff, entries=entries))
    return replace(loaded, metadata=metadata)


def file_with_xmp(data: bytes, packet: bytes) -> bytes | None:
    """A JPEG, PNG or WebP file with this packet instead of its own, every other byte as it was; None for a file of
    another format."""
    if data[:3] == b"\xff\xd8\xff":
        return with_xmp_segments(data, jpeg_segments(packet))
    if data.startswith(png.SIGNATURE):
        return _png_with_xmp(data, packet)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp_with_xmp(data, packet)
    return None


def jpeg_segments(packet: bytes) -> list[bytes]:
    """The contents of the APP1 segments that hold a packet: one, or where it is too long for that the main packet, with
    what says whose the picture is and how it was made, and the rest as extended XMP."""
    if len(packet) > _LONGEST:
        packet = xmp.without_padding(packet)
    if len(packet) <= _LONGEST:
        return [XMP_HEADER + packet]
    told = {name: text for name, text in xmp.values(packet).items() if xmp.says_rights(name)}
    extended = xmp.without_wrapper(xmp.edited(packet, {}, keep=lambda name: name not in told))
    digest = hashlib.md5(extended, usedforsecurity=False).hexdigest().upper()
    main = xmp.edited(packet, {_HAS_MORE: digest}, keep=lambda name: name in told)
    if len(main) > _LONGEST:
        raise xmp.XmpError(f"what it says of rights takes {len(main)} bytes, more than a JPEG holds in one piece")
    head = XMP_MORE_HEADER + digest.encode() + struct.pack(">I", len(extended))
    pieces = range(0, len(extended), _PIECE)
    return [
        XMP_HEADER + main,
        *(head + struct.pack(">I", place) + extended[place : place + _PIECE] for place in pieces),
    ]


def _png_with_xmp(data: bytes, packet: bytes) -> bytes:
    chunk = io.BytesIO()
    png.write_chunks(chunk, png.with_xmp((), packet))
    kept = png.without_xmp(data)
    return kept[: png.HEADER_END] + chunk.getvalue() + kept[png.HEADER_END :]


def _webp_with_xmp(data: bytes, packet: bytes) -> bytes:
    """The XMP chunk comes last; a file of the simple format gets the extended one's header."""
    chunks = [(kind, body) for kind, body in _webp_chunks(data) if kind != b"XMP "]
    kind, body = chunks[0]
    if kind == b"VP8X":
        chunks[0] = (kind, bytes([body[0] | _HAS_XMP]) + body[1:])
    else:
        chunks.insert(0, (b"VP8X", _webp_header(kind, body)))
    chunks.append((b"XMP ", packet))
    packed = b"".join(kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2) for kind, body in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(packed)) + b"WEBP" + packed


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 12
    while place + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, place)
        yield kind, data[place + 8 : place + 8 + length]
        place += 8 + length + length % 2


def _webp_header(kind: bytes, body: bytes) -> bytes:
    """The extended format's header for a picture of the simple one: flags, then width and height less one."""
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", body, 1)
        width, height, has_alpha = bits & 0x3FFF, bits >> 14 & 0x3FFF, bool(bits >> 28 & 1)
    else:
        across, down = struct.unpack_from("<2H", body, 6)
        width, height, has_alpha = (across & 0x3FFF) - 1, (down & 0x3FFF) - 1, False
    flags = _HAS_XMP | (_HAS_ALPHA if has_alpha else 0)
    return struct.pack("<I", flags) + width.to_bytes(3, "little") + height.to_bytes(3, "little")
