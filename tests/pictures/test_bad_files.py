"""Bad files become one sentence; files that lie about their size are not decoded."""

from __future__ import annotations

import io
import os
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, PngImagePlugin

from lib_prodshot import pictures
from lib_prodshot.errors import PictureError
from lib_prodshot.pictures import jpeg_pixels, png
from tests.pictures.photographs import CASES, coffee, encoded


def test_bad_files_give_one_sentence(tmp_path: Path) -> None:
    whole = encoded(coffee((200, 100)), "PNG")
    bad = {
        "empty.png": (b"", "is empty (zero bytes)"),
        "text.png": (b"this is not a picture, honestly" * 20, "is not a picture"),
        "half.png": (whole[: len(whole) // 2], "is damaged or cut short"),
        "half.jpg": (encoded(coffee((200, 100)), "JPEG")[:2000], "is damaged or cut short"),
        "half.tif": (encoded(coffee((200, 100)), "TIFF")[:20000], "is damaged or cut short"),
        "page.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not a picture"),
        "float.tif": (encoded(Image.new("F", (3, 3)), "TIFF"), "floating-point samples"),
        "lab.tif": (encoded(Image.new("LAB", (3, 3)), "TIFF"), "Lab samples"),
        "long.tif": (encoded(Image.fromarray(np.full((3, 3), 70000, np.int32)), "TIFF"), "signed samples"),
    }
    for name, (data, complaint) in bad.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(PictureError) as caught:
            pictures.read(tmp_path / name)
        message = str(caught.value)
        assert complaint in message and name in message and "\n" not in message, message
        with pytest.raises(PictureError, match="the picture"):
            pictures.read(data)
    with pytest.raises(PictureError, match="is a folder"):
        pictures.read(tmp_path)
    with pytest.raises(PictureError, match="there is no file"):
        pictures.read(tmp_path / "absent.png")
    with pytest.raises(PictureError):
        pictures.read(Path("nul\0.png"))


def test_a_png_with_a_bit_that_fell_over_is_damaged() -> None:
    """Wherever it is: Pillow decodes most of these into another picture."""
    whole = encoded(coffee((200, 100)), "PNG")
    for place in np.linspace(whole.index(b"IDAT") + 4, len(whole) - 17, 12).astype(int):
        spoilt = bytearray(whole)
        spoilt[place] ^= 4
        with pytest.raises(PictureError, match="is damaged or cut short"):
            pictures.read(bytes(spoilt))


def header_only_png(width: int, height: int) -> bytes:
    """A small file that claims to be huge: rows of zeros, deflated."""
    file = io.BytesIO()
    file.write(png.SIGNATURE)
    packed = zlib.compress(bytes(1 << 20))
    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    png.write_chunks(file, [(b"IHDR", header), (b"IDAT", packed), (b"IEND", b"")])
    return file.getvalue()


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(30000, 30000), (12000, 9000), (105_000_001, 1)])
def test_decompression_bombs_are_refused_by_their_header(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *arguments: decoded.append(arguments))
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(PictureError, match=r"too large.*at most 105 megapixels"):
        pictures.read(header_only_png(*size))
    assert not decoded and before == Image.MAX_IMAGE_PIXELS


def test_a_host_that_lifted_pillows_limit_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(PictureError, match="too large: 30000×30000 pixels"):
        pictures.read(header_only_png(30000, 30000))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions or pipes")
def test_unreadable_files(tmp_path: Path) -> None:

    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(PictureError, match="not a regular file"):
        pictures.read(tmp_path / "pipe.png")
    locked = tmp_path / "locked.png"
    locked.write_bytes(CASES["png-rgb"][0])
    locked.chmod(0)
    if os.access(locked, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(PictureError, match="cannot be read: permission denied"):
        pictures.read(locked)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(sorted(CASES)),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=12),
    st.floats(0, 1),
)
def test_damaged_bytes_give_a_picture_or_a_picture_error(
    name: str, pokes: list[tuple[float, int]], kept: float
) -> None:
    data = bytearray(CASES[name][0])
    for place, value in pokes:
        data[int(place * (len(data) - 1))] = value
    try:
        picture = pictures.read(bytes(data[: int(len(data) * kept)] if kept < 0.5 else data))
    except PictureError as error:
        assert "\n" not in str(error)
    else:
        assert picture.rgb.shape == (*picture.size, 3) and picture.rgb.dtype == np.uint8


def test_texts_too_large_for_pillow_are_an_error_of_ours() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a" * (PngImagePlugin.MAX_TEXT_CHUNK + 1), zip=True)
    with pytest.raises(PictureError, match="damaged"):
        pictures.read(encoded(coffee(), "PNG", pnginfo=info))


