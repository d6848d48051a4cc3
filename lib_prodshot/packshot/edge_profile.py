"""The course of alpha across the mask's edge: a sharp outline that a lens has blurred, by the same width all along.

What a single colour says of its pixel's alpha is unsure on a textured ground, and wrong where a part is nowhere opaque:
a narrow handle out of focus looks like an opaque one of a paler colour. But an edge runs on along the outline as it is
here, and its middle is where the mask has its edge. So a few blurs of the mask's outline, moved outwards or inwards by
some pixels, are compared with what the colours say along a piece of the outline, and the likely ones averaged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.packshot.arrays import Floats, Grey, Places
from lib_prodshot.packshot.colour_model import Doubles, Likelihood
from lib_prodshot.packshot.tiles import Tile

# The constants below are the best of those tried on the split `tune` of `benchmarks/edge_scenes.py`, and on scenes with
# other photographs and grounds.
BLURS = (0.7, 1.4, 2.4, 3.8, 5.6)
"""Sigmas of the blurs, in pixels."""

SHIFTS = (-2, -1, 0, 1, 2)
"""By how many pixels the mask's outline is moved outwards."""

_WIDE = 2.0
"""From this sigma on the mean of two shifts' blurs is as good as that of the shift between them."""

_REACH = 24
"""Further from the outline than so many pixels no blur tells of alpha: 3 sigmas of the widest, and the shift."""

_ALONG = 8
"""The pixels to each side along the outline over which the colours are compared with a blur."""

_ALONG_BLUR = 16
"""The same for which blur it is: focus changes more slowly than an outline's place."""

_ALIKE = 15.0
"""So many pixels' errors are one: neighbours err alike."""

_MIDDLE = 0.6
"""Standard deviation of the middle of the edge around the mask's, in pixels, after smoothing along the outline."""

_SCALE = 0.5
"""Standard deviation of what a product's contrast to its ground exceeds by what the colours take for it: they take a
part that is nowhere opaque for a paler one that is. They never take it for more."""

_PLACE = 0.15
"""What is not known of the edge's place, in pixels: a narrow edge is told by the colours, and not by its course."""

_UNTOLD = 3.0
"""How much of the variance that the colours leave along a piece of the outline counts as the course's own: where they
say nothing, as of a dark sole on its shadow, no course is found in them."""

_NARROW = 0.3
"""What a blur is less likely than the next narrower one before anything is seen: most edges are sharp."""

_OWN_REACH = 1.5
"""Further from the outline than so many sigmas the course says what the mask says, and ..."""

_BEYOND = 0.3
"""... its standard deviation grows by so much each pixel: a mask has holes and pieces too many."""

_LEAST_VARIANCE = 4e-3
"""Of alpha by a colour, when courses are compared: the colours of products are not as smooth as their model."""

_MISFIT = 4.0
"""Colours further off their model than this (squared Mahalanobis distance) count less and less."""


@dataclass(frozen=True)
class Profile:
    """For n pixels, the alpha that the course of the edge gives them, and its variance (infinite where it tells
    nothing)."""

    alpha: Floats
    variance: Floats


@dataclass(frozen=True)
class Outline:
    """The m pixels of a mask that have its edge, one after another: flat `places`, and for each where its piece begins
    and ends (a closed line is cut open at one of its pixels)."""

    places: Places
    first: Places
    end: Places

    @classmethod
    def of(cls, mask: Grey) -> Outline:
        """Of an H×W mask (0 or 255)."""
        found, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        lengths = np.array([len(line) for line in found], np.intp)
        points = np.concatenate([line[:, 0] for line in found]) if found else np.zeros((0, 2), np.int32)
        ends = np.cumsum(lengths)
        places = points[:, 1].astype(np.intp) * mask.shape[1] + points[:, 0]
        return cls(places, np.repeat(ends - lengths, lengths), np.repeat(ends, lengths))

    def smoothed(self, values: Doubles, reach: int) -> Doubles:
        """Means (k×m) over so many neighbours to each side, twice."""
        at = np.arange(len(self.places))
        first, end = np.maximum(self.first, at - reach), np.minimum(self.end, at + reach + 1)
        for _ in range(2):
            sums = np.zeros((len(values), len(at) + 1))
            np.cumsum(values, axis=1, out=sums[:, 1:])
            values = (sums[:, end] - sums[:, first]) / (end - first)
        return values


