"""Sums of products whose last bit hangs on the numbers alone.

BLAS splits a matrix product, and a long dot product, among its threads, and adds up in another order with another
number of them: the same picture would give other bytes on another machine. numpy's einsum adds up one after the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lib_prodshot.packshot.arrays import Floats

Doubles = npt.NDArray[np.float64]


def weighted(weights: Floats, rows: Floats) -> Floats:
    """Sums of `rows` (n×k) by `weights` (m×n, in each row of them none but for some neighbours): m×k float32."""
    sums = np.empty((len(weights), rows.shape[1]), np.float32)
    for weight, own in zip(weights, sums):
        used = np.flatnonzero(weight)
        near = slice(used[0], used[-1] + 1)
        np.einsum("n,nk->k", weight[near], rows[near], out=own)
    return sums


def least_squares(terms: Doubles, values: Doubles) -> Doubles:
    """The factors (m) by which `terms` (m×n) add up nearest to `values` (n): the normal equations, whose few are solved
    by numpy in one thread; the shortest factors where there are several."""
    normal = np.einsum("in,jn->ij", terms, terms)
    return np.asarray(np.linalg.lstsq(normal, np.einsum("in,n->i", terms, values), rcond=None)[0], np.float64)


def conjugate_gradients(matrix: Any, right: Floats, start: Floats, tolerance: float, most_steps: int) -> Floats | None:
    """Solve `matrix` x = `right` for a sparse, symmetric, positive definite matrix (n×n float32), from `start` on and
    preconditioned by its diagonal, until what is left over is at most `tolerance` of `right` (Euclidean norms).

    None where that takes more than `most_steps`. Source: Hestenes and Stiefel 1952, in the preconditioned form of
    Saad, Iterative Methods for Sparse Linear Systems, algorithm 9.1.
    """
    inverse = 1 / np.maximum(matrix.diagonal(), np.float32(1e-6))
    found = start.copy()
    left = right - matrix @ found
    enough = tolerance**2 * _dot(right, right)
    direction = inverse * left
    size = _dot(left, direction)
    for _ in range(most_steps):
        if _dot(left, left) <= enough:
            return found
        image = matrix @ direction
        step = np.float32(size / _dot(direction, image))
        found += step * direction
        left -= step * image
        conditioned = inverse * left
        before, size = size, _dot(left, conditioned)
        direction *= np.float32(size / before)
        direction += conditioned
    return None


def _dot(one: Floats, other: Floats) -> float:
    return float(np.add.reduce(one * other, dtype=np.float64))
