"""Pictures: every mode and format in, the same samples out; bad files become one sentence; no half-written output."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from lib_prodshot import pictures
from lib_prodshot.errors import OutputError, PictureError
from lib_prodshot.pictures import LoadedPicture, loaded, png, reading

SKIMAGE = Path(pytest.importorskip("skimage").__file__).parent / "data"
SEED = Path(__file__).parents[2] / "shared" / "seed"


def coffee(size: tuple[int, int] = (61, 47)) -> Image.Image:
    """A real photograph, W×H, odd on purpose."""
    with Image.open(SKIMAGE / "coffee.png") as image:
        return image.convert("RGB").resize(size, Image.Resampling.BICUBIC)


def with_alpha(image: Image.Image) -> Image.Image:
    ramp = Image.linear_gradient("L").resize(image.size)
    image = image.convert("RGBA") if image.mode == "RGB" else image.convert("LA")
    image.putalpha(ramp)
    return image


def deep(image: Image.Image) -> np.ndarray:
    """The picture with 16 bits per sample, all of them in use."""
    levels = np.asarray(image).astype(np.uint16) * 251
    return levels + np.random.default_rng(3).integers(0, 255, levels.shape, dtype=np.uint16)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def deep_png(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    png.write_deep(file, samples, ())
    return file.getvalue()


def by_opencv(suffix: str, samples: np.ndarray) -> bytes:
    """A second encoder, so that our own reading is not judged by our own writing."""
    order = samples[..., ::-1] if samples.ndim == 3 and samples.shape[2] == 3 else samples
    order = samples[..., [2, 1, 0, 3]] if samples.ndim == 3 and samples.shape[2] == 4 else order
    return cv2.imencode(suffix, order)[1].tobytes()


def palette_image(colours: int = 200, **options: object) -> Image.Image:
    return coffee().quantize(colours, **options)


def grey_ramp() -> Image.Image:
    """All greys, and large enough for Pillow's GIF writer to leave the palette in order."""
    return Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (520, 2)))


