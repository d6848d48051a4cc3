"""The product's share of each pixel along the mask's edge: closed-form matting, solved in a band only.

Source: Levin, Lischinski and Weiss, "A Closed-Form Solution to Natural Image Matting" (2008): in a window of 3×3 pixels
alpha is a linear function of colour; what all windows say together is a sparse linear system. Outside the band alpha is
0 or 1 by the mask, so only the band's pixels are unknowns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.packshot.arrays import Alpha, Grey, Rgb

EPSILON = 1e-6
"""Regularisation of the colours' covariance in a window, of colours in 0..1 (Levin et al.: 1e-7 to 1e-5)."""

_TOLERANCE = 1e-3
_MOST_ITERATIONS = 600

_AROUND = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)]
"""The nine pixels of a window."""

_REACH = 5
"""Two pixels share a window when they are at most two apart: 5×5 places."""

Doubles = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class System:
    """The linear system of the band's pixels: `matrix` n×n (CSR), `right` n, for the pixels at flat `places`."""

    matrix: Any
    right: Doubles
    places: Places


_MOST_UNKNOWNS = 120_000
"""Bands of more pixels are solved at half the size, and at a quarter."""

_HALVINGS = 2


@dataclass(frozen=True)
class Guess:
    """What the colours alone say of alpha (H×W, 0..1), and how much that is worth (H×W, 0..1)."""

    alpha: Alpha
    worth: Alpha


