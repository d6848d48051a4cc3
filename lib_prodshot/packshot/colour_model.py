"""Which colours product and ground have around each pixel, and what that says of the pixel's alpha.

Either is a Gaussian whose mean runs linearly over the place, fitted to what is certain around the pixel, the nearer the
more it counts: Bayesian matting (Chuang et al. 2001), here only a term beside closed-form matting.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.packshot.arrays import Alpha, Floats, Rgb, shades

Doubles = npt.NDArray[np.float64]
Places = npt.NDArray[np.signedinteger[Any]]
Plane = TypeVar("Plane", Rgb, Alpha)

Field = npt.NDArray[np.float32]
"""Means and covariances of colours at each cell (h×w×9)."""

CELL = 6
"""Colours are gathered in cells of this many pixels a side, if not told otherwise."""

_DECAY = 0.3
"""What a twice as wide neighbourhood counts beside a narrow one: colours `d` away count about 1/d to the 3.5."""

_RIDGE = 6.0
"""Holds the mean's slope where places hardly differ, in cells squared."""

_ROUNDS = 3

NOISE = (1.5 / 255) ** 2
"""Variance of a channel that no Gaussian holds; a sensor's noise and a JPEG's are in what those are fitted to."""


@dataclass(frozen=True)
class Gaussians:
    """Means (3×n) and covariances (6×n: rr, rg, rb, gg, gb, bb) of colours in 0..1 at n pixels."""

    mean: Floats
    spread: Floats


@dataclass(frozen=True)
class Likelihood:
    """The alpha that explains each of n pixels best, its variance, and how far off the explanation is (squared
    Mahalanobis distance; of two degrees of freedom where the model holds)."""

    alpha: Floats
    variance: Floats
    misfit: Floats


class Weight(Protocol):
    """What each pixel of a picture counts, made for the rows that are asked for."""

    def rows(self, top: int, bottom: int) -> Alpha:
        """In these rows (H×W float32)."""


