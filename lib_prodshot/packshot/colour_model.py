"""Which colours product and ground have around each pixel, and what that says of the pixel's alpha.

Either is a Gaussian whose mean runs linearly over the place, fitted to what is certain around the pixel, the nearer the
more it counts: Bayesian matting (Chuang et al. 2001), here only a term beside closed-form matting.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.packshot.arrays import Alpha, Floats, Rgb, shades

Doubles = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

CELL = 6
"""Colours are gathered in cells of this many pixels a side, if not told otherwise."""

_DECAY = 0.3
"""What a twice as wide neighbourhood counts beside a narrow one: colours `d` away count about 1/d to the 3.5."""

_RIDGE = 6.0
"""Holds the mean's slope where places hardly differ, in cells squared."""

_ROUNDS = 3

NOISE = (4 / 255) ** 2
"""Variance of a channel that no Gaussian holds: a sensor's noise and a JPEG's."""


@dataclass(frozen=True)
class Gaussians:
    """Means (n×3) and covariances (n×6: rr, rg, rb, gg, gb, bb) of colours in 0..1 at n pixels."""

    mean: Floats
    spread: Floats


@dataclass(frozen=True)
class Likelihood:
    """The alpha that explains each of n pixels best, its variance, and how far off the explanation is (squared
    Mahalanobis distance; of two degrees of freedom where the model holds)."""

    alpha: Floats
    variance: Floats
    misfit: Floats


class Colours:
    """A picture's colours (H×W×3 uint8) and their products, made once for all that is asked about them."""

    def __init__(self, rgb: Rgb, cell: int = CELL) -> None:
        self.height, self.width = rgb.shape[:2]
        self._cell = cell
        self._missing = -self.height % cell, -self.width % cell
        self.flat = shades(rgb).reshape(-1, 3)
        red, green, blue = cv2.split(self._whole(self.flat.reshape(rgb.shape)))
        self._planes = [red, green, blue, red * red, red * green, red * blue, green * green, green * blue, blue * blue]

    def around(self, weight: Alpha, places: Places) -> Gaussians:
        """The colours around each of the pixels at flat `places`, of the pixels that `weight` (H×W) counts."""
        fitted = _fitted(_gathered(self._moments(self._whole(weight))))
        rows, columns = np.divmod(places, self.width)
        sampled = _sampled(fitted, (rows + 0.5) / self._cell - 0.5, (columns + 0.5) / self._cell - 0.5)
        return Gaussians(sampled[:, :3], sampled[:, 3:])

    def _moments(self, weight: Alpha) -> Floats:
        """Zeroth, first and second moments of the colours in each cell (h×w×10)."""
        size = (weight.shape[1] // self._cell, weight.shape[0] // self._cell)
        planes = [weight, *(np.asarray(weight * plane, np.float32) for plane in self._planes)]
        return np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in planes], axis=2)

    def _whole(self, plane: Floats) -> Floats:
        """A plane in whole cells, nothing beyond the picture."""
        if not any(self._missing):
            return plane
        down, across = self._missing
        return np.asarray(cv2.copyMakeBorder(plane, 0, down, 0, across, cv2.BORDER_CONSTANT), np.float32)


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


def _sampled(planes: Floats, rows: Doubles, columns: Doubles) -> Floats:
    """Values between the cells' middles (n×planes)."""
    height, width = planes.shape[:2]
    y, x = np.clip(rows, 0, height - 1).astype(np.float32), np.clip(columns, 0, width - 1).astype(np.float32)
    top, left = y.astype(np.intp), x.astype(np.intp)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    down, across = (y - top)[:, None], (x - left)[:, None]
    flat = planes.reshape(height * width, -1)
    upper = flat[top * width + left] * (1 - across) + flat[top * width + right] * across
    lower = flat[bottom * width + left] * (1 - across) + flat[bottom * width + right] * across
    return np.asarray(upper * (1 - down) + lower * down, np.float32)


def likelihood(seen: Floats, product: Gaussians, ground: Gaussians, noise: float) -> Likelihood:
    """What n colours (n×3, 0..1) say of their alpha; `noise` is the variance of a channel that no Gaussian holds."""
    line = product.mean - ground.mean
    off = seen - ground.mean
    alpha = np.full(len(seen), 0.5, np.float32)
    for _ in range(_ROUNDS):
        inverse = _inverted(_mixture(alpha, product, ground, noise))
        towards = _times(inverse, line)
        precision = np.maximum((towards * line).sum(axis=1), 1e-6)
        alpha = np.clip((towards * off).sum(axis=1) / precision, 0, 1).astype(np.float32)
    rest = off - alpha[:, None] * line
    misfit = (_times(inverse, rest) * rest).sum(axis=1)
    return Likelihood(alpha, (1 / precision).astype(np.float32), misfit.astype(np.float32))


def own_colours(seen: Floats, alpha: Floats, product: Gaussians, ground: Gaussians, noise: float) -> Floats:
    """The product's most likely colours (n×3) in n pixels of known alpha (Chuang et al., equation 9)."""
    inverse = _inverted(_mixture(alpha, product, ground, noise))
    share = alpha[:, None]
    rest = seen - share * product.mean - (1 - share) * ground.mean
    return np.asarray(product.mean + share * _times(product.spread, _times(inverse, rest)), np.float32)


def _mixture(alpha: Floats, product: Gaussians, ground: Gaussians, noise: float) -> Floats:
    """The covariance (n×6) of what is seen, given alpha."""
    share = alpha[:, None]
    spread = np.square(share) * product.spread + np.square(1 - share) * ground.spread
    spread[:, [0, 3, 5]] += np.float32(noise)
    return np.asarray(spread, np.float32)


def _inverted(spread: Floats) -> Floats:
    """n symmetric 3×3 matrices (n×6) inverted by their cofactors."""
    a, b, c, d, e, f = spread.T.astype(np.float64)
    inverse = np.stack(
        [d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b], axis=1
    )
    determinant = a * inverse[:, 0] + b * inverse[:, 1] + c * inverse[:, 2]
    return np.asarray(inverse / np.maximum(determinant, 1e-18)[:, None], np.float32)


def _times(matrices: Floats, vectors: Floats) -> Floats:
    """n symmetric 3×3 matrices (n×6) times n vectors."""
    a, b, c, d, e, f = matrices.T
    x, y, z = vectors.T
    return np.stack([a * x + b * y + c * z, b * x + d * y + e * z, c * x + e * y + f * z], axis=1)
