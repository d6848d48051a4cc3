"""One suite for every finder: the same cases, the same promises, whatever is behind the interface.

Lite runs with its real weights, the others with tiny random ones through their packages' own loaders; which of them can
run depends on the environment (`test_under_pins.py` starts the rest).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib_prodshot.errors import PictureError, RequestError
from lib_prodshot.finding.interface import Box, Boxes, Finder, Picture, SoftMask
from lib_prodshot.products import ProductClass, parse_products
from tests.finding import tiny

ALL = (ProductClass("handbag", ("handbag",), 0.0), ProductClass("car", ("car",), 0.0))
"""Threshold 0: everything a model looks at is a find."""

NOTHING = tuple(ProductClass(item.name, item.phrases, 1.0) for item in ALL)


def _lite(request: pytest.FixtureRequest) -> Finder:
    finder: Finder = request.getfixturevalue("lite_finder")
    return finder


def _package(request: pytest.FixtureRequest) -> Finder:
    detector_file, vocabulary = request.getfixturevalue("detector_file"), request.getfixturevalue("vocabulary")
    from lib_prodshot.finding import groundingdino, sam

    segmenter_file: Path = request.getfixturevalue("segmenter_file")
    detector = groundingdino.detector(detector_file, vocabulary, device="cpu")
    return Finder("langsam", detector, sam.segmenter(segmenter_file, device="cpu"))


def _transformers(request: pytest.FixtureRequest) -> Finder:
    detector_file, vocabulary = request.getfixturevalue("detector_file"), request.getfixturevalue("vocabulary")
    from lib_prodshot.finding import hf

    if hf.lacking():
        pytest.skip(hf.lacking())
    segmenter_file: Path = request.getfixturevalue("segmenter_file")
    detector = hf.detector(detector_file, vocabulary, device="cpu")
    return Finder("langsam", detector, hf.segmenter(segmenter_file, device="cpu"))


BACKENDS: dict[str, Callable[[pytest.FixtureRequest], Finder]] = {
    "lite": _lite,
    "groundingdino-py": _package,
    "transformers": _transformers,
}


@pytest.fixture(scope="module", params=BACKENDS)
def finder(request: pytest.FixtureRequest) -> Finder:
    return BACKENDS[request.param](request)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Grounding models look at pictures in small, for speed."""
    monkeypatch.setattr("lib_prodshot.finding.grounded.SHORT_SIDE", 160)
    monkeypatch.setattr("lib_prodshot.finding.grounded.SMALLER_SIDE", 96)


def photograph() -> Picture:
    """A car-sized blob on a plain ground: something for every model to look at."""
    picture = np.full((120, 160, 3), 235, np.uint8)
    picture[40:90, 30:130] = tiny.picture(50, 100)
    return picture


def assert_sound(answer: Boxes, picture: Picture, classes: Sequence[ProductClass]) -> None:
    height, width = picture.shape[:2]
    assert len(answer.best_scores) == len(classes)
    assert all(0 <= score <= 1 for score in answer.best_scores)
    assert [box.score for box in answer.boxes] == sorted((box.score for box in answer.boxes), reverse=True)
    for box in answer.boxes:
        x0, y0, x1, y1 = box.corners
        assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
        assert 0 <= box.class_index < len(classes) and box.score >= classes[box.class_index].threshold
        assert box.score <= answer.best_scores[box.class_index] + 1e-6


def assert_masks(masks: Sequence[SoftMask], boxes: Sequence[Box], picture: Picture) -> None:
    assert len(masks) == len(boxes)
    assert all(mask.shape == picture.shape[:2] and mask.dtype == np.uint8 for mask in masks)


def test_boxes_and_masks(finder: Finder) -> None:
    picture = photograph()
    findings = finder.find(picture, ALL)
    assert findings.finds
    assert_sound(Boxes(tuple(find.box for find in findings.finds), findings.best_scores), picture, ALL)
    boxes = [find.box for find in findings.finds]
    assert_masks([find.soft_mask for find in findings.finds], boxes, picture)
    assert {"detect", "segment"} <= set(findings.seconds)


def test_zero_boxes_never_reach_the_segmenter(finder: Finder) -> None:
    class Untouchable:
        name = "untouchable"

        def segment(self, picture: Picture, boxes: Sequence[Box]) -> list[SoftMask]:
            raise AssertionError("called without boxes")

        def unload(self) -> None:
            raise AssertionError("not asked to")

    findings = Finder(finder.name, finder.detector, Untouchable()).find(photograph(), NOTHING)
    assert findings.finds == () and len(findings.best_scores) == 2 and max(findings.best_scores) < 1


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 300, 3), (300, 2, 3), (60, 80), (60, 80, 1), (60, 80, 4)])
def test_odd_pictures_get_an_answer(finder: Finder, shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(1).integers(0, 255, shape, np.uint8)
    answer = finder.detector.detect(picture, ALL, 0.25)
    assert_sound(answer, picture, ALL)
    box = Box(0, 1.0, (0.0, 0.0, float(shape[1]), float(shape[0])))
    assert_masks(finder.segmenter.segment(picture, [box]), [box], picture)


def test_a_huge_picture(finder: Finder) -> None:
    picture = np.kron(photograph(), np.ones((25, 25, 1), np.uint8))
    answer = finder.detector.detect(picture, ALL, 0.25)
    assert_sound(answer, picture, ALL)
    box = Box(0, 1.0, (700.0, 900.0, 3300.0, 2300.0))
    assert_masks(finder.segmenter.segment(picture, [box]), [box], picture)


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_picture_is_refused(finder: Finder, bad: Any) -> None:
    with pytest.raises(PictureError):
        finder.detector.detect(bad, ALL, 0.25)


def test_no_class_is_wrong_usage(finder: Finder) -> None:
    with pytest.raises(RequestError) as caught:
        finder.detector.detect(photograph(), (), 0.25)
    assert caught.value.problems[0].field == "products"


def test_a_word_that_the_finder_cannot_know_is_refused_by_name(finder: Finder) -> None:
    with pytest.raises(RequestError, match="鞋") as caught:
        finder.detector.detect(photograph(), parse_products("鞋"), 0.25)
    assert caught.value.problems[0].field == "products"


def test_the_same_picture_gives_the_same_answer(finder: Finder) -> None:
    picture = photograph()
    first, second = (finder.find(picture, ALL) for _ in range(2))
    assert [find.box for find in first.finds] == [find.box for find in second.finds]
    assert all(np.array_equal(a.soft_mask, b.soft_mask) for a, b in zip(first.finds, second.finds))


def test_each_class_has_its_own_threshold(finder: Finder) -> None:
    closed = (ALL[0], NOTHING[1])
    answer = finder.detector.detect(photograph(), closed, 0.25)
    assert {box.class_index for box in answer.boxes} <= {0}


def test_after_unloading_the_answers_are_the_same(finder: Finder) -> None:
    picture = photograph()
    before = finder.detector.detect(picture, ALL, 0.25)
    finder.unload()
    after = finder.detector.detect(picture, ALL, 0.25)
    assert len(before.boxes) == len(after.boxes)
    assert after.best_scores == pytest.approx(before.best_scores, abs=1e-5)


def test_the_picture_is_not_changed(finder: Finder) -> None:
    picture = photograph()
    kept = picture.copy()
    finder.find(picture, ALL)
    assert np.array_equal(picture, kept)
