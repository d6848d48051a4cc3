"""The product's own colours where it shares a pixel with its old ground: multi-level foreground estimation.

Source: Germer, Uelwer, Conrad and Harmeling, "Fast Multi-Level Foreground Estimation" (2020): colours of product and
ground that explain the picture by its alpha and vary little, found from coarse to fine. Only the band is computed.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.packshot.arrays import Alpha, Rgb

_REGULARISATION = 1e-5
_GRADIENT = 1.0
_SMALL = 32
"""Levels of at most this side get more rounds (Germer et al.)."""

_ROUNDS_SMALL, _ROUNDS = 10, 2

Floats = npt.NDArray[np.float32]


def estimate(rgb: Rgb, alpha: Alpha) -> Rgb:
    """Foreground colours of an H×W×3 picture: its own where alpha (H×W, 0..1) is 1 or 0, estimated in between."""
    partial = (alpha > 0) & (alpha < 1)
    result = rgb.copy()
    if not partial.any():
        return result
    picture = rgb.astype(np.float32) / np.float32(255)
    product, ground = _coarsest(picture, alpha)
    for width, height in _levels(alpha.shape[1], alpha.shape[0]):
        small = _resized(picture, width, height), _resized(alpha, width, height)
        product, ground = _level(*small, _upsampled(product, width, height), _upsampled(ground, width, height))
    result[partial] = np.rint(np.clip(product[partial], 0, 1) * 255)
    return result


def _coarsest(picture: Floats, alpha: Alpha) -> tuple[Floats, Floats]:
    """The mean colours of product and ground, as pictures of one pixel."""
    means = []
    for weight in (alpha, 1 - alpha):
        total = max(float(weight.sum()), 1e-6)
        means.append((picture * weight[..., None]).sum(axis=(0, 1), dtype=np.float64) / total)
    product, ground = (mean.astype(np.float32).reshape(1, 1, 3) for mean in means)
    return product, ground


def _levels(width: int, height: int) -> list[tuple[int, int]]:
    """Sizes from coarse to fine, each about twice the one before; the last is the picture's."""
    count = int(np.ceil(np.log2(max(width, height))))
    return [(round(width ** (step / count)), round(height ** (step / count))) for step in range(1, count + 1)]


def _resized(values: Floats, width: int, height: int) -> Floats:
    if values.shape[:2] == (height, width):
        return values
    return np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _upsampled(values: Floats, width: int, height: int) -> Floats:
    return np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_NEAREST), np.float32)


def _level(picture: Floats, alpha: Alpha, product: Floats, ground: Floats) -> tuple[Floats, Floats]:
    """A few Jacobi rounds on the pixels that are neither wholly product nor wholly ground, the others being known."""
    height, width = alpha.shape
    whole, empty = alpha >= 1, alpha <= 0
    product[whole], ground[empty] = picture[whole], picture[empty]
    # a flat copy with a border, so that every pixel has four neighbours; those beyond the picture repeat its border
    padded = [cv2.copyMakeBorder(plane, 1, 1, 1, 1, cv2.BORDER_REPLICATE) for plane in (alpha, product, ground)]
    flat_alpha, flat_product, flat_ground = padded[0].ravel(), padded[1].reshape(-1, 3), padded[2].reshape(-1, 3)
    rows, columns = np.nonzero(~(whole | empty))
    if not len(rows):
        return product, ground
    places = (rows + 1) * (width + 2) + columns + 1
    neighbours = places[:, None] + np.array([-1, 1, -(width + 2), width + 2])
    share = flat_alpha[places]
    slopes = np.abs(share[:, None] - flat_alpha[neighbours])
    weights = np.float32(_REGULARISATION) + np.float32(_GRADIENT) * slopes
    seen, total = picture[rows, columns], weights.sum(axis=1)
    rounds = _ROUNDS_SMALL if max(width, height) <= _SMALL else _ROUNDS
    for _ in range(rounds):
        pulls = [np.einsum("nk,nkc->nc", weights, flat[neighbours]) for flat in (flat_product, flat_ground)]
        flat_product[places], flat_ground[places] = _explained(seen, share, total, *pulls)
    new_product, new_ground = product.copy(), ground.copy()
    new_product[rows, columns], new_ground[rows, columns] = flat_product[places], flat_ground[places]
    return new_product, new_ground


def _explained(seen: Floats, share: Floats, total: Floats, product: Floats, ground: Floats) -> tuple[Floats, Floats]:
    """Solve each pixel's 2×2 system: share·F + (1 − share)·B = seen, F and B drawn to their neighbours."""
    rest = 1 - share
    a, b, d = share * share + total, share * rest, rest * rest + total
    right_product = share[:, None] * seen + product
    right_ground = rest[:, None] * seen + ground
    determinant = (a * d - b * b)[:, None]
    new_product = (d[:, None] * right_product - b[:, None] * right_ground) / determinant
    new_ground = (a[:, None] * right_ground - b[:, None] * right_product) / determinant
    return np.clip(new_product, 0, 1), np.clip(new_ground, 0, 1)
