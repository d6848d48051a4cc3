"""The retouch: better on real photographs by measure, true to colour, nothing newly clipped, the product alone."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lib_prodshot import enhancing, masks, preserve
from lib_prodshot.enhancing import Enhanced, Task, load_enhancer, retouch, tone
from lib_prodshot.errors import EnhanceError
from lib_prodshot.request import Request
from lib_prodshot.resampling import by_area

SKIMAGE = Path(pytest.importorskip("skimage").__file__).parent / "data"
SEED = Path(__file__).parents[2] / "shared" / "seed"

# real photographs and an ellipse (centre, half axes) around something in each
PHOTOGRAPHS = {
    "coffee.png": ((310, 190), (150, 130)),
    "chelsea.png": ((200, 150), (120, 110)),
    "astronaut.png": ((250, 330), (140, 160)),
    "motorcycle_left.png": ((370, 270), (280, 180)),
    "rocket.jpg": ((320, 220), (60, 180)),
    "retina.jpg": ((700, 700), (500, 500)),
    "camera.png": ((250, 200), (120, 150)),
    "moon.png": ((250, 250), (150, 150)),
}


def photograph(name: str) -> np.ndarray:
    with Image.open(SKIMAGE / name) as image:
        return np.asarray(image.convert("RGB"))


def task(picture: np.ndarray, mask: np.ndarray, **changes: object) -> Task:
    request = Request(products="bag", **changes)
    return Task(picture, mask, masks.feather(mask, request.feather), (), request)


def photograph_task(name: str, **changes: object) -> Task:
    picture = photograph(name)
    mask = np.zeros(picture.shape[:2], np.uint8)
    cv2.ellipse(mask, *PHOTOGRAPHS[name], 0, 0, 360, 255, -1)
    return task(picture, mask, **changes)


def run(one: Task) -> tuple[np.ndarray, Enhanced]:
    """The picture as delivered: retouched and composited."""
    enhanced = load_enhancer("retouch").enhance(one)
    return preserve.composite(one.picture, enhanced.rgb, one.alpha), enhanced


def clipped(picture: np.ndarray, alpha: np.ndarray) -> int:
    return int(((picture == 0) | (picture == 255)).any(axis=2)[alpha > 0].sum())


def local_contrast(picture: np.ndarray, mask: np.ndarray) -> float:
    """Not the retouch's own measure: mean standard deviation of L* in 15 × 15 windows wholly inside the mask."""
    from skimage.color import rgb2lab

    lightness = rgb2lab(picture)[..., 0]
    mean, square = (cv2.blur(plane, (15, 15)) for plane in (lightness, lightness * lightness))
    whole = cv2.erode(mask, np.ones((15, 15), np.uint8)) > 0
    return float(np.sqrt(np.maximum(square - mean * mean, 0))[whole].mean())


