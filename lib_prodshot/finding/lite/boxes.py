"""Geometry of boxes, and the fusion of what several views of a picture say.

Fusion follows weighted boxes fusion (Solovyev et al., 2021), with agreement counted by views: a box seen in one view
only keeps half of its score. It is written here because the kept library (ensemble-boxes) brings numba and pandas.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Corners = tuple[float, float, float, float]

SAME_OBJECT = 0.55


@dataclass(frozen=True)
class Seen:
    """One detection in one view; `corners` are already those of the whole picture."""

    view: int
    corners: Corners
    score: float


@dataclass(frozen=True)
class Fused:
    """Detections of one class that mean the same object."""

    corners: Corners
    score: float


def area(corners: Corners) -> float:
    """Square pixels; 0 for an empty box."""
    return max(0.0, corners[2] - corners[0]) * max(0.0, corners[3] - corners[1])


def overlap(one: Corners, other: Corners) -> float:
    """Square pixels that both boxes cover."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    if across <= 0:
        return 0.0
    return across * max(0.0, min(one[3], other[3]) - max(one[1], other[1]))


def iou(one: Corners, other: Corners) -> float:
    """Intersection over union, 0 for empty boxes."""
    shared = overlap(one, other)
    # most pairs lie apart, and there are thousands of pairs in a picture
    return shared / (area(one) + area(other) - shared) if shared > 0 else 0.0


def inside(one: Corners, other: Corners) -> float:
    """The share of `one` that lies in `other`."""
    return overlap(one, other) / area(one) if area(one) > 0 else 0.0


def union(boxes: Iterable[Corners]) -> Corners:
    """The smallest box around all."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return (min(x0), min(y0), max(x1), max(y1))


def fuse(seen: Sequence[Seen]) -> list[Fused]:
    """Join the detections of one class: corners weighted by score, score the mean of the two best views."""
    groups: list[list[Seen]] = []
    means: list[Corners] = []
    for one in sorted(seen, key=lambda item: -item.score):
        place = next((place for place, mean in enumerate(means) if iou(mean, one.corners) > SAME_OBJECT), None)
        if place is None:
            groups.append([one])
            means.append(_mean([one]))
        elif all(one.view != other.view for other in groups[place]):
            groups[place].append(one)
            means[place] = _mean(groups[place])
    fused = [Fused(mean, sum(item.score for item in group[:2]) / 2) for group, mean in zip(groups, means, strict=True)]
    return sorted(fused, key=lambda item: -item.score)


def _mean(group: Sequence[Seen]) -> Corners:
    total = sum(item.score for item in group)
    x0, y0, x1, y1 = (sum(item.corners[side] * item.score for item in group) / total for side in range(4))
    return (x0, y0, x1, y1)
