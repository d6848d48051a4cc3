"""What training would really see: profiles, depth, CMYK, opacity, animation, held against Pillow's own conversion."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from skimage.color import deltaE_ciede2000, rgb2lab

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.training.dataset.photographs import read_photograph
from tests.training.dataset.colours import ADOBE_RGB, DISPLAY_P3, PROPHOTO, SRGB, grey_profile, rgb_profile
from tests.training.photographs import picture

CASES = ROOT.parent / "shared" / "cases" / "captions"


def seen(path: Path) -> dict[str, tuple[str, str]]:
    """Level and message by kind."""
    photograph = read_photograph(path)
    assert not photograph.problem, photograph.problem
    return {one.kind: (one.level, one.message) for one in photograph.differences}


def colourful(size: tuple[int, int] = (240, 200)) -> Image.Image:
    return picture(3, size)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize(
    ("name", "colours"), [("Display P3", DISPLAY_P3), ("Adobe RGB", ADOBE_RGB), ("ProPhoto", PROPHOTO)]
)
def test_a_profile_is_named_with_what_ignoring_it_costs(
    tmp_path: Path, ending: str, name: str, colours: tuple[tuple[float, ...], ...]
) -> None:
    path = tmp_path / f"1{ending}"
    profile = rgb_profile(name, colours)
    colourful().save(path, icc_profile=profile, quality=95)
    told = seen(path)
    assert list(told) == ["profile"]
    with Image.open(path) as image:
        shown = ImageCms.profileToProfile(
            image.convert("RGB"), io.BytesIO(profile), ImageCms.createProfile("sRGB"), renderingIntent=1
        )
        apart = deltaE_ciede2000(rgb2lab(image.convert("RGB")), rgb2lab(shown))
    mean = float(told["profile"][1].partition("ΔE2000 ")[2].partition(" ")[0])
    # measured on a reduced picture
    assert mean == pytest.approx(apart.mean(), rel=0.15, abs=0.15)
    assert name in told["profile"][1] and told["profile"][0] == "warning"


def test_srgb_by_any_name_is_no_difference(tmp_path: Path) -> None:
    colourful().save(tmp_path / "1.jpg", icc_profile=rgb_profile("sRGB", SRGB))
    colourful().save(tmp_path / "2.png", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    colourful().save(tmp_path / "3.jpg")
    # the name says nothing: the numbers do
    colourful().save(tmp_path / "4.jpg", icc_profile=rgb_profile("sRGB IEC61966-2.1", DISPLAY_P3))
    assert [list(seen(tmp_path / name)) for name in ("1.jpg", "2.png", "3.jpg", "4.jpg")] == [[], [], [], ["profile"]]


def test_grey_with_a_profile_of_its_own(tmp_path: Path) -> None:
    colourful().convert("L").save(tmp_path / "1.jpg", icc_profile=grey_profile("Gamma 1.0", 1.0))
    colourful().convert("L").save(tmp_path / "2.jpg", icc_profile=grey_profile("Gamma 2.2", 2.2))
    assert seen(tmp_path / "1.jpg")["profile"][0] == "error"
    level, message = seen(tmp_path / "2.jpg").get("profile", ("warning", "ΔE2000 0.0"))
    assert level == "warning" and float(message.partition("ΔE2000 ")[2].partition(" ")[0]) < 2


def test_adobe_rgb_that_only_exif_tells(tmp_path: Path) -> None:
    exif = Image.Exif()
    # the interoperability directory stands in EXIF's own
    exif[0x8769] = {0xA001: 65535, 0xA005: {1: "R03"}}
    colourful().save(tmp_path / "1.jpg", exif=exif)
    level, message = seen(tmp_path / "1.jpg")["profile"]
    assert level == "warning" and "Adobe RGB by EXIF" in message


def test_a_profile_that_is_none_is_said_and_ends_nothing(tmp_path: Path) -> None:
    colourful().save(tmp_path / "1.jpg", icc_profile=b"no profile" * 30)
    level, message = seen(tmp_path / "1.jpg")["profile"]
    assert level == "warning" and "cannot be read" in message


def with_chunk(path: Path, kind: bytes, data: bytes) -> Path:
    """Put a chunk behind a PNG's header."""
    whole = path.read_bytes()
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(whole[:33] + chunk + whole[33:])
    return path