def cases() -> dict[str, tuple[bytes, str, str, str]]:
    """name: file bytes, suffix of the input, mode, suffix of the output."""
    rgb, grey = coffee(), coffee().convert("L")
    rgba, la = with_alpha(rgb), with_alpha(grey)
    cmyk, bilevel, indexed = rgb.convert("CMYK"), rgb.convert("1"), palette_image()
    deep_alpha = np.dstack([deep(rgb), deep(grey)])
    return {
        "png-rgb": (encoded(rgb, "PNG"), ".png", "RGB", ".png"),
        "png-rgba": (encoded(rgba, "PNG"), ".png", "RGBA", ".png"),
        "png-l": (encoded(grey, "PNG"), ".png", "L", ".png"),
        "png-la": (encoded(la, "PNG"), ".png", "LA", ".png"),
        "png-p": (encoded(indexed, "PNG"), ".png", "P", ".png"),
        "png-p-4-bits": (encoded(palette_image(12), "PNG"), ".png", "P", ".png"),
        "png-p-one-clear": (encoded(indexed, "PNG", transparency=7), ".png", "P", ".png"),
        "png-p-alphas": (encoded(indexed, "PNG", transparency=bytes([0, 128, 255] * 66)), ".png", "P", ".png"),
        "png-1": (encoded(bilevel, "PNG"), ".png", "1", ".png"),
        "png-key-rgb": (encoded(rgb, "PNG", transparency=rgb.getpixel((30, 20))), ".png", "RGB", ".png"),
        "png-key-l": (encoded(grey, "PNG", transparency=grey.getpixel((30, 20))), ".png", "L", ".png"),
        "png-l-16": (by_opencv(".png", deep(grey)), ".png", "I;16", ".png"),
        "png-la-16": (deep_png(deep_alpha[..., 2:]), ".png", "LA;16", ".png"),
        "png-rgb-16": (by_opencv(".png", deep(rgb)), ".png", "RGB;16", ".png"),
        "png-rgba-16": (by_opencv(".png", deep_alpha), ".png", "RGBA;16", ".png"),
        "jpeg-rgb": (encoded(rgb, "JPEG"), ".jpg", "RGB", ".png"),
        "jpeg-l": (encoded(grey, "JPEG"), ".jpg", "L", ".png"),
        "jpeg-cmyk": (encoded(cmyk, "JPEG"), ".jpg", "CMYK", ".tif"),
        "webp-lossless": (encoded(rgb, "WEBP", lossless=True), ".webp", "RGB", ".webp"),
        "webp-lossless-rgba": (encoded(rgba, "WEBP", lossless=True, exact=True), ".webp", "RGBA", ".webp"),
        "webp-lossy": (encoded(rgb, "WEBP"), ".webp", "RGB", ".png"),
        "tiff-rgb": (encoded(rgb, "TIFF"), ".tiff", "RGB", ".tiff"),
        "tiff-rgb-lzw": (encoded(rgb, "TIFF", compression="tiff_lzw"), ".tif", "RGB", ".tif"),
        "tiff-rgba": (encoded(rgba, "TIFF"), ".tif", "RGBA", ".tif"),
        "tiff-l": (encoded(grey, "TIFF", compression="tiff_deflate"), ".tif", "L", ".tif"),
        "tiff-la": (encoded(la, "TIFF"), ".tif", "LA", ".tif"),
        "tiff-p": (encoded(indexed, "TIFF"), ".tif", "P", ".tif"),
        "tiff-1": (encoded(bilevel, "TIFF"), ".tif", "1", ".tif"),
        "tiff-1-group4": (encoded(bilevel, "TIFF", compression="group4"), ".tif", "1", ".tif"),
        "tiff-cmyk": (encoded(cmyk, "TIFF"), ".tif", "CMYK", ".tif"),
        "tiff-l-16": (by_opencv(".tiff", deep(grey)), ".tif", "I;16", ".tif"),
        "tiff-rgb-16": (by_opencv(".tiff", deep(rgb)), ".tif", "RGB;16", ".tif"),
        "bmp-rgb": (encoded(rgb, "BMP"), ".bmp", "RGB", ".bmp"),
        "bmp-l": (encoded(grey, "BMP"), ".bmp", "L", ".bmp"),
        "bmp-p": (encoded(indexed, "BMP"), ".bmp", "P", ".bmp"),
        "bmp-1": (encoded(bilevel, "BMP"), ".bmp", "1", ".bmp"),
        "ppm": (encoded(rgb, "PPM"), ".ppm", "RGB", ".ppm"),
        "pgm": (encoded(grey, "PPM"), ".pgm", "L", ".pgm"),
        "pbm": (encoded(bilevel, "PPM"), ".pbm", "1", ".pbm"),
        "pgm-16": (by_opencv(".pgm", deep(grey)), ".pgm", "I;16", ".pgm"),
        "ppm-16": (by_opencv(".ppm", deep(rgb)), ".ppm", "RGB;16", ".ppm"),
        "tga-rgb": (encoded(rgb, "TGA"), ".tga", "RGB", ".tga"),
        "tga-rle": (encoded(rgb, "TGA", compression="tga_rle"), ".tga", "RGB", ".tga"),
        "tga-rgba": (encoded(rgba, "TGA"), ".tga", "RGBA", ".tga"),
        "tga-p": (encoded(indexed, "TGA"), ".tga", "P", ".tga"),
        "gif": (encoded(indexed, "GIF"), ".gif", "P", ".png"),
        "gif-grey-clear": (encoded(grey_ramp(), "GIF", transparency=99), ".gif", "L", ".png"),
        "gif-clear": (encoded(indexed, "GIF", transparency=7), ".gif", "P", ".png"),
    }


CASES = cases()


