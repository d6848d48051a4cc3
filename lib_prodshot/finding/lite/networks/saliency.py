"""U²-Net-p: salient-object detection, one probability for each pixel.

Source: Qin et al., "U²-Net" (2020); scaling as its authors do it (largest value to 1, then ImageNet's mean and
deviation), 320×320.
"""

from __future__ import annotations

import cv2
import numpy as np

from lib_prodshot.finding.interface import Picture
from lib_prodshot.finding.lite.networks.onnx_model import Floats, OnnxModel
from lib_prodshot.finding.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from lib_prodshot.resampling import by_area

SIDE = 320


def saliency_map(model: OnnxModel, picture: Picture) -> Floats:
    """The 320×320 saliency (0..1, the network's output without rescaling) of an H×W×3 uint8 RGB picture."""
    shrinks = max(picture.shape[:2]) > SIDE
    size = (SIDE, SIDE)
    small = by_area(picture, size) if shrinks else cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
    scaled = small.astype(np.float32) / max(int(small.max()), 1)
    batch = ((scaled - IMAGENET_MEAN) / IMAGENET_STD).transpose(2, 0, 1)[None]
    return np.asarray(model(np.ascontiguousarray(batch, np.float32))[0][0, 0].clip(0, 1), np.float32)


def resized_to(saliency: Floats, picture: Picture) -> Floats:
    """Resize a saliency map to a picture's size."""
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.resize(saliency, size, interpolation=cv2.INTER_LINEAR), np.float32)
