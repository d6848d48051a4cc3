"""The frame: where the product's box stands, how large, and what becomes of its pixels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from skimage import data

from lib_prodshot.enhancing import NoEngine
from lib_prodshot.jobs.processor import PictureProcessor
from lib_prodshot.markets.checking import check_file
from lib_prodshot.markets.rules import chosen
from lib_prodshot.outcome import Outcome, PackshotAudit
from lib_prodshot.packshot import cutout
from lib_prodshot.packshot.framing import Frame, Framed, fill_of, frame, parse_size, product_box
from lib_prodshot.pictures import LoadedPicture
from lib_prodshot.pipeline import run
from lib_prodshot.request import Request
from tests.finders import fixed_finder

Rgb = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def photograph() -> tuple[Rgb, Rgb]:
    """A cup on a saucer (1200 pixels wide) and its mask, drawn by its rim."""
    rgb = cv2.resize(data.coffee(), (1200, 800), interpolation=cv2.INTER_CUBIC)
    mask = np.zeros(rgb.shape[:2], np.uint8)
    cv2.ellipse(mask, (640, 390), (320, 270), 8, 0, 360, 255, -1)
    return rgb, mask


def framed(rgb: Rgb, mask: Rgb, wanted: Frame) -> tuple[Framed, Rgb]:
    result = frame(cutout.by_blur(rgb, mask, 1.5), wanted)
    return result, result.placement.placed_alpha(result.cutout.shares).opacity


def seen_box(alpha: Rgb) -> tuple[int, int, int, int]:
    """Measured apart from the code under test."""
    rows, columns = np.nonzero(alpha >= 26)
    return columns.min(), rows.min(), columns.max() - columns.min() + 1, rows.max() - rows.min() + 1


CROPS = np.random.default_rng(17).integers((0, 0, 0, 0, 30), (300, 100, 220, 120, 170), (20, 5))
"""Left, top, right and bottom cut off, and the size in percent."""


@pytest.mark.parametrize("crop", CROPS.tolist())
def test_twenty_crops_of_one_product_stand_alike(photograph: tuple[Rgb, Rgb], crop: list[int]) -> None:
    """Box centre within 0.5 % of the frame, fill within 1 %, whatever was photographed around it and how large."""
    left, top, right, bottom, percent = crop
    part = (slice(top, 800 - bottom), slice(left, 1200 - right))
    rgb, mask = photograph[0][part], photograph[1][part]
    size = (round(rgb.shape[1] * percent / 100), round(rgb.shape[0] * percent / 100))
    rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    mask = np.where(cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR) > 127, np.uint8(255), np.uint8(0))
    for wanted, width, height in (("1000x1000", 1000, 1000), ("901x1300", 901, 1300)):
        result, alpha = framed(rgb, mask, Frame(parse_size(wanted), 0.85))
        assert alpha.shape == (height, width)
        box = seen_box(alpha)
        assert abs(box[0] + box[2] / 2 - width / 2) <= 0.005 * width
        assert abs(box[1] + box[3] / 2 - height / 2) <= 0.005 * height
        assert 0.85 <= fill_of(box, width, height) <= 0.85 * 1.01, "and never a pixel less"
        assert result.fill == pytest.approx(fill_of(box, width, height), abs=1e-3)


@pytest.mark.parametrize("wanted", ["4:5", "1:1", ""])
def test_a_ratio_keeps_scale_and_every_inner_pixel(photograph: tuple[Rgb, Rgb], wanted: str) -> None:
    rgb, mask = photograph
    result, alpha = framed(rgb, mask, Frame(parse_size(wanted), 0.8))
    assert result.placement.scale == 1 and not result.placement.is_resampled and result.notes == ()
    assert result.fill == pytest.approx(0.8, abs=0.003)
    shown = result.placement.placed(result.cutout.picture)
    x, y, width, height = seen_box(alpha)
    bx, by, _, _ = product_box(cutout.feather_levels(mask, 1.5))
    assert np.array_equal(shown[y : y + height, x : x + width], rgb[by : by + height, bx : bx + width])
    assert result.placement.width / result.placement.height == pytest.approx(
        {"4:5": 0.8, "1:1": 1.0, "": 1.5}[wanted], rel=0.002
    )


def test_margin_limits_the_fill_and_baseline_stands_all_on_one_line(photograph: tuple[Rgb, Rgb]) -> None:
    rgb, mask = photograph
    _, alpha = framed(rgb, mask, Frame(parse_size("800x800"), 0.95, margin=0.1))
    x, y, width, height = seen_box(alpha)
    assert min(x, 800 - x - width, y, 800 - y - height) >= 79
    bottoms = []
    for scale in (1.0, 0.6):
        small = np.zeros_like(mask)
        cv2.ellipse(small, (640, 390), (300, round(200 * scale)), 0, 0, 360, 255, -1)
        _, alpha = framed(rgb, small, Frame(parse_size("800x800"), 0.9, align="baseline"))
        box = seen_box(alpha)
        bottoms.append(box[1] + box[3])
    assert bottoms == pytest.approx([760, 760], abs=1)


def test_a_scale_keeps_variants_at_their_sizes(photograph: tuple[Rgb, Rgb]) -> None:
    rgb, mask = photograph
    small = np.zeros_like(mask)
    cv2.ellipse(small, (640, 390), (160, 135), 8, 0, 360, 255, -1)
    boxes = [seen_box(framed(rgb, each, Frame(parse_size("900x900"), 0.9, scale=0.8))[1]) for each in (mask, small)]
    assert boxes[0][2] / boxes[1][2] == pytest.approx(2, rel=0.02)


def test_enlarging_is_said_and_can_be_refused(photograph: tuple[Rgb, Rgb]) -> None:
    rgb, mask = photograph
    larger, _ = framed(rgb, mask, Frame(parse_size("2000x2000"), 0.85))
    assert larger.placement.scale > 1
    kept, alpha = framed(rgb, mask, Frame(parse_size("2000x2000"), 0.85, may_enlarge=False))
    assert kept.placement.scale == 1 and "instead" in kept.notes[0]
    assert alpha.shape[0] == alpha.shape[1] < 2000
    assert kept.fill == pytest.approx(0.85, abs=0.003)


def test_a_small_product_of_a_large_picture_is_cropped_before_it_is_enlarged() -> None:
    rgb = np.zeros((3000, 4000, 3), np.uint8)
    mask = np.zeros((3000, 4000), np.uint8)
    mask[100:150, 3900:3960] = 255
    result, alpha = framed(rgb, mask, Frame(parse_size("1000x1000"), 0.9))
    assert max(result.cutout.shares.shape) < 120
    assert fill_of(seen_box(alpha), 1000, 1000) == pytest.approx(0.9, rel=0.01)


def test_an_empty_cut_out_is_refused() -> None:
    empty = cutout.by_blur(np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.uint8), 0)
    with pytest.raises(ValueError, match="nothing of the product"):
        frame(empty, Frame(None, 0.9))


@pytest.mark.parametrize("wanted", [Frame(None, 0.01), Frame(parse_size("10:1"), 0.9, scale=16)])
def test_a_frame_that_memory_has_no_room_for_is_refused_before_it_is_made(wanted: Frame) -> None:
    mask = np.zeros((400, 400), np.uint8)
    mask[50:350, 50:350] = 255
    with pytest.raises(ValueError, match="set a larger fill, or a size in pixels"):
        frame(cutout.by_blur(np.zeros((400, 400, 3), np.uint8), mask, 0), wanted)


@pytest.mark.parametrize(
    "text", ["3", "axb", "0:5", "1:50", "8x8", "30000x30000", "20000x6000", "100.5x90", "-3x4", "5 5"]
)
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="size|ratio|large"):
        parse_size(text)


def through(pixels: Rgb, **changes: object) -> Outcome:
    request = Request(products="car", make="packshot", edges="hard", **changes)
    outcome = run(LoadedPicture.from_rgb(pixels), request, fixed_finder(), NoEngine())
    assert outcome.status == "found", outcome.verdict
    return outcome


def test_the_step_counts_inner_pixels_with_and_without_resampling() -> None:
    pixels = np.random.default_rng(5).integers(0, 255, (80, 120, 3), np.uint8)
    kept = through(pixels, size="1:1", fill=0.8)
    assert kept.audit == PackshotAudit(0, 40 * 60)
    resampled = through(pixels, size="400x400", fill=0.8)
    assert isinstance(resampled.audit, PackshotAudit)
    assert resampled.audit.changed_inside == 0 and resampled.audit.resampled and resampled.audit.inner_pixels > 40_000
    assert resampled.picture is not None and resampled.picture.shape == (400, 400, 3)


def test_one_find_serves_all_marketplaces(tmp_path: Path) -> None:
    calls: list[int] = []

    def counted(call, _picture, _classes):  # type: ignore[no-untyped-def]
        calls.append(1)
        return call()

    pixels = np.random.default_rng(5).integers(0, 200, (80, 120, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "bag.png")
    request = Request(products="car", make="packshot", marketplace="amazon,zalando,google", fill=0.87, size="")
    out = tmp_path / "out"
    out.mkdir()
    outcome = PictureProcessor(request, fixed_finder().wrapped(counted), NoEngine()).process(
        tmp_path / "bag.png", out, "bag"
    )
    assert len(calls) == 1
    assert sorted(path.name for path in out.glob("*.jpg")) == ["bag-amazon.jpg", "bag-google.jpg", "bag-zalando.jpg"]
    line = outcome.to_json()
    assert [(made["marketplace"], made["passed"], made["size"]) for made in line["packshots"]] == [
        ("amazon", True, [2000, 2000]),
        ("zalando", True, [1801, 2600]),
        ("google", True, [1500, 1500]),
    ]
    assert all(
        made["fill"] == pytest.approx(0.87, rel=0.01) and "fill" not in made["set"] for made in line["packshots"]
    )
    assert all(made["audit"]["changed_inside"] == 0 for made in line["packshots"])
    assert any(reason.startswith("the product was enlarged (") for reason in line["needs_review"])
    assert 1 <= line["gravity"] < 4
    with Image.open(out / "bag-amazon.jpg") as image:
        assert image.info["icc_profile"] and image.size == (2000, 2000)
        assert {layer[1:3] for layer in image.layer} == {(1, 1)}
        assert (np.asarray(image)[:50] == 255).all()


def test_what_the_file_alone_would_be_refused_for_is_told_of_an_enlarged_product(tmp_path: Path) -> None:
    """Who does not know the alpha takes the outer part of a soft edge, enlarged too, for ground that is not white."""
    rng = np.random.default_rng(5)
    pixels = np.full((80, 120, 3), 225, np.uint8)
    pixels[24:56, 36:84] = rng.integers(0, 100, (32, 48, 3))
    Image.fromarray(cv2.GaussianBlur(pixels, (0, 0), 0.5)).save(tmp_path / "bag.png")
    request = Request(products="car", make="packshot", marketplace="amazon", fill=0.87)
    out = tmp_path / "out"
    out.mkdir()
    line = PictureProcessor(request, fixed_finder(), NoEngine()).process(tmp_path / "bag.png", out, "bag").to_json()
    missed = [rule.rule for rule in check_file(out / "bag-amazon.jpg", chosen("amazon")[0]).of("fail")]
    assert missed and line["packshots"][0]["passed"]
    assert f"amazon may refuse it for its enlarged soft edge: {', '.join(missed)}" in line["needs_review"]
