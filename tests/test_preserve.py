"""The promise: exact outside, counted sample by sample; ΔE2000 by a kept library and its published test data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lib_prodshot import pictures, preserve
from lib_prodshot.pictures import LoadedPicture, RestoredPicture

SKIMAGE = Path(pytest.importorskip("skimage").__file__).parent / "data"


def photograph(name: str = "coffee.png") -> np.ndarray:
    with Image.open(SKIMAGE / name) as image:
        return np.asarray(image.convert("RGB"))


def result_of(picture: LoadedPicture, native: np.ndarray) -> RestoredPicture:
    return RestoredPicture(picture, native, native)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40))
def test_composite_is_exact_at_both_ends_and_rounded_between(seed: int, height: int, width: int) -> None:
    generator = np.random.default_rng(seed)
    original, new = generator.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    alpha = generator.choice(np.array([0, 0, 1, 127, 128, 254, 255], np.uint8), (height, width))
    out = preserve.composite(original, new, alpha)
    weight = alpha[..., None].astype(np.int64)
    exact = original * (255 - weight) + new * weight
    np.testing.assert_array_equal(out, (exact * 2 + 255) // 510)
    np.testing.assert_array_equal(out[alpha == 0], original[alpha == 0])
    np.testing.assert_array_equal(out[alpha == 255], new[alpha == 255])


def test_mix_is_right_for_every_pair_of_levels() -> None:
    old, new = (grid.ravel().astype(np.uint8) for grid in np.mgrid[:256, :256])
    for weight in (0, 1, 2, 63, 127, 128, 200, 254, 255):
        alpha = np.full(len(old), weight, np.uint8)
        mixed = preserve.blend_colours(np.stack([old] * 3, axis=1), np.stack([new] * 3, axis=1), alpha)[:, 0]
        exact = old.astype(int) * (255 - weight) + new.astype(int) * weight
        np.testing.assert_array_equal(mixed, (exact * 2 + 255) // 510)


def test_composite_of_the_same_picture_changes_nothing() -> None:
    picture = photograph()
    alpha = np.random.default_rng(0).integers(0, 256, picture.shape[:2], dtype=np.uint8)
    np.testing.assert_array_equal(preserve.composite(picture, picture, alpha), picture)
    assert preserve.composite(picture, picture, alpha) is not picture


def test_composite_in_place_is_the_copy() -> None:
    """Over several bands, in a rectangle that begins and ends inside the picture."""
    generator = np.random.default_rng(5)
    original = generator.integers(0, 256, (300, 61, 3), dtype=np.uint8)
    alpha, new = np.zeros((300, 61), np.uint8), original.copy()
    box = (slice(7, 291), slice(3, 50))
    alpha[box] = generator.choice(np.array([0, 3, 200, 255], np.uint8), alpha[box].shape)
    alpha[7, 3] = alpha[290, 49] = 255
    new[box] = generator.integers(0, 256, new[box].shape, dtype=np.uint8)
    copied = preserve.composite(original, new, alpha)
    assert preserve.composite(original, new, alpha, in_place=True) is new
    np.testing.assert_array_equal(new, copied)


def test_plain_rgb_that_is_composed_is_the_result() -> None:
    picture = LoadedPicture.from_rgb(photograph())
    alpha = np.random.default_rng(0).integers(0, 256, picture.size, dtype=np.uint8) * np.uint8(2)
    composed = preserve.composite(picture.rgb, 255 - picture.rgb, alpha)
    copied = pictures.restore(picture, composed, alpha)
    assert pictures.restore(picture, composed, alpha, is_composed=True).native is composed
    np.testing.assert_array_equal(copied.native, composed)


def test_composite_crosses_its_strips() -> None:
    generator = np.random.default_rng(1)
    original, new = generator.integers(0, 256, (2, 1300, 9, 3), dtype=np.uint8)
    alpha = generator.integers(0, 256, (1300, 9), dtype=np.uint8)
    whole = preserve.composite(original, new, alpha)
    rows = [preserve.composite(original[k : k + 1], new[k : k + 1], alpha[k : k + 1]) for k in range(1300)]
    np.testing.assert_array_equal(whole, np.concatenate(rows))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16", "RGB;16"])
def test_audit_counts_every_leak_in_the_pictures_own_samples(mode: str) -> None:
    shape = {"RGB": (700, 40, 3), "RGB;16": (700, 40, 3), "RGBA": (700, 40, 4), "CMYK": (700, 40, 4)}.get(
        mode, (700, 40)
    )
    dtype, top = (np.uint16, 65535) if "16" in mode else (np.uint8, 255)
    native = np.random.default_rng(0).integers(0, top // 2, shape).astype(dtype)
    native = native > 60 if mode == "1" else native
    rgb = np.zeros((700, 40, 3), np.uint8)
    picture = LoadedPicture(rgb, native, mode, "PNG", ".png", lossless=True)
    alpha = np.zeros((700, 40), np.uint8)
    alpha[100:200] = 1
    leaky = native.copy()
    leaky[150, 5] = ~leaky[150, 5] if mode == "1" else leaky[150, 5] + 3
    assert preserve.audit(picture, result_of(picture, leaky), rgb, alpha).changed_outside == 0

    step = 1 if mode == "1" else 300 if "16" in mode else 9
    for row, column in ((0, 0), (99, 39), (511, 3), (512, 4), (699, 39)):
        leaky[row, column] = ~leaky[row, column] if mode == "1" else leaky[row, column] + step
    if native.ndim == 3:
        leaky[600, 7, -1] += 1  # one channel only, be it alpha or black
    audit = preserve.audit(picture, result_of(picture, leaky), rgb, alpha)
    assert audit.changed_outside == (6 if native.ndim == 3 else 5)
    assert audit.max_difference_outside == step


def test_audit_refuses_what_cannot_be_compared() -> None:
    picture = LoadedPicture.from_rgb(photograph())
    with pytest.raises(ValueError, match="cannot compare"):
        preserve.audit(picture, result_of(picture, picture.native[1:]), picture.rgb, picture.rgb[..., 0])


def test_a_faithful_restoration_passes_its_audit() -> None:
    picture = LoadedPicture.from_rgb(photograph())
    alpha = np.zeros(picture.size, np.uint8)
    cv2.circle(alpha, (300, 200), 100, 255, -1)
    alpha = cv2.GaussianBlur(alpha, (21, 21), 4)
    mixed = preserve.composite(picture.rgb, cv2.add(picture.rgb, (30, 0, 0, 0)), alpha)
    audit = preserve.audit(picture, pictures.restore(picture, mixed, alpha), mixed, alpha)
    assert (audit.changed_outside, audit.max_difference_outside) == (0, 0)
    assert 0 < audit.delta_e_mean <= audit.delta_e_p95


def test_no_mask_no_shift() -> None:
    picture = LoadedPicture.from_rgb(photograph())
    audit = preserve.audit(picture, result_of(picture, picture.native), picture.rgb, np.zeros(picture.size, np.uint8))
    assert audit == replace(audit, changed_outside=0, max_difference_outside=0, delta_e_mean=0.0, delta_e_p95=0.0)


# Sharma, Wu, Dalal: "The CIEDE2000 color-difference formula", Color Research and Application 30 (2005), table 1
SHARMA = (
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, -1.3802, -84.2814), (50.0, 0.0, -82.7485), 1.0),
    ((50.0, 2.4900, -0.0010), (50.0, -2.4900, 0.0009), 7.1792),
    ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
)


@pytest.mark.parametrize(("first", "second", "expected"), SHARMA)
def test_the_library_gives_the_published_differences(
    first: tuple[float, ...], second: tuple[float, ...], expected: float
) -> None:
    from skimage.color import deltaE_ciede2000

    assert float(deltaE_ciede2000(np.array(first), np.array(second))) == pytest.approx(expected, abs=1e-4)


def exact_shift(before: np.ndarray, after: np.ndarray, alpha: np.ndarray) -> tuple[float, float]:
    from skimage.color import deltaE_ciede2000, rgb2lab

    inside = alpha > 0
    shift = deltaE_ciede2000(rgb2lab(before[inside][None]), rgb2lab(after[inside][None]))
    return float(shift.mean()), float(np.percentile(shift, 95))


def test_small_masks_are_measured_whole() -> None:
    before = photograph()
    alpha = np.zeros(before.shape[:2], np.uint8)
    alpha[100:200, 150:250] = 255
    after = cv2.add(before, (12, 4, 0, 0))
    assert preserve.delta_e(before, after, alpha) == pytest.approx(exact_shift(before, after, alpha))


@pytest.mark.parametrize("name", ["coffee.png", "astronaut.png", "chelsea.png", "rocket.jpg", "ihc.png"])
def test_the_sample_is_within_one_percent(name: str) -> None:
    before = photograph(name)
    after = cv2.detailEnhance(before, sigma_s=10, sigma_r=0.15)
    alpha = np.zeros(before.shape[:2], np.uint8)
    alpha[10:-10, 250:400] = 255
    assert cv2.countNonZero(alpha) > 2 * preserve.SAMPLE
    rows, _ = preserve.sample_inside(alpha)
    assert preserve.SAMPLE // 2 <= len(rows) <= preserve.SAMPLE
    mean, p95 = preserve.delta_e(before, after, alpha)
    exact_mean, exact_p95 = exact_shift(before, after, alpha)
    assert mean == pytest.approx(exact_mean, rel=0.015) and p95 == pytest.approx(exact_p95, rel=0.03)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 700), st.integers(1, 400))
def test_samples_lie_inside_rise_and_never_vary(seed: int, height: int, width: int) -> None:
    alpha = np.random.default_rng(seed).integers(0, 3, (height, width), dtype=np.uint8)
    rows, columns = preserve.sample_inside(alpha)
    assert len(rows) <= preserve.SAMPLE and (alpha[rows, columns] > 0).all()
    order = rows * width + columns
    assert (np.diff(order) > 0).all()
    count = np.count_nonzero(alpha)
    assert len(rows) == count if count <= preserve.SAMPLE else len(rows) >= preserve.SAMPLE // 2
    again = preserve.sample_inside(alpha)
    np.testing.assert_array_equal(np.stack(again), np.stack((rows, columns)))


@pytest.mark.parametrize("kind", ["scattered", "runs", "whole"])
def test_the_sample_is_of_every_kth_pixel_in_reading_order(kind: str) -> None:
    """Picked by runs; here from a list of all pixels."""
    chance = np.random.default_rng(2)
    alpha = np.full((301, 400), 7, np.uint8)
    if kind == "scattered":
        alpha[chance.random(alpha.shape) < 0.5] = 0
    elif kind == "runs":
        alpha[:, 20:190] = alpha[:130] = alpha[-3:] = 0
    everything = np.flatnonzero(alpha)
    step = -(-len(everything) // preserve.SAMPLE)
    places = np.ravel_multi_index(preserve.sample_inside(alpha), alpha.shape)
    numbers = np.searchsorted(everything, places)
    np.testing.assert_array_equal(everything[numbers], places)
    np.testing.assert_array_equal(numbers // step, np.arange(len(everything) // step))
