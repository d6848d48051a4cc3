"""The product's share of each pixel along the mask's edge: closed-form matting, solved in a band only.

Source: Levin, Lischinski and Weiss, "A Closed-Form Solution to Natural Image Matting" (2008): in a window of 3×3 pixels
alpha is a linear function of colour; what all windows say together is a sparse linear system. Outside the band alpha is
0 or 1 by the mask, so only the band's pixels are unknowns. Beside the windows stands what each pixel's colour says by
itself (`colour_model.py`) and what the course of the edge along the outline does (`edge_profile.py`); where colours say
nothing, as of a dark sole on its own shadow, the mask's edge does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.bounds import bounding_box
from lib_prodshot.packshot import edge_profile
from lib_prodshot.packshot.arrays import Alpha, Floats, Grey, Places, Rgb, shades
from lib_prodshot.packshot.colour_model import NOISE, Cells, Gaussians, Likelihood, distance, likelihood
from lib_prodshot.packshot.sums import conjugate_gradients
from lib_prodshot.packshot.tiles import Enlarged, Tile
from lib_prodshot.resampling import halve_all

EPSILON = 1e-4
"""Regularisation of the colours' covariance in a window, of colours in 0..1: more than Levin et al.'s 1e-7 to 1e-5, so
that noise is not taken for an edge."""

_TOLERANCE = 1e-3
_MOST_ITERATIONS = 600

_AROUND = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)]
"""The nine pixels of a window."""

_REACH = 5
"""Two pixels share a window when they are at most two apart: 5×5 places."""


@dataclass(frozen=True)
class System:
    """The linear system of the band's pixels: `matrix` n×n (CSR), `right` n, for the pixels at flat `places`."""

    matrix: Any
    right: Floats
    places: Places


_MOST_UNKNOWNS = 120_000
"""Bands of more pixels are solved at half the size, and at a quarter."""

_HALVINGS = 2


def estimate(rgb: Rgb, mask: Grey, band: Grey, soft: Grey | None) -> tuple[Alpha, bool]:
    """Alpha of an H×W×3 picture: the mask's (H×W, 0 or 255) outside the band (H×W, 255 in it), matted inside; and
    whether closed-form matting gave it, or the guided filter had to."""
    alpha = as_alpha(mask)
    alpha[band > 0], is_matted = estimate_band(rgb, mask, band, soft)
    return alpha, is_matted


def estimate_band(
    rgb: Rgb, mask: Grey, band: Grey, soft: Grey | None, halvings: int = _HALVINGS
) -> tuple[Floats, bool]:
    """As `estimate`, of the band's pixels alone, in their order: no floats for any other.

    A large band is solved at half the size and brought up by the guided filter.
    """
    if cv2.countNonZero(band) <= _MOST_UNKNOWNS:
        rgb, mask, band = (np.ascontiguousarray(plane) for plane in (rgb, mask, band))
        alpha = solve(rgb, mask, band, soft)
        return (guided_band(rgb, mask, band), False) if alpha is None else (alpha[band > 0], True)
    if not halvings:
        return guided_band(rgb, mask, band), False
    small_mask, small_band = _over(halve_all(mask), 127), _over(halve_all(band), 0)
    small_soft = None if soft is None else halve_all(soft)
    values, is_matted = estimate_band(halve_all(rgb), small_mask, small_band, small_soft, halvings - 1)
    coarse = as_alpha(small_mask)
    coarse[small_band > 0] = values
    # a small pixel is exactly two wide and high, also where the band's own sides are odd
    enlarged = Enlarged(coarse, (2 * coarse.shape[0], 2 * coarse.shape[1]))
    return _guided_values(rgb, enlarged.part, band, radius=2), is_matted


def _over(grey: Grey, level: int) -> Grey:
    return np.asarray(cv2.threshold(grey, level, 255, cv2.THRESH_BINARY, dst=grey)[1], np.uint8)


def as_alpha(levels: Grey) -> Alpha:
    """Levels 0..255 as shares 0..1."""
    return np.asarray(levels / np.float32(255), np.float32)


