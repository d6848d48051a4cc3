"""Removing what does not belong: text outside the product and the user's boxes, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest

from lib_prodshot import pipeline
from lib_prodshot.enhancing.interface import Enhanced, Task
from lib_prodshot.errors import EnhanceError, RequestError
from lib_prodshot.gates.rapid_reader import NEEDS
from lib_prodshot.gates.text import Line
from lib_prodshot.outcome import Outcome
from lib_prodshot.pictures import LoadedPicture
from lib_prodshot.removal import filled, parse, rectangles, region_of_letters
from lib_prodshot.request import Request
from tests.finders import fixed_finder

HEIGHT, WIDTH = 240, 320
DATE = (200, 205, 312, 232)
"""Where the picture's date stands, outside the product in the middle."""


class FixedReader:
    """Reads always the same lines."""

    name = "fixed"

    def __init__(self, *lines: Line) -> None:
        self.lines = lines
        self.seen: list[np.ndarray] = []

    def read(self, picture: np.ndarray) -> Sequence[Line]:
        self.seen.append(picture.copy())
        return self.lines


class Untouched:
    """An engine that changes nothing, and keeps what it was asked."""

    def __init__(self, name: str = "retouch", colour: int | None = None) -> None:
        self.name = name
        self.colour = colour
        self.tasks: list[Task] = []

    def enhance(self, task: Task) -> Enhanced:
        self.tasks.append(task)
        return Enhanced(task.picture if self.colour is None else np.full_like(task.picture, self.colour))


