"""EfficientNet-Lite2: which of ImageNet's 1,000 classes a crop shows.

Scaling (x - 127) / 128 and 260×260 as in the TensorFlow original (efficientnet/lite).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lib_prodshot.finding.lite.networks.onnx_model import Model

SIDE = 260


def classify(model: Model, crops: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
    """N×1000 probabilities for 260×260×3 uint8 RGB crops."""
    batch = (np.stack(crops).astype(np.float32).transpose(0, 3, 1, 2) - 127) / 128
    (logits,) = model(np.ascontiguousarray(batch, np.float32))
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), np.float32)
