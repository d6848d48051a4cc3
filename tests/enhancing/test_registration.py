"""A result that has drifted is put back onto its input: real photographs, drifts of known size.

How far it is off afterwards is told by the drift that was put in, not by what the registration says of itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from lib_prodshot.enhancing.colour_match import match_colours
from lib_prodshot.enhancing.registration import HELD, NotRegistered, register
from lib_prodshot.preserve import composite

SKIMAGE = Path(pytest.importorskip("skimage").__file__).parent / "data"
PHOTOGRAPHS = ("coffee.png", "chelsea.png")


@dataclass(frozen=True)
class Put:
    """A drift: shift in pixels, zoom about the middle, brightness, tint and the spread of the grain (levels)."""

    shift: tuple[float, float] = (0, 0)
    zoom: float = 1.0
    gain: float = 1.0
    tint: tuple[float, float, float] = (1, 1, 1)
    grain: float = 0.0

    def matrix(self, size: tuple[int, int]) -> np.ndarray:
        width, height = size
        x, y = (move + (1 - self.zoom) * side / 2 for move, side in zip(self.shift, (width, height)))
        return np.array([[self.zoom, 0, x], [0, self.zoom, y]])

    def of(self, picture: np.ndarray) -> np.ndarray:
        size = picture.shape[1], picture.shape[0]
        moved = cv2.warpAffine(picture, self.matrix(size), size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        noise = np.random.default_rng(0).normal(0, self.grain, moved.shape) if self.grain else 0
        return np.clip(moved * self.gain * np.array(self.tint) + noise, 0, 255).astype(np.uint8)


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
