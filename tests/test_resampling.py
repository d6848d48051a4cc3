"""Pictures made much smaller: the mean over each area, a box in its place; others as they were. Halves of odd sides."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from lib_prodshot.enhancing import tone
from lib_prodshot.finding.lite.cropping import working_copy
from lib_prodshot.finding.lite.guided_filter import guided_upsample
from lib_prodshot.finding.lite.networks.saliency import saliency_map
from lib_prodshot.resampling import by_area, halve, halve_all, is_far

Samples = npt.NDArray[np.uint8]


def scene(height: int, width: int) -> Samples:
    """A slope of light with hard edges and a sensor's noise."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    grey = 40 + 120 * rows / height + 60 * columns / width
    grey[(rows // 37 + columns // 53) % 2 > 0] -= 35
    noisy = grey[..., None] + np.random.default_rng(1).normal(0, 4, (height, width, 3)).astype(np.float32)
    return np.asarray(np.clip(np.rint(noisy), 0, 255), np.uint8)


def exact_mean(picture: Samples, size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """The mean over the area that each pixel of `size` covers, in float64."""

    def weights(many: int, few: int) -> npt.NDArray[np.float64]:
        ends = np.arange(few + 1) * many / few
        at = np.arange(many)
        covered = np.minimum(at + 1, ends[1:, None]) - np.maximum(at, ends[:-1, None])
        return np.asarray(np.clip(covered, 0, 1) * few / many, np.float64)

    height, width = picture.shape[:2]
    narrowed = np.tensordot(weights(width, size[0]), picture.astype(np.float64), (1, 1))
    return np.asarray(np.tensordot(weights(height, size[1]), narrowed, (1, 1)))


FAR = [((1000, 1500), (256, 171)), ((1001, 1503), (256, 171)), ((1607, 1203), (128, 128)), ((683, 4097), (1024, 170))]


@pytest.mark.parametrize(("shape", "size"), FAR)
def test_a_large_picture_is_the_exact_mean_rounded(shape: tuple[int, int], size: tuple[int, int]) -> None:
    picture = scene(*shape)
    small = by_area(picture, size)
    # OpenCV leaves out shares of less than a thousandth of a sample
    assert np.abs(small - exact_mean(picture, size)).max() < 0.55
    # the same means as OpenCV's, but for what lies in the middle between two levels
    apart = np.abs(small.astype(np.int16) - cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
    assert apart.max() <= 1 and np.count_nonzero(apart) <= 2e-4 * apart.size


@pytest.mark.parametrize("value", [0, 1, 254, 255])
def test_an_even_picture_stays_as_it_is(value: int) -> None:
    assert (by_area(np.full((2801, 4203, 3), value, np.uint8), (320, 320)) == value).all()


@pytest.mark.parametrize(
    ("shape", "size"),
    [((683, 1536), (256, 171)), ((4000, 300), (100, 100)), ((300, 4000), (99, 101)), ((90, 70), (70, 90))],
)
def test_without_a_factor_of_4_the_bytes_are_those_of_the_resampling_by_area(
    shape: tuple[int, int], size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = scene(*shape)
    expected = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    monkeypatch.setattr(cv2, "accumulateWeighted", None)
    assert not is_far(picture, size) and np.array_equal(by_area(picture, size), expected)


def test_from_a_factor_of_4_on_rows_are_added_first() -> None:
    grey = np.zeros((4096, 8200), np.uint8)
    assert is_far(grey, (2050, 1024)) and not is_far(grey, (2051, 1024)) and not is_far(grey, (2050, 1025))


def test_a_part_of_a_picture_is_read_in_place() -> None:
    picture = scene(900, 1300)
    part = picture[33:887, 11:1290]
    assert np.array_equal(by_area(part, (200, 150)), by_area(np.ascontiguousarray(part), (200, 150)))
    assert np.array_equal(by_area(part[..., 0], (200, 150)), by_area(part, (200, 150))[..., 0])


def test_photographs_up_to_4095_pixels_have_the_working_copy_they_had() -> None:
    picture = scene(600, 4095)
    copy, factor = working_copy(picture)
    assert factor == 1024 / 4095
    assert np.array_equal(copy, cv2.resize(picture, (1024, 150), interpolation=cv2.INTER_AREA))


def edge(profile: npt.NDArray[np.floating]) -> float:
    """Where along 0 → 255 the step lies, to a fraction of a pixel."""
    return float(len(profile) - profile.sum() / 255)


@pytest.mark.parametrize("width", [4096, 4097, 5999, 8193, 8195, 12287])
def test_a_box_at_the_far_edge_stays_at_its_place(width: int) -> None:
    """Across and down, to a hundredth of a pixel of the working copy."""
    for turns in (0, 1):
        picture = np.zeros((width, 40, 3), np.uint8)
        picture[width - 30 :] = 255
        copy, factor = working_copy(np.rot90(picture, turns))
        upright = np.rot90(copy, -turns)
        assert upright.shape[0] == 1024
        assert abs(edge(upright[:, 0, 0]) - (width - 30) * factor) < 0.01


def test_a_mask_is_brought_up_to_the_edge_of_a_large_picture() -> None:
    picture = np.full((3843, 3901, 3), 30, np.uint8)
    picture[3100:, 3200:] = 200
    truth = picture[..., 0] > 100
    soft = cv2.resize(truth.astype(np.float32), (320, 320), interpolation=cv2.INTER_AREA)
    found = guided_upsample(soft, picture) > 127
    assert np.count_nonzero(found ^ truth) < 0.001 * np.count_nonzero(truth)


@pytest.mark.parametrize("width", [4097, 1301])
def test_the_saliency_network_sees_the_mean_of_a_large_part(width: int) -> None:
    seen: list[npt.NDArray[np.float32]] = []

    def network(batch: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        seen.append(batch)
        return [batch[:, :1]]

    picture = scene(1303, width)
    saliency_map(network, picture)  # type: ignore[arg-type]
    saliency_map(network, cv2.resize(picture, (320, 320), interpolation=cv2.INTER_AREA))  # type: ignore[arg-type]
    # a level is 0.02 of ImageNet's deviations
    assert np.abs(seen[0] - seen[1]).max() < 0.03


def test_the_retouch_shrinks_mask_and_lightness_alike() -> None:
    level = np.ascontiguousarray(scene(1203, 1405)[..., 0])
    window, small = tone.Window.on(level, level)
    assert np.array_equal(window.weight, small) and np.array_equal(window.shrink(level), small)
    assert np.abs(window.weight - exact_mean(level, (256, 219))).max() < 0.501


@pytest.mark.parametrize("shape", [(6, 8), (7, 8), (6, 9), (7, 9, 3), (1, 5), (5, 1), (1, 1)])
def test_halves_of_odd_sides(shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(2).integers(0, 256, shape).astype(np.uint8)
    even = np.pad(picture, [(0, shape[0] % 2), (0, shape[1] % 2), (0, 0)][: len(shape)], mode="edge").astype(np.int32)
    means = (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4
    assert halve_all(picture).shape == means.shape
    assert np.abs(halve_all(picture) - means).max() <= 0.5
    if min(shape[:2]) > 1:
        assert np.array_equal(halve(picture), halve_all(picture)[: shape[0] // 2, : shape[1] // 2])
