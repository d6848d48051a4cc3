"""What AVIF, HEIF and JPEG 2000 files say about their samples, from the boxes that all three are made of.

Sources: ISO/IEC 14496-12 (boxes), 23008-12 (HEIF), AOMedia "AV1 Image File Format", ISO/IEC 15444-1 annexes A and I.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from lib_prodshot.pictures.colour import Cicp, Space, space_of

_HEIF = frozenset((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"))
_AVIF = frozenset((b"avif", b"avis"))
_AUXILIARY = {
    b"aux:hdrgainmap": "HDR gain map",
    b"tmap": "HDR gain map",
    b"auxid:2\0": "depth map",
    b"auxiliary:depth": "depth map",
    b"semanticskymatte": "segmentation mattes",
    b"portraiteffectsmatte": "segmentation mattes",
}
_PROPERTIES = frozenset(
    (
        *(b"av1C", b"hvcC", b"lhvC", b"colr", b"pixi", b"ispe", b"auxC", b"irot", b"imir", b"clap", b"mdcv", b"clli"),
        *(b"pasp", b"a1op", b"a1lx", b"lsel", b"oinf", b"tols", b"rloc", b"free", b"skip"),
    )
)
"""Properties of an item that its samples come from, or that are carried over."""

_OUTER = frozenset((b"ftyp", b"meta", b"mdat", b"moov", b"free", b"skip", b"wide", b"idat"))
_FILM = "motion photo's film"
"""What the box mpvd holds (Android, "Motion Photo format 1.0")."""

JP2_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
_J2K_SIGNATURE = b"\xff\x4f\xff\x51"
_JP2_BOXES = frozenset((b"jP  ", b"ftyp", b"rreq", b"free", b"skip"))

_UUID_EXIF = b"JpgTiffExif->JP2"
_UUID_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_UUID_IPTC = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")
_ENUMERATED = {16: "RGB", 17: "grey", 18: "YCC"}


@dataclass(frozen=True)
class Still:
    """An AVIF or HEIF picture: bits of its primary item, whether that is grey, its colour, and what lies beside.

    `light` are PNG's chunks of the mastering display and the light levels, `aspect` how many samples go into one and
    the same length across and down.
    """

    bits: int
    grey: bool = False
    cicp: Cicp | None = None
    icc: bytes | None = None
    premultiplied: bool = False
    beside: tuple[str, ...] = ()
    light: tuple[tuple[bytes, bytes], ...] = ()
    aspect: tuple[int, int] | None = None

    @property
    def space(self) -> Space | None:
        """What its code points say, where no profile says it."""
        return space_of(self.cicp) if self.cicp and not self.icc else None


@dataclass(frozen=True)
class Jpeg2000:
    """A JPEG 2000 picture: channels, bits per sample, and the colour and descriptions of its boxes."""

    channels: int
    bits: tuple[int, ...]
    signed: bool
    subsampled: bool
    palette: bool = False
    space: str = ""
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    comments: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The row of `formats.TABLE` that this picture belongs to."""
        if self.signed:
            return "signed"
        if self.palette:
            return "palette"
        if self.channels > 4 or self.space == "other" or len(set(self.bits)) > 1 or max(self.bits) > 16:
            return "other"
        if self.subsampled or self.space == "YCC":
            return "YCC" if max(self.bits) == 8 else "other"
        space = ("grey", "grey", "RGB", "RGB")[self.channels - 1]
        depth = {8: "8", 16: "16"}.get(max(self.bits), "9 to 15" if max(self.bits) > 8 else "below 8")
        return f"{space} {depth}{' + alpha' if self.channels in (2, 4) else ''}"


def family(head: bytes) -> str:
    """'AVIF', 'HEIF' or '' for the beginning of a file, by its brands."""
    if head[4:8] != b"ftyp":
        return ""
    (length,) = struct.unpack(">I", head[:4])
    brands = [head[8:12], *(head[place : place + 4] for place in range(16, min(length, len(head)), 4))]
    if head[8:12] in _AVIF or (head[8:12] not in _HEIF and _AVIF.intersection(brands)):
        return "AVIF"
    return "HEIF" if _HEIF.intersection(brands) or head[8:12] in (b"mif1", b"msf1") else ""


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Type, first and last byte (exclusive) of the contents of each box between `start` and `end`."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        length, kind = struct.unpack(">I4s", data[start : start + 8])
        head = 8
        if length == 1 and start + 16 <= end:
            (length,) = struct.unpack(">Q", data[start + 8 : start + 16])
            head = 16
        stop = end if length == 0 else start + length
        if stop < start + head or stop > end:
            return
        yield kind, start + head, stop
        start = stop


