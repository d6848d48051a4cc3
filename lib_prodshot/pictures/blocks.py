"""Descriptions that travel with a picture (EXIF, XMP, Photoshop's resources), without the thumbnails in them.

Sources: CIPA DC-008 "Exif 2.32", section 4.6.3 (the thumbnail's directory); Adobe, "XMP Specification Part 3", section
1.1.3.1 (extended XMP); Adobe, "Photoshop File Formats", image resources 1033 and 1036.
"""

from __future__ import annotations

import io
import re
import struct
from dataclasses import replace

from lib_prodshot.pictures import tiff_tags
from lib_prodshot.pictures.colour import ADOBE_GAMMA, ADOBE_RGB, Space, gamma_space
from lib_prodshot.pictures.loaded import Metadata

_JPEG = re.compile(rb"\xff\xd8\xff.*?\xff\xd9", re.DOTALL)
_XMP_THUMBNAILS = re.compile(rb"<(xmp|xap|xapG|xmpG):Thumbnails\b.*?</\1:Thumbnails>", re.DOTALL)
_RDF = re.compile(rb"<rdf:RDF\b([^>]*)>(.*)</rdf:RDF\s*>", re.DOTALL)
_HAS_MORE = re.compile(
    rb"""\s+xmpNote:HasExtendedXMP\s*=\s*("[^"]*"|'[^']*')|<xmpNote:HasExtendedXMP>[^<]*</xmpNote:HasExtendedXMP>"""
)
_XMLNS = re.compile(rb"""xmlns:[\w.-]+\s*=\s*("[^"]*"|'[^']*')""")
_THUMBNAIL_RESOURCES = (1033, 1036)
_IPTC_RESOURCE = 1028


def without_old_pictures(metadata: Metadata) -> tuple[Metadata, tuple[str, ...]]:
    """The metadata without thumbnails, and a note for each block that held one."""
    exif, in_exif = exif_without_previews(metadata.exif or b"")
    xmp, in_xmp = xmp_without_thumbnails(metadata.xmp or b"")
    photoshop, in_photoshop = photoshop_without_thumbnail(metadata.photoshop or b"")
    kept = replace(metadata, exif=exif or None, xmp=xmp or None, photoshop=photoshop or None)
    held = [name for name, found in (("EXIF", in_exif), ("XMP", in_xmp), ("Photoshop", in_photoshop)) if found]
    return kept, tuple(f"the {name} thumbnail was left out: it shows the old picture" for name in held)


def exif_without_previews(exif: bytes) -> tuple[bytes, bool]:
    """An EXIF block without its thumbnail's directory and with every JPEG in it blanked, all other bytes in their
    places (maker notes count on them); and whether there was any."""
    if not tiff_tags.is_tiff(exif[:4]) or len(exif) < 8:
        return exif, False
    order = "<" if exif[:1] == b"I" else ">"
    spoilt = bytearray(exif)
    found = False
    try:
        link = _entries(exif, order, *struct.unpack_from(f"{order}I", exif, 4)).stop
        (thumbnail,) = struct.unpack_from(f"{order}I", exif, link)
        if thumbnail:
            found = True
            struct.pack_into(f"{order}I", spoilt, link, 0)
            _blank(spoilt, exif, order, thumbnail)
    except struct.error:
        pass
    for jpeg in _JPEG.finditer(bytes(spoilt)):
        if len(jpeg[0]) > 100:
            found = True
            spoilt[jpeg.start() : jpeg.end()] = bytes(len(jpeg[0]))
    return (bytes(spoilt), True) if found else (exif, False)


def exif_upright(exif: bytes) -> bytes:
    """An EXIF block that says that its picture stands upright, all other bytes in their places."""
    if not tiff_tags.is_tiff(exif[:4]):
        return exif
    order = "<" if exif[:1] == b"I" else ">"
    turned = bytearray(exif)
    try:
        for place in _entries(exif, order, *struct.unpack_from(f"{order}I", exif, 4)):
            if struct.unpack_from(f"{order}H", exif, place) == (274,):
                struct.pack_into(f"{order}H", turned, place + 8, 1)
    except struct.error:
        return exif
    return bytes(turned)