def solve(rgb: Rgb, mask: Grey, band: Grey, soft: Grey | None = None) -> Alpha | None:
    """Closed-form matting inside the band (H×W, 255 in it), beside what the colours around a pixel say of it, and, most
    where they say nothing, the mask.

    None where the conjugate gradients do not converge.
    """
    from scipy.sparse import diags

    known = as_alpha(mask)
    if not band.any():
        return known
    expected = _expected(rgb, mask, band, soft)
    known.ravel()[expected.places] = expected.alpha
    unsettled = ~expected.settled
    if not unsettled.any():
        return known
    places, weight, start = expected.places[unsettled], expected.weight[unsettled], expected.alpha[unsettled]
    system = _system(rgb, known, places)
    matrix, right = system.matrix + diags(weight), system.right + weight * start
    found = conjugate_gradients(matrix, right, start, _TOLERANCE, _MOST_ITERATIONS)
    if found is None or not np.isfinite(found).all():
        return None
    known.ravel()[places] = np.clip(found, 0, 1)
    return known


# The constants below are the best of those tried on the split `tune` of `benchmarks/edge_scenes.py`.
_COLOUR_TRUST = 0.006
"""Weight of what the colours say beside the matting Laplacian, at a variance of alpha of 1."""

_LEAST_VARIANCE = 2e-3
"""No colour says more than one of this variance."""

_LEAST_COURSE_VARIANCE = 1e-4
"""No course of an edge along the outline says more than one of this variance."""

_MASK_TRUST = 0.01
_MASK_ALONE = 0.05
"""Weight of the mask's own edge where the colours say nothing: a matting Laplacian alone would smear it."""

_FOREIGN_TRUST = 0.05
_FOREIGN_TRUST_THIN = 0.01
"""Weight of the mask's own edge where the colours are neither product's nor ground's; a thin part's, feathered, would
be hardly there."""

_BEYOND_TRUST = 1.0
_MASK_ERROR = 2
_WHOLLY = 0.7
_SOFT_SAYS = 64
"""What looks by more than `_WHOLLY` like the product more than so many pixels outside its mask, where the soft mask has
less than so many levels, is not believed: the mask's own edge stands, with this weight."""

_UNTOLD = 0.05
"""A variance of alpha at which colours say half of nothing."""

_MISFIT = 4.0
"""Colours further off the model than this (squared Mahalanobis distance) count less and less."""

_SETTLED = 0.03
"""What the colours give no more alpha, and are sure of to as much (standard deviation), is the ground."""

_BAND_SAYS = 20.0
_APART = 8
"""A pixel of the mask in the band may tell the product's colour where none that is certain lies within so many pixels:
the more the further its own is from the ground's, to the fourth power, at a difference of 1 as much as so many."""

_MOST_OFF = 0.5
_SURELY_OFF = 50.0
"""A squared Mahalanobis distance from the ground's colours at which that counts in full: a textured ground's own
colours are far apart too."""

_THIN = 3
_THIN_AROUND = 12
"""A part of the mask is thin where no disc of this radius fits into it, in pixels: a strap, a hair. So far around it,
and nearer to it than to what is thick, its own pixels alone tell the product's colour."""

_THICK_SAYS = 1e-5
"""What the rest of the product tells of a thin part's colour, so that it is told anything at all."""
_EDGE_SIGMA = 1.5


@dataclass(frozen=True)
class Expectation:
    """For the pixels at flat `places`: the alpha that is expected, what that weighs beside the matting Laplacian, and
    where it stands already."""

    places: Places
    alpha: Floats
    weight: Floats
    settled: npt.NDArray[np.bool_]


def _expected(rgb: Rgb, mask: Grey, band: Grey, soft: Grey | None) -> Expectation:
    """What colours and masks say of the band's pixels."""
    places = np.flatnonzero(band)
    inside = mask.ravel()[places] > 0
    thin = _thin_parts(mask)
    told = _told(rgb, mask, band, places, thin)
    worth = np.exp(-np.maximum(told.misfit - _MISFIT, 0) / _MISFIT)
    alike = _alike_beyond(told.alpha, mask, soft, places)
    worth[alike] = 0
    by_colour = _COLOUR_TRUST * worth / (told.variance + _LEAST_VARIANCE)
    edge = as_alpha(np.asarray(cv2.GaussianBlur(mask, (0, 0), _EDGE_SIGMA), np.uint8)).ravel()[places]
    foreign = np.where(thin.near.ravel()[places], np.float32(_FOREIGN_TRUST_THIN), np.float32(_FOREIGN_TRUST))
    by_edge = _MASK_ALONE * worth * told.variance / (told.variance + _UNTOLD) + foreign * (1 - worth)
    by_edge[alike] = _BEYOND_TRUST
    by_mask = edge if soft is None else as_alpha(soft).ravel()[places]
    course = edge_profile.along(mask, places, told)
    by_course = _COLOUR_TRUST / (course.variance + _LEAST_COURSE_VARIANCE)
    # a mask errs by more than a hair is wide
    by_course[alike | thin.near.ravel()[places]] = 0
    weight = by_colour + by_edge + by_course + _MASK_TRUST
    alpha = by_colour * told.alpha + by_edge * edge + by_course * course.alpha + _MASK_TRUST * by_mask
    alpha /= weight
    settled = (told.alpha < _SETTLED) & (told.variance < _SETTLED**2) & (told.misfit < _MISFIT) & ~inside
    alpha[settled] = 0
    return Expectation(places, alpha.astype(np.float32), weight.astype(np.float32), settled)