def read_still(data: bytes) -> Still:
    """The facts of an AVIF or HEIF file. Raises ValueError where it lacks its own description."""
    properties: list[tuple[bytes, bytes]] = []
    associations, primary, references = b"", 0, b""
    meta = next(((first, last) for kind, first, last in boxes(data) if kind == b"meta"), None)
    if meta is None:
        raise ValueError("it does not describe its picture")
    for kind, first, last in boxes(data, meta[0] + 4, meta[1]):
        if kind == b"pitm":
            primary = int.from_bytes(data[first + 4 : last], "big")
        elif kind == b"iref":
            references = data[first:last]
        elif kind == b"iprp":
            for inner, begin, stop in boxes(data, first, last):
                if inner == b"ipco":
                    properties = [(name, data[low:high]) for name, low, high in boxes(data, begin, stop)]
                elif inner == b"ipma":
                    associations += data[begin:stop]
    own = [properties[index - 1] for index in _properties_of(primary, associations) if 0 < index <= len(properties)]
    described = data[meta[0] : meta[1]]
    beside = dict.fromkeys(words for mark, words in _AUXILIARY.items() if mark in described)
    unknown = [kind.decode("ascii", "replace") for kind, _ in own if kind not in _PROPERTIES]
    told = dict(own)
    return Still(
        _bits(own) or _bits(properties) or 8,
        any(kind == b"av1C" and body[2:3] and body[2] & 0x10 for kind, body in own),
        next((_nclx(body) for kind, body in own if kind == b"colr" and body[:4] == b"nclx" and len(body) >= 11), None),
        next((body[4:] for kind, body in own if kind == b"colr" and body[:4] in (b"prof", b"rICC")), None),
        b"prem" in references,
        (*beside, *(f"property '{kind}'" for kind in dict.fromkeys(unknown)), *_outside(data)),
        _light(told.get(b"mdcv", b""), told.get(b"clli", b"")),
        _aspect(told.get(b"pasp", b"")),
    )


def _outside(data: bytes) -> tuple[str, ...]:
    """Names for what stands beside the boxes that a still picture is made of."""
    names: dict[str, None] = {}
    end = 0
    for kind, _, last in boxes(data):
        end = last
        if kind not in _OUTER:
            words = f"box '{kind.decode('ascii', 'replace').strip()}'"
            names[_FILM if kind == b"mpvd" else words] = None
    if any(data[end:]):
        names[f"data behind its end ({len(data) - end} bytes)"] = None
    return tuple(names)


