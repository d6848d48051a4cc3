"""What is told of a packshot: of the edge what it is, not how few pixels the photograph has."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from lib_prodshot.enhancing import NoEngine
from lib_prodshot.finding.finder import Finder
from lib_prodshot.finding.interface import Box, Picture, SoftMask
from lib_prodshot.pictures import LoadedPicture
from lib_prodshot.pipeline import run
from lib_prodshot.request import Request
from tests.finders import FixedDetector

EDGE = "much of the product is estimated edge"


class Drawn:
    """Gives a soft mask that is drawn already."""

    name = "drawn"

    def __init__(self, soft: npt.NDArray[np.uint8]) -> None:
        self.soft = soft

    def segment(self, picture: Picture, boxes: Sequence[Box]) -> list[SoftMask]:
        return [self.soft for _ in boxes]

    def unload(self) -> None:
        pass


def told(soft: npt.NDArray[np.uint8]) -> tuple[str, ...]:
    ground = np.full((*soft.shape, 3), 220, np.uint8)
    rgb = np.where(soft[..., None] > 127, np.uint8(70), ground)
    finder = Finder("drawn", FixedDetector(), Drawn(soft))
    outcome = run(LoadedPicture.from_rgb(rgb), Request(products="car", make="packshot"), finder, NoEngine())
    assert outcome.status == "found", outcome.verdict
    return outcome.needs_review


@pytest.mark.parametrize("side", [96, 160, 320])
def test_a_plain_outline_is_nothing_to_look_at_however_few_its_pixels(side: int) -> None:
    soft = cv2.ellipse(
        np.zeros((side, side), np.uint8), (side // 2, side // 2), (side // 4, side // 5), 0, 0, 360, 255, -1
    )
    assert told(soft) == ()


@pytest.mark.parametrize("side", [160, 320])
def test_straps_and_what_the_segmenter_is_not_sure_of_are(side: int) -> None:
    soft = np.zeros((side, side), np.uint8)
    for at in range(side // 4, 3 * side // 4, side // 20):
        cv2.line(soft, (at, side // 4), (at, 3 * side // 4), 255, 2)
    assert any(EDGE in reason for reason in told(soft))
    blurred = cv2.ellipse(np.zeros_like(soft), (side // 2, side // 2), (side // 4, side // 5), 0, 0, 360, 255, -1)
    assert any(EDGE in reason for reason in told(cv2.GaussianBlur(blurred, (0, 0), side / 16)))