def photograph() -> np.ndarray:
    """A soft ground with a textured product in the middle and a date below it."""
    across = np.linspace(150, 190, WIDTH)[None, :, None]
    picture = np.broadcast_to(across, (HEIGHT, WIDTH, 3)).astype(np.uint8).copy()
    product = np.random.default_rng(3).integers(60, 120, (HEIGHT // 2, WIDTH // 2, 3), dtype=np.uint8)
    picture[HEIGHT // 4 : HEIGHT * 3 // 4, WIDTH // 4 : WIDTH * 3 // 4] = product
    return picture


def dated() -> np.ndarray:
    picture = photograph()
    cv2.putText(picture, "24.12.1998", (202, 226), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (250, 120, 20), 2, cv2.LINE_AA)
    return picture


def run(picture: np.ndarray, remove: str, reader: Any = None, engine: Any = None, **settings: Any) -> Outcome:
    request = Request(products="handbag", remove=remove, fidelity="off", feather=0, **settings)
    loaded = LoadedPicture.from_rgb(picture)
    return pipeline.run(loaded, request, fixed_finder(), engine or Untouched(), reader=reader)


def figures(outcome: Outcome) -> dict[str, Any]:
    return dict(next(step.figures for step in outcome.steps if step.step == "clean_up"))


def test_a_date_goes_and_nothing_else_changes() -> None:
    picture = dated()
    outcome = run(picture, "text", FixedReader(Line("24.12.1998", 0.9, DATE)))
    assert outcome.status == "found" and outcome.picture is not None and outcome.audit is not None
    x0, y0, x1, y1 = DATE
    elsewhere = np.ones((HEIGHT, WIDTH), bool)
    elsewhere[y0 - 9 : y1 + 9, x0 - 9 : x1 + 9] = False
    assert np.array_equal(outcome.picture[elsewhere], picture[elsewhere])
    error = np.abs(outcome.picture.astype(int) - photograph())
    assert error.max() <= 12 < np.abs(picture.astype(int) - photograph()).max()
    assert outcome.audit.changed_outside == 0
    told = figures(outcome)
    assert (told["lines"], told["boxes"], told["changed_outside"]) == (1, 0, 0) and told["pixels"] > 300
    assert any("removed text ('24.12.1998')" in note for note in outcome.notes)


def test_text_on_the_product_stays() -> None:
    reader = FixedReader(Line("BRAND", 0.99, (100, 100, 200, 130)), Line("faint", 0.2, DATE))
    outcome = run(photograph(), "text", reader)
    assert np.array_equal(outcome.picture, photograph())
    assert "there is no text outside the product to remove; 1 on it stay" in outcome.notes
    assert figures(outcome) == {"boxes": 0, "lines": 0, "pixels": 0}


def test_letters_that_reach_into_the_product_leave_it() -> None:
    picture = dated()
    outcome = run(picture, "text", FixedReader(Line("24.12.1998", 0.9, (200, 170, 312, 232))))
    assert outcome.picture is not None and outcome.mask is not None
    assert np.array_equal(outcome.picture[outcome.mask > 0], picture[outcome.mask > 0])


@pytest.mark.parametrize("remove", ["100 90 130 110", "31.25% 37.5% 40.625% 45.8333%", "130, 110, 100, 90"])
def test_a_sticker_on_the_product_is_the_users_box(remove: str) -> None:
    picture = photograph()
    picture[90:110, 100:130] = (255, 0, 0)
    engine = Untouched()
    outcome = run(picture, remove, engine=engine)
    assert outcome.picture is not None
    changed = (outcome.picture != picture).any(axis=2)
    assert changed[90:110, 100:130].all() and changed.sum() == 20 * 30
    assert figures(outcome)["boxes"] == 1
    # the engine that comes after works on the picture without it
    assert np.array_equal(engine.tasks[0].picture[90:110, 100:130], outcome.picture[90:110, 100:130])


def test_packshots_show_what_is_left() -> None:
    picture = photograph()
    picture[90:110, 100:130] = (255, 0, 0)
    outcome = run(picture, "100 90 130 110", make="packshot", edges="hard", ground="white")
    assert outcome.status == "found" and outcome.packshots[0].result is not None
    red = (outcome.packshots[0].result.rgb == (255, 0, 0)).all(axis=2)
    assert not red.any()


def test_a_picture_without_the_product_is_not_touched() -> None:
    request = Request(products="handbag", remove="text; 0 0 10 10")
    reader = FixedReader(Line("24.12.1998", 0.9, DATE))
    loaded = LoadedPicture.from_rgb(dated())
    outcome = pipeline.run(loaded, request, fixed_finder(score=0.1), Untouched(), reader=reader)
    assert outcome.status == "skipped" and outcome.result is None and not reader.seen


class Refusing(Untouched):
    def enhance(self, task: Any) -> Any:
        raise EnhanceError("no memory for the pass")


def test_a_picture_that_fails_later_is_not_said_to_be_cleaned() -> None:
    outcome = run(dated(), "0 0 40 30; text", FixedReader(), Refusing())
    assert outcome.status == "failed" and "no memory for the pass" in outcome.verdict.reason
    assert outcome.notes == ("there is no text outside the product to remove",)


def test_the_inpaint_pass_paints_it_over_with_its_own_prompt() -> None:
    engine = Untouched("inpaint", colour=77)
    request = Request(
        products="handbag", remove="0 0 40 30", remove_with="inpaint", engine="inpaint", fidelity="off", feather=0
    )
    outcome = pipeline.run(LoadedPicture.from_rgb(photograph()), request, fixed_finder(), engine)
    removal, product = engine.tasks
    assert (removal.request.prompt, removal.request.control) == ("clean empty background", "off")
    assert removal.request.denoising_strength == 1.0 and (removal.mask > 0).sum() == 40 * 30
    assert (product.picture[:30, :40] == 77).all() and outcome.picture is not None
    assert (outcome.picture[:30, :40] == 77).all() and not (outcome.picture[:30, 40:60] == 77).any()


def test_without_the_engine_the_pass_is_refused_by_its_field() -> None:
    with pytest.raises(RequestError, match="remove_with"):
        run(photograph(), "0 0 40 30", remove_with="inpaint")


def test_without_a_reader_it_is_refused_by_its_field_before_anything_is_looked_for() -> None:
    finder = fixed_finder()
    request = Request(products="handbag", remove="text")
    with pytest.raises(RequestError, match="remove: .*rapidocr is missing"):
        pipeline.run(LoadedPicture.from_rgb(dated()), request, finder, Untouched())


@pytest.mark.parametrize("remove", ["400 10 500 60", "10 10 10 50", "0% 0% 0.1% 0.1%"])
def test_boxes_without_a_pixel_are_told(remove: str) -> None:
    outcome = run(photograph(), remove)
    assert outcome.status == "failed" and "covers a pixel of the picture, which is 320×240" in outcome.verdict.reason
    half = run(photograph(), f"0 0 10 10; {remove}")
    assert half.status == "found" and "1 of 2 boxes to remove cover no pixel of the picture" in half.notes


def test_the_whole_picture_cannot_be_filled_from_itself() -> None:
    outcome = run(photograph(), "0 0 100% 80%")
    assert (
        outcome.status == "failed" and outcome.result is None and "covers 80% of the picture" in outcome.verdict.reason
    )


@pytest.mark.parametrize("make", ["enhance", "packshot"])
def test_where_much_of_the_product_goes_somebody_should_look(make: str) -> None:
    outcome = run(photograph(), "25% 25% 75% 50%", make=make)
    assert outcome.status == "found" and figures(outcome)["product"] == 0.5
    assert any("50% of the product was painted over" in reason for reason in outcome.needs_review)
    assert not run(photograph(), "0 0 20 20").needs_review


@pytest.mark.parametrize("angle", [0, 30, 90])
def test_of_a_slanted_line_on_a_textured_ground_only_the_letters_go(angle: int) -> None:
    ground = np.random.default_rng(1).normal(120, 12, (300, 300, 1)).clip(0, 255).astype(np.uint8).repeat(3, axis=2)
    written = np.zeros((300, 300), np.uint8)
    cv2.putText(written, "WATERMARK", (60, 158), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 255, 3, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((150, 150), angle, 1)
    letters = cv2.warpAffine(written, turn, (300, 300))
    picture = np.where(letters[:, :, None] > 60, np.uint8(245), ground)
    upright = np.array([(58, 130), (242, 130), (242, 164), (58, 164)], float)
    quad = [tuple(point) for point in upright @ turn[:, :2].T + turn[:, 2]]
    region = region_of_letters(picture, [quad])
    assert (region[letters > 60] == 255).mean() > 0.99
    assert (region > 0).sum() < 2.2 * (letters > 60).sum() + 1500, "little more than the letters"


@pytest.mark.parametrize("told", ["tekst", "1 2 3", "1 2 3 4 5", "a b c d", "text 1 2 3 4", "1 2 3 4;" * 201])
def test_what_cannot_be_read_is_refused_by_its_field(told: str) -> None:
    with pytest.raises(RequestError, match="remove"):
        Request(products="car", remove=told)


def test_boxes_are_cut_off_at_the_edges() -> None:
    removal = parse("-5 -5 10 10\n90% 90% 120% 120%; 5 5 5 9; text")
    assert removal.text and rectangles(removal, 100, 200) == ((0, 0, 10, 10), (180, 90, 200, 100))


def test_filling_leaves_every_other_pixel_and_hides_a_line() -> None:
    picture = photograph()
    picture[20:24, 50:250] = 255
    region = np.zeros((HEIGHT, WIDTH), np.uint8)
    region[19:25, 49:251] = 255
    after = filled(picture, region)
    assert np.array_equal(after[region == 0], picture[region == 0])
    assert np.abs(after.astype(int) - photograph())[region > 0].max() <= 6


def test_where_letters_cannot_be_told_from_their_ground_the_whole_line_goes() -> None:
    line = [(20, 20), (60, 20), (60, 40), (20, 40)]
    region = region_of_letters(np.full((60, 80, 3), 128, np.uint8), [line])
    assert (region[20:41, 20:61] == 255).all() and (region > 0).sum() == 21 * 41


def test_a_printed_date_is_read_and_removed() -> None:
    """With the real reader, where it is installed."""
    for name in NEEDS:
        pytest.importorskip(name)
    from lib_prodshot.gates.rapid_reader import RapidReader

    picture = dated()
    reader = RapidReader()
    outcome = run(picture, "text", reader)
    assert any("1998" in note for note in outcome.notes), outcome.notes
    assert outcome.picture is not None and not reader.read(outcome.picture[180:, 160:])
