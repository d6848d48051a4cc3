"""What Find shows, as HTML: the picture, the mask over it, boxes with their scores, and the verdict in words.

Mask and boxes are layers of their own, switched by plain checkboxes, so that nothing is drawn anew to hide them.
"""

from __future__ import annotations

import base64
import html
import io
from itertools import count

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from lib_prodshot.outcome import Detection, Outcome
from lib_prodshot.pictures import LoadedPicture

MAX_SIDE = 1024
"""The preview's longer side in pixels at most; boxes are drawn as vectors and stay exact."""

MASK_COLOUR = (255, 0, 144)
"""A magenta that hardly any product has."""

MASK_OPACITY = 0.55

_HEADINGS = {"found": "Found", "skipped": "Skipped", "failed": "Failed"}

_CLOSE = "<button type='button' class='prodshot-close' aria-label='Close the preview'>×</button>"

_NUMBERS = count()


def html_of(loaded: LoadedPicture, outcome: Outcome) -> str:
    """The preview of one picture and what a finder said of it."""
    height, width = loaded.size
    number = next(_NUMBERS)
    layers = [_picture_layer(loaded.seen())]
    if outcome.alpha is not None:
        layers.append(_mask_layer(outcome.alpha))
    if outcome.detections:
        layers.append(_box_layer(outcome.detections, width, height))
    canvas = f"<div class='prodshot-canvas' style='aspect-ratio:{width}/{height}'>{''.join(layers)}</div>"
    toggles = _toggles(number) if outcome.detections else ""
    return (
        f"<div class='prodshot-preview prodshot-is-{outcome.status}'>{_CLOSE}{_verdict(outcome)}{toggles}{canvas}"
        f"{_table(outcome.detections, width * height)}{_remarks(outcome, width, height)}</div>"
    )


def _verdict(outcome: Outcome) -> str:
    words = outcome.describe_detections() if outcome.status == "found" else outcome.verdict.reason
    heading = _HEADINGS[outcome.status]
    return f"<p class='prodshot-verdict'><b>{heading}</b> <span>{html.escape(words)}</span></p>"


def _toggles(number: int) -> str:
    names = (("boxes", "Boxes", "B"), ("mask", "Mask", "M"))
    return "".join(
        f"<input type='checkbox' checked class='prodshot-show-{name}' id='prodshot-{name}-{number}'>"
        f"<label for='prodshot-{name}-{number}'>{word} <kbd>{key}</kbd></label>"
        for name, word, key in names
    )


def _picture_layer(rgb: npt.NDArray[np.uint8]) -> str:
    return f"<img alt='' src='{_data_url(Image.fromarray(_small(rgb)), 'JPEG')}'>"


def _mask_layer(alpha: npt.NDArray[np.uint8]) -> str:
    """The feathered mask as a tint: a palette picture of one colour whose index is its opacity."""
    tint = Image.fromarray(_small(alpha)).convert("P")
    tint.putpalette(MASK_COLOUR * 256)
    opacities = bytes(round(level * MASK_OPACITY) for level in range(256))
    return f"<img alt='' class='prodshot-mask' src='{_data_url(tint, 'PNG', transparency=opacities)}'>"


def _box_layer(detections: tuple[Detection, ...], width: int, height: int) -> str:
    letter = max(width, height) / 40
    marks = "".join(_box(found, letter, width) for found in detections)
    return f"<svg class='prodshot-boxes' viewBox='0 0 {width} {height}' aria-hidden='true'>{marks}</svg>"


def _box(found: Detection, letter: float, width: int) -> str:
    x0, y0, x1, y1 = found.box
    text = f"{found.label} {found.score:.2f}"
    tag_width = min((len(text) + 1) * letter * 0.58, width)
    left = max(0.0, min(x0, width - tag_width))
    top = y0 - letter * 1.4 if y0 >= letter * 1.4 else y0
    height = letter * 1.4
    tag = f"<rect class='prodshot-tag' x='{left:.1f}' y='{top:.1f}' width='{tag_width:.1f}' height='{height:.1f}'/>"
    place = f"x='{left + letter * 0.3:.1f}' y='{top + letter:.1f}' font-size='{letter:.1f}'"
    words = f"<text {place}>{html.escape(text)}</text>"
    return f"<rect x='{x0}' y='{y0}' width='{x1 - x0}' height='{y1 - y0}'/>{tag}{words}"


def _table(detections: tuple[Detection, ...], pixels: int) -> str:
    if not detections:
        return ""
    rows = "".join(
        f"<tr><td>{html.escape(found.label)}</td><td>{found.score:.2f}</td>"
        f"<td>{', '.join(map(str, found.box))}</td><td>{found.area / pixels:.1%}</td></tr>"
        for found in detections
    )
    return f"<table><tr><th>Product</th><th>Score</th><th>Box</th><th>Area</th></tr>{rows}</table>"


def _remarks(outcome: Outcome, width: int, height: int) -> str:
    spent = outcome.seconds.get("find", 0.0) + outcome.seconds.get("mask", 0.0)
    remarks = [f"{width}×{height} pixels, {outcome.finder} finder, {spent:.1f} s", *outcome.notes]
    return "".join(f"<p class='prodshot-remark'>{html.escape(remark)}</p>" for remark in remarks)


def _small(samples: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    height, width = samples.shape[:2]
    scale = MAX_SIDE / max(height, width)
    if scale >= 1:
        return samples
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(samples, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _data_url(picture: Image.Image, kind: str, **options: object) -> str:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
