"""Descriptions that travel: what showed the old picture is left out and said, everything else comes back."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_prodshot import pictures
from lib_prodshot.pictures import blocks, png, tiff_tags
from tests.pictures.photographs import changed_inside, coffee, encoded

THUMBNAIL = encoded(coffee((32, 24)), "JPEG")
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
    b'<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:xmpNote="http://ns.adobe.com/xmp/note/"'
    b' xmpNote:HasExtendedXMP="0123456789ABCDEF0123456789ABCDEF" xmp:Rating="5">%s</rdf:Description></rdf:RDF>'
    b"</x:xmpmeta>"
)
MORE = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="far away"/></rdf:RDF></x:xmpmeta>'
)


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">2BH", 0xFF, marker, len(body) + 2) + body


def jpeg_with(*segments: bytes, image: Image.Image | None = None) -> bytes:
    plain = encoded(image or coffee(), "JPEG")
    return plain[:2] + b"".join(segments) + plain[2:]


def written(data: bytes, folder: Path) -> tuple[pictures.LoadedPicture, bytes]:
    picture = pictures.read(data)
    target = folder / f"b{pictures.output_suffix(picture)}"
    pictures.write(pictures.restore(picture, *changed_inside(picture)), target)
    return picture, target.read_bytes()


def exif_with_thumbnail(order: str = ">") -> bytes:
    """EXIF with a maker, a maker note that holds a small picture of its own, and a thumbnail's directory."""
    tags = tiff_tags.Tags(order, False)
    maker = tiff_tags.Entry(tiff_tags.ASCII, 5, b"ACME\0")
    note = b"NOTE" + THUMBNAIL + b"END"
    inside = {37500: tiff_tags.Entry(tiff_tags.UNDEFINED, len(note), note)}
    entries = {271: maker, 34665: tiff_tags.Entry(tiff_tags.LONG, 1, b"", inside)}
    directory, offset = tiff_tags.encode(tiff_tags.Tags(order, False, entries), 8)
    block = bytearray(tiff_tags.header(tags, offset) + directory)
    link = len(block) - 4
    start = len(block) + 2 + 2 * 12 + 4
    struct.pack_into(f"{order}I", block, link, len(block))
    small = struct.pack(f"{order}HHHIIHHII", 2, 513, 4, 1, start, 514, 4, 1, len(THUMBNAIL)) + bytes(4)
    return bytes(block) + small + THUMBNAIL


@pytest.mark.parametrize("order", "<>")
def test_exif_loses_its_thumbnail_and_nothing_else(order: str, tmp_path: Path) -> None:
    exif = exif_with_thumbnail(order)
    picture, result = written(jpeg_with(segment(0xE1, b"Exif\0\0" + exif)), tmp_path)
    assert picture.notes == ("the EXIF thumbnail was left out: it shows the old picture",)
    place = result.index(b"eXIf") + 4
    kept = result[place : place + len(exif)]
    assert THUMBNAIL[:100] not in kept and exif.count(THUMBNAIL) == 2
    assert b"ACME" in kept and b"NOTE" in kept and b"END" in kept and len(kept) == len(exif)
    with Image.open(io.BytesIO(result)) as image:
        assert image.getexif()[271] == "ACME"
    assert pictures.read(result).notes == ()


def test_a_png_and_a_webp_lose_theirs_too(tmp_path: Path) -> None:
    exif = exif_with_thumbnail()
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True})):
        picture, result = written(encoded(coffee(), kind, exif=b"Exif\0\0" + exif, **options), tmp_path)
        assert "the EXIF thumbnail was left out: it shows the old picture" in picture.notes
        assert THUMBNAIL[:100] not in result


def test_extended_xmp_is_joined_and_its_thumbnail_left_out(tmp_path: Path) -> None:
    base = b"<xmp:Thumbnails><rdf:Alt><rdf:li>/9j/4AAQ</rdf:li></rdf:Alt></xmp:Thumbnails>"
    main = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP % base)
    head = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32
    parts = [(place, MORE[place : place + 100]) for place in range(0, len(MORE), 100)]
    more = [segment(0xE1, head + struct.pack(">2I", len(MORE), place) + part) for place, part in reversed(parts)]
    picture, result = written(jpeg_with(main, *more), tmp_path)
    assert picture.notes == ("the XMP thumbnail was left out: it shows the old picture",)
    assert b'xmp:Rating="5"' in result and b'dc:source="far away"' in result
    assert b"HasExtendedXMP" not in result and b"/9j/4AAQ" not in result