def changed_inside(picture: LoadedPicture) -> tuple[np.ndarray, np.ndarray]:
    """New colours everywhere, and a feathered mask that lets them through in the middle only."""
    height, width = picture.size
    alpha = np.zeros((height, width), np.uint8)
    alpha[height // 4 : height * 3 // 4 + 1, width // 4 : width * 3 // 4 + 1] = 255
    alpha[height // 4] //= 2
    return cv2.bitwise_not(picture.rgb), alpha


@pytest.mark.parametrize("name", CASES)
def test_untouched_samples_come_back_and_new_colours_come_in(name: str, tmp_path: Path) -> None:
    data, suffix, mode, output_suffix = CASES[name]
    source = tmp_path / f"picture{suffix}"
    source.write_bytes(data)
    picture = pictures.read(source)
    assert (picture.mode, pictures.output_suffix(picture)) == (mode, output_suffix)
    new, alpha = changed_inside(picture)

    result = pictures.restore(picture, new, alpha)
    target = tmp_path / f"result{output_suffix}"
    pictures.write(result, target)
    again = pictures.read(target)

    assert (again.mode, again.size, again.native.dtype) == (picture.mode, picture.size, picture.native.dtype)
    np.testing.assert_array_equal(again.native, result.native)
    np.testing.assert_array_equal(again.native[alpha == 0], picture.native[alpha == 0])
    assert (again.native[alpha > 0] != picture.native[alpha > 0]).any()
    if picture.alpha is None:
        assert again.alpha is None
    else:
        assert again.alpha is not None
        np.testing.assert_array_equal(again.alpha, picture.alpha)
    if picture.palette is not None:
        assert again.palette is not None
        used = int(max(picture.native.max(), result.native.max())) + 1
        np.testing.assert_array_equal(again.palette[:used], picture.palette[:used])
    assert source.read_bytes() == data
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source.name, target.name])


@pytest.mark.parametrize("name", CASES)
def test_pillow_agrees_with_what_is_written(name: str, tmp_path: Path) -> None:
    """A reader that is not ours sees the input's own size, mode and, with nothing changed, the input's own samples."""
    data, suffix, _, output_suffix = CASES[name]
    source, target = tmp_path / f"a{suffix}", tmp_path / f"b{output_suffix}"
    source.write_bytes(data)
    picture = pictures.read(source)
    pictures.write(pictures.restore(picture, picture.rgb, np.zeros(picture.size, np.uint8)), target)
    with Image.open(source) as before, Image.open(target) as after:
        assert (after.mode, after.size) == (before.mode, before.size)
        np.testing.assert_array_equal(np.asarray(after), np.asarray(before))
        np.testing.assert_array_equal(np.asarray(after.convert("RGBA")), np.asarray(before.convert("RGBA")))


@pytest.mark.parametrize("name", ["png-rgb-16", "png-rgba-16", "tiff-rgb-16", "ppm-16", "png-l-16", "tiff-l-16"])
def test_opencv_agrees_with_16_bits(name: str, tmp_path: Path) -> None:
    data, _, _, suffix = CASES[name]
    picture = pictures.read(data)
    target = tmp_path / f"b{suffix}"
    pictures.write(pictures.restore(picture, picture.rgb, np.zeros(picture.size, np.uint8)), target)
    before, after = (
        cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED) for file in (data, target.read_bytes())
    )
    assert after.dtype == np.uint16
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_new_colours_are_exact_where_the_mode_can_hold_them(mode: str) -> None:
    image = coffee().convert(mode) if "A" not in mode else with_alpha(coffee().convert(mode.removesuffix("A") or "L"))
    picture = pictures.read(encoded(image, "PNG"))
    new, alpha = changed_inside(picture)
    wanted = new if mode.startswith("RGB") else np.asarray(Image.fromarray(new).convert("L").convert("RGB"))
    result = pictures.restore(picture, new, alpha)
    np.testing.assert_array_equal(result.rgb[alpha > 0], wanted[alpha > 0])


def test_16_bits_get_the_difference_and_keep_their_fine_gradation() -> None:
    picture = pictures.read(CASES["png-rgb-16"][0])
    alpha = np.full(picture.size, 255, np.uint8)
    brighter = cv2.add(picture.rgb, (3, 3, 3, 0))
    result = pictures.restore(picture, brighter, alpha)
    free = (picture.rgb < 250).all(axis=2)
    moved = result.native[free].astype(int) - picture.native[free]
    assert set(np.unique(moved)) == {3 * 257}
    np.testing.assert_array_equal(result.rgb, brighter)


