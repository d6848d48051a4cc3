"""A result that has drifted is put back onto its input: real photographs, drifts of known size.

How far it is off afterwards is told by the drift that was put in, not by what the registration says of itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from lib_prodshot.enhancing.colour_match import match_colours
from lib_prodshot.enhancing.registration import HELD, NotRegistered, _content, register
from lib_prodshot.preserve import composite

SKIMAGE = Path(pytest.importorskip("skimage").__file__).parent / "data"
PHOTOGRAPHS = ("coffee.png", "chelsea.png")


@dataclass(frozen=True)
class Put:
    """A drift: shift in pixels, zoom about the middle, brightness, tint and the spread of the grain (levels); levels
    added, and what OpenCV puts where the picture has moved away."""

    shift: tuple[float, float] = (0, 0)
    zoom: float = 1.0
    gain: float = 1.0
    tint: tuple[float, float, float] = (1, 1, 1)
    grain: float = 0.0
    lift: float = 0.0
    border: int = cv2.BORDER_REFLECT

    def matrix(self, size: tuple[int, int]) -> np.ndarray:
        width, height = size
        x, y = (move + (1 - self.zoom) * side / 2 for move, side in zip(self.shift, (width, height)))
        return np.array([[self.zoom, 0, x], [0, self.zoom, y]])

    def of(self, picture: np.ndarray) -> np.ndarray:
        size = picture.shape[1], picture.shape[0]
        moved = cv2.warpAffine(picture, self.matrix(size), size, flags=cv2.INTER_CUBIC, borderMode=self.border)
        noise = np.random.default_rng(0).normal(0, self.grain, moved.shape) if self.grain else 0
        return np.clip(moved * self.gain * np.array(self.tint) + self.lift + noise, 0, 255).astype(np.uint8)


DRIFTS = {
    "none": Put(),
    "a part of a pixel": Put((3.3, -2.1)),
    "12 pixels, brighter, tinted, grain": Put((12, 0), 1.0, 1.1, (1.05, 1, 0.95), 4),
    "3 % larger": Put((2, 1), 1.03, 1.1, (1, 1, 1.06), 4),
    "3 % smaller, darker": Put((0, 0), 0.97, 0.9, (1, 1, 1), 6),
    "all at once": Put((8, -8), 0.98, 1.15, (0.96, 1, 1.04), 8),
}


def photograph(name: str) -> np.ndarray:
    with Image.open(SKIMAGE / name) as image:
        return np.asarray(image.convert("RGB"))


def masked(picture: np.ndarray) -> np.ndarray:
    """A product in the middle."""
    height, width = picture.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (width // 2, height // 2), (width // 5, height // 4), 0, 0, 360, 255, -1)
    return mask


def edited(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Something else where the product was."""
    new = picture.copy()
    new[mask > 0] = 255 - picture[::-1, ::-1][mask > 0]
    return new


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("drift", DRIFTS)
def test_a_drift_is_put_right(name: str, drift: str) -> None:
    picture, put = photograph(name), DRIFTS[drift]
    mask, size = masked(picture), (picture.shape[1], picture.shape[0])
    wanted = edited(picture, mask)
    moved, told = register(picture, put.of(wanted), 255 - mask)
    # the middle of what was edited, whose place is known, and the figures against those put in
    middle = put.matrix(size) @ (size[0] / 2, size[1] / 2, 1) - (size[0] / 2, size[1] / 2)
    assert np.hypot(*(np.array(told.shift) - middle)) < HELD and told.left <= HELD
    assert abs(told.zoom - put.zoom) * max(size) / 2 < HELD
    matched, match = match_colours(picture, moved, 255 - mask)
    assert match.after <= match.before
    for gain, tint in zip(match.gain, put.tint):
        assert abs(gain * put.gain * tint - 1) < 0.06, match
    inside = cv2.erode(mask, np.ones((9, 9), np.uint8)) > 0
    if put.gain != 1:
        before = np.abs(moved[inside].astype(int) - wanted[inside]).mean()
        assert np.abs(matched[inside].astype(int) - wanted[inside]).mean() < before
    kept = composite(picture, matched, mask)
    assert np.array_equal(kept[mask == 0], picture[mask == 0])


