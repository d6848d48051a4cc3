"""Where a picture lies in the frame of its packshot, and how what belongs to it gets there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.packshot.arrays import Alpha, Grey
from lib_prodshot.packshot.cutout import CutOut

Layer = npt.NDArray[Any]
"""H×W or H×W×channels, uint8 or float32."""

Corners = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels."""


@dataclass(frozen=True)
class Placement:
    """A frame of `width` × `height` pixels; the picture, scaled by `scale`, has its top left corner at `left`, `top`
    (perhaps outside the frame). At scale 1 every pixel keeps its value.

    `enlarged_by` names what enlarged the product ('' where nothing did); a model made `factor` times as many pixels of
    every side of it, and `scale` is for these. `origin` is where what is placed begins in the picture as it came, of
    which the rest was cropped off.
    """

    width: int
    height: int
    scale: float = 1.0
    left: int = 0
    top: int = 0
    factor: int = 1
    enlarged_by: str = ""
    origin: tuple[int, int] = (0, 0)

    @property
    def total_scale(self) -> float:
        """Pixels of the frame for one of the picture as it came."""
        return self.scale * self.factor

    @property
    def is_resampled(self) -> bool:
        """Whether pixels get new values."""
        return self.scale != 1.0

    def scaled(self, layer: Layer) -> Layer:
        """The layer at this scale: the mean of the covered area where it shrinks, cubic where it grows."""
        if not self.is_resampled:
            return layer
        height, width = layer.shape[:2]
        size = (max(1, round(width * self.scale)), max(1, round(height * self.scale)))
        how = cv2.INTER_AREA if self.scale < 1 else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(layer, size, interpolation=how))

    def pasted(self, layer: Layer, fill: float = 0) -> Layer:
        """A layer that is scaled already in the frame, with `fill` around it."""
        if self.left == self.top == 0 and layer.shape[:2] == (self.height, self.width):
            return layer
        frame = np.full((self.height, self.width, *layer.shape[2:]), fill, layer.dtype)
        height, width = layer.shape[:2]
        x0, y0 = max(self.left, 0), max(self.top, 0)
        x1, y1 = min(self.left + width, self.width), min(self.top + height, self.height)
        if x0 < x1 and y0 < y1:
            frame[y0:y1, x0:x1] = layer[y0 - self.top : y1 - self.top, x0 - self.left : x1 - self.left]
        return frame

    def placed_box(self, corners: Corners) -> Corners | None:
        """x0, y0, x1, y1 of the picture as it came in the frame, cut off at its edges; None outside of it."""
        scale, (x, y) = self.total_scale, self.origin
        x0, x1 = (min(max((each - x) * scale + self.left, 0.0), float(self.width)) for each in corners[::2])
        y0, y1 = (min(max((each - y) * scale + self.top, 0.0), float(self.height)) for each in corners[1::2])
        return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None

    def placed(self, layer: Layer, fill: float = 0) -> Layer:
        """A layer of the picture in the frame, with `fill` around it."""
        return self.pasted(self.scaled(layer), fill)

    def placed_cutout(self, cutout: CutOut) -> CutOut:
        """The product in the frame. Colours are scaled weighted by alpha, so that transparent pixels add none."""
        if not self.is_resampled:
            return CutOut(*(self.pasted(layer) for layer in _layers(cutout)))
        alpha = np.clip(self.scaled(cutout.alpha), 0, np.float32(254.5 / 255))
        # a pixel of weight 1 alone is exactly the picture resampled, which the audit counts
        alpha[self.scaled_whole(cutout.alpha)] = 1
        picture = self.scaled(cutout.picture)
        foreground = picture.copy()
        edge = np.flatnonzero((alpha > 0) & (alpha < 1))
        if len(edge):
            colours = self._weighted(cutout).reshape(-1, 3)[edge] / np.maximum(alpha.ravel()[edge], 1 / 1024)[:, None]
            foreground.reshape(-1, 3)[edge] = np.clip(np.rint(colours), 0, 255)
        band = self.scaled(cutout.band)
        return CutOut(*(self.pasted(layer) for layer in (picture, alpha, foreground, band)))

    def _weighted(self, cutout: CutOut) -> npt.NDArray[np.float32]:
        """The product's colours times its alpha, scaled (float32)."""
        if self.scale > 1:
            weight = cv2.merge([cutout.alpha] * 3)
            return self.scaled(cv2.multiply(np.ascontiguousarray(cutout.foreground), weight, dtype=cv2.CV_32F))
        # one by one: as floats, all three channels of a photograph take up more than everything else together
        planes = (np.ascontiguousarray(cutout.foreground[..., channel]) for channel in range(3))
        scaled = [self.scaled(cv2.multiply(plane, cutout.alpha, dtype=cv2.CV_32F)) for plane in planes]
        return np.asarray(cv2.merge(scaled), np.float32)

    def scaled_whole(self, alpha: Alpha) -> npt.NDArray[np.bool_]:
        """H×W of the scaled picture: where every pixel that its value is made of has alpha exactly 1."""
        whole = np.asarray(alpha == 1, np.uint8)
        if not self.is_resampled:
            return whole.view(np.bool_)
        # cubic interpolation reaches two pixels far; the area mean one beyond the pixels it wholly covers
        reach = 5 if self.scale > 1 else 3
        eroded = cv2.erode(whole, np.ones((reach, reach), np.uint8), borderType=cv2.BORDER_REPLICATE)
        return np.asarray(self.scaled(eroded.astype(np.float32)) > 1 - 1e-4)


def identity(height: int, width: int) -> Placement:
    """The frame is the picture."""
    return Placement(width, height)


def _layers(cutout: CutOut) -> tuple[Layer, Alpha, Layer, Grey]:
    return cutout.picture, cutout.alpha, cutout.foreground, cutout.band
