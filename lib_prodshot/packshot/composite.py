"""A product and its shadow on a ground: the composite, the picture it becomes, and what its audit counts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.outcome import PackshotAudit
from lib_prodshot.packshot.arrays import Alpha, Rgb
from lib_prodshot.packshot.cutout import CutOut, levels
from lib_prodshot.packshot.placement import Placement
from lib_prodshot.pictures.loaded import LoadedPicture, Metadata, RestoredPicture

_ROWS = 128

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Shadow:
    """How much of the ground a shadow covers (H×W float32 in 0..1, in the frame), and its colour."""

    cover: Alpha
    colour: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True)
class Composed:
    """`rgb` H×W×3 uint8; `alpha` H×W uint8, or None where nothing is transparent."""

    rgb: Rgb
    alpha: npt.NDArray[np.uint8] | None = None


def compose(cutout: CutOut, ground: Rgb | None, shadow: Shadow | None = None) -> Composed:
    """Lay the placed cut-out over its shadow over the ground (all of one size; None: nothing, it stays transparent).

    Exactly `foreground` where alpha is 1; the ground itself where alpha and the shadow's cover are 0.
    """
    if ground is None:
        return _on_nothing(cutout, shadow)
    result = ground.copy()
    for top in range(0, len(result), _ROWS):
        rows = slice(top, top + _ROWS)
        if shadow is not None and shadow.cover[rows].any():
            result[rows] = _mixed(result[rows], np.asarray(shadow.colour, np.float32), shadow.cover[rows])
        alpha, new = np.ascontiguousarray(cutout.alpha[rows]), np.ascontiguousarray(cutout.foreground[rows])
        whole = alpha == 1
        cv2.copyTo(new, whole.view(np.uint8), result[rows])
        edge = np.flatnonzero((alpha > 0) & ~whole)
        if len(edge):
            under, over = result[rows].reshape(-1, 3), new.reshape(-1, 3)[edge].astype(np.float32)
            under[edge] = _mixed(under[edge], over, alpha.ravel()[edge])
    return Composed(result)


def _mixed(under: Rgb, over: Floats, cover: Floats) -> Rgb:
    weight = cover[..., None]
    return np.asarray(np.clip(np.rint(under * (1 - weight) + over * weight), 0, 255), np.uint8)


def _on_nothing(cutout: CutOut, shadow: Shadow | None) -> Composed:
    """The product and its shadow alone; white where nothing is, so that old ground is nowhere in the file."""
    alpha, rgb = cutout.alpha, cutout.foreground.copy()
    if shadow is not None:
        # over-operator (Porter and Duff 1984): the product covers its own shadow
        under = shadow.cover * (1 - alpha)
        total = alpha + under
        edge = under > 0
        weight = (alpha[edge] / np.maximum(total[edge], 1e-6))[:, None]
        colours = rgb[edge] * weight + np.asarray(shadow.colour, np.float32) * (1 - weight)
        rgb[edge] = np.clip(np.rint(colours), 0, 255)
        alpha = total
    opacity = levels(alpha)
    rgb[opacity == 0] = 255
    return Composed(rgb, opacity)


def as_picture(composed: Composed, icc: bytes | None) -> RestoredPicture:
    """The composite as a picture of its own, ready to be written: PNG in RGB, or RGBA where some is transparent."""
    plain = LoadedPicture.from_rgb(composed.rgb)
    if composed.alpha is None:
        source = replace(plain, metadata=Metadata(icc=icc))
        return RestoredPicture(source, source.native, source.rgb)
    native = np.dstack([composed.rgb, composed.alpha])
    source = replace(plain, native=native, mode="RGBA", metadata=Metadata(icc=icc))
    return RestoredPicture(source, native, composed.rgb)


def audit(composed: Composed, placement: Placement, cutout: CutOut, placed: CutOut) -> PackshotAudit:
    """Count the pixels that are not those of the picture (scaled as the frame asks for, nothing else) where the product
    alone is seen. `cutout` is in the picture's own geometry and says where that is; `placed` is the same in the frame,
    and its `picture` is the picture scaled, which costs too much to be done twice."""
    inner = placement.pasted(placement.scaled_whole(cutout.alpha))
    changed = 0
    for top in range(0, len(inner), _ROWS):
        rows = slice(top, top + _ROWS)
        off = cv2.absdiff(composed.rgb[rows], np.ascontiguousarray(placed.picture[rows]))
        kept = cv2.inRange(off, (0, 0, 0), (0, 0, 0)) > 0
        if composed.alpha is not None:
            kept &= composed.alpha[rows] == 255
        changed += int(np.count_nonzero(inner[rows] & ~kept))
    by_model = placement.enlarged_by if placement.factor > 1 else ""
    return PackshotAudit(changed, int(np.count_nonzero(inner)), placement.is_resampled, by_model)
