"""The mask kit: each step against a plain, slow statement of what it means."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lib_prodshot import components, masks
from lib_prodshot.bounds import bounding_box
from lib_prodshot.errors import EnhanceError
from lib_prodshot.finding.interface import Box, Find
from lib_prodshot.request import Request

shapes = st.tuples(st.integers(1, 24), st.integers(1, 24))
binary = shapes.flatmap(lambda shape: arrays.arrays(np.uint8, shape, elements=st.sampled_from((0, 255))))


def request(**settings_: object) -> Request:
    return Request(**{"products": "bag, shoe", "drop_specks": 0.0, "feather": 0.0, **settings_})


def find(soft: np.ndarray, class_index: int = 0, score: float = 0.9, corners: tuple[float, ...] | None = None) -> Find:
    height, width = soft.shape
    return Find(Box(class_index, score, corners or (0.0, 0.0, float(width), float(height))), soft)


def disc(size: int, centre: tuple[int, int], radius: int) -> np.ndarray:
    soft = np.zeros((size, size), np.uint8)
    return cv2.circle(soft, centre, radius, 255, -1)


def ring(size: int = 60, outer: int = 25, inner: int = 22) -> np.ndarray:
    """A thin strap: its hole is larger than itself."""
    return cv2.circle(disc(size, (size // 2, size // 2), outer), (size // 2, size // 2), inner, 0, -1)


@settings(deadline=None)
@given(shapes.flatmap(lambda shape: arrays.arrays(np.uint8, shape)), st.integers(1, 99))
def test_threshold_is_at_least_the_probability(soft: np.ndarray, percent: int) -> None:
    expected = np.where(soft.astype(int) * 100 >= percent * 255, 255, 0)
    np.testing.assert_array_equal(masks.threshold(soft, percent / 100), expected)


@settings(deadline=None)
@given(binary, st.integers(-6, 6))
def test_grow_is_a_disc(mask: np.ndarray, pixels: int) -> None:
    height, width = mask.shape
    rows, columns = np.mgrid[:height, :width]

    def near(points: np.ndarray, radius: int) -> np.ndarray:
        reached = np.zeros(mask.shape, bool)
        for row, column in zip(*np.nonzero(points)):
            reached |= (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
        return reached

    expected = mask > 0 if pixels == 0 else near(mask, pixels) if pixels > 0 else (mask > 0) & ~near(mask == 0, -pixels)
    np.testing.assert_array_equal(masks.grow(mask, pixels), np.where(expected, 255, 0))


def test_shrinking_leaves_the_side_cut_by_the_picture_alone() -> None:
    mask = np.zeros((10, 10), np.uint8)
    mask[:6, :] = 255
    shrunk = masks.build_mask([find(mask)], request(grow=-2)).mask
    assert shrunk[:4].all() and not shrunk[4:].any()


@settings(deadline=None)
@given(binary, st.floats(0, 1))
def test_specks_go_and_nothing_else(mask: np.ndarray, share: float) -> None:
    kept = masks.drop_specks(mask, share)
    count, labels = cv2.connectedComponents(mask, connectivity=8)
    areas = [np.count_nonzero(labels == label) for label in range(1, count)]
    for label, area in enumerate(areas, start=1):
        assert (kept[labels == label] == (255 if area >= share * max(areas) else 0)).all()
    assert not kept[mask == 0].any()


@settings(deadline=None)
@given(binary)
def test_all_holes_are_filled_and_nothing_open(mask: np.ndarray) -> None:
    filled = masks.fill_holes(mask, 1.0)
    outside = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    cv2.floodFill(outside, None, (0, 0), 100)
    np.testing.assert_array_equal(filled, np.where(outside[1:-1, 1:-1] == 100, 0, 255))


def test_holes_up_to_a_share() -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[5:35, 5:35] = 255
    mask[10:12, 10:12] = 0
    mask[20:30, 20:30] = 0
    area = cv2.countNonZero(mask)
    assert cv2.countNonZero(masks.fill_holes(mask, 4 / area + 1e-6)) == area + 4
    assert cv2.countNonZero(masks.fill_holes(mask, 3 / area)) == area
    assert cv2.countNonZero(masks.fill_holes(mask, 1.0)) == 900


def test_a_strap_keeps_its_gap_unless_filling_is_asked_for() -> None:
    strap = ring()
    hole = masks.build_mask([find(strap)], Request(products="bag", feather=0.0)).mask
    assert not hole[30, 30]
    filled = masks.build_mask([find(strap)], Request(products="bag", feather=0.0, fill_holes=1.0)).mask
    assert filled[30, 30], "1 fills all, even a gap larger than the strap itself"


def test_a_gap_that_reaches_the_border_is_no_hole() -> None:
    mask = np.full((9, 9), 255, np.uint8)
    mask[:5, 4] = 0
    np.testing.assert_array_equal(masks.fill_holes(mask, 1.0), mask)


@settings(deadline=None)
@given(binary, st.sampled_from([0.5, 1.0, 2.0, 4.0]))
def test_feather_is_the_webuis_blur_and_ends_where_it_says(mask: np.ndarray, blur: float) -> None:
    reach = masks.feather_reach(blur)
    alpha = masks.feather(mask, blur)
    size = 2 * int(2.5 * blur + 0.5) + 1
    np.testing.assert_array_equal(alpha, cv2.GaussianBlur(mask, (size, size), blur))
    near = cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    assert not alpha[near == 0].any()


def test_feather_in_the_middle_and_at_the_border_of_a_large_picture() -> None:
    for box in ((300, 310, 400, 420), (0, 0, 30, 40), (560, 580, 600, 640)):
        mask = np.zeros((600, 640), np.uint8)
        mask[box[0] : box[2], box[1] : box[3]] = 255
        np.testing.assert_array_equal(masks.feather(mask, 8.0), cv2.GaussianBlur(mask, (41, 41), 8.0))


def test_no_feather_is_the_mask() -> None:
    mask = ring()
    np.testing.assert_array_equal(masks.feather(mask, 0.0), mask)


def boxes(*pairs: tuple[int, float]) -> list[Box]:
    return [Box(class_index, score, (0.0, 0.0, 1.0, 1.0)) for class_index, score in pairs]


@pytest.mark.parametrize(
    ("how", "index", "chosen"),
    [
        ("all", 0, [0, 1, 2, 3]),
        ("best", 0, [1, 3]),
        ("largest", 0, [2, 3]),
        ("index", 0, [1, 3]),
        ("index", 1, [0]),
        ("index", 2, [2]),
        ("index", 3, []),
    ],
)
def test_instances_are_chosen_in_each_class(how: str, index: int, chosen: list[int]) -> None:
    found = boxes((0, 0.6), (0, 0.9), (0, 0.5), (1, 0.4))
    assert masks.choose_instances(found, [10, 20, 30, 5], how, index) == chosen


def test_equals_are_settled_by_their_order() -> None:
    assert masks.choose_instances(boxes((0, 0.5), (0, 0.5)), [7, 7], "best") == [0]
    assert masks.choose_instances(boxes((0, 0.5), (0, 0.7)), [7, 7], "largest") == [1]


def test_build_joins_the_chosen_and_counts_their_own_pixels() -> None:
    left, right = disc(100, (30, 50), 10), disc(100, (70, 50), 20)
    both = masks.build_mask([find(left, 0, 0.9), find(right, 0, 0.5)], request())
    assert both.chosen == (0, 1) and both.areas == (cv2.countNonZero(left), cv2.countNonZero(right))
    np.testing.assert_array_equal(both.mask, masks.union([left, right]))
    np.testing.assert_array_equal(both.alpha, both.mask)
    best = masks.build_mask([find(left, 0, 0.9), find(right, 0, 0.5)], request(instances="best"))
    assert best.chosen == (0,)
    np.testing.assert_array_equal(best.mask, left)


def test_no_such_instance_gives_an_empty_answer() -> None:
    built = masks.build_mask([find(ring())], request(instances="index", instance_index=4))
    assert built.chosen == () and built.areas == () and not built.mask.any() and not built.alpha.any()


def test_order_of_the_steps() -> None:
    """Specks go before growing could join them, holes are filled before shrinking could open them."""
    soft = disc(120, (50, 60), 20)
    soft[60, 74:78] = 0
    soft[10, 10] = 255
    built = masks.build_mask([find(soft)], request(drop_specks=0.05, fill_holes=0.1, grow=3))
    expected = masks.grow(disc(120, (50, 60), 20), 3)
    np.testing.assert_array_equal(built.mask, expected)


@pytest.mark.parametrize(("share", "grow", "pixels"), [(0.1, 0, 5), (0.1, 2, 7), (-0.1, 0, -5), (-0.1, 5, 0)])
def test_growth_in_shares_of_the_boxs_longer_side(share: float, grow: int, pixels: int) -> None:
    soft = disc(200, (100, 100), 20)
    one = find(soft, corners=(80.0, 75.0, 121.0, 125.0))
    built = masks.build_mask([one], request(grow_share=share, grow=grow))
    np.testing.assert_array_equal(built.mask, masks.grow(soft, pixels))


def test_inverted_mask_is_feathered_on_the_other_side() -> None:
    soft = disc(80, (40, 40), 15)
    built = masks.build_mask([find(soft)], request(invert=True, feather=2.0))
    np.testing.assert_array_equal(built.mask, 255 - soft)
    np.testing.assert_array_equal(built.alpha, masks.feather(255 - soft, 2.0))
    assert built.alpha[40, 40] == 0


@pytest.mark.parametrize(
    ("soft", "changes", "complaint"),
    [
        (disc(50, (25, 25), 8), {"grow": -30}, "empty after shrinking"),
        (disc(50, (25, 25), 8), {"grow_share": -0.5}, "empty after shrinking"),
        (np.full((50, 50), 60, np.uint8), {}, "no pixel reaches 0.5"),
        (np.full((50, 50), 255, np.uint8), {"invert": True}, "fills the whole picture"),
        (disc(50, (25, 25), 0), {"feather": 64.0}, "too small for a feather"),
    ],
)
def test_an_empty_mask_says_why(soft: np.ndarray, changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(EnhanceError, match=complaint):
        masks.build_mask([find(soft)], request(**changes))


def test_one_empty_instance_among_others_is_no_error() -> None:
    built = masks.build_mask([find(disc(50, (10, 10), 2)), find(disc(50, (30, 30), 12))], request(grow=-5))
    assert built.areas[0] == 0 and built.areas[1] > 0


@settings(max_examples=50, deadline=None)
@given(
    shapes.flatmap(lambda shape: st.lists(arrays.arrays(np.uint8, shape), min_size=1, max_size=3)),
    st.integers(-4, 4),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 6),
    st.booleans(),
)
def test_the_region_of_interest_is_only_faster(
    softs: list[np.ndarray], pixels: int, specks: float, holes: float, blur: float, inverted: bool
) -> None:
    """The same steps on whole frames give the same mask and feather."""
    wish = request(grow=pixels, drop_specks=specks, fill_holes=holes, feather=blur, invert=inverted)
    whole = []
    for soft in softs:
        mask = masks.threshold(soft, 0.5)
        mask = masks.drop_specks(mask, specks) if specks else mask
        mask = masks.fill_holes(mask, holes) if holes else mask
        whole.append(masks.grow(mask, pixels) if mask.any() else mask)
    expected = masks.union(whole)
    try:
        built = masks.build_mask([find(soft) for soft in softs], wish)
    except EnhanceError:
        empty = not expected.any() or (inverted and expected.all())
        expected = 255 - expected if inverted else expected
        assert empty or not masks.feather(expected, wish.feather).any()
        return
    expected = 255 - expected if inverted else expected
    np.testing.assert_array_equal(built.mask, expected)
    np.testing.assert_array_equal(built.alpha, masks.feather(expected, wish.feather))
    assert set(np.unique(built.mask)) <= {0, 255}


def test_the_inputs_stay_as_they_were() -> None:
    soft = disc(60, (30, 30), 20)
    before = soft.copy()
    masks.build_mask([find(soft)], request(grow=2, fill_holes=1.0, drop_specks=0.1, feather=3.0, invert=True))
    np.testing.assert_array_equal(soft, before)


@settings(deadline=None)
@given(binary)
def test_bounding_box_is_the_smallest_rectangle(mask: np.ndarray) -> None:
    x, y, width, height = bounding_box(mask)
    assert cv2.countNonZero(mask[y : y + height, x : x + width]) == cv2.countNonZero(mask)
    if mask.any():
        inside = mask[y : y + height, x : x + width]
        assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any()
    else:
        assert (x, y, width, height) == (0, 0, 0, 0)


def test_bounding_box_of_a_mask_that_opencv_4_9_gets_wrong() -> None:
    mask = np.array([[123, 0], [158, 176], [193, 0], [0, 0], [0, 0]], np.uint8)
    assert bounding_box(mask) == (0, 0, 2, 3)


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 60), st.integers(1, 60))), st.floats(0.0, 4.0), st.data())
def test_specks_go_as_labels_for_every_pixel_say(noise: np.ndarray, blur: float, data: st.DataObject) -> None:
    """Blurred noise makes components of all sizes, in each other's holes too."""
    soft = cv2.GaussianBlur(noise, (0, 0), blur) if blur > 0.1 else noise
    mask = np.where(soft > data.draw(st.integers(0, 254)), np.uint8(255), np.uint8(0))
    share = data.draw(st.sampled_from((0.01, 0.05, 0.3, 1.0)))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    kept = [label for label in range(1, count) if areas[label] >= share * areas[1:].max()]
    np.testing.assert_array_equal(masks.drop_specks(mask, share) > 0, np.isin(labels, kept))