def test_8_bits_of_16_are_rounded() -> None:
    every = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(loaded.to_8_bits(every), np.rint(every / 257).astype(np.uint8))


def test_palette_takes_its_nearest_colours_and_keeps_opacity() -> None:
    picture = pictures.read(CASES["png-p-alphas"][0])
    assert picture.palette is not None
    new, alpha = changed_inside(picture)
    result = pictures.restore(picture, new, alpha)
    before, after = picture.palette[picture.native], picture.palette[result.native]
    np.testing.assert_array_equal(after[..., 3], before[..., 3])
    opaque = pictures.read(CASES["png-p"][0])
    new = cv2.subtract(opaque.rgb, (40, 30, 50, 0))
    result = pictures.restore(opaque, new, alpha)
    inside = alpha > 0
    far = np.abs(opaque.rgb[inside].astype(int) - new[inside]).sum(axis=1).mean()
    near = np.abs(result.rgb[inside].astype(int) - new[inside]).sum(axis=1).mean()
    assert near < far / 2, "the palette's nearest colours are far nearer than the old ones"


def test_palette_does_not_clip_what_was_not_clipped() -> None:
    image = Image.new("P", (4, 1))
    image.putpalette([0, 0, 0, 255, 255, 255, 200, 200, 200, 120, 120, 120])
    image.putdata([2, 2, 1, 3])
    picture = pictures.read(encoded(image, "PNG"))
    nearly_white = np.full((1, 4, 3), 250, np.uint8)
    result = pictures.restore(picture, nearly_white, np.full((1, 4), 255, np.uint8))
    np.testing.assert_array_equal(result.native, [[2, 2, 1, 2]])


def test_cmyk_keeps_its_black_and_lands_on_the_colour() -> None:
    ink = np.random.default_rng(0).integers(0, 256, (40, 50, 4), dtype=np.uint8)
    picture = pictures.read(encoded(Image.fromarray(ink, "CMYK"), "TIFF"))
    np.testing.assert_array_equal(picture.native, ink)
    with Image.open(io.BytesIO(encoded(Image.fromarray(ink, "CMYK"), "TIFF"))) as image:
        assert np.abs(picture.rgb.astype(int) - np.asarray(image.convert("RGB"))).max() <= 1
    new = cv2.subtract(picture.rgb, (9, 9, 9, 0))
    result = pictures.restore(picture, new, np.full(picture.size, 255, np.uint8))
    assert np.abs(result.rgb.astype(int) - new).max() <= 1
    np.testing.assert_array_equal(result.native[..., 3], ink[..., 3])
    white = np.full_like(new, 255)
    np.testing.assert_array_equal(pictures.restore(picture, white, np.full(picture.size, 255, np.uint8)).rgb, white)


