"""Which boxes share a pass."""

from __future__ import annotations

import pytest

from lib_prodshot.enhancing.crop import crop_of_box
from lib_prodshot.enhancing.grouping import Box, near_together


def grouped(boxes: list[Box], picture: tuple[int, int] = (2000, 1000)) -> list[list[int]]:
    return near_together(boxes, lambda box: crop_of_box(box, picture, 32, 512**2).area)


@pytest.mark.parametrize(
    ("boxes", "groups"),
    [
        ([], []),
        ([(10, 10, 200, 200)], [[0]]),
        # a pair of shoes; the same at the picture's two ends
        ([(100, 400, 400, 600), (420, 400, 720, 600)], [[0, 1]]),
        ([(100, 400, 400, 600), (1600, 400, 1900, 600)], [[0], [1]]),
        # a tag that hangs on a bag costs the bag nothing
        ([(500, 100, 1300, 900), (800, 500, 860, 600)], [[0, 1]]),
        # a small thing far beside a large one would have next to no pixels
        ([(100, 100, 900, 900), (1500, 500, 1560, 560)], [[0], [1]]),
        # a row is cut into pairs: each bottle keeps about half of its pixels
        ([(100 + 220 * n, 300, 300 + 220 * n, 700) for n in range(4)], [[0, 1], [2, 3]]),
        # two pairs, in any order
        ([(60, 60, 260, 260), (1700, 700, 1900, 900), (280, 60, 480, 260), (1480, 700, 1680, 900)], [[0, 2], [1, 3]]),
    ],
)
def test_groups(boxes: list[Box], groups: list[list[int]]) -> None:
    assert grouped(boxes) == groups


def test_many_boxes_are_grouped_in_no_time_to_speak_of() -> None:
    asked = []

    def area(box: Box) -> int:
        asked.append(box)
        return (box[2] - box[0]) * (box[3] - box[1])

    boxes = [(50 * n, 0, 50 * n + 40, 40) for n in range(40)]
    assert sorted(number for group in near_together(boxes, area) for number in group) == list(range(40))
    assert len(asked) == len(set(asked)) < 40 * 40