def _light(mastering: bytes, levels: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """As PNG says it: red before green and blue, and levels in 1/10000 cd/m² (PNG, third edition, 11.3.2.7 and 8)."""
    chunks: list[tuple[bytes, bytes]] = []
    if len(mastering) == 24:  # green, blue, red, white, as H.265 suggests (D.3.28)
        chunks.append((b"mDCV", mastering[8:12] + mastering[:8] + mastering[12:]))
    if len(levels) == 4:
        chunks.append((b"cLLI", struct.pack(">2I", *(level * 10000 for level in struct.unpack(">2H", levels)))))
    return tuple(chunks)


def _aspect(body: bytes) -> tuple[int, int] | None:
    if len(body) != 8:
        return None
    across, down = struct.unpack(">2I", body)
    return (down, across) if across != down and across and down else None


def _nclx(body: bytes) -> Cicp:
    primaries, transfer, matrix = struct.unpack(">3H", body[4:10])
    return Cicp(primaries, transfer, matrix, bool(body[10] & 0x80))


def _bits(properties: list[tuple[bytes, bytes]]) -> int:
    found = 0
    for kind, body in properties:
        if kind == b"av1C" and len(body) > 2:
            found = max(found, 12 if body[2] & 0x20 else 10 if body[2] & 0x40 else 8)
        elif kind == b"hvcC" and len(body) > 18:
            found = max(found, 8 + (body[17] & 7), 8 + (body[18] & 7))
        elif kind == b"pixi" and len(body) > 5:
            found = max(found, *body[5 : 5 + body[4]])
    return found


def _properties_of(item: int, associations: bytes) -> list[int]:
    """The numbers (from 1) of an item's properties (ItemPropertyAssociationBox)."""
    if len(associations) < 8:
        return []
    wide_items, wide_numbers = associations[0] > 0, associations[3] & 1
    (count,) = struct.unpack(">I", associations[4:8])
    place, size = 8, 4 if wide_items else 2
    for _ in range(count):
        number = int.from_bytes(associations[place : place + size], "big")
        many = associations[place + size] if place + size < len(associations) else 0
        place += size + 1
        step = 2 if wide_numbers else 1
        listed = associations[place : place + many * step]
        if number == item:
            mask = 0x7FFF if wide_numbers else 0x7F
            return [int.from_bytes(listed[at : at + step], "big") & mask for at in range(0, len(listed), step)]
        place += many * step
    return []


def is_jpeg2000(head: bytes) -> bool:
    """Whether a file begins like a JPEG 2000 file or codestream."""
    return head.startswith((JP2_SIGNATURE, _J2K_SIGNATURE))


def read_jpeg2000(data: bytes) -> Jpeg2000:
    """The facts of a JPEG 2000 file. Raises ValueError."""
    if data.startswith(_J2K_SIGNATURE):
        spoken, unread = _remarks(data, 0)
        return replace(_size_of(data, 0), comments=spoken, others=unread)
    facts: Jpeg2000 | None = None
    palette, space, end = False, "", 0
    told: dict[str, Any] = {}
    texts: tuple[str, ...] = ()
    others: list[str] = []
    for kind, first, last in boxes(data):
        end = last
        if kind == b"jp2c" and facts is None:
            facts = _size_of(data, first)
            texts, unread = _remarks(data, first)
            others += unread
        elif kind == b"jp2c":
            others.append("a second picture")
        elif kind == b"jp2h":
            inside = [(name, data[low:high]) for name, low, high in boxes(data, first, last)]
            palette = any(name == b"pclr" for name, _ in inside)
            colours = [body for name, body in inside if name == b"colr" and len(body) >= 3]
            numbers = (int.from_bytes(body[3:7], "big") for body in colours if body[0] == 1)
            space = next((_ENUMERATED.get(number, "other") for number in numbers), "")
            told["icc"] = next((body[3:] for body in colours if body[0] in (2, 3)), None)
        elif kind == b"uuid":
            mark, body = data[first : first + 16], data[first + 16 : last]
            name = {_UUID_EXIF: "exif", _UUID_XMP: "xmp", _UUID_IPTC: "iptc"}.get(mark)
            if name is None:
                others.append(f"box 'uuid' ({mark.hex()})")
            elif told.setdefault(name, body.removeprefix(b"Exif\0\0")) != body.removeprefix(b"Exif\0\0"):
                others.append(f"a second {name.upper()} block")
        elif kind not in _JP2_BOXES:
            others.append(f"box '{kind.decode('ascii', 'replace').strip()}'")
    if facts is None:
        raise ValueError("it has no picture in it")
    if any(data[end:]):
        others.append(f"{len(data) - end} bytes behind its end")
    listed = tuple(dict.fromkeys(others))
    return replace(facts, palette=palette, space=space, comments=texts, others=listed, **told)


def _remarks(data: bytes, start: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The texts of the comment marker segments in a codestream's main header, and a name for those that are none."""
    texts: list[str] = []
    others: list[str] = []
    place = start + 2
    while place + 6 <= len(data) and data[place] == 0xFF and data[place + 1] != 0x90:
        length, coding = struct.unpack(">2H", data[place + 2 : place + 6])
        body = data[place + 6 : place + 2 + length]
        if data[place + 1] == 0x64 and coding == 1:
            texts.append(body.decode("latin-1"))
        elif data[place + 1] == 0x64:
            others.append("a binary comment")
        place += 2 + max(length, 2)
    return tuple(texts), tuple(dict.fromkeys(others))


def _size_of(data: bytes, start: int) -> Jpeg2000:
    """From the codestream's SIZ marker segment, which follows its first marker."""
    channels = int.from_bytes(data[start + 40 : start + 42], "big")
    listed = data[start + 42 : start + 42 + 3 * channels]
    if not channels or len(listed) != 3 * channels:
        raise ValueError("its header is cut short")
    depths = listed[::3]
    bits = tuple((depth & 0x7F) + 1 for depth in depths)
    subsampled = any(step != 1 for step in (*listed[1::3], *listed[2::3]))
    return Jpeg2000(channels, bits, any(depth & 0x80 for depth in depths), subsampled)
