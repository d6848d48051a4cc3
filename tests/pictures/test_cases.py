"""Pictures from outside that once lost something without a word, and what right is for each (../shared/cases)."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from lib_prodshot import pictures
from lib_prodshot.errors import PictureError
from lib_prodshot.pictures import LoadedPicture
from tests.exiftool import told_by_exiftool
from tests.pictures.photographs import changed_inside

FOLDER = Path(__file__).parents[3] / "shared" / "cases"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the shared cases are not beside this checkout")


def through(name: str, folder: Path) -> tuple[LoadedPicture, Path, np.ndarray]:
    """A case read, changed in its middle and written; and the mask."""
    picture = pictures.read(FOLDER / name)
    new, alpha = changed_inside(picture)
    target = folder / f"result{pictures.output_suffix(picture)}"
    pictures.write(pictures.restore(picture, new, alpha), target)
    return picture, target, alpha


def exiftool(path: Path) -> dict[str, Any]:
    (told,) = told_by_exiftool(("-a", "-G1"), path)
    return told


def tiff_samples(path: Path) -> np.ndarray:
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    return np.asarray(tifffile.imread(path))


def test_min_is_white_stays_a_positive(tmp_path: Path) -> None:
    picture, target, alpha = through("wiz16.tif", tmp_path)
    assert picture.rgb[10, 10].tolist() == [21, 21, 21] and pictures.read(target).rgb[10, 10].tolist() == [21, 21, 21]
    before, after = tiff_samples(FOLDER / "wiz16.tif"), tiff_samples(target)
    np.testing.assert_array_equal(after[alpha == 0], before[alpha == 0])
    assert exiftool(target)["IFD0:PhotometricInterpretation"] == 0


@pytest.mark.parametrize(("name", "channels"), [("rgb_selection.tif", 4), ("cmyk_alpha.tif", 5)])
def test_channels_beside_the_picture_stay(name: str, channels: int, tmp_path: Path) -> None:
    _, target, alpha = through(name, tmp_path)
    before, after = tiff_samples(FOLDER / name), tiff_samples(target)
    assert after.shape == before.shape and after.shape[2] == channels
    np.testing.assert_array_equal(after[alpha == 0], before[alpha == 0])
    np.testing.assert_array_equal(after[..., -1], before[..., -1])
    told, was = exiftool(target), exiftool(FOLDER / name)
    assert told["IFD0:ExtraSamples"] == was["IFD0:ExtraSamples"]


def test_signed_samples_are_named() -> None:
    with pytest.raises(PictureError, match="has signed samples, which cannot be kept; save it as .* unsigned"):
        pictures.read(FOLDER / "int16.tif")


def test_ten_bits_come_out_in_sixteen_with_every_level(tmp_path: Path) -> None:
    try:
        picture, target, _ = through("hdr10.avif", tmp_path)
    except PictureError as error:
        assert "10 bits per sample" in str(error) or "the Pillow here does not read" in str(error)
        return
    levels = pictures.restore(picture, picture.rgb, np.zeros(picture.size, np.uint8)).native
    assert levels.dtype == np.uint16 and len(np.unique(levels)) == 1024 and levels.max() == 65535
    assert any("10-bit" in note for note in picture.notes)
    assert exiftool(target)["PNG:BitDepth"] == 16


def test_code_points_are_kept_and_finders_see_srgb(tmp_path: Path) -> None:
    try:
        picture, target, _ = through("p3_cicp.avif", tmp_path)
    except PictureError as error:
        assert "the Pillow here does not read" in str(error)
        return
    data = target.read_bytes()
    place = data.index(b"cICP")
    assert tuple(data[place + 4 : place + 8]) == (12, 13, 0, 1)
    assert np.abs(picture.seen().astype(int) - from_display_p3(picture.rgb)).max() <= 1
    assert (picture.seen() != picture.rgb).any()
    np.testing.assert_array_equal(pictures.read(target).seen()[:9], picture.seen()[:9])


def from_display_p3(rgb: np.ndarray) -> np.ndarray:
    """Display P3 as sRGB, by the matrix that W3C publishes in "CSS Color Module Level 4", section 17."""
    matrix = [[1.2249402, -0.2249402, 0.0], [-0.0420570, 1.0420570, 0.0], [-0.0196376, -0.0786361, 1.0982736]]
    code = rgb / 255
    light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4) @ np.transpose(matrix)
    light = light.clip(0, 1)
    return np.rint(255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)).astype(int)


def test_keywords_and_comments_are_carried_over(tmp_path: Path) -> None:
    picture, target, _ = through("studio.jpg", tmp_path)
    assert picture.notes == ("the EXIF thumbnail was left out: it shows the old picture",)
    told = exiftool(target)
    assert told["IPTC:Keywords"] == ["mug", "SKU-4711"] and told["IPTC:By-line"] == "Test Studio"
    assert told["IPTC:CopyrightNotice"] == "(c) Test" and told["PNG:Comment"] == "shot 12, approved"
    assert told["XMP-dc:Title"] == "Mug" and told["IFD0:Copyright"] == "(c) Test Studio"
    assert not [name for name in told if "Thumbnail" in name]


def test_heic_is_read_or_named(tmp_path: Path) -> None:
    disguised = tmp_path / "phone.jpg"
    disguised.write_bytes((FOLDER / "iphone.heic").read_bytes())
    for path in (FOLDER / "iphone.heic", disguised):
        try:
            picture = pictures.read(path)
        except PictureError as error:
            assert "HEIC" in str(error) and "pip install pillow-heif" in str(error)
        else:
            assert picture.size == (160, 240) and pictures.output_suffix(picture) == ".png"


def test_result_mask_and_alpha_are_stored_alike(tmp_path: Path) -> None:
    picture, target, alpha = through("phone6.jpg", tmp_path)
    pictures.write_grey(alpha, tmp_path / "mask.png", picture)
    with (
        Image.open(target) as result,
        Image.open(tmp_path / "mask.png") as mask,
        Image.open(FOLDER / "phone6.jpg") as was,
    ):
        assert result.size == mask.size == was.size == (320, 240)
        assert result.getexif()[274] == mask.getexif()[274] == 6
        stored = np.asarray(mask)
        np.testing.assert_array_equal(np.asarray(result)[stored == 0], np.asarray(was)[stored == 0])
    assert cv2.countNonZero(stored) == cv2.countNonZero(alpha)


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.*")) if FOLDER.is_dir() else [])
def test_no_library_prints_a_line(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    with suppress(PictureError):
        pictures.read(FOLDER / name).seen()
    told = capfd.readouterr()
    assert told.out == told.err == ""


def test_an_animation_is_called_one(tmp_path: Path) -> None:
    picture = pictures.read(FOLDER / "captions" / "anim.webp")
    assert any(note.startswith("animated (") and "first frame only" in note for note in picture.notes)
    file = io.BytesIO((FOLDER / "captions" / "anim.webp").read_bytes())
    with Image.open(file) as image:
        np.testing.assert_array_equal(picture.rgb, np.asarray(image.convert("RGB")))
