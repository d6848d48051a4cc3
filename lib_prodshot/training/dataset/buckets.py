"""Buckets and steps, computed exactly as sd-scripts v0.10.1 does before it trains.

Source: `BucketManager` and `DreamBoothDataset` in its `library/train_util.py`, `make_bucket_resolutions` in
`library/model_util.py`; all arithmetic is in the same double precision, so that ties fall the same way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from lib_prodshot.training.recipe.recipe import Recipe

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True)
class BucketRules:
    """The settings that decide a photograph's bucket."""

    resolution: int
    enabled: bool
    steps: int
    no_upscale: bool
    shortest: int
    longest: int

    @classmethod
    def of(cls, recipe: Recipe) -> BucketRules:
        """The rules of a recipe; limits that are no multiple of the steps are widened as sd-scripts does."""
        shortest, longest = recipe.bucket_limits
        steps = recipe.bucket_reso_steps
        return cls(
            resolution=recipe.resolution,
            enabled=recipe.enable_bucket,
            steps=steps,
            no_upscale=recipe.bucket_no_upscale,
            shortest=shortest - shortest % steps,
            longest=longest + -longest % steps,
        )


@dataclass(frozen=True)
class BucketAssignment:
    """A photograph's bucket, the size it is scaled to first, and the share that is cropped.

    `aspect_error` is the bucket's aspect ratio minus the photograph's; `scale` above 1 enlarges the photograph.
    """

    bucket: Size
    resized: Size
    aspect_error: float
    scale: float

    @property
    def cropped(self) -> float:
        """The share of the scaled photograph that lies outside the bucket, 0 to 1."""
        inside = min(self.bucket[0], self.resized[0]) * min(self.bucket[1], self.resized[1])
        return 1 - inside / (self.resized[0] * self.resized[1])


@dataclass(frozen=True)
class Bucket:
    """One bucket of the table: how many photographs are in it, with their repeats, and the batches these make."""

    size: Size
    photographs: int
    with_repeats: int
    batches: int


@dataclass(frozen=True)
class BucketTable:
    """All buckets in use, in sd-scripts' order, and the mean error of the aspect ratios."""

    buckets: tuple[Bucket, ...]
    mean_aspect_error: float

    @property
    def batches(self) -> int:
        """Batches an epoch: Σ ceil(photographs × repeats / batch), for each bucket is rounded up alone."""
        return sum(bucket.batches for bucket in self.buckets)


def assign_bucket(size: Size, rules: BucketRules) -> BucketAssignment:
    """Assign a photograph of `size` to its bucket.

    Raises ValueError where sd-scripts stops: a side below 1, or without enlarging one below the buckets' steps.
    """
    if min(size) < 1:
        raise ValueError(f"a photograph of {size[0]}×{size[1]} pixels")
    if not rules.enabled:
        return _nearest_bucket(size, ((rules.resolution, rules.resolution),))
    if rules.no_upscale:
        return _without_upscaling(size, rules)
    return _nearest_bucket(size, bucket_sizes(rules.resolution, rules.shortest, rules.longest, rules.steps))


def bucket_table(sizes: Sequence[tuple[Size, int]], rules: BucketRules, batch: int) -> BucketTable:
    """The table of photographs, each given as its size and its repeats, in batches of `batch`."""
    counts: dict[Size, list[int]] = {}
    errors: list[float] = []
    for size, repeats in sizes:
        assignment = assign_bucket(size, rules)
        errors.append(abs(assignment.aspect_error))
        counts.setdefault(assignment.bucket, []).append(repeats)
    buckets = tuple(
        Bucket(size, len(repeats), sum(repeats), math.ceil(sum(repeats) / batch))
        for size, repeats in sorted(counts.items())
    )
    return BucketTable(buckets, sum(errors) / len(errors) if errors else 0.0)


def steps_per_epoch(batches: int, recipe: Recipe) -> int:
    """Steps an epoch of so many batches on the recipe's GPUs, with gathered batches counting as one step."""
    return math.ceil(batches / recipe.processes / recipe.gradient_accumulation_steps)


def balanced_repeats(photographs: Sequence[int], regularisation: Sequence[int]) -> list[int]:
    """The repeats that each regularisation picture really gets (0: it is not used); both lists are the configured
    repeats.

    They are taken in turn until there are as many as photographs with their repeats; from the second round on each
    turn adds one.
    """
    target = sum(photographs)
    used = [0] * len(regularisation)
    have = 0
    first = True
    while have < target and regularisation:
        for index, repeats in enumerate(regularisation):
            added = repeats if first else 1
            used[index] += added
            have += added
            if have >= target:
                break
        first = False
    return used


@lru_cache(maxsize=64)
def bucket_sizes(resolution: int, shortest: int, longest: int, steps: int) -> tuple[Size, ...]:
    """Every bucket that there can be, sorted: sides are multiples of `steps`, the area at most `resolution`²."""
    area = resolution * resolution
    square = int(math.sqrt(area) // steps) * steps
    sizes = {(square, square)}
    for width in range(shortest, longest + 1, steps):
        height = min(longest, area // width // steps * steps)
        if height >= shortest:
            sizes |= {(width, height), (height, width)}
    return tuple(sorted(sizes))


def _nearest_bucket(size: Size, known: Iterable[Size]) -> BucketAssignment:
    """The bucket of the nearest aspect ratio, the first of equals; the photograph is scaled to cover it."""
    width, height = size
    aspect = width / height
    choices = tuple(known)
    bucket = size if size in choices else min(choices, key=lambda one: abs(one[0] / one[1] - aspect))
    ratio = bucket[0] / bucket[1]
    scale = bucket[1] / height if aspect > ratio else bucket[0] / width
    return BucketAssignment(bucket, (int(width * scale + 0.5), int(height * scale + 0.5)), ratio - aspect, scale)


def _without_upscaling(size: Size, rules: BucketRules) -> BucketAssignment:
    """Without enlarging: scaled down to the area where larger, then cut to multiples of the steps."""
    width, height = size
    aspect = width / height
    try:
        resized = _scaled_down(aspect, rules) if width * height > rules.resolution**2 else size
    except ZeroDivisionError:  # so long and narrow that a side rounds to nothing
        resized = (0, 0)
    bucket = (resized[0] - resized[0] % rules.steps, resized[1] - resized[1] % rules.steps)
    if min(bucket) < 1:
        raise ValueError(f"{width}×{height} pixels make a side of less than one bucket step, {rules.steps} pixels")
    return BucketAssignment(bucket, resized, bucket[0] / bucket[1] - aspect, resized[0] / width)


def _scaled_down(aspect: float, rules: BucketRules) -> Size:
    """The size of the area with one side a multiple of the steps: the side that keeps the aspect ratio better."""

    def rounded(side: float) -> int:
        whole = int(side + 0.5)
        return whole - whole % rules.steps

    wide = math.sqrt(rules.resolution**2 * aspect)
    high = rules.resolution**2 / wide
    width = rounded(wide)
    height = rounded(high)
    by_width = width / rounded(width / aspect)
    by_height = rounded(height * aspect) / height
    if abs(by_width - aspect) < abs(by_height - aspect):
        return width, int(width / aspect + 0.5)
    return int(height * aspect + 0.5), height