def estimate(rgb: Rgb, mask: Grey, band: Grey, soft: Grey | None, halvings: int = _HALVINGS) -> tuple[Alpha, bool]:
    """Alpha of an H×W×3 picture: the mask's (H×W, 0 or 255) outside the band (H×W, 255 in it), matted inside; and
    whether closed-form matting gave it, or the guided filter had to.

    A large band is solved at half the size and brought up by the guided filter.
    """
    if cv2.countNonZero(band) <= _MOST_UNKNOWNS:
        alpha = solve(rgb, mask, band, soft)
        return (guided(rgb, as_alpha(mask), band), False) if alpha is None else (alpha, True)
    if not halvings:
        return guided(rgb, as_alpha(mask), band), False
    size = ((band.shape[1] + 1) // 2, (band.shape[0] + 1) // 2)
    small = [np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.uint8) for plane in (rgb, mask, band)]
    small_soft = None if soft is None else np.asarray(cv2.resize(soft, size, interpolation=cv2.INTER_AREA), np.uint8)
    small_mask, small_band = _over(small[1], 127), _over(small[2], 0)
    alpha, is_matted = estimate(small[0], small_mask, small_band, small_soft, halvings - 1)
    larger = np.asarray(cv2.resize(alpha, band.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
    raised = guided(rgb, larger, band, radius=2)
    return np.asarray(np.where(band > 0, raised, as_alpha(mask)), np.float32), is_matted


def _over(grey: Grey, level: int) -> Grey:
    return np.asarray(cv2.threshold(grey, level, 255, cv2.THRESH_BINARY)[1], np.uint8)


def as_alpha(levels: Grey) -> Alpha:
    """Levels 0..255 as shares 0..1."""
    return np.asarray(levels / np.float32(255), np.float32)


def solve(rgb: Rgb, mask: Grey, band: Grey, soft: Grey | None = None) -> Alpha | None:
    """Closed-form matting inside the band (H×W, 255 in it), with what the colours and the soft mask say as weak terms
    beside it: they hold thin straps, which the mask's certain part touches at one end only.

    None where the conjugate gradients do not converge.
    """
    from scipy.sparse import diags
    from scipy.sparse.linalg import cg

    known = as_alpha(mask)
    if not band.any():
        return known
    system = _system(rgb, known, band)
    told = guess(rgb, mask, band)
    colours = told.worth.ravel()[system.places].astype(np.float64) * _COLOUR_TRUST
    seen = told.alpha.ravel()[system.places]
    expected = (known if soft is None else as_alpha(soft)).ravel()[system.places]
    weight = colours + _MASK_TRUST
    start = (colours * seen + _MASK_TRUST * expected) / weight
    matrix, right = system.matrix + diags(weight), system.right + weight * start
    inverse = diags(1 / np.maximum(matrix.diagonal(), 1e-12))
    limits: dict[str, Any] = {_relative(): _TOLERANCE, "atol": 0.0, "maxiter": _MOST_ITERATIONS}
    found, failed = cg(matrix, right, x0=start, M=inverse, **limits)
    if failed or not np.isfinite(found).all():
        return None
    alpha = known.copy()
    alpha.ravel()[system.places] = np.clip(found, 0, 1)
    return alpha


_COLOUR_TRUST = 0.1
_MASK_TRUST = 0.01
"""Weights of the two terms beside the matting Laplacian; the best of those tried on the scenes of
`benchmarks/edges.py`."""

_BAND_SAYS = 0.02
"""How much a pixel of the band may say of the product's colour beside one that is certainly the product's."""

_TIGHT = 0.05
"""How far a colour may lie off the line between product and ground and still be told by it (of 1)."""


def guess(rgb: Rgb, mask: Grey, band: Grey) -> Guess:
    """Where a pixel lies between the colours of the ground around it and those of the product next to it.

    Worth much where the two differ by more than the ground itself varies, and where the pixel lies between them.
    """
    unit = max(mask.shape) / 1024
    colours = rgb.astype(np.float32) / np.float32(255)
    far = ((mask == 0) & (band == 0)).astype(np.float32)
    ground, seen = _local_mean(colours, far, 4 * unit + 1)
    wide, _ = _local_mean(colours, far, 16 * unit + 1)
    ground = np.where((seen < 0.02)[..., None], wide, ground)
    off = np.asarray(np.square(colours - ground).sum(axis=2), np.float32)
    varies = _local_mean(off[..., None], far, 8 * unit + 1)[0][..., 0]
    # the certain part of the product tells its colour; where none is near, what differs most from the ground does
    inside = np.where(mask > 0, np.where(band == 0, 1.0, _BAND_SAYS * np.square(np.minimum(off, 0.5))), 0.0)
    product, _ = _local_mean(colours, inside, 5 * unit + 1)
    line = product - ground
    length = np.square(line).sum(axis=2)
    alpha = np.clip(((colours - ground) * line).sum(axis=2) / np.maximum(length, 1e-6), 0, 1)
    beside = np.square(colours - ground - alpha[..., None] * line).sum(axis=2)
    worth = np.square(length / (length + 4 * varies + 1e-3)) * np.exp(-beside / (_TIGHT**2 + varies))
    return Guess(alpha.astype(np.float32), worth.astype(np.float32))


def _local_mean(
    values: npt.NDArray[np.float32], weight: npt.NDArray[Any], sigma: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """H×W×c means of H×W×c values around each pixel, weighted (H×W), and the weights' own mean."""
    # two box filters come near a Gaussian of that sigma (Wells 1986) at a cost that does not grow with it
    side = 2 * max(1, round(sigma)) + 1
    weight = weight.astype(np.float32)

    def mean(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        for _ in range(2):
            plane = cv2.boxFilter(plane, -1, (side, side), borderType=cv2.BORDER_REPLICATE)
        return plane

    total = mean(weight)
    weighted = mean(np.asarray(values * weight[..., None], np.float32)).reshape(values.shape)
    return np.asarray(weighted / np.maximum(total, 1e-6)[..., None], np.float32), total


def _relative() -> str:
    """scipy 1.12 renamed cg's relative tolerance, and 1.14 took the old name away."""
    import inspect

    from scipy.sparse.linalg import cg

    return "rtol" if "rtol" in inspect.signature(cg).parameters else "tol"


def _system(rgb: Rgb, known: Alpha, band: Grey) -> System:
    """Gather the windows that hold a pixel of the band, and add up what each says of each pair of its pixels."""
    from scipy.sparse import csr_matrix

    height, width = band.shape
    places = np.flatnonzero(band)
    number = np.full(height * width, -1, np.int32)
    number[places] = np.arange(len(places), dtype=np.int32)
    inner = np.zeros_like(band)
    inner[1:-1, 1:-1] = cv2.dilate(band, np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    centres = np.flatnonzero(inner)
    steps = np.array([row * width + column for row, column in _AROUND])
    pixels = centres[:, None] + steps
    weights = _weights(rgb.reshape(-1, 3)[pixels])
    count = len(places)
    total = np.zeros(count * _REACH**2)
    for first, (row, column) in enumerate(_AROUND):
        own = number[pixels[:, first]]
        in_band = own >= 0
        offsets = [(r - row + 2) * _REACH + (c - column + 2) for r, c in _AROUND]
        spots = own[in_band, None].astype(np.intp) * _REACH**2 + np.array(offsets)
        total += np.bincount(spots.ravel(), weights[in_band, first].ravel(), count * _REACH**2)
    values = total.reshape(count, _REACH**2)
    across = [row * width + column for row in range(-2, 3) for column in range(-2, 3)]
    others = np.clip(places[:, None] + np.array(across), 0, height * width - 1)
    columns = number[others]
    unknown = (columns >= 0) & (values != 0)
    right = -np.where(columns < 0, values * known.ravel()[others], 0).sum(axis=1)
    ends = np.concatenate([[0], np.cumsum(unknown.sum(axis=1))])
    matrix = csr_matrix((values[unknown], columns[unknown], ends), shape=(count, count))
    return System(matrix, right, places)


def _weights(colours: npt.NDArray[np.uint8]) -> Doubles:
    """n×9×9: what each window (n×9×3 colours) adds to the matting Laplacian (Levin et al., equation 12)."""
    shade = colours / 255.0
    centred = shade - shade.mean(axis=1, keepdims=True)
    spread = np.einsum("nik,nil->nkl", centred, centred) / 9 + np.eye(3) * (EPSILON / 9)
    return np.eye(9) - (1 + centred @ _inverse(spread) @ centred.transpose(0, 2, 1)) / 9


def _inverse(matrices: Doubles) -> Doubles:
    """n symmetric 3×3 matrices inverted by their cofactors; much faster than one by one."""
    a, b, c = matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 0, 2]
    d, e, f = matrices[:, 1, 1], matrices[:, 1, 2], matrices[:, 2, 2]
    inverse = np.empty_like(matrices)
    inverse[:, 0, 0], inverse[:, 1, 1], inverse[:, 2, 2] = d * f - e * e, a * f - c * c, a * d - b * b
    inverse[:, 0, 1] = inverse[:, 1, 0] = c * e - b * f
    inverse[:, 0, 2] = inverse[:, 2, 0] = b * e - c * d
    inverse[:, 1, 2] = inverse[:, 2, 1] = b * c - a * e
    inverse /= (a * inverse[:, 0, 0] + b * inverse[:, 0, 1] + c * inverse[:, 0, 2])[:, None, None]
    return inverse


_LEAST_REACH = 0.004
"""The band reaches at least this far to each side of the mask's edge, as a share of the picture's longer side."""

_LEAST_PIXELS = 4
_MOST_REACH = 8
"""The soft mask widens the band to at most so many times that."""

_SURE = 13
"""A soft mask's levels below this, and above 255 less this, are taken as certain (5 %)."""


def band_around(mask: Grey, soft: Grey | None) -> Grey:
    """Where alpha is to be estimated (H×W, 255): around the edge of an H×W mask (0 or 255), and wherever near it the
    segmenter's own soft mask (H×W, 0..255), which has its middle on that edge, is not certain."""
    least = max(_LEAST_PIXELS, round(_LEAST_REACH * max(mask.shape)))
    near = _edge(mask, least)
    if soft is None:
        return near
    uncertain = cv2.inRange(soft, _SURE, 255 - _SURE)
    return np.asarray(cv2.bitwise_or(near, cv2.bitwise_and(uncertain, _edge(mask, _MOST_REACH * least))), np.uint8)


def _edge(mask: Grey, reach: int) -> Grey:
    """All within `reach` pixels of the mask's edge; the picture's border is none."""
    outside = cv2.distanceTransform(cv2.bitwise_not(mask), cv2.DIST_L2, cv2.DIST_MASK_5)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.where((outside <= reach) & (inside <= reach), np.uint8(255), np.uint8(0))


def guided(rgb: Rgb, alpha: Alpha, band: Grey, radius: int = 0) -> Alpha:
    """An alpha (H×W, 0..1) drawn to the picture's own edges by a guided filter (He, Sun and Tang 2010) inside the band:
    less right than `solve`, and never without an answer. `radius` in pixels, 0: by the picture's size."""
    radius = radius or max(2, round(0.004 * max(alpha.shape)))
    guide = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / np.float32(255)

    def mean(values: Alpha) -> Alpha:
        return np.asarray(cv2.boxFilter(values, -1, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REFLECT), np.float32)

    guide_mean, alpha_mean = mean(guide), mean(alpha)
    variance = mean(guide * guide) - guide_mean * guide_mean + np.float32(1e-4)
    slope = np.asarray((mean(guide * alpha) - guide_mean * alpha_mean) / variance, np.float32)
    offset = np.asarray(alpha_mean - slope * guide_mean, np.float32)
    drawn = np.clip(mean(slope) * guide + mean(offset), 0, 1)
    return np.asarray(np.where(band > 0, drawn, alpha), np.float32)