def _entries(exif: bytes, order: str, directory: int) -> range:
    """Where the 12 bytes of each tag of a directory begin; at its `stop` the next directory is named."""
    (count,) = struct.unpack_from(f"{order}H", exif, directory)
    return range(directory + 2, directory + 2 + 12 * count, 12)


def _blank(spoilt: bytearray, exif: bytes, order: str, directory: int) -> None:
    """Blank a thumbnail's bytes: JPEGInterchangeFormat (513, 514) or strips (273, 279)."""
    values: dict[int, int] = {}
    for place in _entries(exif, order, directory):
        tag, kind = struct.unpack_from(f"{order}2H", exif, place)
        letter = "H" if kind == tiff_tags.SHORT else "I"
        (values[tag],) = struct.unpack_from(f"{order}{letter}", exif, place + 8)
    for where, length in ((513, 514), (273, 279)):
        if where in values and length in values:
            end = min(values[where] + values[length], len(spoilt))
            spoilt[values[where] : end] = bytes(max(0, end - values[where]))


def xmp_without_thumbnails(xmp: bytes) -> tuple[bytes, bool]:
    """An XMP packet without the pictures that it holds in base64; and whether there was any."""
    kept = _XMP_THUMBNAILS.sub(b"", xmp)
    return kept, kept != xmp


def joined_xmp(main: bytes, more: bytes) -> bytes | None:
    """The main packet with the descriptions of its extended part; None where they cannot be joined as text."""
    into, extra = _RDF.search(main), _RDF.search(more)
    if into is None or extra is None:
        return None
    known = {match[0].split(b"=")[0].strip() for match in _XMLNS.finditer(into[1])}
    spaces = [match[0] for match in _XMLNS.finditer(extra[1]) if match[0].split(b"=")[0].strip() not in known]
    head = main[: into.end(1)] + b"".join(b" " + space for space in spaces)
    return _HAS_MORE.sub(b"", head + main[into.end(1) : into.end(2)] + extra[2] + main[into.end(2) :])


def photoshop_without_thumbnail(resources: bytes) -> tuple[bytes, bool]:
    """Photoshop's image resources without its thumbnails; and whether there was any."""
    kept, found, place = b"", False, 0
    while resources[place : place + 4] in (b"8BIM", b"MeSa", b"AgHg", b"PHUT", b"DCSR") and place + 12 <= len(
        resources
    ):
        (number,) = struct.unpack_from(">H", resources, place + 4)
        name = resources[place + 6] + 1
        size_at = place + 6 + name + name % 2
        if size_at + 4 > len(resources):
            break
        (size,) = struct.unpack_from(">I", resources, size_at)
        end = size_at + 4 + size + size % 2
        if number in _THUMBNAIL_RESOURCES:
            found = True
        else:
            kept += resources[place:end]
        place = end
    return (kept + resources[place:], True) if found else (resources, False)


def iptc_as_resources(iptc: bytes) -> bytes:
    """IPTC data as the image resource that Photoshop keeps it in."""
    return b"8BIM" + struct.pack(">HHI", _IPTC_RESOURCE, 0, len(iptc)) + iptc + b"\0" * (len(iptc) % 2)


def space_by_exif(exif: bytes | None) -> Space | None:
    """Adobe RGB where an EXIF block says that, the way cameras do: interoperability index R03 (DCF 2.0)."""
    try:
        tags = tiff_tags.read(io.BytesIO(exif or b""))
    except tiff_tags.TagsError:
        return None
    inside = tags.entries.get(34665)
    interoperability = (inside.inside or {}).get(40965) if inside else None
    index = (interoperability.inside or {}).get(1) if interoperability else None
    return gamma_space(ADOBE_RGB, ADOBE_GAMMA) if index is not None and index.data.startswith(b"R03") else None


def comment_text(comment: bytes) -> str:
    """A comment as text: UTF-8 where it is that, else Latin-1, which any bytes are."""
    try:
        return comment.rstrip(b"\0").decode("utf-8")
    except UnicodeDecodeError:
        return comment.rstrip(b"\0").decode("latin-1")
