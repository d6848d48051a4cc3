"""Geometry of boxes, and weighted boxes fusion of the detections of several views.

Fusion follows weighted boxes fusion (Solovyev et al., 2021), with agreement counted by views: a box detected in one
view only keeps half of its score. Not by the library ensemble-boxes, which brings numba and pandas.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Corners = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels."""

FUSION_IOU = 0.55
"""Detections of one class in different views that overlap more are of one object."""


@dataclass(frozen=True)
class ViewDetection:
    """One detection in one view; `corners` are already those of the whole picture."""

    view: int
    corners: Corners
    score: float


@dataclass(frozen=True)
class FusedDetection:
    """Detections of one class in several views, fused into one."""

    corners: Corners
    score: float


def area(corners: Corners) -> float:
    """Square pixels; 0 for an empty box."""
    width, height = corners[2] - corners[0], corners[3] - corners[1]
    return width * height if width > 0 and height > 0 else 0.0


def intersection(one: Corners, other: Corners) -> float:
    """Square pixels that both boxes cover."""
    x0, y0, x1, y1 = one
    left, top, right, bottom = other
    # comparisons take a quarter of the time of `min` and `max`, and there are thousands of pairs in a picture
    across = (x1 if x1 < right else right) - (x0 if x0 > left else left)
    if across <= 0:
        return 0.0
    down = (y1 if y1 < bottom else bottom) - (y0 if y0 > top else top)
    return across * down if down > 0 else 0.0


def iou(one: Corners, other: Corners) -> float:
    """Intersection over union, 0 for empty boxes."""
    shared = intersection(one, other)
    # most pairs lie apart
    return shared / (area(one) + area(other) - shared) if shared > 0 else 0.0


def containment(one: Corners, other: Corners) -> float:
    """The share of `one` that lies in `other` (intersection over its own area), 0 if it is empty."""
    return intersection(one, other) / area(one) if area(one) > 0 else 0.0


def enclosing_box(boxes: Iterable[Corners]) -> Corners:
    """The smallest box that contains all."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return (min(x0), min(y0), max(x1), max(y1))


def weighted_boxes_fusion(detections: Sequence[ViewDetection]) -> list[FusedDetection]:
    """Fuse the detections of one class: corners weighted by score, the score the mean of the two best views'."""
    groups: list[list[ViewDetection]] = []
    means: list[Corners] = []
    for one in sorted(detections, key=lambda item: -item.score):
        index = next((index for index, mean in enumerate(means) if iou(mean, one.corners) > FUSION_IOU), None)
        if index is None:
            groups.append([one])
            means.append(_mean([one]))
        elif all(one.view != other.view for other in groups[index]):
            groups[index].append(one)
            means[index] = _mean(groups[index])
    fused = [
        FusedDetection(mean, sum(item.score for item in group[:2]) / 2)
        for group, mean in zip(groups, means, strict=True)
    ]
    return sorted(fused, key=lambda item: -item.score)


def pixel_slices(corners: Corners) -> tuple[slice, slice]:
    """Rows and columns that a box covers, at least one of each."""
    left, top = max(0, int(corners[0])), max(0, int(corners[1]))
    return slice(top, max(top + 1, round(corners[3]))), slice(left, max(left + 1, round(corners[2])))


def _mean(group: Sequence[ViewDetection]) -> Corners:
    total = sum(item.score for item in group)
    x0, y0, x1, y1 = (sum(item.corners[side] * item.score for item in group) / total for side in range(4))
    return (x0, y0, x1, y1)