@pytest.mark.parametrize("border", [cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE], ids=["black", "replicated"])
@pytest.mark.parametrize(
    ("shift", "zoom"),
    [((3.3, -2.1), 1.0), ((7.3, -5), 1.0), ((12, 0), 1.0), ((8, -8), 0.98)],
    ids=["3", "7", "12", "zoom"],
)
def test_borders_that_show_nothing_do_not_count(shift: tuple[float, float], zoom: float, border: int) -> None:
    picture = cv2.resize(photograph("coffee.png"), (1344, 896), interpolation=cv2.INTER_CUBIC)
    mask, put = masked(picture), Put(shift, zoom, 1.05, border=border)
    _, told = register(picture, put.of(edited(picture, mask)), 255 - mask)
    middle = put.matrix((1344, 896)) @ (672, 448, 1) - (672, 448)
    assert np.hypot(*(np.array(told.shift) - middle)) < 0.2 and told.left < 0.25 and abs(told.zoom - zoom) < 0.0005


def test_a_plain_ground_is_no_border_that_shows_nothing() -> None:
    """A shop's white ground in another light is one colour on both; what is black on it now is not."""
    picture = np.full((300, 400, 3), 245, np.uint8)
    picture[60:240, 90:310] = cv2.resize(photograph("chelsea.png"), (220, 180))
    assert _content(picture, (picture * 0.5).astype(np.uint8)).all()
    moved = Put((0, 9), border=cv2.BORDER_CONSTANT).of(picture)
    shown = _content(picture, moved)
    assert not shown[:9].any() and shown[9:].all()


@pytest.mark.parametrize("limit", [0.0, 0.05])
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_what_needs_no_moving_is_taken_with_any_limit(name: str, limit: float) -> None:
    picture = photograph(name)
    mask = masked(picture)
    _, told = register(picture, Put(gain=1.05, grain=3).of(edited(picture, mask)), 255 - mask, limit)
    assert told.corner < 2 * HELD and told.left < HELD


def test_with_a_limit_of_0_nothing_is_moved() -> None:
    picture = photograph("coffee.png")
    with pytest.raises(NotRegistered, match=r"limit of 0 has nothing put right, .* lies 5\.0 pixels off"):
        register(picture, Put((5, 0)).of(picture), 255 - masked(picture), 0.0)


@pytest.mark.parametrize("border", [cv2.BORDER_CONSTANT, cv2.BORDER_REFLECT])
def test_how_far_off_is_told_where_it_is_known(border: int) -> None:
    picture = cv2.resize(photograph("coffee.png"), (1344, 896), interpolation=cv2.INTER_CUBIC)
    known = 255 - masked(picture)
    with pytest.raises(NotRegistered, match=r"67\.2 pixels are put right, .* lies 80\.\d pixels off at a corner"):
        register(picture, Put((80, 0), border=border).of(picture), known)
    with pytest.raises(NotRegistered) as refused:
        register(picture, Put((268, 0), border=border).of(picture), known)
    told = [float(number) for number in re.findall(r"lies ([\d.]+) pixels", str(refused.value))]
    assert all(abs(number - 268) < 2 for number in told), refused.value


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda picture: Put((60, 0)).of(picture), "off|common|recognised"),
        (lambda picture: np.full_like(picture, 128), "common|recognised"),
        (lambda picture: picture[::-1].copy(), "off|common|recognised"),
        (lambda picture: bent(picture), "bent"),
    ],
    ids=["60 pixels", "grey", "another picture", "bent"],
)
def test_what_cannot_be_held_is_refused(made: object, told: str) -> None:
    picture = photograph("coffee.png")
    with pytest.raises(NotRegistered, match=told):
        register(picture, made(picture), 255 - masked(picture))  # type: ignore[operator]


def bent(picture: np.ndarray) -> np.ndarray:
    """Waves of 5 pixels, which no affine map undoes."""
    rows, columns = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]].astype(np.float32)
    waves = columns + 5 * np.sin(rows / 25), rows + 5 * np.sin(columns / 25)
    return cv2.remap(picture, *waves, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def test_a_mask_over_all_leaves_nothing_to_go_by() -> None:
    picture = photograph("coffee.png")
    with pytest.raises(NotRegistered, match="too little"):
        register(picture, picture, np.zeros(picture.shape[:2], np.uint8))


def test_one_colour_outside_moves_no_contrast() -> None:
    """A shop's white ground says nothing of the contrast: only the light's level is taken from it."""
    truth, mask = np.full((64, 64, 3), 200, np.uint8), np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 255
    made = np.full((64, 64, 3), 190, np.uint8)
    made[16:48, 16:48] = np.arange(32)[:, None, None] * 6
    matched, match = match_colours(truth, made, 255 - mask)
    assert all(abs(gain - 1) < 0.01 for gain in match.gain)
    assert np.abs(matched[0, 0].astype(int) - 200).max() <= 1