def test_key_colour_stays_the_only_transparent_one() -> None:
    picture = pictures.read(CASES["png-key-rgb"][0])
    assert picture.key is not None and picture.alpha is not None
    everywhere = np.full(picture.size, 255, np.uint8)
    flat = np.empty_like(picture.rgb)
    flat[:] = picture.key
    result = pictures.restore(picture, flat, everywhere)
    clear = picture.alpha == 0
    np.testing.assert_array_equal(result.native[clear], picture.native[clear])
    assert (result.native[~clear] != np.array(picture.key)).any(axis=1).all()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(CASES)),
    st.integers(0, 2**32 - 1),
    st.floats(0.0, 1.0),
)
def test_whatever_the_mask_outside_is_exact(name: str, seed: int, density: float) -> None:
    data, suffix, _, _ = CASES[name]
    if suffix == ".tga":
        return  # read by name only
    picture = pictures.read(data)
    generator = np.random.default_rng(seed)
    new = generator.integers(0, 256, picture.rgb.shape, dtype=np.uint8)
    alpha = np.where(generator.random(picture.size) < density, generator.integers(0, 256, picture.size), 0)
    alpha = alpha.astype(np.uint8)
    result = pictures.restore(picture, new, alpha)
    assert result.native.dtype == picture.native.dtype and result.native.shape == picture.native.shape
    np.testing.assert_array_equal(result.native[alpha == 0], picture.native[alpha == 0])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_rotation_is_undone_in_the_result(kind: str, orientation: int, tmp_path: Path) -> None:
    stored = coffee((40, 24))
    exif = Image.Exif()
    exif[274], exif[271] = orientation, "Maker"
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100}}.get(kind, {})
    source = tmp_path / f"a.{kind.lower()}"
    source.write_bytes(encoded(stored, kind, exif=exif, **options))
    picture = pictures.read(source)
    assert picture.orientation == orientation
    assert picture.size == ((40, 24) if orientation >= 5 else (24, 40))
    if kind != "JPEG":
        turned = loaded.to_display(np.asarray(stored), orientation)
        np.testing.assert_array_equal(picture.rgb, turned)
    new, alpha = changed_inside(picture)
    target = tmp_path / f"b{pictures.output_suffix(picture)}"
    pictures.write(pictures.restore(picture, new, alpha), target)
    with Image.open(target) as after:
        assert after.getexif().get(274) == orientation
        assert after.getexif().get(271) == "Maker"
        assert kind == "TIFF" or after.size == (40, 24)
    again = pictures.read(target)
    np.testing.assert_array_equal(again.native[alpha == 0], picture.native[alpha == 0])
    np.testing.assert_array_equal(again.rgb[alpha > 0], new[alpha > 0])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_display_and_stored_are_inverse_and_as_pillow_has_them(orientation: int) -> None:
    from PIL import ImageOps

    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    shown = loaded.to_display(pixels, orientation)
    np.testing.assert_array_equal(loaded.to_stored(shown, orientation), pixels)
    image = Image.fromarray(pixels)
    image.getexif()[274] = orientation
    np.testing.assert_array_equal(shown, np.asarray(ImageOps.exif_transpose(image)))


def test_deep_tiff_with_orientation(tmp_path: Path) -> None:
    from lib_prodshot.pictures import tiff

    samples = deep(coffee((30, 20)))
    file = io.BytesIO()
    tiff.write(file, samples, "RGB;16", tags={274: 6})
    picture = pictures.read(file.getvalue())
    np.testing.assert_array_equal(picture.native, loaded.to_display(samples, 6))
    target = tmp_path / "b.tif"
    pictures.write(pictures.restore(picture, picture.rgb, np.zeros(picture.size, np.uint8)), target)
    np.testing.assert_array_equal(pictures.read(target).native, picture.native)


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
    with target.open("rb") as written:
        assert list(png.read_chunks(written)) == chunks
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


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "CMYK"])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (3, 5)])
def test_smallest_pictures(mode: str, size: tuple[int, int], tmp_path: Path) -> None:
    picture = pictures.read(encoded(coffee(size).convert(mode), "TIFF"))
    new, alpha = changed_inside(picture)
    result = pictures.restore(picture, new, alpha)
    pictures.write(result, tmp_path / "b.tif")
    np.testing.assert_array_equal(pictures.read(tmp_path / "b.tif").native, result.native)


def test_what_a_viewer_sees_of_a_transparent_picture() -> None:
    image = Image.new("RGBA", (2, 1), (10, 20, 30, 255))
    image.putpixel((1, 0), (10, 20, 30, 0))
    picture = pictures.read(encoded(image, "PNG"))
    np.testing.assert_array_equal(picture.seen(), [[[10, 20, 30], [255, 255, 255]]])
    np.testing.assert_array_equal(picture.rgb, [[[10, 20, 30], [10, 20, 30]]])
    opaque = pictures.read(encoded(coffee(), "PNG"))
    assert opaque.seen() is opaque.rgb