@pytest.mark.parametrize("layout", [{}, {"progressive": True}, {"restart_marker_blocks": 4}])
def test_a_jpeg_that_is_garbled_inside_is_damaged(layout: dict[str, Any]) -> None:
    """Pillow hands out a picture of it, with grey, shifted or wrongly coloured blocks."""
    whole = encoded(coffee((400, 300)), "JPEG", quality=90, **layout)
    assert pictures.read(whole).notes == ()
    middle = len(whole) // 2
    garbled = whole[:middle] + np.random.default_rng(1).bytes(400) + whole[middle + 400 :]
    Image.open(io.BytesIO(garbled)).load()
    with pytest.raises(PictureError, match=r"is damaged inside: .*libjpeg: Corrupt JPEG data"):
        pictures.read(garbled)


LAYOUTS: list[dict[str, Any]] = [
    {"subsampling": "4:4:4"},
    {"subsampling": "4:2:2", "progressive": True},
    {"subsampling": "4:2:0", "restart_marker_blocks": 1},
    {"subsampling": "4:1:1", "quality": 30},
    {"subsampling": "4:4:4", "keep_rgb": True},
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("size", [(1, 1), (33, 17), (255, 130)])
def test_a_jpeg_has_the_samples_that_pillow_gives(layout: dict[str, Any], mode: str, size: tuple[int, int]) -> None:
    data = encoded(coffee(size).convert(mode), "JPEG", **layout) + b"behind its end"
    by_pillow = np.asarray(Image.open(io.BytesIO(data)))
    assert (jpeg_pixels.decoded(data, mode, size) is None) == (mode == "CMYK")
    read = pictures.read(data)
    assert read.mode == mode and np.array_equal(read.native, by_pillow) and not read.native.flags.writeable


@pytest.mark.parametrize("factor", [0x411111, 0x211111, 0x121111, 0x221111, 0x111111])
def test_the_samples_of_other_writers_jpegs(factor: int) -> None:
    written = cv2.imencode(".jpg", np.asarray(coffee((67, 45))), [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor])[1]
    by_pillow = np.asarray(Image.open(io.BytesIO(written.tobytes())))
    assert np.array_equal(pictures.read(written.tobytes()).native, by_pillow)


def test_filling_in_front_of_a_jpegs_end_is_no_damage() -> None:
    whole = encoded(coffee((40, 30)), "JPEG")
    assert (pictures.read(whole[:-2] + bytes(9) + whole[-2:]).rgb == pictures.read(whole).rgb).all()
    with pytest.raises(PictureError, match="is damaged inside: .*extraneous bytes"):
        pictures.read(whole[:-2] + b"no picture's" + whole[-2:])


@pytest.fixture
def no_simplejpeg(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    jpeg_pixels._simplejpeg.cache_clear()
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    yield
    jpeg_pixels._simplejpeg.cache_clear()


def test_without_simplejpeg_jpegs_pass_and_the_log_says_so_once(
    no_simplejpeg: None, caplog: pytest.LogCaptureFixture
) -> None:
    data = encoded(coffee((40, 30)), "JPEG")
    assert pictures.read(data).size == pictures.read(data).size == (30, 40)
    (told,) = [record.getMessage() for record in caplog.records]
    assert "cannot look for damage within JPEG files here" in told and "simplejpeg" in told


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("kind", [b"tEXt", b"gAMA", b"iCCP", b"eXIf"])
def test_a_png_with_a_damaged_description_is_read_without_it(kind: bytes, behind: bool) -> None:
    """Pillow knows no picture in it, or reads nothing behind it."""
    whole = encoded(coffee((20, 10)), "PNG")
    damaged = struct.pack(">I", 9) + kind + b"Title\0Cup" + b"\0\0\0\0"
    turned = io.BytesIO()
    png.write_chunks(turned, [(b"eXIf", b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0")])
    place = whole.rindex(b"IEND") - 4 if behind else png.HEADER_END
    loaded = pictures.read(whole[:place] + damaged + turned.getvalue() + whole[place:])
    assert loaded.size == (20, 10) and loaded.orientation == 6
    assert loaded.notes == (f"PNG chunks left out: {kind.decode()} (damaged)",)


@pytest.mark.parametrize("kind", [b"PLTE", b"tRNS"])
def test_a_png_whose_palette_is_damaged_is_no_stranger(kind: bytes) -> None:
    picture = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8), "P")
    picture.putpalette([value for level in range(64) for value in (level, 0, 255 - level)])
    whole = bytearray(encoded(picture, "PNG", transparency=bytes(range(64))))
    whole[whole.index(kind) + 8] ^= 1
    with pytest.raises(PictureError, match=f"is damaged or cut short .*{kind.decode()}"):
        pictures.read(bytes(whole))
