"""How a product looks, in figures: the palette of its colours and the gradients of its shape, and how far two of each
lie apart."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Rgb = npt.NDArray[np.uint8]
    Mask = npt.NDArray[np.uint8]

Palette = Sequence[tuple[float, float, float, float]]
"""Colours in CIELAB, each with its share; the shares add up to 1."""

INSIDE = 127
"""Of a mask of 0..255 the values above are inside."""

LOOKED_SIDE = 1024
"""Longer side in pixels at which a picture is looked at: larger than what a sample has, smaller than a photograph."""

_BIN = 16.0
_MAX_COLOURS = 16
_MAX_PIXELS = 20_000
_HOG_SIDE = 96


def reduced(picture: Rgb) -> Rgb:
    """A picture at the size at which it is looked at."""
    import cv2
    import numpy as np

    factor = LOOKED_SIDE / max(picture.shape[:2])
    if factor >= 1:
        return picture
    size = (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def palette(picture: Rgb, mask: Mask) -> tuple[tuple[float, float, float, float], ...]:
    """The colours inside a mask: L*, a*, b* and share of the pixels, the commonest first.

    A signature as of Rubner, Tomasi, Guibas 2000 (The earth mover's distance as a metric for image retrieval): the mean
    of each occupied cell of CIELAB, at most 16 of them, whose shares add up to 1.
    """
    import numpy as np
    from skimage.color import rgb2lab

    pixels = picture[mask > INSIDE]
    pixels = pixels[:: -(-len(pixels) // _MAX_PIXELS) or 1]
    lab = rgb2lab(pixels[None])[0]  # type: ignore[no-untyped-call]
    cells, places = np.unique(np.floor(lab / _BIN).astype(int), axis=0, return_inverse=True)
    counts = np.bincount(places.ravel(), minlength=len(cells))
    order = np.argsort(-counts, kind="stable")[:_MAX_COLOURS]
    total = float(counts[order].sum())
    means = [lab[places.ravel() == cell].mean(axis=0) for cell in order]
    return tuple(
        (*(round(float(value), 2) for value in mean), round(float(counts[cell]) / total, 5))  # type: ignore[misc]
        for mean, cell in zip(means, order)
    )


def shapes(picture: Rgb, mask: Mask) -> tuple[str, str]:
    """The product's histogram of oriented gradients (Dalal, Triggs 2005; by scikit-image), and that of its mirror
    picture: of the square around it at 96×96, all else black or white, whichever is further from it: a product of one
    colour has its outline alone."""
    import cv2
    import numpy as np
    from skimage.feature import hog

    from lib_prodshot.bounds import bounding_box

    inside = (mask > INSIDE).astype(np.uint8)
    x, y, width, height = bounding_box(inside)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    around = 255 if grey[inside > 0].mean() < 128 else 0
    part = np.where(inside > 0, grey, np.uint8(around))[y : y + height, x : x + width]
    side = max(width, height)
    square = np.full((side, side), around, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = part
    scaled = cv2.resize(square, (_HOG_SIDE, _HOG_SIDE), interpolation=cv2.INTER_AREA)
    one, other = (
        hog(view, orientations=9, pixels_per_cell=(16, 16), cells_per_block=(2, 2))  # type: ignore[no-untyped-call]
        for view in (scaled, scaled[:, ::-1])
    )
    return _packed(one), _packed(other)


def _packed(values: Any) -> str:
    import numpy as np

    return base64.b64encode(np.asarray(values, np.float16).tobytes()).decode("ascii")


def _unpacked(text: str) -> npt.NDArray[np.float32]:
    import numpy as np

    return np.frombuffer(base64.b64decode(text), np.float16).astype(np.float32)


def palette_distance(one: Palette, other: Palette) -> float:
    """How far colours must move for one palette to become the other: the earth mover's distance (Rubner, Tomasi,
    Guibas 2000; by OpenCV), with ΔE2000 (by scikit-image) as its ground distance."""
    import cv2
    import numpy as np
    from skimage.color import deltaE_ciede2000

    colours, others = (np.asarray(each, np.float64)[:, :3] for each in (one, other))
    cost = deltaE_ciede2000(colours[:, None], others[None])  # type: ignore[no-untyped-call]
    shares = [np.asarray([colour[3:] for colour in each], np.float32) for each in (one, other)]
    distance, _, _ = cv2.EMD(shares[0], shares[1], cv2.DIST_USER, np.ascontiguousarray(cost, np.float32))
    return float(distance)


def shape_distance(one: str, *others: str) -> float:
    """1 less the cosine of a packed HOG and the nearest of others, such as one and its mirror picture's."""
    import numpy as np

    own = _unpacked(one)
    length = float(np.linalg.norm(own))
    distances = []
    for packed in others:
        theirs = _unpacked(packed)
        product = length * float(np.linalg.norm(theirs))
        distances.append(1.0 - float(own @ theirs) / product if product else 1.0)
    return max(0.0, min(distances))