def test_bad_files_give_one_sentence(tmp_path: Path) -> None:
    whole = encoded(coffee((200, 100)), "PNG")
    bad = {
        "empty.png": (b"", "is empty (zero bytes)"),
        "text.png": (b"this is not a picture, honestly" * 20, "is not a picture"),
        "half.png": (whole[: len(whole) // 2], "is damaged or cut short"),
        "half.jpg": (encoded(coffee((200, 100)), "JPEG")[:2000], "is damaged or cut short"),
        "half.tif": (encoded(coffee((200, 100)), "TIFF")[:20000], "is damaged or cut short"),
        "page.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not a picture"),
        "float.tif": (encoded(Image.new("F", (3, 3)), "TIFF"), "samples of the kind F"),
        "lab.tif": (encoded(Image.new("LAB", (3, 3)), "TIFF"), "samples of the kind LAB"),
        "long.tif": (encoded(Image.fromarray(np.full((3, 3), 70000, np.int32)), "TIFF"), "32-bit samples"),
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
    monkeypatch.setattr(reading, "_decode", lambda *arguments: decoded.append(arguments))
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
    import os

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


def test_nothing_is_left_behind_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = pictures.read(CASES["png-rgb"][0])
    result = pictures.restore(picture, *changed_inside(picture))
    target = tmp_path / "b.png"
    target.write_bytes(b"the older result")

    def fail(self: Image.Image, file: io.BufferedWriter, *arguments: object, **options: object) -> None:
        file.write(b"half a picture")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OutputError, match="cannot be written: No space left on device"):
        pictures.write(result, target)
    assert [path.name for path in tmp_path.iterdir()] == ["b.png"]
    assert target.read_bytes() == b"the older result"
    with pytest.raises(OutputError, match="No such file or directory"):
        pictures.write(result, tmp_path / "absent" / "b.png")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
@pytest.mark.parametrize("name", ["png-rgb", "png-rgb-16", "tiff-rgb", "bmp-rgb", "webp-lossless"])
def test_a_full_disk_leaves_nothing(name: str, tmp_path: Path) -> None:
    """The operating system's own refusal, by a limit of 512 bytes on any file."""
    data, suffix, _, output_suffix = CASES[name]
    (tmp_path / f"in{suffix}").write_bytes(data)
    script = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from lib_prodshot import errors, pictures
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
picture = pictures.read(Path(sys.argv[1]))
result = pictures.restore(picture, picture.rgb, np.zeros(picture.size, np.uint8))
resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))
try:
    pictures.write(result, Path(sys.argv[2]))
except errors.OutputError as error:
    print("refused", error)
"""
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / f"b{output_suffix}"
    command = [sys.executable, "-c", script, str(tmp_path / f"in{suffix}"), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1], check=False)
    assert done.stdout.startswith("refused"), done.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_masks_are_written_as_8_bit_grey(tmp_path: Path) -> None:
    mask = np.array([[0, 128, 255]], np.uint8)
    pictures.write_grey(mask, tmp_path / "m.png")
    with Image.open(tmp_path / "m.png") as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), mask)


def test_new_files_have_the_usual_permissions(tmp_path: Path) -> None:
    picture = pictures.read(CASES["png-rgb"][0])
    pictures.write(pictures.restore(picture, *changed_inside(picture)), tmp_path / "b.png")
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "b.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_webui_pictures_come_as_arrays() -> None:
    rgb = np.asarray(coffee())
    picture = LoadedPicture.from_rgb(rgb)
    assert picture.native is rgb and pictures.output_suffix(picture) == ".png"


def test_the_seed_pictures() -> None:
    folder = SEED / "filter_image_inputs"
    if not folder.is_dir():
        pytest.skip("the seed's pictures are not beside this checkout")
    modes = {path.stem: pictures.read(path).mode for path in sorted(folder.glob("*.png"))}
    assert modes == {"car": "RGB", "handbag": "RGB", "shoes": "RGB", "unknown": "RGBA", "watch": "RGB"}


def test_texts_too_large_for_pillow_are_an_error_of_ours() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a" * (PngImagePlugin.MAX_TEXT_CHUNK + 1), zip=True)
    with pytest.raises(PictureError, match="damaged"):
        pictures.read(encoded(coffee(), "PNG", pnginfo=info))
