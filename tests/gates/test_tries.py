"""Gates in the pipeline: tries, which one is taken, and what becomes of a picture whose product is not the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lib_prodshot.finding.finder import Finder
from lib_prodshot.gates.text import Line
from lib_prodshot.inpainting import PassInterrupted
from lib_prodshot.outcome import Outcome
from lib_prodshot.pictures import LoadedPicture
from lib_prodshot.pipeline import run
from lib_prodshot.request import Request
from tests.finders import FixedDetector
from tests.gates.tools import Painter, RedSegmenter

Array = np.ndarray


@pytest.fixture(scope="module")
def loaded() -> LoadedPicture:
    """A textured red product in the middle of a grey picture."""
    rng = np.random.default_rng(5)
    pixels = rng.integers(196, 204, (160, 240, 3), np.uint8)
    pixels[40:120, 60:180] = np.clip(np.array((190, 60, 50)) + rng.normal(0, 20, (80, 120, 1)), 0, 255)
    return LoadedPicture.from_rgb(pixels)


def through(loaded: LoadedPicture, painter: Any, reader: Any = None, score: float = 0.8, **settings: Any) -> Outcome:
    finder = Finder("fixed", FixedDetector(score), RedSegmenter())
    request = Request(**{"products": "car", "engine": "inpaint", "grow": 4, "fidelity": "auto", **settings})
    return run(loaded, request, finder, painter, reader=reader)


def lines(outcome: Outcome) -> list[dict[str, Any]]:
    return [step for step in outcome.to_json()["steps"] if step["step"] == "gates"]


def keep(picture: Array, attempt: int) -> Array:
    return picture


def lose_more(picture: Array, attempt: int) -> Array:
    """Each try paints another share of the product away; the second the least of all."""
    columns = {1: 40, 2: 20, 3: 60}[attempt]
    picture[:, 60 : 60 + columns] = 200
    return picture


def test_inpaint_reports_by_itself_and_forbids_nothing(loaded: LoadedPicture) -> None:
    outcome = through(loaded, Painter(lambda picture, attempt: picture[:, :, ::-1]))
    assert outcome.status == "found" and outcome.audit is not None and outcome.audit.changed_outside == 0
    (line,) = lines(outcome)
    assert line["try"] == 1 and line["gates"] == "fail" and line["loss"] == 1.0
    assert line["failed"] == "growth, colour and detail" and line["not_checked"] == "text"
    assert line["why_not_checked"].startswith("text was not checked: ")
    (note,) = [note for note in outcome.notes if note.startswith("look whether it is still the same product")]
    assert "the finder finds no product there any more" in note and "hue turned" in note


def test_a_product_that_stayed_the_same_is_not_talked_about(loaded: LoadedPicture) -> None:
    outcome = through(loaded, Painter(keep), fidelity="hold")
    assert lines(outcome)[0]["gates"] == "pass" and outcome.status == "found"
    assert outcome.notes[0] == "painted 1" and all("try" not in note for note in outcome.notes)
    assert any(note.startswith("text was not checked: the package rapidocr is missing") for note in outcome.notes)


def test_held_it_is_tried_again_with_less_denoising_and_more_control(loaded: LoadedPicture) -> None:
    painter = Painter(lambda picture, attempt: picture if attempt == 2 else lose_more(picture, attempt))
    outcome = through(loaded, painter, fidelity="hold")
    asked = [(task.attempt, task.request.denoising_strength, task.request.control_weight) for task in painter.tasks]
    assert asked == [(1, 0.75, 1.0), (2, pytest.approx(0.6), 1.25)]
    assert outcome.status == "found" and np.array_equal(outcome.picture, loaded.rgb)
    assert [(line["try"], line["gates"]) for line in lines(outcome)] == [(1, "fail"), (2, "pass")]
    assert "try 2 of 2 was taken" in outcome.notes and outcome.ran == ("pass 2",)
    assert "painted 1" not in outcome.notes


def test_refused_the_input_is_kept_and_every_try_is_in_the_report(loaded: LoadedPicture) -> None:
    outcome = through(loaded, Painter(lose_more), fidelity="hold")
    assert outcome.status == "failed" and outcome.result is None and outcome.picture is None and outcome.is_final
    assert "the best of 3 tries (try 2)" in outcome.verdict.reason and "the input was kept" in outcome.verdict.reason
    assert [line["try"] for line in lines(outcome)] == [1, 2, 3]
    assert [round(line["loss"], 2) for line in lines(outcome)] == [0.33, 0.17, 0.5]


@pytest.mark.parametrize(("on_failure", "warns"), [("warn", True), ("keep", False)])
def test_kept_the_best_try_is_taken(loaded: LoadedPicture, on_failure: str, warns: bool) -> None:
    outcome = through(loaded, Painter(lose_more), fidelity="hold", on_failure=on_failure)
    assert outcome.status == "found" and outcome.picture is not None and outcome.ran == ("pass 2",)
    assert (outcome.picture[80, 70] == 200).all() and outcome.picture[80, 90, 0] > outcome.picture[80, 90, 2] + 40
    assert outcome.audit is not None and outcome.audit.changed_outside == 0
    assert any("look whether" in note for note in outcome.notes) is warns


def interrupted(picture: Array, attempt: int) -> Array:
    if attempt == 2:
        raise PassInterrupted("interrupted")
    return lose_more(picture, attempt)


def test_interrupted_between_tries_it_says_which_picture_there_is(loaded: LoadedPicture) -> None:
    refused = through(loaded, Painter(interrupted), fidelity="hold")
    assert refused.status == "failed" and refused.result is None and not refused.is_final
    assert "try 2 stopped: interrupted; the input was kept" in refused.verdict.reason
    warned = through(loaded, Painter(interrupted), fidelity="hold", on_failure="warn")
    assert warned.status == "found" and "try 1 of 1 was taken; try 2 stopped: interrupted" in warned.notes


class DetailReader:
    """Reads a line where the product's label has any detail."""

    name = "detail"

    def __init__(self) -> None:
        self.calls = 0

    def read(self, picture: Array) -> tuple[Line, ...]:
        self.calls += 1
        height, width = picture.shape[:2]
        box = (width // 4, height // 3, 3 * width // 4, 2 * height // 3)
        readable = picture[box[1] : box[3], box[0] : box[2]].std(axis=(0, 1)).max() > 8
        return (Line("Hand Soap" if readable else "Hxxd Sxxp", 0.99, box),)


def smear(picture: Array, attempt: int) -> Array:
    picture[60:100, 80:160] = (190, 60, 50)
    return picture


def test_lost_text_gets_the_original_s_detail_back_after_the_tries(loaded: LoadedPicture) -> None:
    reader = DetailReader()
    limits = {"detail_limit": 0.01, "growth_limit": 1.0, "shift_limit": 100.0}
    outcome = through(loaded, Painter(smear), reader, fidelity="hold", fidelity_retries=1, **limits)
    assert outcome.status == "found" and "try 3 of 3 was taken" in outcome.notes
    assert [line["gates"] for line in lines(outcome)] == ["fail", "fail", "pass"]
    assert [line["worst_line"] > 0 for line in lines(outcome)] == [True, True, False]
    assert reader.calls == 4, "the input once, each try once"
    assert outcome.picture is not None and outcome.picture[70:90, 100:140].std() > 8
    assert outcome.audit is not None and outcome.audit.changed_outside == 0


def test_a_skipped_picture_costs_nothing_more(loaded: LoadedPicture) -> None:
    reader, painter = DetailReader(), Painter(keep)
    outcome = through(loaded, painter, reader, score=0.1)
    assert outcome.status == "skipped" and reader.calls == 0 and painter.tasks == [] and lines(outcome) == []


def test_off_there_is_no_line(loaded: LoadedPicture) -> None:
    assert lines(through(loaded, Painter(lose_more), fidelity="off")) == []


def test_retouch_holds_colour_and_detail_alone_and_tries_with_less_strength(loaded: LoadedPicture) -> None:
    painter = Painter(lambda picture, attempt: 255 - picture if attempt == 1 else picture)
    outcome = through(loaded, painter, engine="retouch")
    assert outcome.status == "found" and [task.request.strength for task in painter.tasks] == [0.5, 0.25]
    assert [line["gates"] for line in lines(outcome)] == ["fail", "pass"]
    assert "growth" not in lines(outcome)[0] and "not_checked" not in lines(outcome)[0]


def test_the_detail_lock_is_a_step_of_inpaint(loaded: LoadedPicture) -> None:
    plain, locked = (through(loaded, Painter(smear), detail_lock=strength) for strength in (0.0, 1.0))
    assert plain.picture is not None and locked.picture is not None
    assert locked.picture[62:70, 80:160].std() > plain.picture[62:70, 80:160].std() + 3
    assert [step["step"] for step in locked.to_json()["steps"]].count("lock_detail") == 1
    assert locked.audit is not None and locked.audit.changed_outside == 0


def test_an_inverted_mask_measures_the_product_and_not_the_ground(loaded: LoadedPicture) -> None:
    outcome = through(loaded, Painter(lambda picture, attempt: np.full_like(picture, 90)), invert=True, feather=0.0)
    (line,) = lines(outcome)
    assert outcome.status == "found" and line["delta_e_mean"] == 0 and line["loss"] < 0.01
