"""The growth gate of painted scenes: what is seen, which try is taken, and what becomes of the packshot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lib_prodshot.errors import FinderError
from lib_prodshot.finding.finder import Finder
from lib_prodshot.hosts.finder_cache import restricted_to
from lib_prodshot.inpainting import PassInterrupted
from lib_prodshot.outcome import Outcome, PackshotAudit
from lib_prodshot.pictures import LoadedPicture
from lib_prodshot.pipeline import run
from lib_prodshot.request import Request
from tests.finders import FixedDetector
from tests.gates.tools import Painter, RedSegmenter

Array = np.ndarray
PRODUCT = (slice(40, 120), slice(60, 180))
RED = (200, 50, 50)


@pytest.fixture(scope="module")
def loaded() -> LoadedPicture:
    """A red product in the middle of a grey picture."""
    pixels = np.random.default_rng(5).integers(150, 160, (160, 240, 3), np.uint8)
    pixels[PRODUCT] = RED
    return LoadedPicture.from_rgb(pixels)


def painted(
    loaded: LoadedPicture, painter: Painter, segmenter: Any = None, **settings: Any
) -> tuple[Outcome, list[dict[str, Any]]]:
    finder = Finder("fixed", FixedDetector(), segmenter or RedSegmenter())
    chosen = {"products": "car", "make": "packshot", "ground": "scene", "edges": "hard", "scene_light": 0.0}
    outcome = run(loaded, Request(**{**chosen, **settings}), finder, painter)
    return outcome, [line for line in outcome.to_json()["steps"] if line["step"] == "gate_scene"]


def grey(picture: Array, attempt: int) -> Array:
    return np.full_like(picture, 120)


def growing(*columns: int) -> Painter:
    """Paints red beside the product: so many columns on each try."""

    def paint(picture: Array, attempt: int) -> Array:
        scene = grey(picture, attempt)
        scene[40:120, 180 : 180 + columns[attempt - 1]] = RED
        return scene

    return Painter(paint)


def test_a_scene_that_shows_more_of_the_product_is_painted_again(loaded: LoadedPicture) -> None:
    painter = growing(30, 0)
    outcome, lines = painted(loaded, painter)
    assert [(line["try"], line["gates"], line["growth"]) for line in lines] == [(1, "fail", 0.25), (2, "pass", 0.0)]
    asked = [(task.attempt, task.request.denoising_strength, task.request.control_weight) for task in painter.tasks]
    assert asked == [(1, 1.0, 1.0), (2, pytest.approx(0.8), 1.25)]
    assert outcome.status == "found" and "try 2 of 2 was taken" in outcome.notes and outcome.ran == ("pass 2",)
    assert outcome.picture is not None and (outcome.picture[40:120, 180:] == 120).all()
    assert np.array_equal(outcome.picture[PRODUCT], loaded.rgb[PRODUCT]) and outcome.needs_review == ()
    assert outcome.audit == PackshotAudit(0, 80 * 120)


def test_the_best_try_is_refused_or_kept_and_looked_at(loaded: LoadedPicture) -> None:
    refused, lines = painted(loaded, growing(30, 24, 60))
    assert refused.status == "failed" and refused.packshots == [] and len(lines) == 3
    assert "the best of 3 tries (try 2)" in refused.verdict.reason and "grew by 20.0%" in refused.verdict.reason
    assert "no packshot was made" in refused.verdict.reason
    warned, _ = painted(loaded, growing(30, 24, 60), on_failure="warn")
    assert warned.status == "found" and warned.ran == ("pass 2",)
    assert warned.needs_review == ("the product grew by 20.0% of its area (limit 7.0%)",)
    assert any(note.startswith("look whether") for note in warned.notes)
    reported, lines = painted(loaded, growing(30), fidelity="report")
    assert reported.status == "found" and len(lines) == 1 and reported.needs_review


def test_interrupted_or_of_another_size_the_best_so_far_stands_and_it_is_said(loaded: LoadedPicture) -> None:
    def stops(picture: Array, attempt: int) -> Array:
        if attempt == 2:
            raise PassInterrupted("interrupted")
        return growing(30).paint(picture, attempt)

    kept, _ = painted(loaded, Painter(stops), on_failure="warn")
    assert kept.status == "found" and "try 1 of 1 was taken; try 2 stopped: interrupted" in kept.notes
    refused, _ = painted(loaded, Painter(stops))
    assert "try 2 stopped: interrupted; no packshot was made" in refused.verdict.reason

    def shrinks(picture: Array, attempt: int) -> Array:
        scene = growing(30, 0).paint(picture, attempt)
        return scene if attempt == 1 else scene[:-8]

    other, _ = painted(loaded, Painter(shrinks), on_failure="warn")
    (note,) = [note for note in other.notes if "try 2 stopped" in note]
    assert "(152, 240, 3) for a picture of shape (160, 240, 3)" in note


@pytest.mark.parametrize("frame", [{"size": "300x300", "fill": 0.8}, {"size": "1:1", "fill": 0.95}, {"size": "80x60"}])
def test_in_its_frame_the_same_product_has_the_same_silhouette(loaded: LoadedPicture, frame: dict[str, Any]) -> None:
    outcome, (line,) = painted(loaded, Painter(grey), **frame)
    assert outcome.status == "found" and line["growth"] < 0.01 and line["loss"] < 0.04, line


def test_a_product_that_the_picture_cuts_off_may_go_on_in_a_wider_frame(loaded: LoadedPicture) -> None:
    cut_off = LoadedPicture.from_rgb(np.ascontiguousarray(loaded.rgb[:, 60:]))
    _, (line,) = painted(cut_off, Painter(grey), scene_keep="picture", size="2:1")
    assert line["gates"] == "not checked" and line["not_checked"] == "growth"
    whole, (line,) = painted(loaded, Painter(grey), scene_keep="picture", size="2:1")
    assert whole.status == "found" and line["growth"] == 0 and "not_checked" not in line


def test_nothing_is_looked_at_where_nothing_is_painted_or_asked(loaded: LoadedPicture) -> None:
    for settings in ({"ground": "white"}, {"fidelity": "off"}):
        segmenter = RedSegmenter()
        outcome, lines = painted(loaded, growing(30), segmenter, **settings)
        assert outcome.status == "found" and lines == [] and segmenter.calls == 1


def test_a_mask_drawn_on_the_picture_says_nothing_of_the_frame(loaded: LoadedPicture) -> None:
    finder = Finder("fixed", FixedDetector(), RedSegmenter())
    drawn = np.zeros((160, 240), np.uint8)
    drawn[:, :200] = 255
    request = Request(products="car", make="packshot", ground="scene", edges="hard", size="300x300", fill=0.5)
    outcome = run(loaded, request, restricted_to(drawn, finder), growing(0))
    assert outcome.status == "found", outcome.verdict


def test_a_finder_that_fails_on_the_result_checks_nothing_and_stops_nothing(loaded: LoadedPicture) -> None:
    class Once(RedSegmenter):
        def segment(self, picture: Array, boxes: Any) -> list[Array]:
            if self.calls:
                raise FinderError("out of memory")
            return super().segment(picture, boxes)

    outcome, (line,) = painted(loaded, growing(30), Once())
    assert outcome.status == "found" and line["gates"] == "not checked" and line["not_checked"] == "growth"
    assert "growth was not checked: out of memory" in outcome.notes
