"""PNG below Pillow's level: ancillary chunks kept as they are, and 16-bit colour, which Pillow does not write.

Source of the format: W3C, "Portable Network Graphics (PNG) Specification (Third Edition)".
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from lib_prodshot.pictures.blocks import exif_without_previews, photoshop_without_thumbnail, xmp_without_thumbnails
from lib_prodshot.pictures.colour import BT709, Cicp, Space, gamma_space, is_like_srgb, is_space, space_of
from lib_prodshot.pictures.loaded import Metadata, channels_of

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER_END = 33
"""Signature and IHDR: where ancillary chunks may begin."""

COMPRESSION = 2
"""zlib level of every PNG we write: on photographs a third of the time of Pillow's own 6 for 7 to 19 % more bytes."""

_KEPT = frozenset(
    (
        *(b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"mDCV", b"mDCv", b"cLLI", b"cLLi", b"sBIT", b"pHYs", b"eXIf"),
        *(b"tIME", b"tEXt", b"zTXt", b"iTXt", b"bKGD", b"sPLT", b"pCAL", b"sCAL", b"oFFs", b"sTER"),
    )
)
_PIXELS = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT"))
_UNSAID = _PIXELS | {b"IEND", b"acTL", b"fcTL", b"fdAT"}
"""Chunks that pixels come from, and an animation's, of which a note of its own tells."""

_NAMES = {b"caBX": "caBX (content credentials)"}
_AFTER_PALETTE = (b"bKGD", b"hIST")
_LETTERS = re.compile(rb"[A-Za-z]{4}")
_ONE_MEGABYTE = 1 << 20
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}

Chunk = tuple[bytes, bytes]
"""Type and data."""


def _parts(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, first and last byte (exclusive) of the contents of each chunk, up to the last one, IEND."""
    place = len(SIGNATURE)
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        yield kind, place + 8, place + 8 + length
        if kind == b"IEND":
            return
        place += 12 + length


def _is_whole(data: bytes, kind: bytes, first: int, last: int) -> bool:
    """Whether a chunk's contents have its checksum."""
    return data[last : last + 4] == struct.pack(">I", zlib.crc32(memoryview(data)[first:last], zlib.crc32(kind)))


def read_chunks(data: bytes) -> tuple[tuple[Chunk, ...], tuple[str, ...]]:
    """The ancillary chunks that fit the result as well (colour space, resolution, EXIF, texts, and whatever says of
    itself that it may be copied), in their order; and the names of the others."""
    depth, colour_type = data[24:26]
    unfit = _AFTER_PALETTE if colour_type == 3 or depth in (2, 4) else _AFTER_PALETTE[1:]
    chunks: list[Chunk] = []
    others: list[str] = []
    for kind, first, last in _parts(data):
        if kind in _UNSAID:
            continue
        if not _LETTERS.fullmatch(kind):  # damage, and no chunk
            break
        whole = _is_whole(data, kind, first, last)
        may_be_copied = kind in _KEPT or bool(kind[0] & kind[3] & 0x20)
        if may_be_copied and kind not in unfit and whole:
            chunks.append((kind, data[first:last]))
            continue
        name = _NAMES.get(kind, kind.decode("ascii"))
        others.append(name if whole else f"{name} (damaged)")
    return tuple(chunks), tuple(dict.fromkeys(others))


def space_of_chunks(chunks: Iterable[Chunk]) -> tuple[Cicp | None, Space | None]:
    """The colour space that chunks tell: code points, else primaries and gamma; neither where a profile or sRGB is
    told (section 4.3 of the specification: cICP before iCCP, iCCP before sRGB, sRGB before gAMA and cHRM)."""
    told = dict(chunks)
    cicp = told.get(b"cICP", b"")
    if len(cicp) == 4:
        points = Cicp(cicp[0], cicp[1], cicp[2], bool(cicp[3]))
        return points, space_of(points)
    gamma = told.get(b"gAMA", b"")
    if b"iCCP" in told or b"sRGB" in told or len(gamma) != 4 or not any(gamma):
        return None, None
    exponent = 100000 / struct.unpack(">I", gamma)[0]
    points_of = told.get(b"cHRM", b"")
    if len(points_of) != 32:
        primaries = BT709
    else:
        white, *colours = ((x / 100000, y / 100000) for x, y in struct.iter_unpack(">2I", points_of))
        primaries = (tuple(colours), white)
    if is_like_srgb(primaries) and 2.1 < exponent < 2.3:
        return None, None
    return None, gamma_space(primaries, exponent) if is_space(primaries) and 1 <= exponent <= 4 else None


def behind_its_end(data: bytes) -> int:
    """How many bytes follow a whole PNG's last chunk; 0 where they are all zeros."""
    for kind, _, last in _parts(data):
        if kind == b"IEND" and any(data[last + 4 :]):
            return len(data) - last - 4
    return 0


def check_pixels(data: bytes) -> None:
    """Hold every chunk that pixels come from against its checksum, which Pillow leaves out where it decodes: a single
    bit that fell over gives another picture there, and no error. Raises ValueError."""
    for kind, first, last in _parts(data):
        if kind in _PIXELS and not _is_whole(data, kind, first, last):
            raise ValueError(f"the checksum of its {kind.decode('ascii')} chunk does not fit")


def without_damaged_descriptions(data: bytes) -> bytes:
    """A PNG without the ancillary chunks that do not fit their checksum, none of which pixels come from; `data` itself
    where all do. One of them is enough for Pillow to know no picture, or to read nothing that follows the pixels."""
    kept, place = [], 0
    for kind, first, last in _parts(data):
        if kind[0] & 0x20 and kind not in _PIXELS and not _is_whole(data, kind, first, last):
            kept.append(data[place : first - 8])
            place = last + 4
    return b"".join((*kept, data[place:])) if kept else data


def pixels_only(data: bytes) -> bytes:
    """A whole PNG without its ancillary chunks, about which libpng would print its opinions."""
    kept = [data[first - 8 : last + 4] for kind, first, last in _parts(data) if kind in _PIXELS or kind == b"IEND"]
    return SIGNATURE + b"".join(kept)


def write_chunks(file: BinaryIO, chunks: Iterable[Chunk]) -> None:
    """Append chunks with their lengths and checksums."""
    for kind, data in chunks:
        file.write(struct.pack(">I", len(data)) + kind)
        file.write(data)
        file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))


