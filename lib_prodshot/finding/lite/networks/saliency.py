"""U²-Net-p: which pixels belong to the thing a picture is about.

Source: Qin et al., "U²-Net" (2020); scaling as its authors do it (largest value to 1, then ImageNet's mean and
deviation), 320×320.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.finding.lite.networks.onnx_model import Model

SIDE = 320
_MEAN = np.asarray((0.485, 0.456, 0.406), np.float32)
_DEVIATION = np.asarray((0.229, 0.224, 0.225), np.float32)

Floats = npt.NDArray[np.float32]


def saliency(model: Model, picture: npt.NDArray[np.uint8]) -> Floats:
    """The 320×320 saliency (0..1, as the network gave it, not stretched) of an H×W×3 uint8 RGB picture."""
    shrinks = max(picture.shape[:2]) > SIDE
    small = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    scaled = small.astype(np.float32) / max(int(small.max()), 1)
    batch = ((scaled - _MEAN) / _DEVIATION).transpose(2, 0, 1)[None]
    return np.asarray(model(np.ascontiguousarray(batch, np.float32))[0][0, 0].clip(0, 1), np.float32)


def scaled_to(salience: Floats, picture: npt.NDArray[np.uint8]) -> Floats:
    """A saliency map at a picture's size."""
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.resize(salience, size, interpolation=cv2.INTER_LINEAR), np.float32)
