"""The two SSD-MobileNetV2 detectors: COCO (90 ids) and OpenImages v4 (23 names), which share input and anchors.

Source: Liu et al., "SSD" (2016); anchors and box coding as in TensorFlow's Object Detection API (ssd_anchor_generator,
faster_rcnn_box_coder), checked against the anchors stored in the COCO model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from lib_prodshot.finding.interface import Picture
from lib_prodshot.finding.lite.networks.onnx_model import Floats, OnnxModel

SIDE = 300
_GRIDS = (19, 10, 5, 3, 2, 1)
_MIN_SCALE, _MAX_SCALE = 0.2, 0.95


@dataclass(frozen=True)
class RawDetections:
    """Output for one picture before non-maximum suppression.

    `corners` is N×4 (x0, y0, x1, y1 relative to the picture), `scores` N×classes in 0..1.
    """

    corners: Floats
    scores: Floats


def detect(model: OnnxModel, views: Sequence[Picture]) -> list[RawDetections]:
    """Run one detector over 300×300×3 uint8 RGB views; column 0 of `scores` is the model's class 1."""
    batch = np.stack(views).astype(np.float32).transpose(0, 3, 1, 2) / np.float32(127.5) - np.float32(1)
    encodings, logits = model(np.ascontiguousarray(batch))
    scores = 1 / (1 + np.exp(-logits[:, :, 1:]))
    return [RawDetections(_decode_boxes(encoding), score) for encoding, score in zip(encodings, scores, strict=True)]


@cache
def anchors() -> Floats:
    """1917×4 anchors as centre y, centre x, height, width relative to the picture."""
    steps = [*np.linspace(_MIN_SCALE, _MAX_SCALE, len(_GRIDS)).tolist(), 1.0]
    rows = []
    for layer, grid in enumerate(_GRIDS):
        centres = (np.arange(grid) + 0.5) / grid
        sizes = _anchor_sizes(layer, steps)
        for y in centres:
            for x in centres:
                rows += [(y, x, height, width) for height, width in sizes]
    return np.asarray(rows, np.float32)


def _anchor_sizes(layer: int, steps: Sequence[float]) -> list[tuple[float, float]]:
    scale, following = steps[layer], steps[layer + 1]
    if layer == 0:
        shapes = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
    else:
        shapes = [(scale, 1.0), (scale, 2.0), (scale, 0.5), (scale, 3.0), (scale, 1 / 3)]
        shapes.append((float(np.sqrt(scale * following)), 1.0))
    return [(size / ratio**0.5, size * ratio**0.5) for size, ratio in shapes]


def _decode_boxes(encodings: Floats) -> Floats:
    centres, sizes = np.split(anchors(), 2, axis=1)
    centre = encodings[:, :2] / 10 * sizes + centres
    half = np.exp(np.minimum(encodings[:, 2:] / 5, 4)) * sizes / 2
    low, high = centre - half, centre + half
    return np.stack([low[:, 1], low[:, 0], high[:, 1], high[:, 0]], axis=1).astype(np.float32)
