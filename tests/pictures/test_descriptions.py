"""What a file says besides its pixels: profiles, EXIF, XMP, texts, further frames."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from lib_prodshot import pictures
from lib_prodshot.pictures import png
from tests.pictures.photographs import CASES, changed_inside, coffee, encoded

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif_block() -> Image.Exif:
    exif = Image.Exif()
    exif[271] = "Maker"
    exif[306] = "2026:01:02 03:04:05"
    exif[34665] = {33434: 0.005, 37386: 85.0, 42036: "Lens 85"}
    return exif


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("PNG", "RGB"),
        ("PNG", "L"),
        ("JPEG", "RGB"),
        ("JPEG", "CMYK"),
        ("WEBP", "RGB"),
        ("TIFF", "RGB"),
        ("TIFF", "CMYK"),
    ],
)
def test_profile_exif_and_resolution_are_kept(kind: str, mode: str, tmp_path: Path) -> None:
    options = {"lossless": True} if kind == "WEBP" else {"dpi": (300, 300)}
    data = encoded(coffee().convert(mode), kind, icc_profile=PROFILE, exif=exif_block().tobytes(), **options)
    picture = pictures.read(data)
    new, alpha = changed_inside(picture)
    target = tmp_path / f"b{pictures.output_suffix(picture)}"
    pictures.write(pictures.restore(picture, new, alpha), target)
    with Image.open(target) as image:
        exif = image.getexif()
        assert image.info["icc_profile"] == PROFILE
        assert (exif[271], exif[306]) == ("Maker", "2026:01:02 03:04:05")
        details = exif.get_ifd(34665)
        assert details[42036] == "Lens 85"
        assert float(details[33434]) == pytest.approx(0.005) and float(details[37386]) == pytest.approx(85)
        if kind != "WEBP":
            assert [round(float(value)) for value in image.info["dpi"]] == [300, 300]


@pytest.mark.parametrize("name", ["png-rgb", "png-rgb-16"])
def test_png_texts_and_colour_space_stay_byte_for_byte(name: str, tmp_path: Path) -> None:
    """The WebUI writes a picture's generation parameters into a text chunk."""
    chunks = [
        (b"gAMA", struct.pack(">I", 45455)),
        (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
        (b"pHYs", struct.pack(">2IB", 3937, 3938, 1)),
        (b"iTXt", "parameters\0\0\0\0\0a handbag, ß\nSteps: 20".encode()),
        (b"tEXt", b"Title\0Bag"),
        (b"tIME", struct.pack(">H5B", 2026, 1, 2, 3, 4, 5)),
    ]
    data = CASES[name][0]
    file = io.BytesIO()
    file.write(data[: png.HEADER_END])
    png.write_chunks(file, chunks)
    file.write(data[png.HEADER_END :])
    picture = pictures.read(file.getvalue())
    target = tmp_path / "b.png"
    pictures.write(pictures.restore(picture, *changed_inside(picture)), target)
    assert list(png.read_chunks(target.read_bytes())[0]) == chunks
    with Image.open(target) as image:
        image.load()
        assert image.info["parameters"] == "a handbag, ß\nSteps: 20"


def test_xmp_is_kept(tmp_path: Path) -> None:
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a/></x:xmpmeta>'
    marker = b"http://ns.adobe.com/xap/1.0/\0" + packet
    jpeg = encoded(coffee(), "JPEG")
    jpeg = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(marker) + 2) + marker + jpeg[2:]
    picture = pictures.read(jpeg)
    pictures.write(pictures.restore(picture, *changed_inside(picture)), tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        image.load()
        assert image.info["XML:com.adobe.xmp"].encode() == packet


def frames(kind: str) -> bytes:
    first, second = coffee(), coffee().rotate(90)
    options = {"lossless": True} if kind == "WEBP" else {}
    if kind == "GIF":
        first, second = first.quantize(100), second.quantize(100)
    return encoded(first, kind, save_all=True, append_images=[second, first.rotate(180)], **options)


@pytest.mark.parametrize(
    ("kind", "note"),
    [
        ("GIF", "animated (3 frames): first frame only"),
        ("WEBP", "animated (3 frames): first frame only"),
        ("PNG", "animated (3 frames): first frame only"),
        ("TIFF", "3 pages: first page only"),
    ],
)
def test_of_an_animation_the_first_frame_and_a_note(kind: str, note: str, tmp_path: Path) -> None:
    picture = pictures.read(frames(kind))
    assert picture.notes == (note,) and picture.frames == 3
    with Image.open(io.BytesIO(frames(kind))) as image:
        np.testing.assert_array_equal(picture.rgb, np.asarray(image.convert("RGB")))
    target = tmp_path / f"b{pictures.output_suffix(picture)}"
    pictures.write(pictures.restore(picture, *changed_inside(picture)), target)
    assert pictures.read(target).frames == 1