def test_an_extended_part_that_cannot_be_joined_is_named() -> None:
    main = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP % b"")
    more = segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + struct.pack(">2I", 5, 0) + b"<bad>")
    assert "the extended part of its XMP was left out" in pictures.read(jpeg_with(main, more)).notes


def resource(number: int, body: bytes) -> bytes:
    return b"8BIM" + struct.pack(">HHI", number, 0, len(body)) + body + b"\0" * (len(body) % 2)


def test_photoshop_resources_stay_without_their_thumbnail(tmp_path: Path) -> None:
    path, iptc = resource(2000, b"outline"), resource(1028, b"\x1c\x02\x19\0\3mug")
    whole = path + resource(1036, bytes(28) + THUMBNAIL) + iptc
    picture, result = written(jpeg_with(segment(0xED, b"Photoshop 3.0\0" + whole)), tmp_path)
    assert picture.notes == ("the Photoshop thumbnail was left out: it shows the old picture",)
    place = result.index(b"Raw profile type iptc")
    text = zlib.decompressobj().decompress(result[place + 23 :])
    assert bytes.fromhex(b"".join(text.split()[2:]).decode()) == path + iptc
    picture, result = written(
        jpeg_with(segment(0xED, b"Photoshop 3.0\0" + whole), image=coffee().convert("CMYK")), tmp_path
    )
    assert path + iptc in result and THUMBNAIL not in result


def test_segments_that_are_not_carried_are_named() -> None:
    data = jpeg_with(
        segment(0xE0, b"JFXX\0\x10" + THUMBNAIL),
        segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4)),
        segment(0xEB, b"JP\0\1" + bytes(20)),
        segment(0xE7, b"Camera\0data"),
    )
    assert pictures.read(data).notes == (
        "left out: JFIF thumbnail",
        "left out: HDR gain map",
        "left out: content credentials (JUMBF)",
        "left out: APP7 (Camera)",
    )


def test_a_gain_map_behind_the_picture_is_named() -> None:
    xmp = XMP.replace(b"xmp:Rating", b'hdrgm:Version="1.0" xmp:Rating') % b""
    data = jpeg_with(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp))
    assert "left out: HDR gain map" in pictures.read(data).notes


def test_comments_of_a_gif_and_a_cmyk_jpeg(tmp_path: Path) -> None:
    gif = encoded(coffee().quantize(64), "GIF", comment=b"caf\xe9")
    _, result = written(gif, tmp_path)
    with Image.open(io.BytesIO(result)) as image:
        image.load()
        assert image.info["Comment"] == "café"
    _, result = written(jpeg_with(segment(0xFE, b"approved"), image=coffee().convert("CMYK")), tmp_path)
    with Image.open(io.BytesIO(result)) as image:
        assert image.tag_v2[270] == "approved"


def chunked(*chunks: tuple[bytes, bytes]) -> bytes:
    data = encoded(coffee(), "PNG")
    file = io.BytesIO()
    png.write_chunks(file, chunks)
    return data[: png.HEADER_END] + file.getvalue() + data[png.HEADER_END :]


