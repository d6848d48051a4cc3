"""EfficientNet-Lite2: classification of crops into ImageNet's 1,000 classes.

Scaling (x - 127) / 128 and 260×260 as in the TensorFlow original (efficientnet/lite).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lib_prodshot.finding.interface import Picture
from lib_prodshot.finding.lite.networks.onnx_model import Floats, OnnxModel

SIDE = 260


_BATCH = 2
"""Crops that the network is shown at once. A crop takes the same time in any company, and gets the same answer to the
last bit; its layers take 10 MiB of memory for each."""


def classify(model: OnnxModel, crops: Sequence[Picture]) -> Floats:
    """N×1000 probabilities for 260×260×3 uint8 RGB crops."""
    logits = np.concatenate([_logits(model, crops[at : at + _BATCH]) for at in range(0, len(crops), _BATCH)])
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float32)


def _logits(model: OnnxModel, crops: Sequence[Picture]) -> Floats:
    batch = (np.stack(crops).astype(np.float32).transpose(0, 3, 1, 2) - 127) / 128
    (logits,) = model(np.ascontiguousarray(batch, np.float32))
    return logits