def _alike_beyond(alpha: Floats, mask: Grey, soft: Grey | None, places: Places) -> npt.NDArray[np.bool_]:
    """Which pixels look wholly like the product and lie further outside its mask than a mask errs: a shadow as dark
    as the sole, or a neighbour of its colour. A soft mask that has something of the product there is believed."""
    near = cv2.dilate(mask, np.ones((2 * _MASK_ERROR + 1,) * 2, np.uint8)).ravel()[places] > 0
    alike = ~near & (alpha > _WHOLLY)
    return alike if soft is None else alike & (soft.ravel()[places] < _SOFT_SAYS)


@dataclass(frozen=True)
class ThinParts:
    """Of an H×W mask: which of its pixels belong to thin parts, and which pixels of the picture lie around those."""

    inside: npt.NDArray[np.bool_]
    near: npt.NDArray[np.bool_]


def _thin_parts(mask: Grey) -> ThinParts:
    """The mask's straps and hairs, by opening: what a disc that is moved about inside the mask does not reach."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _THIN + 1,) * 2)
    # an opening rounds off corners, which are not thin
    thick = cv2.dilate(cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc), np.ones((5, 5), np.uint8))
    thin = cv2.bitwise_and(mask, cv2.bitwise_not(thick))
    if not cv2.countNonZero(thin):
        return ThinParts(thin > 0, thin > 0)
    to_thin, to_thick = (cv2.distanceTransform(cv2.bitwise_not(part), cv2.DIST_L2, 3) for part in (thin, thick))
    nearer = (to_thin < to_thick) if cv2.countNonZero(thick) else True
    return ThinParts(thin > 0, (to_thin < _THIN_AROUND) & nearer)


def _told(rgb: Rgb, mask: Grey, band: Grey, places: Places, thin: ThinParts) -> Likelihood:
    """What the colours of what is certain say of the band's pixels. A strap that lies wholly in the band has none that
    is certain: there its own pixels tell, those first that differ most from the ground."""
    cells = Cells(rgb)
    colours = cells.at(places)
    seen = colours.seen
    sure = (band == 0).astype(np.float32)
    ground = colours.around(cells.fitted(sure * (mask == 0)))
    certain = sure * (mask > 0)
    apart = cv2.dilate(certain, np.ones((2 * _APART + 1,) * 2, np.uint8)).ravel()[places] == 0
    off = np.minimum(np.square(seen - ground.mean).sum(axis=0), _MOST_OFF)
    surely = np.minimum(distance(seen, ground, NOISE) / _SURELY_OFF, 1)
    telling = np.square(surely * off)
    certain.ravel()[places] = np.where(apart & (mask.ravel()[places] > 0), _BAND_SAYS * telling, 0)
    product = colours.around(cells.fitted(certain))
    near = thin.near.ravel()[places]
    if near.any():
        own = _THICK_SAYS * certain
        own.ravel()[places] += np.where(thin.inside.ravel()[places], telling, 0)
        told = colours.around(cells.fitted(own))
        product = Gaussians(np.where(near, told.mean, product.mean), np.where(near, told.spread, product.spread))
    return likelihood(seen, product, ground, NOISE)


def _system(rgb: Rgb, known: Alpha, places: Places) -> System:
    """Gather the windows that hold one of the pixels at `places`, and add up what each says of each pair of them."""
    from scipy.sparse import csr_matrix

    height, width = known.shape
    count = len(places)
    # an outer border of two, so that every pixel has all its neighbours; no window is centred there
    number = np.full((height + 4, width + 4), -1, np.int32)
    inner = np.zeros((height, width), np.uint8)
    inner.ravel()[places] = 255
    number[2:-2, 2:-2][inner > 0] = np.arange(count, dtype=np.int32)
    near = np.zeros_like(inner)
    near[1:-1, 1:-1] = cv2.dilate(inner, np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    wide = width + 4
    numbers = number.ravel()
    terms = _terms(rgb, numbers, np.flatnonzero(near), count)
    rows, columns = np.divmod(places, width)
    across = np.array([row * wide + column for row in range(-2, 3) for column in range(-2, 3)], np.int32)
    around = ((rows + 2) * wide + columns + 2).astype(np.int32)[:, None] + across
    others = numbers[around]
    outer = others < 0
    padded = cv2.copyMakeBorder(known, 2, 2, 2, 2, cv2.BORDER_CONSTANT).ravel()
    right = -np.einsum("np,np->n", np.where(outer, terms, np.float32(0)), padded[around])
    unknown = ~outer
    ends = np.concatenate([[0], np.cumsum(unknown.sum(axis=1))])
    matrix = csr_matrix((terms[unknown], others[unknown], ends), shape=(count, count))
    return System(matrix, right, places)


_WINDOWS = 16384
"""So many windows at once: each has 81 weights."""


def _terms(rgb: Rgb, numbers: npt.NDArray[np.int32], centres: Places, count: int) -> Floats:
    """What all windows together say of each of the unknowns and those around it (n×25)."""
    values = np.zeros((_REACH**2, count), np.float32)
    for start in range(0, len(centres), _WINDOWS):
        _add_windows(rgb, numbers, centres[start : start + _WINDOWS], values)
    return np.ascontiguousarray(values.T)


def _add_windows(rgb: Rgb, numbers: npt.NDArray[np.int32], centres: Places, values: Floats) -> None:
    """Add what windows say to `values` (25×n), for each unknown of itself and those around it; `numbers` has the
    unknowns' in rows that are wider by four."""
    width = rgb.shape[1]
    wide = width + 4
    steps = np.array([row * width + column for row, column in _AROUND])
    weights = _weights(rgb.reshape(-1, 3)[centres[:, None] + steps])
    rows, columns = np.divmod(centres, width)
    centres_wide = (rows + 2) * wide + columns + 2
    for first, (row, column) in enumerate(_AROUND):
        own = numbers[centres_wide + row * wide + column]
        in_band = np.flatnonzero(own >= 0)
        own = own[in_band]
        part = weights[first][:, in_band]
        for second, (other_row, other_column) in enumerate(_AROUND):
            # of one window each pixel has one number, so that no sum is lost
            values[(other_row - row + 2) * _REACH + other_column - column + 2][own] += part[second]


