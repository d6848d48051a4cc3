"""A product and its shadow on a ground: the composite, the picture it becomes, and what its audit counts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.outcome import PackshotAudit
from lib_prodshot.packshot.arrays import Alpha, Grey, Rgb
from lib_prodshot.packshot.cutout import CutOut
from lib_prodshot.packshot.placement import Placement
from lib_prodshot.packshot.shadows import Cover
from lib_prodshot.packshot.sparse import levels_of
from lib_prodshot.pictures.loaded import LoadedPicture, Metadata, RestoredPicture

_ROWS = 128

Colour = tuple[int, int, int]
"""Levels of red, green and blue."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Shadow:
    """How much of the frame's ground a shadow covers, and its colour."""

    cover: Cover
    colour: Colour = (0, 0, 0)


@dataclass(frozen=True)
class Composed:
    """`rgb` H×W×3 uint8; `alpha` H×W uint8, or None where nothing is transparent."""

    rgb: Rgb
    alpha: npt.NDArray[np.uint8] | None = None


def compose(cutout: CutOut, ground: Rgb | None, shadow: Shadow | None = None, in_place: bool = False) -> Composed:
    """Lay the placed cut-out over its shadow over the ground (all of one size; None: nothing, it stays transparent).

    Exactly the product's picture where alpha is 1; the ground itself where alpha and the shadow's cover are 0.
    `in_place`: the ground, which nobody wants any more, becomes the result.
    """
    if ground is None:
        return _on_nothing(cutout, shadow)
    result = ground if in_place else ground.copy()
    whole = np.equal(cutout.shares.opacity, 255).view(np.uint8)
    for top in range(0, len(result), _ROWS):
        rows = slice(top, top + _ROWS)
        if shadow is not None:
            cover = shadow.cover.rows(top, min(top + _ROWS, len(result)))
            if cover.any():
                result[rows] = _mixed(result[rows], np.asarray(shadow.colour, np.float32), cover)
        cv2.copyTo(np.ascontiguousarray(cutout.picture[rows]), whole[rows], result[rows])
        part = cutout.shares.within(top, top + _ROWS)
        edge = cutout.shares.places[part] - top * result.shape[1]
        if len(edge):
            under, over = result[rows].reshape(-1, 3), cutout.colours[part].astype(np.float32)
            under[edge] = _mixed(under[edge], over, cutout.shares.shares[part])
    return Composed(result)


def _mixed(under: Rgb, over: Floats, cover: Floats) -> Rgb:
    weight = cover[..., None]
    return np.asarray(np.clip(np.rint(under * (1 - weight) + over * weight), 0, 255), np.uint8)


def _on_nothing(cutout: CutOut, shadow: Shadow | None) -> Composed:
    """The product and its shadow alone; white where nothing is, so that old ground is nowhere in the file."""
    rgb, opacity = cutout.foreground, cutout.shares.opacity
    if shadow is not None:
        opacity = opacity.copy()
        for top in range(0, len(rgb), _ROWS):
            rows = slice(top, min(top + _ROWS, len(rgb)))
            cover = shadow.cover.rows(rows.start, rows.stop)
            if cover.any():
                _lay_under(rgb[rows], opacity[rows], cutout.shares.rows(rows.start, rows.stop), cover, shadow.colour)
    for top in range(0, len(rgb), _ROWS):
        rows = slice(top, top + _ROWS)
        rgb[rows][opacity[rows] == 0] = 255
    return Composed(rgb, opacity)


def _lay_under(rgb: Rgb, opacity: Grey, alpha: Alpha, cover: Alpha, colour: Colour) -> None:
    """Put a shadow under these rows of a product, in place."""
    # over-operator (Porter and Duff 1984): the product covers its own shadow
    under = cover * (1 - alpha)
    edge = under > 0
    total = alpha[edge] + under[edge]
    weight = (alpha[edge] / np.maximum(total, 1e-6))[:, None]
    colours = rgb[edge] * weight + np.asarray(colour, np.float32) * (1 - weight)
    rgb[edge] = np.clip(np.rint(colours), 0, 255)
    opacity[edge] = levels_of(total)


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
    inner = placement.pasted(placement.scaled_whole(cutout.shares))
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
