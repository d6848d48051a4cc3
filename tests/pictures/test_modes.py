"""Every mode and format in, the same samples out; new colours as near as the mode can hold them."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lib_prodshot import pictures
from lib_prodshot.pictures import LoadedPicture, loaded, opened
from tests.pictures.photographs import CASES, changed_inside, coffee, encoded, with_alpha

SEED = Path(__file__).parents[3] / "shared" / "seed"


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


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_samples_taken_in_strips_are_the_pictures(mode: str) -> None:
    image = coffee((70, 150)).convert(mode)
    samples, kept = opened.as_stored(image)
    assert kept == mode and not samples.flags.writeable
    np.testing.assert_array_equal(samples, np.asarray(image))