def _weights(colours: npt.NDArray[np.uint8]) -> Floats:
    """9×9×n: what each window (n×9×3 colours) adds to the matting Laplacian (Levin et al., equation 12)."""
    # windows last and side by side, or all that follows takes ten times as long
    shade = np.ascontiguousarray(shades(colours).transpose(1, 2, 0))
    centred = shade - shade.mean(axis=0)
    inverse = _inverse(np.einsum("ikn,iln->kln", centred, centred) / 9)
    turned = np.einsum("kln,iln->ikn", inverse, centred)
    weights = np.einsum("ikn,jkn->ijn", centred, turned)
    weights += 1
    weights /= -9
    for place in range(9):
        weights[place, place] += 1
    return weights


def _inverse(spread: Floats) -> Floats:
    """n symmetric 3×3 matrices (3×3×n), regularised and inverted by their cofactors."""
    wide = spread.astype(np.float64)
    a, d, f = (wide[k, k] + EPSILON / 9 for k in range(3))
    b, c, e = wide[0, 1], wide[0, 2], wide[1, 2]
    inverse = np.array(
        [
            [d * f - e * e, c * e - b * f, b * e - c * d],
            [c * e - b * f, a * f - c * c, b * c - a * e],
            [b * e - c * d, b * c - a * e, a * d - b * b],
        ]
    )
    inverse /= a * inverse[0, 0] + b * inverse[0, 1] + c * inverse[0, 2]
    return inverse.astype(np.float32)


_LEAST_REACH = 0.004
"""The band reaches at least this far to each side of the mask's edge, as a share of the picture's longer side."""

_LEAST_PIXELS = 4
_TILE, _LARGE_TILE = 128, 1024
"""Pixels of the side of what is worked on at once."""

_MOST_REACH = 8
"""The soft mask widens the band to at most so many times that."""

_SURE = 13
"""A soft mask's levels below this, and above 255 less this, are taken as certain (5 %)."""


def least_reach(shape: tuple[int, ...]) -> int:
    """How far the band reaches at least, in pixels of a picture of that shape, to each side of the mask's edge."""
    return max(_LEAST_PIXELS, round(_LEAST_REACH * max(shape)))


