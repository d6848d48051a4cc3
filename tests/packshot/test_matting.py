"""The cut-out's edge on small pictures whose truth is known: what is estimated, what is left alone, what stands in."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from lib_prodshot.packshot import cutout, edge_profile, foreground, matting
from lib_prodshot.packshot.colour_model import CELL, Cells, Gaussians, Likelihood, likelihood
from lib_prodshot.packshot.cutout import CutOut
from lib_prodshot.packshot.sparse import SparseAlpha

SIDE = 160
Floats = npt.NDArray[np.float32]
PRODUCT, GROUND = np.array((170, 40, 50), np.float32), np.array((120, 170, 190), np.float32)


def disc(sigma: float, radius: int = 45) -> Floats:
    """Alpha of a disc whose edge is blurred by `sigma` pixels."""
    big = cv2.circle(np.zeros((SIDE * 4, SIDE * 4), np.uint8), (SIDE * 2, SIDE * 2), radius * 4, 255, -1)
    sharp = cv2.resize(big, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return np.asarray(cv2.GaussianBlur(sharp, (0, 0), sigma) if sigma else sharp, np.float32)


def photographed(alpha: Floats, product: npt.NDArray[np.float32], ground: npt.NDArray[np.float32],
                 noise: float = 2) -> npt.NDArray[np.uint8]:  # fmt: skip
    mixed = product * alpha[..., None] + ground * (1 - alpha[..., None])
    return np.clip(np.rint(mixed + np.random.default_rng(3).normal(0, noise, mixed.shape)), 0, 255).astype(np.uint8)


def mask_of(alpha: Floats, moved: int = 0) -> npt.NDArray[np.uint8]:
    return np.roll(np.where(alpha > 0.5, np.uint8(255), np.uint8(0)), (moved, moved), (0, 1))


def rmse(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(first - second))))


@pytest.mark.parametrize("sigma", [0.0, 1.5])
def test_a_mask_a_pixel_off_is_put_right(sigma: float) -> None:
    true = disc(sigma)
    rgb, mask = photographed(true, PRODUCT, GROUND), mask_of(true, moved=1)
    cut, is_matted = cutout.by_matte(rgb, mask, None)
    band = cut.band > 0
    assert is_matted and rmse(cut.alpha[band], true[band]) < 0.25 * rmse(matting.as_alpha(mask)[band], true[band])
    assert np.array_equal(cut.alpha[~band], matting.as_alpha(mask)[~band])


def test_halvings_of_odd_sides_keep_the_edge_at_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alpha of a large band, solved at a quarter of the size, is brought up to the same pixels whether the part around
    the product has even sides or odd ones."""
    monkeypatch.setattr(matting, "_MOST_UNKNOWNS", 600)
    true = disc(1.5, 74)
    rgb, mask = photographed(true, PRODUCT, GROUND), mask_of(true)
    band = matting.band_around(mask, None)
    assert np.count_nonzero(band) > 2 * 2 * 600
    even, odd = (
        matting.estimate(rgb[:side, :side], mask[:side, :side], band[:side, :side], None)[0] for side in (160, 159)
    )
    assert rmse(odd, even[:159, :159]) < 0.001


def test_the_grounds_noise_leaves_no_haze() -> None:
    """What is the ground by its colour is exactly transparent, although it lies in the band."""
    true = disc(0)
    cut, _ = cutout.by_matte(photographed(true, PRODUCT, GROUND), mask_of(true), None)
    away = cv2.erode((true == 0).astype(np.uint8), np.ones((3, 3), np.uint8)) & (cut.band > 0)
    assert np.count_nonzero(away) > 300 and np.mean(cut.alpha[away > 0] == 0) > 0.95


def test_a_shadow_that_runs_under_the_product_stays_on_the_ground() -> None:
    true = disc(0.7)
    fall = np.clip(np.linspace(1.3, 0.5, SIDE, dtype=np.float32), 0.5, 1)[:, None, None]
    cut, _ = cutout.by_matte(photographed(true, PRODUCT, GROUND * fall), mask_of(true), None)
    assert rmse(cut.alpha, true) < 0.02