@given(
    arrays.arrays(
        np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.sampled_from((0, 0, 1, 255))
    ),
    st.sampled_from((4, 8)),
    st.sampled_from((0.0, 1.0)),
    st.data(),
)
def test_components_are_those_of_labels_for_every_pixel(
    mask: np.ndarray, connectivity: int, most_runs: float, data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # of no mask, and of each, labels are less work
        patch.setattr(components, "_MOST_RUNS", most_runs)
        patch.setattr(components, "_ROWS", data.draw(st.sampled_from((1, 7, 128))))
        found = components.components_of(mask, connectivity)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=connectivity)
        places = np.flatnonzero(mask).astype(np.int32)
        pairs = set(zip(found.at(places).tolist(), labels.ravel()[places].tolist()))
        assert len(pairs) == found.count == len(stats) - 1
        assert {own: int(stats[label, cv2.CC_STAT_AREA]) for own, label in pairs} == dict(enumerate(found.areas))
        chosen = np.array([data.draw(st.booleans()) for _ in range(found.count)], np.bool_)
        drawn = mask.copy()
        found.draw(chosen, drawn, 7)
        taken = [label for own, label in pairs if chosen[own]]
        np.testing.assert_array_equal(drawn, np.where(np.isin(labels, taken), 7, mask))


def test_the_components_of_a_photographs_mask_take_next_to_no_memory() -> None:
    mask = cv2.circle(np.zeros((1500, 2000), np.uint8), (900, 700), 600, 255, -1)
    mask[::50, 1600::50] = 255
    tracemalloc.start()
    try:
        assert components.components_of(mask).count == 1 + 30 * 8
        assert tracemalloc.get_traced_memory()[1] < 0.5 * mask.size
    finally:
        tracemalloc.stop()
