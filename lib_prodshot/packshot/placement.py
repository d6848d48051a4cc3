"""Where a picture lies in the frame of its packshot, and how what belongs to it gets there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.packshot.arrays import Floats, Grey
from lib_prodshot.packshot.cutout import CutOut
from lib_prodshot.packshot.shrinking import Rows, shrunk_strips
from lib_prodshot.packshot.sparse import SparseAlpha

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
        how = cv2.INTER_AREA if self.scale < 1 else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(layer, self._size(*layer.shape[:2]), interpolation=how))

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
        scaled = self._scaled_cutout(cutout) if self.is_resampled else cutout
        if self.left == self.top == 0 and scaled.shares.shape == (self.height, self.width):
            return scaled
        shares, inside = self._pasted_alpha(scaled.shares)
        return CutOut(self.pasted(scaled.picture), shares, scaled.colours[inside], self.pasted(scaled.band))

    def placed_alpha(self, alpha: SparseAlpha) -> SparseAlpha:
        """The product's alpha in the frame, as of its placed cut-out."""
        return self._pasted_alpha(self._scaled_alpha(alpha))[0]

    def placed_levels(self, alpha: SparseAlpha) -> Grey:
        """The product's alpha in the frame as levels 0..255, without regard to what is wholly opaque."""
        if not self.is_resampled:
            return self.pasted(alpha.opacity)
        strips = (strip for _, strip in self._strips(alpha.rows, alpha.shape))
        return self.pasted(np.concatenate([np.clip(np.rint(each * 255), 0, 255).astype(np.uint8) for each in strips]))

    def _pasted_alpha(self, alpha: SparseAlpha) -> tuple[SparseAlpha, npt.NDArray[np.intp]]:
        places, inside = alpha.moved_places((self.height, self.width), self.top, self.left)
        return SparseAlpha(self.pasted(alpha.opacity), places, alpha.shares[inside]), inside

    def _scaled_alpha(self, alpha: SparseAlpha) -> SparseAlpha:
        if not self.is_resampled:
            return alpha
        whole = self.scaled_whole(alpha)
        opacity = np.empty(whole.shape, np.uint8)
        places, shares = [], []
        for top, strip in self._strips(alpha.rows, alpha.shape):
            strip = np.clip(strip, 0, np.float32(254.5 / 255))
            # a pixel of weight 1 alone is exactly the picture resampled, which the audit counts
            strip[whole[top : top + len(strip)]] = 1
            part = SparseAlpha.of(strip)
            opacity[top : top + len(strip)] = part.opacity
            places.append(part.places + np.int32(top * whole.shape[1]))
            shares.append(part.shares)
        return SparseAlpha(opacity, np.concatenate(places), np.concatenate(shares))

    def _scaled_cutout(self, cutout: CutOut) -> CutOut:
        alpha = self._scaled_alpha(cutout.shares)
        picture = self.scaled(cutout.picture)
        colours = picture.reshape(-1, 3)[alpha.places]

        def weighted(top: int, bottom: int) -> Floats:
            share = cv2.merge([cutout.shares.rows(top, bottom)] * 3)
            return np.asarray(cv2.multiply(cutout.foreground_rows(top, bottom), share, dtype=cv2.CV_32F), np.float32)

        for top, strip in self._strips(weighted, cutout.shares.shape) if len(alpha.places) else ():
            part = alpha.within(top, top + len(strip))
            own = strip.reshape(-1, 3)[alpha.places[part] - top * alpha.shape[1]]
            own /= np.maximum(alpha.shares[part], 1 / 1024)[:, None]
            colours[part] = np.clip(np.rint(own), 0, 255)
        return CutOut(picture, alpha, colours, self.scaled(cutout.band))

    def _strips(self, rows: Rows, shape: tuple[int, int]) -> Iterable[tuple[int, Floats]]:
        """A plane of floats of that shape, of which `rows` gives the rows, scaled: in strips where it shrinks."""
        if self.scale < 1:
            return shrunk_strips(rows, shape[0], self._size(*shape))
        return [(0, self.scaled(rows(0, shape[0])))]

    def _size(self, height: int, width: int) -> tuple[int, int]:
        return max(1, round(width * self.scale)), max(1, round(height * self.scale))

    def scaled_whole(self, alpha: SparseAlpha) -> npt.NDArray[np.bool_]:
        """H×W of the scaled picture: where every pixel that its value is made of has alpha exactly 1."""
        whole = np.equal(alpha.opacity, 255).view(np.uint8)
        if not self.is_resampled:
            return whole.view(np.bool_)
        # cubic interpolation reaches two pixels far; the area mean one beyond the pixels it wholly covers
        reach = 5 if self.scale > 1 else 3
        eroded = cv2.erode(whole, np.ones((reach, reach), np.uint8), borderType=cv2.BORDER_REPLICATE)
        width, height = self._size(*whole.shape)
        result = np.empty((height, width), np.bool_)
        for top, strip in self._strips(lambda first, last: eroded[first:last].astype(np.float32), alpha.shape):
            np.greater(strip, 1 - 1e-4, out=result[top : top + len(strip)])
        return result


def identity(height: int, width: int) -> Placement:
    """The frame is the picture."""
    return Placement(width, height)
