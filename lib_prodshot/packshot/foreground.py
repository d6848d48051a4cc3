"""The product's own colours where it shares a pixel with its old ground.

Source: Chuang, Curless, Salesin and Szeliski, "A Bayesian Approach to Digital Matting" (2001): of all colours of
product and ground that explain what is seen by its alpha, those most likely by the colours around. It measures better
than multi-level estimation (Germer et al. 2020), most of all on plain grounds, whose colour is as good as known.
"""

from __future__ import annotations

import numpy as np

from lib_prodshot.packshot.arrays import Alpha, Rgb
from lib_prodshot.packshot.colour_model import CELL, NOISE, Colours, own_colours

_BESIDE = 0.1
"""What a pixel that is nearly all product tells of its colour beside one that is all product; the ground's likewise."""

_USUAL = 1024
_NEARLY = 8
"""A mixed pixel counts by this power of its share."""


def estimate(rgb: Rgb, alpha: Alpha) -> Rgb:
    """Foreground colours of an H×W×3 picture: its own where alpha (H×W, 0..1) is 1 or 0, estimated in between."""
    partial = (alpha > 0) & (alpha < 1)
    result = rgb.copy()
    if not partial.any():
        return result
    places = np.flatnonzero(partial)
    # in a larger picture colours run over more pixels, and cells may be larger
    colours = Colours(rgb, places, CELL * max(1, round(max(alpha.shape) / _USUAL)))
    share = alpha.ravel()[places]
    product, ground = alpha.copy(), 1 - alpha
    product.ravel()[places] = _BESIDE * share**_NEARLY
    ground.ravel()[places] = _BESIDE * (1 - share) ** _NEARLY
    told = colours.around(product), colours.around(ground)
    own = own_colours(colours.seen, share, *told, NOISE)
    result.reshape(-1, 3)[places] = np.rint(np.clip(own.T, 0, 1) * 255)
    return result
