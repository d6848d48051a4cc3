"""Which products share an inpaint pass: near ones do; of those far apart each gets a pass, and its pixels, alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in whole pixels."""

JOIN_FACTOR = 1.25
"""Products share a pass while its crop is at most this many times as large as their two largest own crops together.

A pass has the same number of pixels whatever it shows. So a joint one spends at most a fifth of them on what lies
between the products, and the largest product keeps at least two fifths of the pixels that it would have alone.
"""


def near_together(boxes: Sequence[Box], crop_area: Callable[[Box], int]) -> list[list[int]]:
    """Distribute boxes over groups, by index; groups and their members in the order of the boxes.

    `crop_area` tells the area of the crop that a pass on a box would see, in pixels of the picture. The cheapest two
    groups are joined as long as their joint crop costs no more than `JOIN_FACTOR`.

    >>> def area(box):
    ...     return (box[2] - box[0]) * (box[3] - box[1])
    >>> near_together([(0, 0, 10, 10), (90, 0, 100, 10), (11, 0, 21, 10)], area)
    [[0, 2], [1]]
    """
    area = cache(crop_area)
    own = [area(box) for box in boxes]

    @cache
    def cost(members: tuple[int, ...]) -> float:
        largest = sorted((own[member] for member in members), reverse=True)[:2]
        return area(_around([boxes[member] for member in members])) / sum(largest)

    groups: list[tuple[int, ...]] = [(number,) for number in range(len(boxes))]
    while len(groups) > 1:
        cheapest, one, other = min((cost((*one, *other)), one, other) for one, other in combinations(groups, 2))
        if cheapest > JOIN_FACTOR:
            break
        groups = sorted([*(group for group in groups if group not in (one, other)), tuple(sorted((*one, *other)))])
    return [list(group) for group in groups]


def _around(boxes: Sequence[Box]) -> Box:
    return (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )
