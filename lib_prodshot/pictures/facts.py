"""What the header of a file that Pillow opens says beyond Pillow: its row of the table, its descriptions, its space."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import cv2
from PIL import Image

from lib_prodshot.errors import PictureError
from lib_prodshot.pictures import blocks, boxes, containers, formats, headers, jpeg, png, tiff
from lib_prodshot.pictures.colour import Space
from lib_prodshot.pictures.formats import Row
from lib_prodshot.pictures.headers import Header
from lib_prodshot.pictures.loaded import Metadata


@dataclass(frozen=True)
class Facts:
    """What a file's own header says: its row, its descriptions, and notes besides.

    `bits` are those of a sample (a PPM: its highest level); `deep`: Pillow hands out only 8 of them; `grey`: its three
    channels from Pillow are one.
    """

    row: Row
    metadata: Metadata
    notes: tuple[str, ...] = ()
    bits: int = 8
    space: Space | None = None
    deep: bool = False
    grey: bool = False


def read(kind: str, data: bytes, image: Image.Image) -> Facts:
    """The facts of a file of the format `kind`, by its bytes and what Pillow has opened.

    Raises `PictureError` with the rest of a sentence for what is refused, and whatever damaged headers cause.
    """
    return _READERS[kind](data, image)


def refuse_by_header(data: bytes) -> None:
    """Name what a file is, of a format that is read, where Pillow knows no such kind of it. Raises `PictureError`."""
    if data[:3] == b"\xff\xd8\xff":
        formats.row_of("JPEG", jpeg.read(data).kind)
    elif boxes.is_jpeg2000(data):
        formats.row_of("JPEG2000", boxes.read_jpeg2000(data).kind)
    elif boxes.family(data[:4096]) == "AVIF":
        formats.row_of("AVIF", "no decoder")
    elif data[:2] == b"BM":
        formats.row_of("BMP", "other")


def _info(image: Image.Image) -> Metadata:
    """What Pillow hands on of any format."""
    info = image.info
    exif, xmp, dpi = info.get("exif"), info.get("xmp"), info.get("dpi")
    return Metadata(
        icc=info.get("icc_profile") or None,
        exif=exif.removeprefix(b"Exif\0\0") if isinstance(exif, bytes) else None,
        xmp=xmp if isinstance(xmp, bytes) else None,
        dpi=(float(dpi[0]), float(dpi[1])) if dpi else None,
    )


def _left_out(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"left out: {name}" for name in names)


def _png(data: bytes, image: Image.Image) -> Facts:
    header = headers.png(data)
    row = formats.row_of("PNG", header.kind)
    chunks, others = png.read_chunks(data)
    cicp, space = png.space_of_chunks(chunks)
    metadata = replace(_info(image), png_chunks=chunks, cicp=cicp, bits=header.bits)
    notes = [f"PNG chunks left out: {', '.join(others)}"] if others else []
    behind = png.behind_its_end(data)
    if behind:
        notes.append(f"left out: {behind} bytes behind its end")
    deep = header.bits == 16 and header.kind != "grey 16"
    return Facts(row, metadata, tuple(notes), header.bits, space, deep)


def _jpeg(data: bytes, image: Image.Image) -> Facts:
    told = jpeg.read(data)
    row = formats.row_of("JPEG", told.kind)
    xmp, notes = told.xmp, list(_left_out(told.others))
    if told.extended_xmp and xmp:
        xmp = blocks.joined_xmp(xmp, told.extended_xmp) or xmp
        if xmp == told.xmp:
            notes.append("the extended part of its XMP was left out")
    if xmp and (b"hdrgm:" in xmp or b"HDRGainMap" in xmp) and not any("gain map" in note for note in notes):
        notes.append("left out: HDR gain map")
    comments = tuple(blocks.comment_text(comment) for comment in told.comments)
    dpi, aspect = _jpeg_resolution(told)
    metadata = replace(
        _info(image), exif=told.exif, xmp=xmp, photoshop=told.photoshop, comments=comments, dpi=dpi, aspect=aspect
    )
    if told.profiled and not metadata.icc:
        notes.append("its ICC profile is incomplete and was left out")
    trailer = jpeg.after_the_pictures(told.trailer) if image.format == "MPO" else told.trailer
    if any(trailer):
        notes.append(f"left out: {jpeg.trailer_name(trailer, xmp)}")
    if told.kind == "CMYK 8" and comments and tiff.has_description(metadata.exif):
        notes.append("its comment was left out: EXIF has a description of its own")
    if told.kind == "CMYK 8" and metadata.exif and not tiff.is_whole(metadata.exif):
        notes.append("its EXIF block is damaged; what can be read of it was carried over")
    space = blocks.space_by_exif(metadata.exif) if metadata.icc is None else None
    return Facts(row, metadata, tuple(notes), space=space)


def _jpeg_resolution(told: jpeg.Jpeg) -> tuple[tuple[float, float] | None, tuple[int, int] | None]:
    """Samples per inch, by JFIF, else by EXIF; where neither tells a unit, JFIF's numbers if they differ."""
    unit, across, down = told.density or (0, 1, 1)
    per_inch = {1: 1.0, 2: 2.54}.get(unit)
    if per_inch and across and down:
        return (across * per_inch, down * per_inch), None
    dpi = tiff.exif_resolution(told.exif)
    return dpi, (across, down) if dpi is None and unit == 0 and across != down and across and down else None