class Cells:
    """A picture's colours (H×W×3 uint8) in cells of so many pixels a side, made once for all that is asked of them."""

    def __init__(self, rgb: Rgb, cell: int = CELL) -> None:
        self._cell = cell
        self._rgb = rgb
        self._unweighted = self._moments()

    def fitted(self, weight: Alpha | Weight) -> Field:
        """The colours around each cell, of the pixels that `weight` (H×W) counts."""
        return _fitted(_gathered(self._weighted(weight)))

    def at(self, places: Places) -> Colours:
        """For the pixels at flat `places`."""
        rows, columns = np.divmod(places, np.asarray(self._rgb.shape[1], places.dtype))
        height, width = self._unweighted.shape[:2]
        between = _between(height, width, (rows + 0.5) / self._cell - 0.5, (columns + 0.5) / self._cell - 0.5)
        return Colours(np.ascontiguousarray(shades(self._rgb[rows, columns]).T), between)

    def _strips(self) -> Iterator[tuple[slice, int, int]]:
        """The cells' rows, and the picture's from … to …, of a strip."""
        step = max(1, _STRIP_ROWS // self._cell)
        height = len(self._rgb)
        for top in range(0, -(-height // self._cell), step):
            yield slice(top, top + step), top * self._cell, min(height, (top + step) * self._cell)

    def _moments(self) -> Floats:
        """The mean of each cell's colours and of their products, and 1 (h×w×10)."""
        cell, (height, width) = self._cell, self._rgb.shape[:2]
        moments = np.ones((-(-height // cell), -(-width // cell), 10), np.float32)
        for rows, first, last in self._strips():
            strip = _extended(self._rgb[first:last], cell)
            size = (moments.shape[1], len(strip) // cell)
            red, green, blue = (shades(plane) for plane in np.ascontiguousarray(strip.transpose(2, 0, 1)))
            for number, plane in enumerate(_monomials(red, green, blue), 1):
                moments[rows, :, number] = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
        return moments

    def _weighted(self, weight: Alpha | Weight) -> Floats:
        """Zeroth, first and second moments of the colours in each cell (h×w×10). Most cells count as a whole: only the
        others are gone through by pixels."""
        cell = self._cell
        moments = self._unweighted.copy()
        for rows, first, last in self._strips():
            told = weight[first:last] if isinstance(weight, np.ndarray) else weight.rows(first, last)
            strip = _extended(told, cell)
            cells = strip.reshape(len(strip) // cell, cell, -1, cell)
            least, most = cells.min(axis=1).min(axis=2), cells.max(axis=1).max(axis=2)
            moments[rows] *= least[..., None]
            down, across = np.nonzero(least != most)
            if not len(down):
                continue
            counted = cells[down, :, across].reshape(len(down), cell**2)
            colours = _extended(self._rgb[first:last], cell).reshape(*cells.shape, 3)[down, :, across]
            red, green, blue = (shades(np.ascontiguousarray(colours[..., k])).reshape(counted.shape) for k in range(3))
            sums = [
                counted.sum(axis=1),
                *(np.einsum("mp,mp->m", counted, plane) for plane in _monomials(red, green, blue)),
            ]
            moments[rows][down, across] = np.stack(sums, axis=1) / cell**2
        return moments


@dataclass(frozen=True)
class Colours:
    """Pixels of a picture: their own colours (3×n, 0..1), and which cells lie around them."""

    seen: Floats
    between: Any

    def around(self, field: Field) -> Gaussians:
        """The colours around each of the pixels."""
        # planes of their own, side by side: all that follows goes plane by plane
        sampled = np.ascontiguousarray((self.between @ field.reshape(-1, field.shape[2])).T)
        return Gaussians(sampled[:3], sampled[3:])


def _extended(plane: Plane, cell: int) -> Plane:
    """A plane in whole cells, nothing beyond the picture."""
    missing = -plane.shape[0] % cell, -plane.shape[1] % cell
    if not any(missing):
        return plane
    padding = ((0, missing[0]), (0, missing[1]), (0, 0))
    return np.pad(plane, padding[: plane.ndim])


def _monomials(red: Floats, green: Floats, blue: Floats) -> list[Floats]:
    """The colours' planes and those of their products: what first and second moments are means of."""
    return [red, green, blue, red * red, red * green, red * blue, green * green, green * blue, blue * blue]


_STRIP_ROWS = 48
"""So many rows of pixels at once: planes of floats that a processor's cache holds."""


def _gathered(cells: Floats) -> Doubles:
    """Sums over the neighbourhood of each cell, with the moments of places (h×w×21)."""
    height, width = cells.shape[:2]
    down, across = np.mgrid[:height, :width].astype(np.float64)
    mass, shades = cells[..., :1].astype(np.float64), cells[..., :4].astype(np.float64)
    x, y = across[..., None], down[..., None]
    planes = np.concatenate(
        [cells.astype(np.float64), x * shades, y * shades, x * x * mass, x * y * mass, y * y * mass], axis=2
    )
    levels = [planes]
    while min(levels[-1].shape[:2]) > 3:
        levels.append(np.asarray(cv2.pyrDown(levels[-1]), np.float64))
    total = levels.pop()
    while levels:
        finer = levels.pop()
        total = finer + _DECAY * np.asarray(cv2.pyrUp(total, dstsize=finer.shape[1::-1]), np.float64)
    return total


def _fitted(sums: Doubles) -> Floats:
    """Mean and covariance (h×w×9) of a linear fit of the colours over the places, at each cell."""
    height, width = sums.shape[:2]
    down, across = np.mgrid[:height, :width].astype(np.float64)
    mean = sums / np.maximum(sums[..., :1], 1e-12)
    shade = mean[..., 1:4]
    x, y = mean[..., 10], mean[..., 14]
    along_x = mean[..., 11:14] - x[..., None] * shade
    along_y = mean[..., 15:18] - y[..., None] * shade
    xx, xy, yy = (mean[..., 18] - x * x, mean[..., 19] - x * y, mean[..., 20] - y * y)
    a, b, d = xx + _RIDGE, xy, yy + _RIDGE
    determinant = np.maximum(a * d - b * b, 1e-9)[..., None]
    slope_x = (d[..., None] * along_x - b[..., None] * along_y) / determinant
    slope_y = (a[..., None] * along_y - b[..., None] * along_x) / determinant
    off_x, off_y = (across - x)[..., None], (down - y)[..., None]
    fitted = shade + off_x * slope_x + off_y * slope_y
    # how far the fit is carried beyond its pixels makes it less sure
    reach = 1 + (d[..., None] * off_x**2 - 2 * b[..., None] * off_x * off_y + a[..., None] * off_y**2) / determinant
    spreads = []
    for number, (first, second) in enumerate(_PAIRS):
        whole = mean[..., 4 + number] - shade[..., first] * shade[..., second]
        told = slope_x[..., first] * along_x[..., second] + slope_y[..., first] * along_y[..., second]
        back = slope_x[..., second] * along_x[..., first] + slope_y[..., second] * along_y[..., first]
        rest = (
            slope_x[..., first] * slope_x[..., second] * xx
            + slope_y[..., first] * slope_y[..., second] * yy
            + (slope_x[..., first] * slope_y[..., second] + slope_y[..., first] * slope_x[..., second]) * xy
        )
        spreads.append((whole - told - back + rest) * reach[..., 0])
    return np.concatenate([np.clip(fitted, 0, 1), np.stack(spreads, axis=2)], axis=2).astype(np.float32)


_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
"""The entries of a symmetric 3×3 matrix, in their order."""


def _between(height: int, width: int, rows: Doubles, columns: Doubles) -> Any:
    """The sparse matrix (n × height·width) that interpolates values of cells at n places between the cells' middles."""
    from scipy.sparse import csr_matrix

    y, x = np.clip(rows, 0, height - 1).astype(np.float32), np.clip(columns, 0, width - 1).astype(np.float32)
    top, left = y.astype(np.int32), x.astype(np.int32)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    down, across = y - top, x - left
    corners = np.stack([top * width + left, top * width + right, bottom * width + left, bottom * width + right], axis=1)
    shares = [(1 - down) * (1 - across), (1 - down) * across, down * (1 - across), down * across]
    ends = np.arange(0, 4 * len(y) + 1, 4, dtype=np.int32)
    values = np.stack(shares, axis=1).astype(np.float32)
    return csr_matrix((values.ravel(), corners.ravel(), ends), shape=(len(y), height * width))


def likelihood(seen: Floats, product: Gaussians, ground: Gaussians, noise: float) -> Likelihood:
    """What n colours (3×n, 0..1) say of their alpha; `noise` is the variance of a channel that no Gaussian holds."""
    line = product.mean - ground.mean
    off = seen - ground.mean
    alpha = np.full(seen.shape[1], 0.5, np.float32)
    for _ in range(_ROUNDS):
        inverse = _inverted(_mixture(alpha, product, ground, noise))
        towards = _times(inverse, line)
        precision = np.maximum((towards * line).sum(axis=0), 1e-6)
        alpha = np.clip((towards * off).sum(axis=0) / precision, 0, 1).astype(np.float32)
    rest = off - alpha * line
    misfit = (_times(inverse, rest) * rest).sum(axis=0)
    return Likelihood(alpha, (1 / precision).astype(np.float32), misfit.astype(np.float32))


def distance(seen: Floats, colours: Gaussians, noise: float) -> Floats:
    """How far n colours (3×n, 0..1) are from Gaussians: squared Mahalanobis distance."""
    off = seen - colours.mean
    spread = colours.spread.copy()
    spread[[0, 3, 5]] += np.float32(noise)
    return np.asarray((_times(_inverted(spread), off) * off).sum(axis=0), np.float32)


def own_colours(seen: Floats, alpha: Floats, product: Gaussians, ground: Gaussians, noise: float) -> Floats:
    """The product's most likely colours (3×n) in n pixels of known alpha (Chuang et al., equation 9)."""
    inverse = _inverted(_mixture(alpha, product, ground, noise))
    rest = seen - alpha * product.mean - (1 - alpha) * ground.mean
    return np.asarray(product.mean + alpha * _times(product.spread, _times(inverse, rest)), np.float32)


def _mixture(alpha: Floats, product: Gaussians, ground: Gaussians, noise: float) -> Floats:
    """The covariance (6×n) of what is seen, given alpha."""
    spread = np.square(alpha) * product.spread + np.square(1 - alpha) * ground.spread
    spread[[0, 3, 5]] += np.float32(noise)
    return np.asarray(spread, np.float32)


def _inverted(spread: Floats) -> Floats:
    """n symmetric 3×3 matrices (6×n) inverted by their cofactors."""
    a, b, c, d, e, f = spread.astype(np.float64)
    first, second, third = d * f - e * e, c * e - b * f, b * e - c * d
    scale = 1 / np.maximum(a * first + b * second + c * third, 1e-18)
    cofactors = (first, second, third, a * f - c * c, b * c - a * e, a * d - b * b)
    return np.stack([(cofactor * scale).astype(np.float32) for cofactor in cofactors])


def _times(matrices: Floats, vectors: Floats) -> Floats:
    """n symmetric 3×3 matrices (6×n) times n vectors (3×n)."""
    a, b, c, d, e, f = matrices
    x, y, z = vectors
    return np.stack([a * x + b * y + c * z, b * x + d * y + e * z, c * x + e * y + f * z])