def band_around(mask: Grey, soft: Grey | None) -> Grey:
    """Where alpha is to be estimated (H×W, 255): around the edge of an H×W mask (0 or 255), and wherever near it the
    segmenter's own soft mask (H×W, 0..255), which has its middle on that edge, is not certain."""
    least = least_reach(mask.shape)
    most = _MOST_REACH * least
    x, y, width, height = bounding_box(mask)
    around = least if soft is None else most
    part = Tile(max(0, y - around), y + height + around, max(0, x - around), x + width + around).cut(mask.shape)
    band = np.zeros_like(mask)
    for tile in part.tiles(_TILE):
        band[tile.slices] = _near_edge(mask, tile, least)
    if soft is None:
        return band
    for tile in part.tiles(_LARGE_TILE):
        unsure = np.asarray(cv2.inRange(soft[tile.slices], _SURE, 255 - _SURE), np.uint8)
        unsure[band[tile.slices] > 0] = 0
        left, top, wide, high = bounding_box(unsure)
        if wide:
            inner = Tile(tile.top + top, tile.top + top + high, tile.left + left, tile.left + left + wide)
            near = unsure[top : top + high, left : left + wide] & _near_edge(mask, inner, most)
            band[inner.slices] |= near
    return band


def _near_edge(mask: Grey, tile: Tile, reach: int) -> Grey:
    """255 where the mask's edge is at most `reach` pixels away."""
    # the distance by steps is shorter than the straight one by 1.4 % at most
    wider = tile.widened(reach + reach // 32 + 2).cut(mask.shape)
    around = np.ascontiguousarray(mask[wider.slices])
    if around.min() == around.max():
        return np.zeros((tile.bottom - tile.top, tile.right - tile.left), np.uint8)
    return _under(_from_edge(around)[tile.within(wider)], reach)


def _under(distance: Floats, reach: int) -> Grey:
    return np.asarray(distance <= reach, np.uint8) * np.uint8(255)


def _from_edge(mask: Grey) -> Floats:
    """How far each pixel is from the mask's edge, in pixels; the picture's border is none."""
    outside = cv2.distanceTransform(cv2.bitwise_not(mask), cv2.DIST_L2, cv2.DIST_MASK_5)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.maximum(outside, inside)


def guided_band(rgb: Rgb, mask: Grey, band: Grey) -> Floats:
    """The mask's alpha drawn to the picture's own edges inside the band, by a guided filter (He, Sun and Tang 2010):
    less right than `solve`, and never without an answer. Of the band's pixels alone, in their order."""
    return _guided_values(rgb, lambda tile: as_alpha(mask[tile.slices]), band, max(2, round(0.004 * max(mask.shape))))


def _guided_values(rgb: Rgb, alpha: Callable[[Tile], Alpha], band: Grey, radius: int) -> Floats:
    """What the filter draws from a part of alpha that is asked for tile by tile, wherever the band is."""
    values = []
    whole = Tile(0, band.shape[0], 0, band.shape[1])
    for row in whole.tiles(_TILE, band.shape[1]):
        drawn = np.zeros((row.bottom - row.top, band.shape[1]), np.float32)
        for tile in row.tiles(_TILE):
            x, y, width, height = bounding_box(band[tile.slices])
            if not width:
                continue
            tile = Tile(tile.top + y, tile.top + y + height, tile.left + x, tile.left + x + width)
            wider = tile.widened(2 * radius).cut(band.shape)
            guide = np.asarray(cv2.cvtColor(np.ascontiguousarray(rgb[wider.slices]), cv2.COLOR_RGB2GRAY), np.uint8)
            drawn[y : y + height, tile.left : tile.right] = _guided(guide, alpha(wider), radius)[tile.within(wider)]
        values.append(drawn[band[row.slices] > 0])
    return np.concatenate(values)


def _guided(grey: Grey, alpha: Alpha, radius: int) -> Alpha:
    guide = grey.astype(np.float32) / np.float32(255)

    def mean(values: Alpha) -> Alpha:
        return np.asarray(cv2.boxFilter(values, -1, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REFLECT), np.float32)

    guide_mean, alpha_mean = mean(guide), mean(alpha)
    variance = mean(guide * guide) - guide_mean * guide_mean + np.float32(1e-4)
    slope = np.asarray((mean(guide * alpha) - guide_mean * alpha_mean) / variance, np.float32)
    offset = np.asarray(alpha_mean - slope * guide_mean, np.float32)
    return np.asarray(np.clip(mean(slope) * guide + mean(offset), 0, 1), np.float32)