def test_hdr_chunks_stay_and_unfit_ones_are_named(tmp_path: Path) -> None:
    kept = [(b"cICP", bytes((9, 16, 0, 1))), (b"mDCV", bytes(24)), (b"cLLI", bytes(8)), (b"prIv", b"copy me")]
    picture, result = written(chunked(*kept, (b"caBX", b"signed"), (b"iDOT", b"offsets")), tmp_path)
    assert picture.notes == ("PNG chunks left out: caBX (content credentials), iDOT",)
    assert list(png.read_chunks(result)[0]) == kept


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_is_shown_in_srgb(transfer: int) -> None:
    """Diffuse white (203 cd/m²: PQ 148, HLG 191 of 255; ITU-R BT.2408) is bright, half of it darker, black black."""
    picture = pictures.read(chunked((b"cICP", bytes((9, transfer, 0, 1)))))
    white = {16: 148, 18: 191}[transfer]
    rgb = np.repeat(np.array([[0, white // 2, white, 255]], np.uint8)[..., None], 3, axis=2)
    from dataclasses import replace

    shown = replace(picture, rgb=rgb, native=rgb).seen()[0, :, 0].astype(int)
    assert shown[0] == 0 and shown[3] == 255 and 0 < shown[1] < shown[2] and 140 < shown[2] < 255


def test_tiff_tags_come_back_byte_by_byte(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    file = io.BytesIO()
    extra = [
        (270, 2, 9, "caf\u00e9 ©".encode("latin-1"), True),
        (700, 1, len(XMP), XMP, True),
        (33723, 7, 8, b"\x1c\x02\x19\0\3mug", True),
        (65000, 12, 2, (1.5, -2.5), True),
        (37724, 7, 4, b"8BIM", True),
    ]
    tifffile.imwrite(
        file, np.asarray(coffee()), photometric="rgb", metadata=None, description=None, software=None, extratags=extra
    )
    picture, result = written(file.getvalue(), tmp_path)
    assert picture.notes == ("Photoshop's layers left out: they show the old picture",)
    before, after = tiff_tags.read(file).entries, tiff_tags.read(io.BytesIO(result)).entries
    for tag in (270, 700, 33723, 65000):
        assert after[tag] == before[tag]
    assert 37724 not in after


def test_a_bmp_keeps_its_profile_in_a_png(tmp_path: Path) -> None:
    from PIL import ImageCms

    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    rgb = np.asarray(coffee())[::-1, :, ::-1]
    rows = np.pad(rgb.reshape(rgb.shape[0], -1), ((0, 0), (0, -rgb.shape[1] * 3 % 4))).tobytes()
    head = struct.pack("<IiiHHIIiiII", 124, rgb.shape[1], rgb.shape[0], 1, 24, 0, len(rows), 0, 0, 0, 0) + bytes(16)
    head += b"DEBM" + bytes(48) + struct.pack("<4I", 4, 124 + len(rows), len(icc), 0)
    assert len(head) == 124
    data = b"BM" + struct.pack("<IHHI", 14 + 124 + len(rows) + len(icc), 0, 0, 138) + head + rows + icc
    _, result = written(data, tmp_path)
    with Image.open(io.BytesIO(result)) as image:
        assert image.format == "PNG" and image.info["icc_profile"] == icc


def test_adobe_rgb_that_only_exif_tells_is_shown_in_srgb() -> None:
    inside = {1: tiff_tags.Entry(tiff_tags.ASCII, 4, b"R03\0")}
    exif = {40965: tiff_tags.Entry(tiff_tags.LONG, 1, b"", inside)}
    tags = tiff_tags.Tags(">", False, {34665: tiff_tags.Entry(tiff_tags.LONG, 1, b"", exif)})
    directory, offset = tiff_tags.encode(tags, 8)
    block = tiff_tags.header(tags, offset) + directory
    assert blocks.space_by_exif(block) is not None
    picture = pictures.read(
        jpeg_with(segment(0xE1, b"Exif\0\0" + block), image=Image.new("RGB", (8, 8), (60, 200, 60)))
    )
    red, green, _ = picture.seen()[0, 0].tolist()
    assert red < 10 and green > 195, "a saturated green of Adobe RGB lies outside sRGB"


def test_a_damaged_exif_block_is_said_and_the_picture_still_stands_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[271], exif[274] = "a maker's name", 6
    block = bytearray(exif.tobytes())
    block[block.index(b"\x01\x0f\0\x02") + 4] = 0xFF
    picture, result = written(encoded(coffee().convert("CMYK"), "JPEG", exif=bytes(block)), tmp_path)
    assert "its EXIF block is damaged; what can be read of it was carried over" in picture.notes
    again = pictures.read(result)  # whichever way this Pillow reads the block
    assert (again.size, again.orientation) == (picture.size, picture.orientation)
