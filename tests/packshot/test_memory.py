"""A packshot of a large photograph: no floats, and no copies, of all of it at once."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from lib_prodshot.finding.interface import Box, Find
from lib_prodshot.masks import build_mask
from lib_prodshot.packshot import composite, cutout, grounds, matting, residue, review, scenes, shadows, shop
from lib_prodshot.packshot.composite import Shadow
from lib_prodshot.packshot.cutout import CutOut
from lib_prodshot.packshot.framing import Frame, frame, parse_size
from lib_prodshot.packshot.placement import identity
from lib_prodshot.pictures import colour
from lib_prodshot.request import Request
from tests.training.dataset.colours import DISPLAY_P3, rgb_profile

HEIGHT, WIDTH = 2000, 3000
Picture = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def photograph() -> tuple[Picture, Picture]:
    """A picture of six megapixels, and the mask of the large product in it."""
    mask = cv2.ellipse(np.zeros((HEIGHT, WIDTH), np.uint8), (1500, 1000), (1300, 850), 0, 0, 360, 255, -1)
    grain = np.random.default_rng(5).integers(-6, 7, (HEIGHT, WIDTH, 1), np.int16)
    plain = np.where(cv2.GaussianBlur(mask, (0, 0), 2)[..., None] > 127, np.int16(90), np.int16(210))
    return np.repeat(np.clip(plain + grain, 0, 255).astype(np.uint8), 3, axis=2), mask


def peak(work: Callable[[], object]) -> float:
    """Bytes a pixel that are in memory at most during the work, above what was there before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / (HEIGHT * WIDTH)
    finally:
        tracemalloc.stop()


@pytest.mark.any_host
def test_a_cut_out_and_its_packshots_take_some_bytes_a_pixel(
    photograph: tuple[Picture, Picture], monkeypatch: pytest.MonkeyPatch
) -> None:
    # what is solved does not grow with the picture, and would hide what does
    monkeypatch.setattr(matting, "_MOST_UNKNOWNS", 12_000)
    rgb, mask = photograph
    made: list[CutOut] = []

    def cut() -> None:
        made.append(residue.cleared(cutout.by_matte(rgb, mask, cv2.GaussianBlur(mask, (0, 0), 4))[0]))

    assert peak(cut) < 8
    (own,) = made
    assert len(own.shares.places) < 0.05 * rgb.shape[0] * rgb.shape[1]

    def framed() -> None:
        found = frame(own, Frame(parse_size("700x700"), 0.85))
        placed = found.placement.placed_cutout(found.cutout)
        composed = composite.compose(placed, grounds.plain(700, 700, (255, 255, 255)), in_place=True)
        assert composite.audit(composed, found.placement, found.cutout, placed).changed_inside == 0

    assert peak(framed) < 4

    def over_its_own_ground() -> None:
        place = identity(HEIGHT, WIDTH)
        cover = shadows.soft(place.placed_alpha(own.shares), 1.0, 1.0)
        composed = composite.compose(own, grounds.blurred(own, place), Shadow(cover), in_place=True)
        assert composite.audit(composed, place, own, own).changed_inside == 0

    assert peak(over_its_own_ground) < 8

    def on_nothing() -> None:
        composed = composite.compose(own, None)
        assert shop.in_srgb(composite.as_picture(composed, None)).native.shape == (HEIGHT, WIDTH, 4)

    # its colours alone, and with their opacity
    assert peak(on_nothing) < 8

    def sweep() -> None:
        composite.compose(own, grounds.sweep(HEIGHT, WIDTH, (242, 242, 242)), in_place=True)

    assert peak(sweep) < 5

    def scene() -> None:
        place = identity(HEIGHT, WIDTH)
        start, _ = scenes.start(own, place)
        painted, _ = scenes.lit(start, own, place, 0.5)
        assert shadows.kept(own, place) is not None
        composite.compose(own, painted, in_place=True)

    assert peak(scene) < 11


@pytest.mark.any_host
def test_reviewing_a_photograph_takes_no_planes_of_it(photograph: tuple[Picture, Picture]) -> None:
    _, mask = photograph

    def looked_at() -> None:
        assert review._agreement(mask) == 1.0 and review._pieces(mask) == 1
        assert review._beyond_a_plain_edge(mask, 0.0) > 0.95 * cv2.countNonZero(mask)

    assert peak(looked_at) < 0.5


@pytest.mark.any_host
def test_a_find_s_own_mask_is_a_part_of_the_joined_one(photograph: tuple[Picture, Picture]) -> None:
    _, mask = photograph
    found = Find(Box(0, 0.9, (0.0, 0.0, float(WIDTH), float(HEIGHT))), mask)
    built = build_mask([found], Request(products="cup", make="packshot"))
    assert np.shares_memory(built.pieces[0].mask, built.mask)


@pytest.mark.any_host
def test_strips_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (300, 40, 3)).astype(np.uint8)
    profile = rgb_profile("P3", DISPLAY_P3)
    sweep, shown = grounds.sweep(300, 40, (240, 230, 220)), colour.from_profile(noise, "RGB", profile)
    monkeypatch.setattr(grounds, "_ROWS", 1000)
    monkeypatch.setattr(colour, "_ROWS", 1000)
    np.testing.assert_array_equal(grounds.sweep(300, 40, (240, 230, 220)), sweep)
    assert shown is not None and not np.array_equal(shown, noise)
    np.testing.assert_array_equal(colour.from_profile(noise, "RGB", profile), shown)
