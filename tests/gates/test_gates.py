"""The gates by themselves: what each sees, what it lets pass, and what it says it could not check."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from lib_prodshot import preserve
from lib_prodshot.bootstrap import ROOT
from lib_prodshot.gates import detail_lock, fidelity, growth, rapid_reader, text
from lib_prodshot.gates.interface import Answer, Answers
from lib_prodshot.gates.text import Line
from lib_prodshot.masks import feather

Array = np.ndarray


def square(x0: int, y0: int, x1: int, y1: int, side: int = 200) -> Array:
    mask = np.zeros((side, side), np.uint8)
    mask[y0:y1, x0:x1] = 255
    return mask


@pytest.fixture(scope="module")
def product() -> Array:
    """A coloured, textured picture."""
    rng = np.random.default_rng(3)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (200, 200)).astype(np.float32), (0, 0), 1.5) * 60
    return np.clip(np.array((170, 80, 60)) + grain[..., None], 0, 255).astype(np.uint8)


MASK = square(40, 40, 160, 160)


def test_growth_loss_and_shift_are_beyond_the_limit_and_an_equal_silhouette_is_not() -> None:
    assert growth.answer(MASK, MASK, 0.04).status == "pass"
    assert growth.answer(MASK, square(40, 40, 161, 160), 0.04).status == "pass"
    grown = growth.answer(MASK, square(40, 40, 170, 160), 0.04)
    assert grown.status == "fail" and grown.figures["growth"] == pytest.approx(10 / 120, abs=1e-4)
    assert "grew by 8.3%" in grown.reason and grown.excess == pytest.approx(10 / 120 / 0.04 - 1)
    assert "lost 8.3%" in growth.answer(MASK, square(40, 40, 150, 160), 0.04).reason
    moved = growth.answer(MASK, square(50, 40, 170, 160), 0.04)
    assert moved.figures["growth"] == moved.figures["loss"] > 0.08 and moved.figures["iou"] < 0.9


def test_a_mask_in_pieces_is_compared_as_a_whole() -> None:
    pieces = square(10, 10, 60, 60) | square(100, 100, 150, 150)
    answer = growth.answer(pieces, square(10, 10, 60, 60), 0.04)
    assert answer.figures["loss"] == 0.5 and answer.status == "fail"


def test_a_product_that_is_gone_is_told_and_one_that_fills_the_frame_is_not_checked() -> None:
    gone = growth.answer(MASK, np.zeros_like(MASK), 0.04)
    assert gone.status == "fail" and "finds no product there any more" in gone.reason
    filled = growth.answer(square(2, 2, 198, 198), MASK, 0.04)
    assert filled.status == "not checked" and "96%" in filled.reason
    assert growth.answer(np.zeros_like(MASK), MASK, 0.04).status == "not checked"


def test_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="different sizes"):
        growth.compare(MASK, MASK[:-1])
    with pytest.raises(ValueError, match="different sizes"):
        fidelity.measure(np.zeros((9, 9, 3), np.uint8), np.zeros((9, 8, 3), np.uint8), np.zeros((9, 9), np.uint8))


def test_colour_and_detail_pass_what_no_one_sees(product: Array) -> None:
    noisy = np.clip(product + np.random.default_rng(0).normal(0, 2, product.shape), 0, 255).astype(np.uint8)
    for after in (product, noisy):
        answer = fidelity.answer(fidelity.measure(product, after, MASK), fidelity.DIFFUSION)
        assert answer.status == "pass", answer


def test_colour_and_detail_see_another_hue_and_a_blur_each_by_its_own_figure(product: Array) -> None:
    turned = fidelity.measure(product, product[:, :, [1, 0, 2]], MASK)
    assert turned is not None and turned.hue_shift > 40 and turned.delta_e_mean > 20
    assert "hue turned" in fidelity.answer(turned, fidelity.DIFFUSION).reason
    soft = fidelity.measure(product, cv2.GaussianBlur(product, (0, 0), 3), MASK)
    assert soft is not None and soft.hue_shift < 5 and soft.gradient_correlation < 0.8
    assert "detail" in fidelity.answer(soft, fidelity.DIFFUSION).reason


def test_a_bare_surface_may_be_lightened_and_not_painted_on() -> None:
    bare = np.full((200, 200, 3), 120, np.uint8)
    soft = cv2.GaussianBlur(MASK, (0, 0), 6)[..., None] / 255
    lighter = np.rint(bare + 8 * soft).astype(np.uint8)
    assert fidelity.answer(fidelity.measure(bare, lighter, MASK), fidelity.DIFFUSION).status == "pass"
    painted = bare.copy()
    painted[60:140:8, 60:140] = 40
    assert "detail" in fidelity.answer(fidelity.measure(bare, painted, MASK), fidelity.DIFFUSION).reason


def test_what_changes_outside_the_mask_does_not_count(product: Array) -> None:
    after = product.copy()
    after[MASK == 0] = 0
    found = fidelity.measure(product, after, MASK)
    assert found is not None and found.delta_e_mean == 0 and found.gradient_correlation == 1 and found.ms_ssim == 1


def test_the_audits_colour_shift_is_another_figure_than_the_gates() -> None:
    """As the page says: it counts single pixels, and the soft edge."""
    rng = np.random.default_rng(1)
    before = np.full((1536, 1536, 3), 128, np.uint8)
    mask = square(100, 100, 1436, 1436, 1536)
    noisy = np.clip(128 + rng.normal(0, 16, before.shape), 0, 255).astype(np.uint8)
    measured = fidelity.measure(before, noisy, mask)
    assert measured is not None and 0 < measured.delta_e_p95 < 0.9 * preserve.delta_e(before, noisy, mask)[1]
    before, mask = before[:200, :200], square(60, 60, 140, 140)
    alpha = feather(mask, 8)
    faded = preserve.composite(before, np.full_like(before, 168), alpha)
    measured = fidelity.measure(before, faded, mask)
    assert measured is not None and measured.delta_e_mean > 1.2 * preserve.delta_e(before, faded, alpha)[0]


def test_a_product_too_small_to_compare_is_not_checked(product: Array) -> None:
    assert fidelity.measure(product, product, square(10, 10, 20, 120)) is None
    assert fidelity.answer(None, fidelity.DIFFUSION).status == "not checked"


def line(words: str, x: int, y: int, score: float = 0.99, wide: int = 100) -> Line:
    return Line(words, score, (x, y, x + wide, y + 20))


BEFORE = (line("Hand Soap", 10, 10), line("500 ml", 10, 50))


def test_a_changed_line_fails_with_its_box_and_lines_that_only_moved_pass() -> None:
    answer, lost = text.answer(BEFORE, (line("hanosaap", 12, 11), line("500 mL", 11, 50)), 0.15)
    assert answer.status == "fail" and lost == (BEFORE[0].box,)
    assert answer.figures == {"lines": 2, "lines_changed": 1, "letters_changed": 2, "worst_line": 0.25}
    assert text.answer(BEFORE, (line("HAND S0AP", 14, 13), line("500 ml", 10, 48)), 0.15)[0].status == "pass"


def test_a_line_that_is_gone_or_invented_counts() -> None:
    answer, lost = text.answer(BEFORE, BEFORE[:1], 0.15)
    assert answer.status == "fail" and answer.figures["worst_line"] == 1 and lost == (BEFORE[1].box,)
    assert text.answer(BEFORE, (*BEFORE, line("brand", 10, 120)), 0.15)[0].status == "fail"
    assert text.answer(BEFORE, (*BEFORE, line("brand", 10, 120, score=0.7)), 0.15)[0].status == "pass"


def test_a_line_read_in_two_parts_is_the_same_line() -> None:
    split = (line("Hand", 10, 10, wide=45), line("Soap", 60, 10, wide=50), BEFORE[1])
    assert text.answer(BEFORE, split, 0.15)[0].status == "pass"


def test_lines_read_unsurely_are_not_compared_and_none_is_not_checked() -> None:
    answer, lost = text.answer((line("smudge", 10, 10, score=0.6),), (), 0.15)
    assert answer.status == "not checked" and lost == ()


def test_only_lines_inside_the_product_are_read() -> None:
    class Reader:
        name = "fixed"

        def read(self, picture: Array) -> tuple[Line, ...]:
            assert picture.shape == (132, 132, 3), "the mask's rectangle and a margin"
            return (line("inside", 20, 20, wide=40), Line("beside", 0.9, (0, 0, 4, 4)))

    (found,) = text.read_inside(Reader(), np.zeros((200, 200, 3), np.uint8), MASK)
    assert found.text == "inside" and found.box == (54, 54, 94, 74)


def test_the_detail_lock_brings_detail_back_and_leaves_light_and_the_outside_alone(product: Array) -> None:
    darker = cv2.convertScaleAbs(cv2.GaussianBlur(product, (0, 0), 2), alpha=0.7)
    locked = detail_lock.lock(product, darker, MASK, 1.0)
    assert np.array_equal(locked[MASK == 0], darker[MASK == 0])
    like = [fidelity.measure(product, each, MASK) for each in (darker, locked)]
    assert like[0] is not None and like[1] is not None
    assert like[1].gradient_correlation > like[0].gradient_correlation + 0.1
    assert abs(float(locked[MASK > 0].mean()) - float(darker[MASK > 0].mean())) < 3
    assert detail_lock.lock(product, darker, MASK, 0.0) is darker


def test_lost_lines_get_all_of_their_detail_back_and_nothing_else_changes(product: Array) -> None:
    grey = np.full_like(product, 128)
    restored = detail_lock.restore(product, grey, MASK, [(60, 60, 120, 80), (500, 500, 600, 520)])
    assert restored[70, 62:118].std(axis=0).min() > 0.6 * product[70, 62:118].std(axis=0).max()
    assert np.array_equal(restored[100:], grey[100:]) and np.array_equal(restored[MASK == 0], grey[MASK == 0])


def test_the_best_of_several_tries_has_the_fewest_failures() -> None:
    fail = Answer("text", "fail", "text changed", excess=1.0)
    worse = Answers((fail, Answer("growth", "fail", "grew", excess=0.1)))
    unchecked = Answers((Answer("text", "not checked", "no reader"),))
    assert min(worse, Answers((fail,)), key=lambda each: each.badness).answers == (fail,)
    assert unchecked.status == "not checked" and worse.status == "fail" and Answers(()).status == "not checked"
    assert Answers((*unchecked.answers, Answer("growth", "pass", ""))).status == "pass"
    assert unchecked.passed and worse.describe() == "text changed; grew" and not worse.passed


def test_without_its_packages_there_is_no_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rapid_reader, "find_spec", lambda name: None if name == "omegaconf" else object())
    assert rapid_reader.installed_reader() is None


CJK = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")
SERIF = Path("/usr/share/fonts/truetype/dejavu/DejaVuSerif.ttf")


@pytest.fixture(scope="module")
def reader() -> rapid_reader.RapidReader:
    """PP-OCR's own weights, loaded once."""
    pytest.importorskip("rapidocr", reason="the extra 'text' is not installed")
    return rapid_reader.RapidReader()


