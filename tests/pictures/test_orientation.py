"""Pictures that are stored turned: shown upright, given back as they were stored, with their tag."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_prodshot import pictures
from lib_prodshot.pictures import loaded
from tests.pictures.photographs import changed_inside, coffee, encoded


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


@pytest.mark.parametrize("orientation", range(1, 9))
def test_heic_comes_out_upright_and_says_so(orientation: int, tmp_path: Path) -> None:
    """Its decoder turns it; a tag that asked for it once more would turn the result twice."""
    pillow_heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[274], exif[271] = orientation, "Maker"
    stored = pillow_heif.from_pillow(coffee((60, 40)))
    file = io.BytesIO()
    stored.save(file, exif=exif.tobytes(), quality=95)
    turned = pillow_heif.open_heif(io.BytesIO(file.getvalue()))
    picture = pictures.read(file.getvalue())
    assert picture.size == tuple(reversed(turned.size))
    np.testing.assert_array_equal(picture.rgb, np.asarray(turned[0]))
    pictures.write(pictures.restore(picture, *changed_inside(picture)), tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        assert image.getexif().get(274, 1) == 1 and image.getexif()[271] == "Maker"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_masks_are_stored_as_their_results_are(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    picture = pictures.read(encoded(coffee((40, 24)), "JPEG", exif=exif))
    new, alpha = changed_inside(picture)
    pictures.write(pictures.restore(picture, new, alpha), tmp_path / "b.png")
    pictures.write_grey(alpha, tmp_path / "m.png", picture)
    with Image.open(tmp_path / "b.png") as result, Image.open(tmp_path / "m.png") as mask:
        assert result.size == mask.size and mask.getexif().get(274, 1) == orientation
        np.testing.assert_array_equal(loaded.to_display(np.asarray(mask), orientation), alpha)