def test_where_colours_are_alike_the_masks_edge_stands() -> None:
    """A dark sole on its own shadow: nothing tells them apart, and nothing is invented between them."""
    true = disc(0)
    shaded = np.full((SIDE, SIDE, 3), 200, np.float32)
    shaded[SIDE // 2 + 20 :] = 44
    product = np.full((SIDE, SIDE, 3), (40, 41, 43), np.float32)
    mask = mask_of(true)
    cut, _ = cutout.by_matte(photographed(true, product, shaded), mask, None)
    low = np.zeros((SIDE, SIDE), np.bool_)
    low[SIDE // 2 + 30 :] = True
    feathered = matting.as_alpha(cutout.feather_levels(mask, 1.5))
    assert rmse(cut.alpha[low], feathered[low]) < 0.05
    high = np.zeros_like(low)
    high[: SIDE // 2] = True
    assert rmse(cut.alpha[high], true[high]) < 0.03


def test_a_neighbour_of_the_products_colour_stays_outside() -> None:
    """Three pixels of ground, then the same colour again within the band: only the mask tells whose it is."""
    true = np.zeros((SIDE, SIDE), np.float32)
    true[:80] = 1
    behind = np.tile(GROUND, (SIDE, SIDE, 1))
    behind[83:88] = PRODUCT
    mask = mask_of(true)
    cut, _ = cutout.by_matte(photographed(true, PRODUCT, behind), mask, None)
    assert (cut.band[83] == 255).all() and cut.alpha[83:].max() < 0.2
    told = np.full((SIDE, SIDE), 0, np.uint8)
    told[:88] = 255
    told[83:88] = 120
    believed, _ = cutout.by_matte(photographed(true, PRODUCT, behind), mask, told)
    assert believed.alpha[84:87].mean() > 0.5, "a soft mask that has something of the product there is believed"


def test_a_hair_of_another_colour_is_seen_on_a_textured_ground() -> None:
    """It has no pixel that is certain, and neither the body's colour nor that of bricks and mortar tells of it."""
    drawn = np.zeros((SIDE * 4, SIDE * 4), np.uint8)
    for end in (60, 320, 590):
        cv2.line(drawn, (SIDE * 2, SIDE * 2), (end, 20), 255, 5, cv2.LINE_AA)
    hair = cv2.resize(drawn, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    body = disc(0, radius=25)
    true = np.maximum(hair, body)
    product = np.where(body[..., None] > 0, PRODUCT, np.array((60, 25, 70), np.float32))
    down, across = np.mgrid[:SIDE, :SIDE]
    mortar = ((down % 20 < 4) | (across % 32 < 4))[..., None]
    bricks = np.where(mortar, np.float32(190), np.float32(105)) * np.array((1, 0.86, 0.74), np.float32)
    cut, _ = cutout.by_matte(photographed(true, product, bricks), mask_of(true, moved=1), None)
    away = cv2.dilate(body, np.ones((15, 15), np.uint8)) == 0
    seen = away & (hair > 0.7)
    assert rmse(cut.alpha[away & (cut.band > 0)], true[away & (cut.band > 0)]) < 0.06
    assert cut.alpha[seen].mean() > 0.93 * true[seen].mean()


def test_a_narrow_handle_out_of_focus_is_not_taken_for_an_opaque_one() -> None:
    """Nowhere opaque, it looks like a paler one; its middle is where the mask has its edge, and its course tells."""
    sharp = np.zeros((SIDE, SIDE), np.float32)
    sharp[:, 74:86] = 1
    true = np.asarray(cv2.GaussianBlur(sharp, (0, 0), 5), np.float32)
    soft = np.rint(true * 255).astype(np.uint8)
    cut, _ = cutout.by_matte(photographed(true, PRODUCT, GROUND), mask_of(true), soft)
    # what colours alone say is off by 0.2
    assert rmse(cut.alpha, true) < 0.08


def test_the_edges_course_runs_on_where_textured_ground_hides_it() -> None:
    true = disc(4)
    ground = cv2.GaussianBlur(np.random.default_rng(5).normal(0, 1, (SIDE, SIDE, 3)), (0, 0), 1.5)
    behind = np.clip(GROUND + 45 * ground / ground.std(), 0, 255).astype(np.float32)
    rgb, mask = photographed(true, PRODUCT, behind), mask_of(true, moved=1)
    band = matting.band_around(mask, np.rint(true * 255).astype(np.uint8))
    places = np.flatnonzero(band)
    told = matting._told(rgb, mask, band, places, matting._thin_parts(mask))
    course = edge_profile.along(mask, places, told)
    seen, known = true.ravel()[places], np.isfinite(course.variance)
    assert known.all() and rmse(course.alpha, seen) < 0.5 * rmse(told.alpha, seen)


def test_where_colours_say_nothing_no_course_is_found_in_them() -> None:
    mask = mask_of(disc(0))
    places = np.flatnonzero(matting.band_around(mask, None))
    nothing = Likelihood(*(np.full(len(places), value, np.float32) for value in (0.5, 50, 0)))
    assert edge_profile.along(mask, places, nothing).variance.min() > 0.3


def test_a_large_band_is_solved_at_half_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    true = disc(2)
    rgb, mask = photographed(true, PRODUCT, GROUND), mask_of(true, moved=1)
    band = matting.band_around(mask, None)
    solved = []
    whole = matting.solve

    def counted(rgb: npt.NDArray[np.uint8], *rest: npt.NDArray[np.uint8]) -> Floats | None:
        solved.append(rgb.shape[:2])
        return whole(rgb, *rest)

    monkeypatch.setattr(matting, "solve", counted)
    monkeypatch.setattr(matting, "_MOST_UNKNOWNS", cv2.countNonZero(band) - 1)
    alpha, is_matted = matting.estimate(rgb, mask, band, None)
    assert is_matted and solved == [(SIDE // 2, SIDE // 2)]
    assert np.array_equal(alpha[band == 0], matting.as_alpha(mask)[band == 0])
    assert rmse(alpha, true) < 0.5 * rmse(matting.as_alpha(mask), true)


def test_a_band_too_large_for_a_quarter_is_filtered(monkeypatch: pytest.MonkeyPatch) -> None:
    true = disc(2)
    rgb, mask = photographed(true, PRODUCT, GROUND), mask_of(true)
    monkeypatch.setattr(matting, "_MOST_UNKNOWNS", 10)
    monkeypatch.setattr(matting, "solve", None)
    cut, is_matted = cutout.by_matte(rgb, mask, None)
    assert not is_matted
    assert np.array_equal(cut.alpha[cut.band == 0], matting.as_alpha(mask)[cut.band == 0])


def test_no_convergence_is_filtered_too(monkeypatch: pytest.MonkeyPatch) -> None:
    true = disc(2)
    rgb, mask = photographed(true, PRODUCT, GROUND), mask_of(true, moved=1)
    band = matting.band_around(mask, None)
    assert matting.solve(rgb, mask, band) is not None
    monkeypatch.setattr(matting, "_MOST_ITERATIONS", 1)
    assert matting.solve(rgb, mask, band) is None
    cut, is_matted = cutout.by_matte(rgb, mask, None)
    assert not is_matted and rmse(cut.alpha, true) < rmse(matting.as_alpha(mask), true)


def test_own_colours_are_free_of_a_plain_ground() -> None:
    true = disc(2)
    rgb = photographed(true, PRODUCT, GROUND, noise=0)
    cut = SparseAlpha.of(true)
    own = CutOut(rgb, cut, foreground.estimate(rgb, cut), np.zeros_like(mask_of(true))).foreground.astype(np.float32)
    partial = (true > 0.1) & (true < 1)
    assert np.abs(own[partial] - PRODUCT).mean() < 3
    assert np.array_equal(own[true == 1], rgb[true == 1])


def test_colours_are_carried_on_along_their_slope() -> None:
    down, across = np.mgrid[:SIDE, :SIDE].astype(np.float32) / SIDE
    colours = np.stack([0.3 + 0.4 * down, 0.6 - 0.2 * across, 0.5 + 0 * down], axis=2)
    weight = np.ones((SIDE, SIDE), np.float32)
    weight[70:90, 60:100] = 0
    places = np.flatnonzero(weight == 0)
    cells = Cells(np.rint(colours * 255).astype(np.uint8))
    told = cells.at(places).around(cells.fitted(weight))
    assert np.abs(told.mean.T - colours.reshape(-1, 3)[places]).max() < 0.02
    assert told.spread[[0, 3, 5]].max() < 1e-2


def test_a_product_whose_edges_fall_on_those_of_cells_has_colours() -> None:
    side, first, end = 16 * CELL, 4 * CELL, 12 * CELL
    rgb = np.full((side, side, 3), 40, np.uint8)
    rgb[first:end, first:end] = (200, 100, 50)
    weight = np.zeros((side, side), np.float32)
    weight[first:end, first:end] = 1
    cells = Cells(rgb)
    told = cells.at(np.array([first * side + first])).around(cells.fitted(weight))
    assert np.allclose(told.mean[:, 0] * 255, (200, 100, 50), atol=1)


def test_alike_colours_tell_nothing_and_others_do() -> None:
    def one(mean: tuple[float, float, float]) -> Gaussians:
        spread = np.array([[1e-4, 0, 0, 1e-4, 0, 1e-4]], np.float32).T
        return Gaussians(np.array([mean], np.float32).T, spread)

    seen = np.array([[0.35, 0.4, 0.5]], np.float32).T
    apart = likelihood(seen, one((0.1, 0.4, 0.5)), one((0.6, 0.4, 0.5)), 1e-4)
    assert abs(apart.alpha[0] - 0.5) < 0.01 and apart.variance[0] < 2e-3 and apart.misfit[0] < 0.1
    alike = likelihood(seen, one((0.35, 0.4, 0.5)), one((0.36, 0.4, 0.5)), 1e-4)
    assert alike.variance[0] > 0.3
    foreign = likelihood(np.array([[0.35, 0.9, 0.5]], np.float32).T, one((0.1, 0.4, 0.5)), one((0.6, 0.4, 0.5)), 1e-4)
    assert foreign.misfit[0] > 100