@pytest.mark.parametrize(
    ("kind", "data", "level"),
    [
        (b"cICP", bytes((12, 13, 0, 1)), "warning"),
        (b"cICP", bytes((9, 16, 0, 1)), "error"),
        (b"cICP", bytes((1, 13, 0, 1)), ""),
        (b"gAMA", struct.pack(">I", 100_000), "error"),
        (b"gAMA", struct.pack(">I", 45_455), ""),
        (b"gAMA", struct.pack(">I", 0), ""),
    ],
)
def test_a_png_describes_its_colours_without_a_profile(tmp_path: Path, kind: bytes, data: bytes, level: str) -> None:
    colourful().save(tmp_path / "1.png")
    told = seen(with_chunk(tmp_path / "1.png", kind, data))
    assert told.get("profile", ("", ""))[0] == level
    assert not level or kind.decode() in told["profile"][1]


@pytest.mark.parametrize("mode", ["ramp", "dark", "8 bits in 16"])
def test_16_bit_grey_says_what_training_would_see(tmp_path: Path, mode: str) -> None:
    ramp = np.linspace(0, 65535, 256 * 200).reshape(200, 256)
    levels = {"ramp": ramp, "dark": ramp / 257, "8 bits in 16": np.floor(ramp / 257)}[mode].astype(np.uint16)
    Image.fromarray(levels).save(tmp_path / "1.png")
    level, message = seen(tmp_path / "1.png")["deep"]
    with Image.open(tmp_path / "1.png") as image:
        white = float((np.asarray(image.convert("RGB")) == 255).all(axis=2).mean())
    assert level == "error" and f"{white:.0%} of it would train as plain white" in message


def test_16_bit_colour_trains_as_its_8_bits(tmp_path: Path) -> None:
    import cv2

    deep = np.asarray(colourful()).astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "1.png"), deep)
    assert seen(tmp_path / "1.png") == {}


def test_cmyk_is_said(tmp_path: Path) -> None:
    colourful().convert("CMYK").save(tmp_path / "1.jpg")
    level, message = seen(tmp_path / "1.jpg")["cmyk"]
    assert level == "warning" and "it has no profile" in message


def test_transparency_says_what_lies_beneath(tmp_path: Path) -> None:
    def cut_out(beneath: tuple[int, int, int, int]) -> Image.Image:
        image = colourful().convert("RGBA")
        image.paste(beneath, (0, 0, 120, 200))
        return image

    cut_out((0, 0, 0, 0)).save(tmp_path / "black.png")
    cut_out((255, 255, 255, 0)).save(tmp_path / "white.png")
    cut_out((40, 200, 90, 0)).save(tmp_path / "other.webp", lossless=True, exact=True)
    colourful().convert("RGBA").save(tmp_path / "opaque.png")
    palette = colourful().quantize(16)
    palette.save(tmp_path / "palette.png", transparency=int(np.asarray(palette)[0, 0]))
    level, message = seen(tmp_path / "black.png")["transparent"]
    assert level == "warning" and "50% of it would train as what lies beneath, mostly black" in message
    assert "which no viewer shows" in seen(tmp_path / "other.webp")["transparent"][1]
    assert "transparent" in seen(tmp_path / "palette.png")
    # what lies beneath is what a viewer shows, or nothing does
    assert seen(tmp_path / "white.png") == seen(tmp_path / "opaque.png") == {}


def test_premultiplied_edges_are_said(tmp_path: Path) -> None:
    colours = np.asarray(colourful()).astype(float)
    alpha = np.tile(np.linspace(0, 255, 240), (200, 1))
    pixels = np.dstack([colours * alpha[..., None] / 255, alpha]).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "1.png")
    assert "looks premultiplied" in seen(tmp_path / "1.png")["transparent"][1]


@pytest.mark.parametrize("ending", [".webp", ".png"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_of_an_animation_only_the_first_frame_trains(tmp_path: Path, ending: str, mode: str) -> None:
    frames = [picture(number, (96, 80)).convert(mode) for number in (1, 2, 3)]
    frames[0].save(tmp_path / f"1{ending}", save_all=True, append_images=frames[1:], duration=100)
    told = seen(tmp_path / f"1{ending}")
    assert list(told) == ["animated"] and "only the first frame of 3" in told["animated"][1]


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not here")
@pytest.mark.parametrize(
    ("name", "kind", "level", "words"),
    [
        ("deep.png", "deep", "error", "78% of it would train as plain white"),
        ("p3.jpg", "profile", "warning", "reads it as sRGB (ΔE2000 "),
        ("anim.webp", "animated", "warning", "animated: only the first frame"),
    ],
)
def test_the_cases(name: str, kind: str, level: str, words: str) -> None:
    told = seen(CASES / name)
    assert list(told) == [kind] and told[kind][0] == level and words in told[kind][1]