def _jpeg2000(data: bytes, image: Image.Image) -> Facts:
    told = boxes.read_jpeg2000(data)
    row = formats.row_of("JPEG2000", told.kind)
    bits = max(told.bits)
    known = _info(image)
    if told.exif:
        image.info["exif"] = b"Exif\0\0" + told.exif  # for the orientation, which Pillow does not read here
    metadata = replace(
        known,
        icc=told.icc or known.icc,
        exif=told.exif or known.exif,
        xmp=told.xmp or known.xmp,
        photoshop=blocks.iptc_as_resources(told.iptc) if told.iptc else None,
        bits=bits if 8 < bits < 16 else None,
        comments=told.comments,
    )
    return Facts(row, metadata, _left_out(told.others), bits, deep=bits > 8)


def _avif(data: bytes, image: Image.Image) -> Facts:
    told = boxes.read_still(data)
    row = formats.row_of("AVIF", f"{'grey' if told.grey else 'colour'} {told.bits}")
    deep = told.bits > 8
    if deep and not _opencv_reads_avif():
        raise PictureError(formats.TABLE["AVIF", "deep, no decoder"].says.format(told.bits))
    known = _info(image)
    metadata = replace(
        known,
        icc=told.icc or known.icc,
        cicp=told.cicp,
        bits=told.bits if deep else None,
        png_chunks=told.light,
        aspect=told.aspect,
    )
    notes = tuple(f"its {what} was left out" for what in told.beside)
    if told.premultiplied:
        notes += (formats.row_of("AVIF", "premultiplied").says,)
    return Facts(row, metadata, notes, told.bits, told.space, deep, told.grey and not deep)


def _opencv_reads_avif() -> bool:
    """Whether this OpenCV was built with a decoder for it; those of version 4 mostly were not."""
    return re.search(r"AVIF:\s+(YES|\S+ \(ver)", cv2.getBuildInformation()) is not None


def _webp(data: bytes, image: Image.Image) -> Facts:
    kind = "lossless" if containers.is_lossless_webp(data) else "lossy"
    row = formats.row_of("WEBP", kind + (" + alpha" if image.mode == "RGBA" else ""))
    return Facts(row, _info(image), _left_out(containers.webp_others(data)))


def _gif(data: bytes, image: Image.Image) -> Facts:
    told = containers.read_gif(data)
    comments = tuple(blocks.comment_text(comment) for comment in told.comments)
    metadata = replace(_info(image), xmp=told.xmp, comments=comments, aspect=told.aspect)
    row = formats.row_of("GIF", "grey" if image.mode == "L" else "palette")
    return Facts(row, metadata, _left_out(told.others))


def _bmp(data: bytes, image: Image.Image) -> Facts:
    header = headers.bmp(data, image.mode, image.format == "DIB")
    return _of_header("BMP", header, replace(_info(image), icc=header.icc))


def _ppm(data: bytes, image: Image.Image) -> Facts:
    header = headers.ppm(data)
    facts = _of_header("PPM", header, _info(image))
    return replace(facts, bits=header.maximum, deep=header.maximum not in (1, 255) or header.bits > 8)


def _tga(data: bytes, image: Image.Image) -> Facts:
    header = headers.tga(data, image.mode)
    told = image.info.get("id_section")
    comments = (told.decode("latin-1"),) if isinstance(told, bytes) and told else ()
    return _of_header("TGA", header, replace(_info(image), comments=comments))


def _of_header(form: str, header: Header, metadata: Metadata) -> Facts:
    return Facts(formats.row_of(form, header.kind), metadata, header.notes, header.bits)


_READERS: dict[str, Callable[[bytes, Image.Image], Facts]] = {
    "PNG": _png,
    "JPEG": _jpeg,
    "JPEG2000": _jpeg2000,
    "AVIF": _avif,
    "WEBP": _webp,
    "GIF": _gif,
    "BMP": _bmp,
    "PPM": _ppm,
    "TGA": _tga,
}