@dataclass(frozen=True)
class Courses:
    """Alpha (levels 0..255) by each of k blurs at n pixels (k×n) and at the outline's (k×m); and the number of the
    outline's pixel nearest to each of the n, -1 where it is out of reach, with how `far` the edge is, in pixels."""

    alpha: Grey
    middle: Grey
    nearest: npt.NDArray[np.int32]
    far: Floats


_TILE = 256


def _courses(mask: Grey, places: Places, outline: Outline) -> Courses:
    """Work on one tile after another: no floats for a whole picture."""
    count = len(BLURS) * len(SHIFTS)
    alpha, middle = np.zeros((count, len(places)), np.uint8), np.zeros((count, len(outline.places)), np.uint8)
    nearest = np.full(len(places), -1, np.int32)
    far = np.zeros(len(places), np.float32)
    rows, columns = np.divmod(places, mask.shape[1])
    line_rows, line_columns = np.divmod(outline.places, mask.shape[1])
    for tile in Tile(0, mask.shape[0], 0, mask.shape[1]).tiles(_TILE):
        wider = tile.widened(_REACH).cut(mask.shape)
        here, around = _within(rows, columns, tile), _within(line_rows, line_columns, wider)
        if not len(here) or not len(around):
            continue
        own = _within(line_rows, line_columns, tile)
        line, inner, inner_line = (
            (down - wider.top, across - wider.left)
            for down, across in (
                (line_rows[around], line_columns[around]),
                (rows[here], columns[here]),
                (line_rows[own], line_columns[own]),
            )
        )
        part = np.ascontiguousarray(mask[wider.slices])
        nearest[here] = around[_nearest(part.shape, line)[inner]]
        distance = _outwards(part)
        far[here] = np.abs(distance[inner])
        for number, shift in enumerate(SHIFTS):
            sharp = np.asarray(np.clip((shift + 0.5 - distance) * 255, 0, 255), np.uint8)
            for other, sigma in enumerate(BLURS):
                if sigma >= _WIDE and number % 2:
                    continue
                blurred = cv2.GaussianBlur(sharp, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
                course = number * len(BLURS) + other
                alpha[course, here], middle[course, own] = blurred[inner], blurred[inner_line]
    for number in range(1, len(SHIFTS), 2):
        for other, sigma in enumerate(BLURS):
            if sigma >= _WIDE:
                course, apart = number * len(BLURS) + other, len(BLURS)
                for plane in (alpha, middle):
                    # levels halved first, or a byte would not hold them
                    plane[course] = plane[course - apart] // 2 + plane[course + apart] // 2
    nearest[far > _REACH] = -1
    return Courses(alpha, middle, nearest, far)


def _within(rows: Places, columns: Places, tile: Tile) -> Places:
    inside = (rows >= tile.top) & (rows < tile.bottom) & (columns >= tile.left) & (columns < tile.right)
    return np.flatnonzero(inside)


def _nearest(shape: tuple[int, ...], line: tuple[Places, Places]) -> npt.NDArray[np.int32]:
    """For each pixel of a part which of the line's is nearest."""
    others = np.full(shape, 255, np.uint8)
    others[line] = 0
    labels = cv2.distanceTransformWithLabels(others, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)[1]
    numbers = np.zeros(int(labels.max()) + 1, np.int32)
    numbers[labels[line]] = np.arange(len(line[0]), dtype=np.int32)
    return numbers[labels]


def _outwards(mask: Grey) -> Floats:
    """How far each pixel's middle is from the mask's edge, less than 0 inside."""
    outside = cv2.distanceTransform(cv2.bitwise_not(mask), cv2.DIST_L2, cv2.DIST_MASK_5)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.asarray(np.where(mask > 0, np.float32(0.5) - inside, outside - np.float32(0.5)), np.float32)


def along(mask: Grey, places: Places, told: Likelihood) -> Profile:
    """What the edge's course along an H×W mask's outline (0 or 255) says of the pixels at flat `places`, by what their
    colours say of each."""
    outline = Outline.of(mask)
    nothing = Profile(np.zeros(len(places), np.float32), np.full(len(places), np.inf, np.float32))
    courses = _courses(mask, places, outline)
    reached = np.flatnonzero(courses.nearest >= 0)
    if not len(reached):
        return nothing
    weight, seen = _worth(told)[reached], told.alpha[reached]
    nearest = courses.nearest[reached]
    alpha = courses.alpha[:, reached]
    likely = _likelihoods(courses, outline, alpha, weight, seen, nearest)
    mean, square = np.zeros(len(reached), np.float32), np.zeros(len(reached), np.float32)
    scale = np.zeros(len(reached), np.float32)
    for course, values in enumerate(_shares(alpha)):
        share = likely.share[course][nearest]
        mean += share * values
        square += share * values * values
        scale += share * likely.scale[course][nearest]
    blur = likely.blur[nearest]
    sums = [weight * np.square(seen - scale * mean), weight, np.ones_like(weight)]
    off, told_by, pixels = outline.smoothed(
        np.stack([np.bincount(nearest, values, len(outline.places)) for values in sums]), _ALONG
    )
    told_by = np.maximum(told_by, 1e-9)
    # more than the colours' own variance is the course's fault
    common = np.maximum(off - pixels, 0) / told_by + _UNTOLD * _ALIKE / (2 * _ALONG * told_by)
    variance = np.maximum(square - mean * mean, 0) + np.square(_PLACE / blur) + common[nearest]
    variance += np.square(np.maximum(courses.far[reached] - _OWN_REACH * blur, 0) * _BEYOND)
    nothing.alpha[reached], nothing.variance[reached] = mean, variance
    return nothing


def _worth(told: Likelihood) -> Floats:
    fits = np.exp(-np.maximum(told.misfit - _MISFIT, 0) / _MISFIT)
    return np.asarray(fits / (told.variance + _LEAST_VARIANCE), np.float32)


@dataclass(frozen=True)
class Likely:
    """At each of the outline's m pixels how likely each of k courses is (k×m), the contrast that goes with it (k×m),
    and the mean blur (m, sigma in pixels)."""

    share: Floats
    scale: Floats
    blur: Floats


def _shares(courses: Grey) -> Iterator[Floats]:
    """Each course's levels as shares, one after another."""
    for levels in courses:
        yield levels / np.float32(255)


def _likelihoods(
    courses: Courses, outline: Outline, alpha: Grey, weight: Floats, seen: Floats, nearest: npt.NDArray[np.int32]
) -> Likely:
    """Compare each course with what is seen along a piece of the outline: least squares of one factor, the contrast."""
    count, length = len(alpha), len(outline.places)
    product, square = np.empty((count, length)), np.empty((count, length))
    by_seen = weight * seen
    for course, values in enumerate(_shares(alpha)):
        product[course] = np.bincount(nearest, values * by_seen, length)
        square[course] = np.bincount(nearest, values * values * weight, length)
    products, squares = outline.smoothed(product, _ALONG), outline.smoothed(square, _ALONG)
    window = 2 * _ALONG
    held = _ALIKE / _SCALE**2 / window
    scale = np.maximum((products + held) / (squares + held), 1)
    # without what is seen squared, which is the same for all
    error = scale * (scale * squares - 2 * products) + held * np.square(scale - 1)
    blurs = np.tile(np.array(BLURS), len(SHIFTS))[:, None]
    slope = 0.4 / np.hypot(blurs, 0.5)
    # the edge is half a pixel outwards from the middle of the outline's pixels
    middle = outline.smoothed(courses.middle / 255.0, _ALONG) - 0.5 - 0.5 * slope
    energy = (error * window / _ALIKE + np.square(middle / (slope * _MIDDLE))) / 2
    energy = energy.reshape(len(SHIFTS), len(BLURS), length)
    best = energy.min(axis=0)
    shifts = np.exp(best - energy)
    total = shifts.sum(axis=0)
    evidence = outline.smoothed(best - np.log(total), _ALONG_BLUR)
    evidence += _NARROW * np.arange(len(BLURS))[:, None]
    focus = np.exp(evidence.min(axis=0) - evidence)
    focus /= focus.sum(axis=0)
    share = (shifts / total * focus).reshape(count, length)
    blur = (focus * np.array(BLURS)[:, None]).sum(axis=0)
    return Likely(share.astype(np.float32), scale.astype(np.float32), blur.astype(np.float32))