def label(words: Sequence[str], points: int = 40, font: Path | None = None, turned: float = 0.0) -> Array:
    """A printed label, 360×200."""
    from PIL import Image, ImageDraw, ImageFont

    chosen = ImageFont.load_default(points) if font is None else ImageFont.truetype(str(font), points)
    image = Image.new("RGB", (360, 200), (240, 236, 225))
    for row, each in enumerate(words):
        ImageDraw.Draw(image).text((40, 30 + 70 * row), each, (20, 20, 30), font=chosen)
    return np.asarray(image.rotate(turned, Image.Resampling.BICUBIC, fillcolor=(240, 236, 225)))


@pytest.mark.once
@pytest.mark.parametrize(
    ("before", "after", "font", "points", "turned"),
    [
        (("Hand Soap", "Lavender"), ("Hand Soap", "Lamerder"), None, 40, 0.0),
        (("Hand Soap", "Lavender"), ("Hond Saop", "Lavender"), None, 18, 0.0),
        (("Crème de nuit", "peau sèche"), ("Crème de nuit", "peon sicte"), SERIF, 34, -8.0),
        (("有机绿茶", "云南"), ("有机红茶", "云南"), CJK, 40, 0.0),
    ],
)
def test_real_weights_read_a_label_and_see_exchanged_letters(
    reader: rapid_reader.RapidReader,
    before: Sequence[str],
    after: Sequence[str],
    font: Path | None,
    points: int,
    turned: float,
) -> None:
    if font is not None and not font.is_file():
        pytest.skip(f"the font {font.name} is not here")
    mask = np.full((200, 360), 255, np.uint8)
    lines, noisy, changed = (
        text.read_inside(reader, picture, mask)
        for picture in (
            label(before, points, font, turned),
            cv2.GaussianBlur(label(before, points, font, turned), (0, 0), 0.7),
            label(after, points, font, turned),
        )
    )
    assert {text.plain(each.text) for each in lines} == {text.plain(each) for each in before}
    assert text.answer(lines, noisy, text.LIMIT)[0].status == "pass"
    answer, lost = text.answer(lines, changed, text.LIMIT)
    assert answer.status == "fail" and len(lost) == 1, answer


def test_the_page_on_gates_names_the_limits_that_are_shipped() -> None:
    page = (ROOT / "docs" / "gates.md").read_text(encoding="utf-8")
    shipped = (growth.LIMIT, text.LIMIT, fidelity.DIFFUSION.delta_e, fidelity.DIFFUSION.hue, fidelity.DIFFUSION.detail)
    assert f"`{growth.SCENE_LIMIT:g}`" in page
    assert f"`{shipped[0]:g}` | `{shipped[1]:g}` | `{shipped[2]:g}` | `{shipped[3]:g}` | `{shipped[4]:g}`" in page
