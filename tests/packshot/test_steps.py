"""The packshot's steps through the pipeline, with a finder of known answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

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
    assert [line["step"] for line in outcome.to_json()["steps"]] == ["find", "mask", "cutout", "compose", "shop"]


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


@pytest.mark.parametrize("field", ["ground_colour"])
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