def write_deep(
    file: BinaryIO, samples: npt.NDArray[np.uint16], chunks: Sequence[Chunk], key: tuple[int, ...] | None = None
) -> None:
    """Write H×W or H×W×(2 | 3 | 4) uint16 samples as a 16-bit PNG, `chunks` after its header.

    Each row is stored as its difference to the left neighbour (filter 1, Sub), which suits smooth photographs.
    """
    height, width = samples.shape[:2]
    channels = channels_of(samples)
    header = struct.pack(">2I5B", width, height, 16, _COLOUR_TYPES[channels], 0, 0, 0)
    file.write(SIGNATURE)
    write_chunks(file, [(b"IHDR", header), *chunks])
    if key is not None:
        write_chunks(file, [(b"tRNS", struct.pack(f">{len(key)}H", *key))])
    packer = zlib.compressobj(COMPRESSION)
    for top in range(0, height, 256):
        rows = samples[top : top + 256].reshape(-1, width * channels)
        raw = rows.astype(">u2").view(np.uint8)
        filtered = np.empty((len(raw), raw.shape[1] + 1), np.uint8)
        filtered[:, 0] = 1
        filtered[:, 1:] = raw
        filtered[:, 1 + 2 * channels :] -= raw[:, : -2 * channels]
        write_chunks(file, _data_chunk(packer.compress(filtered.tobytes())))
    write_chunks(file, [*_data_chunk(packer.flush()), (b"IEND", b"")])


def _data_chunk(packed: bytes) -> list[Chunk]:
    return [(b"IDAT", packed)] if packed else []


def without_old_pictures(chunks: Iterable[Chunk]) -> tuple[tuple[Chunk, ...], tuple[str, ...]]:
    """The chunks without thumbnails of EXIF, XMP and ImageMagick's raw profiles; and notes of what was left out."""
    kept: list[Chunk] = []
    held: list[str] = []
    for kind, data in chunks:
        name, cleaned = _cleaned(kind, data)
        if name:
            held.append(name)
        if cleaned is not None:
            kept.append((kind, cleaned))
    return tuple(kept), tuple(f"the {name} thumbnail was left out: it shows the old picture" for name in held)


def _cleaned(kind: bytes, data: bytes) -> tuple[str, bytes | None]:
    """What held a thumbnail ('' for nothing), and the chunk's data without it (None: no chunk)."""
    if kind == b"eXIf":
        exif, found = exif_without_previews(data)
        return ("EXIF" if found else ""), exif
    if kind == b"iTXt" and data.startswith(_XMP_KEYWORD):
        xmp, found = xmp_without_thumbnails(data)
        return ("XMP" if found else ""), xmp
    if kind not in (b"zTXt", b"tEXt") or not data.startswith(b"Raw profile type "):
        return "", data
    _, profile = _raw_profile(kind, data)
    block = profile.removeprefix(b"Exif\0\0")
    found = exif_without_previews(block)[1] or photoshop_without_thumbnail(block)[1] or xmp_without_thumbnails(block)[1]
    return ("raw profile's", None) if found else ("", data)


