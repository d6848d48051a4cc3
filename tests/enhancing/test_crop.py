"""The crop of an inpaint pass: inside the picture, around the product, in a ratio that stretches nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_prodshot.enhancing.crop import FINE_GRID, crop_around


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    height, width = draw(st.integers(1, 300)), draw(st.integers(1, 300))
    x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    x1, y1 = draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height))
    mask = np.zeros((height, width), np.uint8)
    mask[y0:y1, x0:x1] = 255
    return mask


@given(masks(), st.one_of(st.none(), st.integers(0, 200)), st.sampled_from([128**2, 512**2, 512 * 768]))
def test_any_crop(mask: np.ndarray, padding: int | None, pixels: int) -> None:
    crop = crop_around(mask, padding, pixels)
    height, width = mask.shape
    assert 0 <= crop.x0 < crop.x1 <= width and 0 <= crop.y0 < crop.y1 <= height
    inside = np.zeros_like(mask)
    inside[crop.y0 : crop.y1, crop.x0 : crop.x1] = 255
    assert not (mask & ~inside).any()
    assert crop.width % FINE_GRID == crop.height % FINE_GRID == 0 and crop.width > 0 and crop.height > 0
    if padding is None:
        assert (crop.x0, crop.y0, crop.x1, crop.y1) == (0, 0, width, height)


@settings(deadline=None)
@given(masks(), st.integers(0, 100))
def test_nothing_is_stretched_where_the_picture_leaves_room(mask: np.ndarray, padding: int) -> None:
    room = 1500
    padded = np.pad(mask, room)
    crop = crop_around(padded, padding, 512**2)
    stretch = crop.width / crop.height / ((crop.x1 - crop.x0) / (crop.y1 - crop.y0))
    # half a pixel's rounding of the shorter side
    assert abs(stretch - 1) <= 0.51 / min(crop.x1 - crop.x0, crop.y1 - crop.y0)
    # a side of 96 pixels is rounded to 64 at the worst
    assert 0.65 <= crop.width * crop.height / 512**2 <= 1.45


def test_the_seeds_case() -> None:
    """The car of the seed: 328×175 pixels at the left edge of 512×512, padding 32, the size of the picture."""
    mask = np.zeros((512, 512), np.uint8)
    mask[225:400, 0:328] = 255
    crop = crop_around(mask, 32, 512**2)
    assert (crop.x0, crop.x1) == (0, 360) and crop.y0 <= 193 and crop.y1 >= 432
    assert (crop.width, crop.height) == (640, 448)


def test_cut_and_paste_at_the_same_size_lose_nothing() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (64, 128, 3), dtype=np.uint8)
    crop = crop_around(np.full((64, 128), 255, np.uint8), 0, 64 * 128)
    assert (crop.width, crop.height) == (128, 64) and crop.scale == 1
    assert np.array_equal(crop.paste(np.zeros_like(picture), crop.cut(picture)), picture)


def test_a_thin_strap_outlives_shrinking() -> None:
    mask = np.zeros((1024, 1024), np.uint8)
    mask[500:503] = 255
    crop = crop_around(mask, None, 256**2)
    assert set(np.unique(crop.cut_mask(mask))) == {0, 255}


@pytest.mark.parametrize("size", [(512, 512), (300, 200)])
def test_masks_stay_binary(size: tuple[int, int]) -> None:
    mask = (np.random.default_rng(0).random(size) > 0.5).astype(np.uint8) * 255
    crop = crop_around(mask, 10, 128**2)
    assert set(np.unique(crop.cut_mask(mask))) <= {0, 255}
