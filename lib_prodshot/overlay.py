"""Overlay drawing: the mask as a tint, boxes, names and scores on a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from lib_prodshot.outcome import Detection

TINT = (255, 0, 128)
"""A magenta that hardly any product has."""

BOX = (0, 200, 83)

_OPACITY = 0.45


def draw_overlay(
    picture: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8] | None, detections: Sequence[Detection]
) -> npt.NDArray[np.uint8]:
    """Copy an H×W×3 RGB picture and draw the feathered mask (H×W, or None) and the detections on it."""
    image = Image.fromarray(picture)
    if alpha is not None:
        weight = Image.fromarray((alpha * _OPACITY).astype(np.uint8))
        image.paste(Image.new("RGB", image.size, TINT), mask=weight)
    pen = ImageDraw.Draw(image)
    line = max(1, round(max(image.size) / 400))
    for found in detections:
        _draw_box(pen, found, line)
    return np.array(image)


def _draw_box(pen: ImageDraw.ImageDraw, found: Detection, line: int) -> None:
    x0, y0, x1, y1 = found.box
    pen.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=BOX, width=line)
    font = ImageFont.load_default()
    text = f"{found.label} {found.score:.2f}".encode("latin-1", "replace").decode("latin-1")
    left, top, right, bottom = pen.textbbox((x0 + line, y0 + line), text, font=font)
    pen.rectangle((left - line, top - line, right + line, bottom + line), fill=BOX)
    pen.text((x0 + line, y0 + line), text, fill=(255, 255, 255), font=font)