def _raw_profile(kind: bytes, data: bytes) -> tuple[bytes, bytes]:
    """ImageMagick's way to keep a block: its name, its length and itself as hexadecimal digits."""
    keyword, _, text = data.partition(b"\0")
    if kind == b"zTXt":
        text = zlib.decompressobj().decompress(text[1:], 16 * _ONE_MEGABYTE)
    digits = b"".join(text.split()[2:])
    try:
        return keyword, bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return keyword, b""


_XMP_KEYWORD = b"XML:com.adobe.xmp\0"


_XMP_PROFILE = b"Raw profile type xmp\0"


def _xmp_chunk(packet: bytes) -> Chunk:
    return b"iTXt", _XMP_KEYWORD + b"\0\0\0\0" + packet


def _is_xmp(chunk: Chunk) -> bool:
    kind, data = chunk
    return kind in (b"iTXt", b"tEXt", b"zTXt") and data.startswith((_XMP_KEYWORD, _XMP_PROFILE))


def xmp_of(chunks: Iterable[Chunk]) -> bytes | None:
    """The XMP packet in chunks, be it ImageMagick's raw profile; empty where it cannot be unpacked, None for none."""
    for kind, data in filter(_is_xmp, chunks):
        if data.startswith(_XMP_PROFILE):
            return _profile_bytes(kind, data)
        text = data[len(_XMP_KEYWORD) :]
        if kind != b"iTXt":
            return text if kind == b"tEXt" else _unpacked(text[1:])
        _, _, packet = text[2:].split(b"\0", 2) if text[2:].count(b"\0") >= 2 else (b"", b"", b"")
        return _unpacked(packet) if text[:1] == b"\1" else packet
    return None


def _unpacked(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, 16 * _ONE_MEGABYTE)
    except zlib.error:
        return b""


def _profile_bytes(kind: bytes, data: bytes) -> bytes:
    try:
        return _raw_profile(kind, data)[1]
    except zlib.error:
        return b""


def with_xmp(chunks: Iterable[Chunk], packet: bytes) -> tuple[Chunk, ...]:
    """The chunks with this XMP packet, where their own stood or behind all of them."""
    changed = list(chunks)
    own = [place for place, chunk in enumerate(changed) if _is_xmp(chunk)]
    for place in reversed(own):
        del changed[place]
    changed.insert(own[0] if own else len(changed), _xmp_chunk(packet))
    return tuple(changed)


def without_xmp(data: bytes) -> bytes:
    """A whole PNG without its XMP, all other chunks as they were."""
    kept = [data[: len(SIGNATURE)]]
    end = len(SIGNATURE)
    for kind, first, last in _parts(data):
        end = last + 4
        if not _is_xmp((kind, data[first : first + len(_XMP_PROFILE)])):
            kept.append(data[first - 8 : end])
    return b"".join(kept) + data[end:]


def metadata_chunks(metadata: Metadata, channels: int) -> tuple[Chunk, ...]:
    """Metadata of another format as PNG chunks."""
    chunks: list[Chunk] = []
    if metadata.cicp and metadata.cicp.says_something and not metadata.icc:
        chunks.append((b"cICP", bytes((metadata.cicp.primaries & 255, metadata.cicp.transfer & 255, 0, 1))))
    if metadata.icc:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc)))
    if metadata.bits:
        chunks.append((b"sBIT", bytes([metadata.bits]) * channels))
    chunks += metadata.png_chunks
    if metadata.dpi:
        metres = [max(1, round(per_inch / 0.0254)) for per_inch in metadata.dpi]
        chunks.append((b"pHYs", struct.pack(">2IB", *metres, 1)))
    elif metadata.aspect:
        chunks.append((b"pHYs", struct.pack(">2IB", *metadata.aspect, 0)))
    if metadata.exif:
        chunks.append((b"eXIf", metadata.exif))
    if metadata.xmp and xmp_of(metadata.png_chunks) is None:
        chunks.append(_xmp_chunk(metadata.xmp))
    if metadata.photoshop:
        digits = metadata.photoshop.hex()
        lines = "\n".join(digits[place : place + 72] for place in range(0, len(digits), 72))
        text = f"\niptc\n{len(metadata.photoshop):8}\n{lines}\n".encode("ascii")
        chunks.append((b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(text)))
    chunks += [(b"iTXt", b"Comment\0\0\0\0\0" + comment.encode()) for comment in metadata.comments]
    return tuple(chunks)