def exact_shift(before: np.ndarray, after: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    from skimage.color import deltaE_ciede2000, rgb2lab

    inside = alpha > 0
    return deltaE_ciede2000(rgb2lab(before[inside][None]), rgb2lab(after[inside][None]))


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_gain_local_contrast_without_clipping_or_losing_their_colour(name: str, strength: float) -> None:
    one = photograph_task(name, strength=strength)
    after, enhanced = run(one)
    assert local_contrast(after, one.mask) > 1.01 * local_contrast(one.picture, one.mask)
    assert enhanced.measures["local_contrast_after"] > enhanced.measures["local_contrast_before"]
    assert clipped(after, one.alpha) <= clipped(one.picture, one.alpha)
    shift = exact_shift(one.picture, after, one.alpha)
    assert 0.2 < shift.mean() <= 10.0 and np.percentile(shift, 95) <= 10.0
    np.testing.assert_array_equal(after[one.alpha == 0], one.picture[one.alpha == 0])


@pytest.mark.parametrize("name", ["handbag", "shoes", "car", "watch"])
def test_the_seeds_products(name: str) -> None:
    masks_of = {"handbag": 0, "shoes": 0, "car": 0, "watch": 2}
    mask_file = SEED / "author_masks" / f"{name}_mask_{masks_of[name]}.png"
    if not mask_file.is_file():
        pytest.skip("the seed's pictures are not beside this checkout")
    with Image.open(SEED / "filter_image_inputs" / f"{name}.png") as image, Image.open(mask_file) as mask:
        one = task(np.asarray(image.convert("RGB")), np.asarray(mask.convert("L")))
    after, enhanced = run(one)
    assert local_contrast(after, one.mask) > local_contrast(one.picture, one.mask)
    assert clipped(after, one.alpha) <= clipped(one.picture, one.alpha)
    assert not enhanced.notes


def test_strength_scales_the_change_from_nothing_on() -> None:
    shifts = []
    for strength in (0.0, 0.1, 0.25, 0.5, 0.75, 1.0):
        one = photograph_task("coffee.png", strength=strength)
        after, _ = run(one)
        shifts.append(exact_shift(one.picture, after, one.alpha).mean())
    assert shifts[0] == 0 and shifts == sorted(shifts) and shifts[1] < shifts[-1] / 4


def test_strength_0_is_the_picture_itself() -> None:
    one = photograph_task("coffee.png", strength=0.0)
    np.testing.assert_array_equal(load_enhancer("retouch").enhance(one).rgb, one.picture)


def test_the_same_task_gives_the_same_bytes_and_leaves_its_input() -> None:
    one = photograph_task("coffee.png")
    before = one.picture.copy()
    first, second = (load_enhancer("retouch").enhance(one).rgb for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(one.picture, before)


@pytest.mark.parametrize("name", ["retina.jpg", "motorcycle_left.png", "rocket.jpg"])
def test_leaving_out_what_stays_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the columns with something to change are worked on: the same bytes as from whole rows."""
    narrow, _ = run(photograph_task(name))
    with monkeypatch.context() as patched:
        patched.setattr(retouch, "_columns", lambda alpha: slice(0, alpha.shape[1]))
        wide, _ = run(photograph_task(name))
    np.testing.assert_array_equal(narrow, wide)


def test_the_composite_may_be_made_in_the_retouchs_array() -> None:
    one = photograph_task("coffee.png")
    delivered, _ = run(one)
    enhanced = load_enhancer("retouch").enhance(one)
    assert enhanced.is_spare
    np.testing.assert_array_equal(preserve.composite(one.picture, enhanced.rgb, one.alpha, in_place=True), delivered)


def test_the_background_has_no_say() -> None:
    """Whatever stands around the product, the product comes out the same."""
    one = photograph_task("coffee.png", feather=0.0)
    changed = one.picture.copy()
    changed[one.mask == 0] = np.random.default_rng(0).integers(0, 256, (np.count_nonzero(one.mask == 0), 3))
    first, second = run(one)[0], run(task(changed, one.mask, feather=0.0))[0]
    difference = np.abs(first.astype(int) - second)[one.mask > 0]
    # the small copies' pixels along the edge mix in a little of what is beside it
    assert difference.mean() < 0.5 and np.percentile(difference, 99) <= 6


@pytest.mark.parametrize("limit", [0.0, 0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("name", ["chelsea.png", "rocket.jpg"])
def test_the_colour_limit_is_kept_by_reducing(name: str, limit: float) -> None:
    one = photograph_task(name, strength=1.0, delta_e_limit=limit)
    after, enhanced = run(one)
    shift = exact_shift(one.picture, after, one.alpha)
    assert shift.mean() <= limit and np.percentile(shift, 95) <= limit
    share = enhanced.measures["reduced_to"]
    assert share < 1 and any("reduced" in note and f"{limit:g}" in note for note in enhanced.notes)
    if limit >= 1:
        assert np.percentile(shift, 95) > 0.75 * limit, "the limit is used, not merely kept"


def test_the_colour_limit_can_refuse() -> None:
    one = photograph_task("chelsea.png", strength=1.0, delta_e_limit=1.0, over_limit="refuse")
    with pytest.raises(EnhanceError, match=r"ΔE2000 \d+\.\d \(95th percentile \d+\.\d\), above the limit of 1;"):
        run(one)
    run(photograph_task("chelsea.png", strength=0.05, delta_e_limit=5.0, over_limit="refuse"))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 70), st.integers(1, 70), st.floats(0.05, 1), st.booleans())
def test_nothing_is_newly_clipped_whatever_the_picture(
    seed: int, height: int, width: int, strength: float, extreme: bool
) -> None:
    generator = np.random.default_rng(seed)
    levels = np.array([0, 1, 2, 127, 253, 254, 255]) if extreme else np.arange(256)
    picture = generator.choice(levels, (height, width, 3)).astype(np.uint8)
    mask = np.where(generator.random((height, width)) < 0.7, np.uint8(255), np.uint8(0))
    if not mask.any():
        mask[0, 0] = 255
    one = task(picture, mask, strength=round(strength, 2), feather=2.0, delta_e_limit=100.0)
    after, enhanced = run(one)
    was = ((picture == 0) | (picture == 255)).any(axis=2)
    now = ((after == 0) | (after == 255)).any(axis=2)
    assert not (now & ~was).any()
    assert enhanced.rgb.shape == picture.shape and enhanced.rgb.dtype == np.uint8


@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (33, 70)])
def test_flat_products(level: int, size: tuple[int, int]) -> None:
    picture = np.full((*size, 3), level, np.uint8)
    after, enhanced = run(task(picture, np.full(size, 255, np.uint8), feather=0.0, strength=1.0))
    assert np.ptp(after) <= 1, "nothing is made up where there is nothing"
    assert enhanced.notes == ("local contrast could not be raised",)


def test_an_empty_mask_leaves_the_picture() -> None:
    picture = photograph("coffee.png")
    enhanced = load_enhancer("retouch").enhance(task(picture, np.zeros(picture.shape[:2], np.uint8)))
    np.testing.assert_array_equal(enhanced.rgb, picture)


def test_progress_rises_to_1() -> None:
    seen: list[float] = []
    one = photograph_task("retina.jpg")
    load_enhancer("retouch").enhance(Task(one.picture, one.mask, one.alpha, (), one.request, seen.append))
    assert seen == sorted(seen) and seen[-1] == 1.0 and len(seen) > 2


def test_an_interrupt_from_progress_passes_through() -> None:
    def stop(share: float) -> None:
        raise KeyboardInterrupt

    one = photograph_task("coffee.png")
    with pytest.raises(KeyboardInterrupt):
        load_enhancer("retouch").enhance(Task(one.picture, one.mask, one.alpha, (), one.request, stop))


def product(
    colour: tuple[int, int, int], cast: tuple[float, float, float] = (1, 1, 1)
) -> tuple[np.ndarray, np.ndarray]:
    """A shaded ball of that colour under light with that cast, with a white highlight."""
    rows, columns = np.mgrid[-1:1:200j, -1:1:200j]
    inside = rows**2 + columns**2 < 0.9
    light = np.clip(0.35 + 0.65 * np.sqrt(np.clip(1 - rows**2 - columns**2, 0, 1)), 0, 1)[..., None]
    sheen = np.clip(1.4 - 5 * np.hypot(rows + 0.3, columns + 0.3), 0, 0.9)[..., None]
    linear = tone.LINEAR[np.array(colour)] * light * (1 - sheen) + 0.6 * sheen
    linear = np.clip(linear * cast, 0.003, 0.95)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(srgb * 255).astype(np.uint8), np.where(inside, np.uint8(255), np.uint8(0))


@pytest.mark.parametrize("colour", [(190, 30, 35), (30, 60, 180), (40, 130, 60), (230, 200, 40), (200, 120, 150)])
def test_a_product_keeps_its_own_colour(colour: tuple[int, int, int]) -> None:
    from skimage.color import rgb2lab

    picture, mask = product(colour)
    np.testing.assert_allclose(tone.white_balance_gains(picture, mask), 1.0, atol=0.012)
    after, _ = run(task(picture, mask, strength=1.0))
    before_hue, after_hue = (
        np.arctan2(*np.median(rgb2lab(one[mask > 0][None])[0][:, [2, 1]], axis=0)) for one in (picture, after)
    )
    assert abs(np.degrees(after_hue - before_hue)) < 3


@pytest.mark.parametrize("cast", [(1.07, 1.0, 0.9), (0.93, 1.0, 1.1), (1.0, 1.06, 1.0)])
def test_a_cast_on_a_grey_product_is_lessened(cast: tuple[float, float, float]) -> None:
    from skimage.color import rgb2lab

    picture, mask = product((190, 190, 190), cast)
    after, _ = run(task(picture, mask, strength=1.0))
    chroma = [np.hypot(*np.median(rgb2lab(one[mask > 0][None])[0][:, 1:], axis=0)) for one in (picture, after)]
    assert chroma[1] < chroma[0]


def test_neutral_light_on_a_neutral_product_is_left_alone() -> None:
    np.testing.assert_allclose(tone.white_balance_gains(*product((180, 180, 180))), 1.0, atol=1e-6)


def test_vibrance_spares_greys_and_strong_colours() -> None:
    chroma = np.array([[0, 2, 13, 40, 110]], np.float32)
    gain = tone.vibrance_gain(chroma, np.zeros_like(chroma), 0.2)[0]
    assert gain[0] == 1 and gain[1] < 1.03 and gain[2] == gain.max() > 1.1 and gain[4] < 1.02


def test_strong_edges_get_no_halo() -> None:
    """Beside a hard edge between two plain surfaces neither side overshoots by more than a few levels."""
    picture = np.full((200, 200, 3), 70, np.uint8)
    picture[:, 100:] = 190
    after, _ = run(task(picture, np.full((200, 200), 255, np.uint8), strength=1.0, feather=0.0))
    row = after[100, :, 1].astype(int)
    assert np.abs(row[60:97] - np.median(row[30:60])).max() <= 8
    assert np.abs(row[103:140] - np.median(row[140:170])).max() <= 8


def test_a_dark_product_stays_dark() -> None:
    picture, mask = product((28, 28, 30))
    after, _ = run(task(picture, mask, strength=1.0))
    medians = [np.median(tone.lightness(one)[mask > 0]) for one in (picture, after)]
    assert abs(medians[1] - medians[0]) <= 25


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 255), min_size=1, max_size=40))
def test_the_exposure_curve_keeps_the_order_of_levels(values: list[int]) -> None:
    level = np.array([values], np.uint8)
    cumulative = tone.histogram(level, np.full(level.shape, 255, np.uint8))
    curve = np.arange(256) + tone.exposure_curve(cumulative)
    assert (np.diff(curve) > -1e-3).all() and curve[0] >= 0 and curve[-1] <= 255


def test_the_histogram_counts_the_product_only() -> None:
    level = np.array([[10, 20, 30, 200]], np.uint8)
    cumulative = tone.histogram(level, np.array([[255, 255, 0, 255]], np.uint8))
    assert cumulative[9] == 0 and cumulative[20] == pytest.approx(2 / 3) and cumulative[255] == 1


@pytest.mark.parametrize("size", [(512, 512), (300, 512), (2, 512), (701, 1203), (256, 90), (1, 700), (1024, 768)])
def test_mask_and_lightness_shrink_together_as_each_alone(size: tuple[int, int]) -> None:
    mask, level = np.random.default_rng(4).integers(0, 256, (2, *size), np.uint8)
    window, small = tone.Window.on(mask, level)
    for plane, whole in ((window.weight, mask), (small, level)):
        alone = by_area(whole, (plane.shape[1], plane.shape[0]))
        assert plane.dtype == np.float32 and np.array_equal(plane, alone)


def test_lightness_of_greys_is_cie_l() -> None:
    from skimage.color import rgb2lab

    greys = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    expected = rgb2lab(greys)[0, :, 0] * 2.55
    assert np.abs(tone.lightness(greys)[0] - expected).max() <= 0.51


def test_engines_are_loaded_by_name() -> None:
    assert load_enhancer("retouch").name == "retouch"
    with pytest.raises(EnhanceError, match="'inpaint' runs inside a WebUI only"):
        load_enhancer("inpaint")
    assert set(enhancing.__all__) >= {"Enhanced", "Enhancer", "Task"}
