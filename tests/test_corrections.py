"""What a user corrects by hand: boxes taken whatever their scores, strokes and points, through the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from lib_prodshot import pipeline
from lib_prodshot.corrections import (
    MaskEdits,
    Prompt,
    Stroke,
    fingerprint,
    matched,
    parse_boxes,
    parse_edits,
)
from lib_prodshot.enhancing.interface import Enhanced, Task
from lib_prodshot.errors import RequestError
from lib_prodshot.finding.finder import Finder
from lib_prodshot.finding.interface import Box, Boxes, Picture, SoftMask
from lib_prodshot.masks import draw_stroke
from lib_prodshot.outcome import Outcome
from lib_prodshot.pictures import LoadedPicture
from lib_prodshot.products import ProductClass
from lib_prodshot.request import Request
from tests.finders import BoxSegmenter

LEFT, RIGHT, FAINT = (5.0, 10.0, 35.0, 50.0), (60.0, 10.0, 95.0, 50.0), (40.0, 52.0, 58.0, 78.0)
PICTURE = np.random.default_rng(3).integers(40, 200, (80, 100, 3), dtype=np.uint8)


class Several:
    """Two bags above the usual threshold, and a faint one below."""

    name = "several"
    all = (Box(0, 0.9, LEFT), Box(0, 0.6, RIGHT), Box(0, 0.2, FAINT))

    def detect(self, picture: Picture, classes: Sequence[ProductClass], text_threshold: float) -> Boxes:
        boxes = tuple(box for box in self.all if box.score >= classes[0].threshold)
        return Boxes(boxes, tuple(0.9 for _ in classes))

    def unload(self) -> None:
        pass


class Pointed(BoxSegmenter):
    """A box with points loses its lower half; a point alone is a square around it."""

    def segment_points(
        self, picture: Picture, prompts: Sequence[tuple[Box | None, Sequence[Prompt]]]
    ) -> list[SoftMask]:
        masks = []
        for box, points in prompts:
            x, y = points[0].point
            corners = (
                (x - 3, y - 3, x + 4, y + 4)
                if box is None
                else (*box.corners[:3], (box.corners[1] + box.corners[3]) / 2)
            )
            masks.append(self._mask(picture, Box(0, 1.0, corners)))
        return masks


class Negative:
    name = "negative"

    def enhance(self, task: Task) -> Enhanced:
        self.task = task
        return Enhanced(255 - task.picture)


def run(segmenter: Any = None, with_candidates: bool = False, **changed: Any) -> tuple[Outcome, Negative]:
    enhancer = Negative()
    request = Request(**{"products": "bag", "fidelity": "off", "feather": 0.0, "drop_specks": 0.0, **changed})
    finder = Finder("several", Several(), segmenter or BoxSegmenter())
    picture = LoadedPicture.from_rgb(PICTURE)
    return pipeline.run(picture, request, finder, enhancer, with_candidates=with_candidates), enhancer


def square(*boxes: Sequence[float]) -> np.ndarray:
    mask = np.zeros(PICTURE.shape[:2], np.uint8)
    for x0, y0, x1, y1 in boxes:
        mask[int(y0) : int(y1), int(x0) : int(x1)] = 255
    return mask


@pytest.mark.parametrize(
    ("boxes", "taken"),
    [
        ("", (LEFT, RIGHT)),
        ("bag 6 10 35 50", (LEFT,)),
        ("60 10 95 50; Bag 40 52 58 78", (RIGHT, FAINT)),
        ("bag 40 52 58 78", (FAINT,)),
    ],
)
def test_the_boxes_taken_are_the_mask(boxes: str, taken: tuple[Sequence[float], ...]) -> None:
    outcome, _ = run(boxes=boxes)
    assert outcome.status == "found"
    assert np.array_equal(outcome.mask, square(*taken))
    assert {found.box for found in outcome.detections} == {tuple(map(int, box)) for box in taken}
    assert outcome.audit is not None and outcome.audit.changed_outside == 0


def test_a_choice_stands_in_the_report_and_goes_before_instances() -> None:
    outcome, _ = run(boxes="bag 5 10 35 50, 60 10 95 50, 0 0 9 9", instances="best")
    assert len(outcome.detections) == 2
    assert outcome.to_json()["steps"][0]["chosen"] == 3
    assert any("1 of 3 chosen boxes" in note for note in outcome.notes)


@pytest.mark.parametrize(("boxes", "words"), [("none", "no detection was taken"), ("bag 0 60 9 70", "1 chosen boxes")])
def test_nothing_taken_is_a_skip(boxes: str, words: str) -> None:
    outcome, _ = run(boxes=boxes)
    assert outcome.status == "skipped" and words in outcome.verdict.reason and outcome.result is None


def test_candidates_are_told_and_change_nothing() -> None:
    plain, told = run()[0], run(with_candidates=True)[0]
    assert np.array_equal(plain.mask, told.mask) and plain.findings is None
    assert told.findings is not None and [find.box.corners for find in told.findings.candidates] == [FAINT]
    left = run(with_candidates=True, boxes="bag 5 10 35 50")[0].findings
    assert left is not None and [find.box.corners for find in left.candidates] == [RIGHT, FAINT]


def test_strokes_correct_the_joined_mask_exactly() -> None:
    expected = square(LEFT, RIGHT)
    draw_stroke(expected, Stroke(True, 4, ((20, 60), (40, 70))))
    draw_stroke(expected, Stroke(False, 6, ((70, 20),)))
    outcome, enhancer = run(mask_edits="add 4: 20 60, 40 70; erase 6: 70 20", passes="each")
    assert np.array_equal(outcome.mask, expected)
    assert np.array_equal(enhancer.task.mask, expected)
    joined = np.maximum.reduce([piece.whole(*expected.shape) for piece in enhancer.task.pieces])
    assert np.array_equal(joined, expected), "every corrected pixel belongs to a pass"
    assert outcome.to_json()["steps"][1]["edits"] == 2
    assert "the mask was corrected by hand (2 edits)" in outcome.notes
    assert "the mask was corrected by hand (1 edit)" in run(mask_edits="add 4: 20 60, 40 70")[0].notes
    assert outcome.audit is not None and outcome.audit.changed_outside == 0


def test_a_stroke_is_all_that_lies_within_its_radius() -> None:
    mask = np.zeros((40, 60), np.uint8)
    draw_stroke(mask, Stroke(True, 5, ((10, 10), (50, 10), (50, 30))))
    for y in range(40):
        for x in range(60):
            across = np.hypot(x - min(max(x, 10), 50), y - 10)
            down = np.hypot(x - 50, y - min(max(y, 10), 30))
            assert (mask[y, x] == 255) == (min(across, down) <= 5), (x, y)


def test_edits_of_another_picture_are_left_aside_with_a_note() -> None:
    own, other = fingerprint(PICTURE), fingerprint(PICTURE[::-1])
    assert np.array_equal(run(mask_edits=f"of {other}; erase 90: 20 20")[0].mask, square(LEFT, RIGHT))
    assert any("another picture" in note for note in run(mask_edits=f"of {other}; erase 9: 1 1")[0].notes)
    assert not run(mask_edits=f"of {own}; erase 9: 20 20")[0].mask[20, 20]  # type: ignore[index]


def test_all_erased_is_a_failure_in_words() -> None:
    outcome, _ = run(mask_edits="erase 200: 50 40")
    assert outcome.status == "failed" and "erased the whole mask" in outcome.verdict.reason


def test_an_inverted_mask_is_corrected_as_it_is_shown() -> None:
    outcome, _ = run(invert=True, mask_edits="erase 3: 50 5")
    expected = 255 - square(LEFT, RIGHT)
    draw_stroke(expected, Stroke(False, 3, ((50, 5),)))
    assert np.array_equal(outcome.mask, expected)


def test_points_go_to_the_segmenter() -> None:
    outcome, _ = run(Pointed(), mask_edits="exclude: 20 45; include: 50 70; exclude: 50 60")
    assert np.array_equal(outcome.mask, square((5, 10, 35, 30), RIGHT, (47, 67, 54, 74)))


def test_a_segmenter_without_points_says_so() -> None:
    outcome, _ = run(mask_edits="include: 20 45")
    assert outcome.status == "failed" and "brush" in outcome.verdict.reason


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("boxes", "30 20 90"),
        ("boxes", "bag 90 20 30 60"),
        ("boxes", "all"),
        ("boxes", "shoe 30 20 90 60"),
        ("mask_edits", "add: 3 4"),
        ("mask_edits", "add 0: 3 4"),
        ("mask_edits", "add 9000: 3 4"),
        ("mask_edits", "erase 3: 4"),
        ("mask_edits", "of me"),
        ("mask_edits", "add 3: 1 1;" * 2001),
    ],
)
def test_what_cannot_be_read_is_named(name: str, text: str) -> None:
    with pytest.raises(RequestError) as raised:
        Request(products="bag", **{name: text})
    assert [problem.field for problem in raised.value.problems] == [name]


def test_boxes_of_products_that_are_left_out_go_with_them() -> None:
    """Boxes are those of the products, whatever the letters; of a request for some of its products their own."""
    request = Request(products="Bag, shoe: sneaker", boxes="bag 0 0 9 9, 1 1 5 5, shoe 2 2 8 8")
    bag, shoe = request.classes
    assert request.only(bag).boxes == "bag 0 0 9 9, 1 1 5 5" and request.only(shoe).boxes == "1 1 5 5, shoe 2 2 8 8"
    assert Request(products="bag, shoe", boxes="shoe 2 2 8 8").only(bag).boxes == "none"
    assert Request(products="bag, shoe").only(bag).boxes == ""


def test_reading() -> None:
    assert parse_boxes(" ") is None and parse_boxes("None") == ()
    edits = parse_edits("of 0123abcd; add 12: 30 -4, 35 44;\nexclude: 1 2")
    assert edits == MaskEdits("0123abcd", (Stroke(True, 12, ((30, -4), (35, 44))),), (Prompt((1, 2), False),))


def test_each_box_is_taken_once() -> None:
    boxes = parse_boxes("shoe 0 0 10 10, bag 0 0 10 10, bag 0 0 10 11")
    assert boxes is not None
    assert matched(parse_boxes("bag 0 0 10 10") or (), boxes) == [1]
    assert matched(parse_boxes("0 0 10 10, 0 0 10 10") or (), boxes) == [0, 1]
    assert matched(parse_boxes("bag 6 0 16 10") or (), boxes) == []
