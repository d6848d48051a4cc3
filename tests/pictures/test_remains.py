"""What a file holds besides pixels and the usual descriptions: kept in the result, or named in the notes."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from lib_prodshot import pictures
from lib_prodshot.errors import PictureError
from lib_prodshot.jobs.report.thumbnails import thumbnails_of
from lib_prodshot.pictures import boxes, formats, png
from tests.pictures.photographs import changed_inside, coffee, encoded
from tests.pictures.test_blocks import XMP, jpeg_with, segment, written

XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
FILM = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(200)


def chunks_of(result: bytes) -> dict[bytes, bytes]:
    return dict(png.read_chunks(result)[0])


@pytest.mark.parametrize("progressive", [False, True])
def test_what_follows_a_jpeg_is_named(progressive: bool) -> None:
    whole = encoded(coffee(), "JPEG", progressive=progressive)
    assert pictures.read(whole + bytes(64)).notes == ()
    assert pictures.read(whole + b"hello").notes == ("left out: 5 bytes behind its end",)
    assert pictures.read(whole + whole).notes == (f"left out: {len(whole)} bytes behind its end",)


@pytest.mark.parametrize("mark", [b'Camera:MotionPhoto="1"', b'GCamera:MicroVideo="1"', b'Item:Semantic="MotionPhoto"'])
def test_the_film_of_a_motion_photo_is_named(mark: bytes) -> None:
    told = segment(0xE1, XMP_HEAD + XMP.replace(b"xmp:Rating", mark + b" xmp:Rating") % b"")
    assert pictures.read(jpeg_with(told) + FILM).notes == ("left out: the film of its motion photo",)
    trailer = b"MotionPhoto_Data" + FILM
    assert pictures.read(jpeg_with() + trailer).notes == ("left out: the film of its motion photo",)


def test_of_several_pictures_in_a_jpeg_only_what_follows_them_is_named(tmp_path: Path) -> None:
    file = tmp_path / "two.mpo"
    coffee().save(file, "MPO", save_all=True, append_images=[coffee()])
    note = "2 pictures in one file: first picture only"
    assert pictures.read(file.read_bytes()).notes == (note,)
    assert pictures.read(file.read_bytes() + b"more").notes == (note, "left out: 4 bytes behind its end")


def test_second_blocks_are_named_unless_they_say_the_same() -> None:
    exif = Image.Exif()
    exif[271] = "One"
    first = exif.tobytes()
    second = first.replace(b"One", b"Two")
    one, two = segment(0xE1, first), segment(0xE1, second)
    assert pictures.read(jpeg_with(one, one)).notes == ()
    picture = pictures.read(jpeg_with(one, two))
    assert picture.notes == ("left out: a second EXIF block",)
    assert picture.metadata.exif == first.removeprefix(b"Exif\0\0")
    xmp, other = (segment(0xE1, XMP_HEAD + XMP % text) for text in (b"", b" "))
    assert pictures.read(jpeg_with(xmp, xmp)).notes == ()
    assert pictures.read(jpeg_with(xmp, other)).notes == ("left out: a second XMP block",)


def test_pieces_of_a_profile_are_named() -> None:
    note = "its ICC profile is incomplete and was left out"
    assert pictures.read(jpeg_with(segment(0xE2, b"ICC_PROFILE\0\1\2" + bytes(200)))).notes == (note,)


def jfif(unit: int, across: int, down: int, *segments: bytes, mode: str = "RGB") -> bytes:
    plain = encoded(coffee().convert(mode), "JPEG")
    head = segment(0xE0, b"JFIF\0\1\1" + struct.pack(">B2H2B", unit, across, down, 0, 0))
    rest = plain[20:] if plain[2:4] == b"\xff\xe0" else plain[2:]
    return plain[:2] + head + b"".join(segments) + rest


def test_only_a_resolution_that_the_file_tells_is_written(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[282], exif[283], exif[296] = 2.0, 1.0, 1
    unitless = segment(0xE1, exif.tobytes())
    exif[282], exif[283], exif[296] = 118.0, 118.0, 3
    by_centimetre = segment(0xE1, exif.tobytes())
    wanted = {
        jfif(0, 1, 1): None,
        jfif(0, 1, 1, unitless): None,
        jfif(0, 2, 1): (2, 1, 0),
        jfif(1, 300, 150): (11811, 5906, 1),
        jfif(2, 118, 59): (11800, 5900, 1),
        jfif(0, 1, 1, by_centimetre): (11800, 11800, 1),
    }
    for data, told in wanted.items():
        _, result = written(data, tmp_path)
        chunk = chunks_of(result).get(b"pHYs")
        assert (chunk and struct.unpack(">2IB", chunk)) == told
    _, result = written(jfif(0, 2, 1, mode="CMYK"), tmp_path)
    with Image.open(io.BytesIO(result)) as image:
        assert (image.tag_v2[282], image.tag_v2[283], image.tag_v2[296]) == (2, 1, 1)


def gif_with(*blocks: bytes, tail: bytes = b"") -> bytes:
    plain = encoded(coffee().quantize(64), "GIF")
    start = 13 + 3 * (2 << (plain[10] & 7))
    return b"GIF89a" + plain[6:start] + b"".join(blocks) + plain[start:] + tail


def test_a_gif_keeps_its_xmp_comments_and_aspect(tmp_path: Path) -> None:
    packet = XMP % b""
    block = b"\x21\xff\x0bXMP DataXMP" + packet + b"\x01" + bytes(range(255, -1, -1)) + b"\0"
    data = bytearray(gif_with(block, b"\x21\xfe\x05first\0", b"\x21\xfe\x06second\0"))
    data[12] = 113
    picture, result = written(bytes(data), tmp_path)
    assert picture.notes == () and picture.metadata.comments == ("first", "second")
    assert packet in result and b"first" in result and b"second" in result
    assert struct.unpack(">2IB", chunks_of(result)[b"pHYs"]) == (64, 128, 0)


def test_a_gif_names_what_it_loses() -> None:
    data = gif_with(b"\x21\xff\x0bACMEDATA1.0\x03abc\0", b"\x21\x01\x0c" + bytes(12) + b"\x02hi\0", tail=b"tail")
    assert pictures.read(data).notes == (
        "left out: application data (ACMEDATA1.0)",
        "left out: text drawn over it",
        "left out: 4 bytes behind its end",
    )


def test_a_png_and_a_webp_name_what_they_lose() -> None:
    assert pictures.read(encoded(coffee(), "PNG") + b"tail").notes == ("left out: 4 bytes behind its end",)
    plain = encoded(coffee(), "WEBP", lossless=True, xmp=XMP % b"")
    more = b"ABCD\4\0\0\0data" + b"XMP \2\0\0\0no"
    data = b"RIFF" + struct.pack("<I", len(plain) - 8 + len(more)) + plain[8:] + more + b"tail"
    assert pictures.read(data).notes == (
        "left out: chunk 'ABCD'",
        "left out: a second XMP block",
        "left out: 4 bytes behind its end",
    )


@pytest.mark.parametrize("form", ["BMP", "PPM"])
@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_a_bmp_and_a_ppm_name_what_follows_them(form: str, mode: str) -> None:
    data = encoded(coffee((37, 21)).convert(mode), form)
    assert pictures.read(data).notes == pictures.read(data + bytes(9)).notes == ()
    assert pictures.read(data + b"tail").notes == ("left out: 4 bytes behind its end",)


def test_a_ppm_names_its_second_picture() -> None:
    deep = b"P5 2 1 65535 " + bytes(range(4))
    assert pictures.read(deep).notes == ()
    assert pictures.read(deep + deep).notes == (f"left out: {len(deep)} bytes behind its end",)


def jpeg2000(*more: bytes, comment: bytes = b"") -> bytes:
    """A JP2 with boxes behind its signature and type, and a comment marker segment in its main header."""
    plain = encoded(coffee((40, 24)), "JPEG2000", no_jp2=False)
    header, stream = plain.index(b"jp2h") - 4, plain.index(b"jp2c") - 4
    code = plain[stream + 8 :]
    siz = 4 + int.from_bytes(code[4:6], "big")
    code = code[:siz] + comment + code[siz:]
    body = struct.pack(">I4s", 8 + len(code), b"jp2c") + code
    return plain[:header] + b"".join(more) + plain[header:stream] + body


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_jpeg2000_its_mask_and_its_exif_stand_alike(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    told = box(b"uuid", b"JpgTiffExif->JP2" + exif.tobytes().removeprefix(b"Exif\0\0"))
    picture, result = written(jpeg2000(told), tmp_path)
    pictures.write_grey(changed_inside(picture)[1], tmp_path / "m.png", picture)
    with Image.open(io.BytesIO(result)) as image, Image.open(tmp_path / "m.png") as mask:
        assert image.size == mask.size == (40, 24)
        assert image.getexif().get(274, 1) == mask.getexif().get(274, 1) == picture.orientation == orientation


def test_a_jpeg2000_keeps_its_comment_and_names_the_rest(tmp_path: Path) -> None:
    text, binary = (segment(0x64, struct.pack(">H", coding) + b"for Anna") for coding in (1, 0))
    picture, result = written(jpeg2000(comment=text), tmp_path)
    assert picture.notes == () and "for Anna" in picture.metadata.comments and b"for Anna" in result
    data = jpeg2000(box(b"xml ", b"<a/>"), box(b"uuid", bytes(20)), comment=binary) + box(b"abcd", b"")
    assert pictures.read(data).notes == (
        "left out: box 'xml'",
        f"left out: box 'uuid' ({'00' * 16})",
        "left out: a binary comment",
        "left out: box 'abcd'",
    )


def test_no_library_prints_about_a_codestream(capfd: pytest.CaptureFixture[str]) -> None:
    deep = np.asarray(coffee()).astype(np.uint16) * 257
    done, data = cv2.imencode(".jp2", deep)
    whole = data.tobytes()
    capfd.readouterr()
    stream = whole[whole.index(b"\xff\x4f\xff\x51") :]
    picture = pictures.read(stream)
    assert done and picture.mode == "RGB;16"
    told = capfd.readouterr()
    assert not told.err and not told.out


def still(*properties: bytes) -> bytes:
    """The boxes of an AVIF that describe one item with these properties."""
    numbers = bytes(range(1, len(properties) + 1))
    ipma = box(b"ipma", bytes(4) + struct.pack(">IHB", 1, 1, len(numbers)) + numbers)
    iprp = box(b"iprp", box(b"ipco", b"".join(properties)) + ipma)
    return box(b"ftyp", b"avif\0\0\0\0") + box(b"meta", bytes(4) + box(b"pitm", bytes(4) + b"\0\1") + iprp)


def test_light_levels_of_a_still_become_those_of_a_png() -> None:
    mastering = struct.pack(">8H2I", 13250, 34500, 7500, 3000, 34000, 16000, 15635, 16450, 10000000, 50)
    told = boxes.read_still(
        still(
            box(b"clli", struct.pack(">2H", 1000, 400)), box(b"mdcv", mastering), box(b"pasp", struct.pack(">2I", 2, 1))
        )
    )
    red_first = struct.pack(">8H2I", 34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450, 10000000, 50)
    assert told.light == ((b"mDCV", red_first), (b"cLLI", struct.pack(">2I", 10000000, 4000000)))
    assert told.aspect == (1, 2) and told.beside == ()
    assert boxes.read_still(still(box(b"amve", bytes(8)))).beside == ("property 'amve'",)
    beside = boxes.read_still(still() + box(b"mpvd", FILM) + box(b"abcd", b"x") + b"tail").beside
    assert beside == ("motion photo's film", "box 'abcd'", "data behind its end (4 bytes)")


def test_chunks_made_of_another_format_are_written(tmp_path: Path) -> None:
    from dataclasses import replace

    picture = pictures.read(encoded(coffee(), "JPEG"))
    light = (b"cLLI", struct.pack(">2I", 10000000, 4000000))
    told = replace(picture, metadata=replace(picture.metadata, png_chunks=(light,)))
    pictures.write(pictures.restore(told, *changed_inside(told)), tmp_path / "b.png")
    assert chunks_of((tmp_path / "b.png").read_bytes())[b"cLLI"] == light[1]


def test_a_first_page_that_is_a_preview_is_named() -> None:
    tifffile = pytest.importorskip("tifffile")
    rgb = np.asarray(coffee())
    for small_first in (True, False):
        file = io.BytesIO()
        with tifffile.TiffWriter(file) as writer:
            pages = [(rgb[::4, ::4].copy(), 1), (rgb, 0)]
            for samples, kind in pages if small_first else reversed(pages):
                writer.write(samples, photometric="rgb", subfiletype=kind, metadata=None)
        notes = pictures.read(file.getvalue()).notes
        assert notes[0] == "2 pages: first page only"
        assert notes[1:] == (
            ("its first page is a smaller version of another page; give that one for its full size",)
            if small_first
            else ()
        )


def test_a_palette_without_room_is_said() -> None:
    two = Image.new("P", (16, 16))
    two.putpalette([0, 0, 0, 200, 190, 180])
    two.paste(1, (0, 0, 8, 16))
    picture = pictures.read(encoded(two, "PNG"))
    everywhere = np.full(picture.size, 255, np.uint8)
    near = np.clip(picture.rgb.astype(int) + 3, 0, 255).astype(np.uint8)
    note = "its palette's colours have no room for the new colours: the result looks like the input"
    assert pictures.restore(picture, near, everywhere).notes == (note,)
    assert pictures.restore(picture, picture.rgb, everywhere).notes == ()
    assert pictures.restore(picture, 255 - picture.rgb, everywhere).notes == ()


def test_a_failed_tiff_is_not_decoded_for_the_contact_sheet(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tifffile = pytest.importorskip("tifffile")
    file = io.BytesIO()
    tifffile.imwrite(file, np.asarray(coffee()), photometric="rgb", metadata=None)
    file.seek(0)
    with tifffile.TiffFile(file, mode="r+b") as opened:
        opened.pages[0].tags["Compression"].overwrite(50001)
    (tmp_path / "a.tif").write_bytes(file.getvalue())
    with pytest.raises(PictureError):
        pictures.read(tmp_path / "a.tif")
    assert thumbnails_of({"file": "a.tif", "status": "failed"}, tmp_path, 64, tmp_path).before is None
    told = capfd.readouterr()
    assert not told.err and not told.out
    (tmp_path / "a.png").write_bytes(encoded(coffee(), "PNG"))
    assert thumbnails_of({"file": "a.png", "status": "failed"}, tmp_path, 64, tmp_path).before is not None


def test_the_note_about_jpeg_in_a_tiff_fits_cmyk() -> None:
    data = encoded(coffee().convert("CMYK"), "TIFF", compression="jpeg")
    picture = pictures.read(data)
    assert picture.mode == "CMYK" and picture.notes == (formats.TABLE["TIFF", "JPEG"].says,)
    assert "or grey" not in picture.notes[0]
