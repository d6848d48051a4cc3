"""The packshot's steps through the pipeline, with a finder of known answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from lib_prodshot.enhancing import NoEngine, load_enhancer
from lib_prodshot.errors import RequestError
from lib_prodshot.jobs.processor import PictureProcessor
from lib_prodshot.outcome import Outcome, PackshotAudit
from lib_prodshot.packshot.placement import Placement
from lib_prodshot.pictures import LoadedPicture, read
from lib_prodshot.pipeline import run
from lib_prodshot.request import Request
from lib_prodshot.steps import registry
from lib_prodshot.steps.interface import State
from tests.finders import fixed_finder

PACKSHOT = Request(products="car", make="packshot", edges="hard")
PRODUCT = (slice(20, 60), slice(30, 90))
"""Where the finder finds it."""


@pytest.fixture(scope="module")
def loaded() -> LoadedPicture:
    pixels = np.random.default_rng(5).integers(0, 255, (80, 120, 3), np.uint8)
    return LoadedPicture.from_rgb(pixels)


def made(loaded: LoadedPicture, **changes: object) -> Outcome:
    request = PACKSHOT.replace(**changes)
    outcome = run(loaded, request, fixed_finder(), load_enhancer(request.running_engine))
    assert outcome.status == "found", outcome.verdict
    return outcome


def audit_of(outcome: Outcome) -> PackshotAudit:
    assert isinstance(outcome.audit, PackshotAudit)
    return outcome.audit


def test_the_product_keeps_every_pixel_and_the_rest_is_white(loaded: LoadedPicture) -> None:
    outcome = made(loaded)
    expected = np.full_like(loaded.rgb, 255)
    expected[PRODUCT] = loaded.rgb[PRODUCT]
    assert np.array_equal(outcome.picture, expected)
    assert audit_of(outcome) == PackshotAudit(0, 40 * 60)
    assert outcome.to_json()["audit"] == {
        "changed_outside": None, "changed_inside": 0, "inner_pixels": 2400, "compared_with": "the input"
    }  # fmt: skip
    run = [line["step"] for line in outcome.to_json()["steps"]]
    assert run == ["find", "mask", "cutout", "compose", "shop", "declare"]


def test_no_engine_runs_and_none_is_asked_for(loaded: LoadedPicture) -> None:
    assert made(loaded, engine="inpaint").status == "found"
    assert isinstance(load_enhancer(PACKSHOT.replace(engine="inpaint").running_engine), NoEngine)
    enhanced = run(loaded, Request(products="car"), fixed_finder(), load_enhancer("retouch"))
    assert "cutout" not in [record.step for record in enhanced.steps]
    dry = run(loaded, PACKSHOT, fixed_finder(), None)
    assert dry.status == "found" and dry.result is None and [record.step for record in dry.steps] == ["find", "mask"]


def test_a_feathered_edge_mixes_product_and_ground(loaded: LoadedPicture) -> None:
    outcome = made(loaded, edges="feather", ground="colour", ground_colour="#204060")
    assert outcome.picture is not None and outcome.alpha is not None
    assert (outcome.picture[outcome.alpha == 0] == (0x20, 0x40, 0x60)).all()
    assert np.array_equal(outcome.picture[outcome.alpha == 255], loaded.rgb[outcome.alpha == 255])
    edge = (outcome.alpha > 0) & (outcome.alpha < 255)
    share = outcome.alpha[edge][:, None] / 255
    mixed = loaded.rgb[edge] * share + np.array([0x20, 0x40, 0x60]) * (1 - share)
    assert np.abs(outcome.picture[edge] - mixed).max() < 1
    assert audit_of(outcome).inner_pixels == np.count_nonzero(outcome.alpha == 255)


def test_a_transparent_ground_is_written_as_alpha(loaded: LoadedPicture, tmp_path: Path) -> None:
    Image.fromarray(loaded.rgb).save(tmp_path / "in.jpg", quality=95)
    (tmp_path / "out").mkdir()
    processor = PictureProcessor(PACKSHOT.replace(ground="transparent"), fixed_finder(), NoEngine())
    outcome = processor.process(tmp_path / "in.jpg", tmp_path / "out", "in")
    assert outcome.status == "found", outcome.verdict
    written = read(Path(outcome.output_file))
    assert outcome.output_file.endswith("in.png") and written.mode == "RGBA" and written.alpha is not None
    assert (written.alpha[PRODUCT] == 255).all() and np.count_nonzero(written.alpha) == 2400
    assert (written.rgb[written.alpha == 0] == 255).all(), "no old ground under the transparency"
    assert np.array_equal(written.rgb[PRODUCT], read(tmp_path / "in.jpg").rgb[PRODUCT])


@pytest.mark.parametrize("field", ["ground_colour", "shadow_colour"])
def test_a_colour_that_is_none_is_named(field: str) -> None:
    with pytest.raises(RequestError) as caught:
        PACKSHOT.replace(**{field: "snowish"})
    assert [problem.field for problem in caught.value.problems] == [field]


def test_a_frame_moves_the_product_without_changing_it(loaded: LoadedPicture, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = framed(loaded, monkeypatch, Placement(200, 100, 1.0, 40, -15))
    assert outcome.picture is not None and outcome.picture.shape == (100, 200, 3)
    assert np.array_equal(outcome.picture[5:45, 70:130], loaded.rgb[PRODUCT])
    assert audit_of(outcome) == PackshotAudit(0, 2400)
    assert np.count_nonzero((outcome.picture != 255).any(axis=2)) <= 2400


@pytest.mark.parametrize("scale", [0.4, 1.7])
def test_a_frame_that_scales_is_compared_with_that_scaling(
    loaded: LoadedPicture, monkeypatch: pytest.MonkeyPatch, scale: float
) -> None:
    outcome = framed(loaded, monkeypatch, Placement(240, 160, scale, 3, 2))
    audit = audit_of(outcome)
    assert audit.changed_inside == 0 and audit.resampled
    assert 0.6 * 2400 * scale**2 < audit.inner_pixels < 2400 * scale**2


def framed(loaded: LoadedPicture, monkeypatch: pytest.MonkeyPatch, placement: Placement) -> Outcome:
    """A packshot whose cut-out step is told of another frame, as a framing step would."""
    step = next(step for step in registry.STEPS if step.id == "cutout")
    original = step.run

    def cut_out(state: State) -> State:
        return replace(original(state), placement=placement)

    monkeypatch.setattr(step, "run", cut_out)
    return made(loaded)


def test_a_product_cut_by_the_picture_is_said(loaded: LoadedPicture) -> None:
    assert not made(loaded).notes
    cut = made(loaded, grow=25, feather=0)
    assert cut.notes == ("the product touches the picture's edge (top, bottom) and is cut off there",)


def test_matte_edges_find_the_true_share_and_the_products_own_colour() -> None:
    true = cv2.GaussianBlur(np.pad(np.ones((38, 58), np.float32), ((21, 21), (31, 31))), (0, 0), 1.5)
    rgb = np.rint(true[..., None] * (200, 30, 40) + (1 - true[..., None]) * (30, 120, 60)).astype(np.uint8)
    outcome = made(LoadedPicture.from_rgb(rgb), edges="matte")
    assert outcome.picture is not None and outcome.steps[2].figures["cut_by"] == "matte"
    expected = true[..., None] * (200, 30, 40) + (1 - true[..., None]) * 255
    raw = made(LoadedPicture.from_rgb(rgb), edges="feather")
    wrong = [np.sqrt(np.mean((one.picture - expected) ** 2)) for one in (outcome, raw)]
    assert wrong[0] < 4 < wrong[1]
    assert audit_of(outcome).changed_inside == 0


def test_a_transparent_picture_is_its_own_cut_out(tmp_path: Path) -> None:
    pixels = np.zeros((80, 120, 4), np.uint8)
    pixels[15:65, 25:95] = (90, 60, 30, 255)
    pixels[15:65, 25] = (90, 60, 30, 77)
    pixels[2:6, 2:6] = (1, 2, 3, 255)
    Image.fromarray(pixels).save(tmp_path / "cut.png")
    outcome = made(read(tmp_path / "cut.png"), edges="matte", ground="transparent")
    assert outcome.result is not None and outcome.steps[2].figures["cut_by"] == "own alpha"
    alpha = outcome.result.native[..., 3]
    assert (alpha[15:65, 25] == 77).all() and not alpha[:10].any(), "a piece apart from the product"
    assert any("own transparency" in note for note in outcome.notes)


@pytest.mark.parametrize("mode", ["CMYK", "L", "I;16"])
def test_every_mode_becomes_rgb(mode: str, tmp_path: Path) -> None:
    grey = np.full((80, 120), 90, np.uint8)
    image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    image.save(tmp_path / "in.tif")
    outcome = made(read(tmp_path / "in.tif"))
    assert outcome.result is not None and outcome.result.source.mode == "RGB"
    assert (outcome.result.rgb[0, 0] == 255).all() and (outcome.result.rgb[40, 60] < 120).all()


def test_a_shadow_lies_under_the_product_and_outside_it_only(loaded: LoadedPicture) -> None:
    plain = made(loaded).picture
    for kind in ("contact", "soft"):
        outcome = made(loaded, shadow=kind, shadow_strength=0.8)
        assert outcome.picture is not None and plain is not None
        assert np.array_equal(outcome.picture[PRODUCT], plain[PRODUCT])
        below, above = outcome.picture[60:66, 40:80], outcome.picture[:15]
        assert below.mean() < 235 and above.min() > 245, kind
        tinted = made(loaded, shadow=kind, shadow_strength=0.8, shadow_colour="#0000ff").picture
        assert tinted is not None and tinted[61, 60, 2] == 255 > tinted[61, 60, 0]
    assert np.array_equal(made(loaded, shadow="soft", shadow_strength=0).picture, plain)


def test_a_shadow_is_part_of_a_transparent_ground(loaded: LoadedPicture) -> None:
    outcome = made(loaded, shadow="contact", ground="transparent")
    assert outcome.result is not None
    alpha = outcome.result.native[..., 3]
    assert 0 < alpha[61, 60] < 255 and (outcome.result.rgb[61, 60] == 0).all() and (alpha[PRODUCT] == 255).all()


def test_the_real_shadow_is_taken_along_from_a_plain_ground() -> None:
    rgb = np.full((80, 120, 3), 200, np.uint8)
    rgb[60:70, 30:90] = 100  # half the light
    rgb[PRODUCT] = (40, 80, 120)
    outcome = made(LoadedPicture.from_rgb(rgb), shadow="kept")
    assert outcome.picture is not None
    assert abs(int(outcome.picture[65, 60, 0]) - 128) <= 6
    assert (outcome.picture[5] == 255).all()
    assert audit_of(outcome).changed_inside == 0


def test_no_shadow_is_taken_from_a_ground_that_is_not_plain(loaded: LoadedPicture) -> None:
    outcome = made(loaded, shadow="kept")
    assert any("not plain enough" in note for note in outcome.notes)
    assert outcome.picture is not None and (outcome.picture[70] == 255).all()


def test_a_sweep_is_of_its_colour_and_darker_at_the_bend(loaded: LoadedPicture) -> None:
    outcome = made(loaded, ground="sweep", ground_colour="#e0e0e0")
    assert outcome.picture is not None
    middle = outcome.picture[:, 10, 0].astype(int)
    assert middle[:3].mean() > middle[48:52].mean() + 5 and middle.max() <= 0xE1


def test_the_blurred_original_shows_nothing_of_the_product() -> None:
    rgb = np.full((80, 120, 3), (30, 90, 150), np.uint8)
    rgb[PRODUCT] = 255
    outcome = made(LoadedPicture.from_rgb(rgb), ground="blurred")
    assert outcome.picture is not None and outcome.alpha is not None
    outside = outcome.picture[outcome.alpha == 0].astype(int)
    assert np.abs(outside - (30, 90, 150)).max() <= 1


def test_a_picture_for_the_ground_covers_the_frame(loaded: LoadedPicture, tmp_path: Path) -> None:
    Image.new("RGB", (50, 200), (10, 200, 30)).save(tmp_path / "ground.png")
    (tmp_path / "out").mkdir()
    Image.fromarray(loaded.rgb).save(tmp_path / "in.png")
    request = PACKSHOT.replace(ground="picture", ground_picture=str(tmp_path / "ground.png"))
    outcome = PictureProcessor(request, fixed_finder(), NoEngine()).process(tmp_path / "in.png", tmp_path / "out", "in")
    assert outcome.picture is not None and (outcome.picture[outcome.alpha == 0] == (10, 200, 30)).all()
    missing = PACKSHOT.replace(ground="picture", ground_picture=str(tmp_path / "no.png"))
    with pytest.raises(RequestError, match=r"ground_picture: .*no\.png"):
        PictureProcessor(missing, fixed_finder(), NoEngine()).process(tmp_path / "in.png", tmp_path / "out", "in")
    unnamed = PictureProcessor(PACKSHOT.replace(ground="picture"), fixed_finder(), NoEngine())
    with pytest.raises(RequestError, match="needs a picture file"):
        unnamed.process(tmp_path / "in.png", tmp_path / "out", "in")
    ungiven = run(loaded, request, fixed_finder(), NoEngine())
    assert ungiven.status == "failed" and "no picture for the ground" in ungiven.verdict.reason
