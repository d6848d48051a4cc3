"""Tiny shapes for the packages' own loaders. GroundingDINO's backbone and 256 channels are fixed: 115 MB it stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from benchmarks.random_models import BERT_BASE, SWIN_T, VIT_B

DETECTOR = replace(
    SWIN_T,
    bert=replace(BERT_BASE, hidden=64, layers=1, intermediate=128),
    encoder_layers=2,
    decoder_layers=2,
    feed_forward=256,
    queries=60,
)
SEGMENTER = replace(
    VIT_B,
    side=128,
    embed_dim=32,
    depth=2,
    heads=2,
    feed_forward=64,
    window=3,
    global_blocks=(1,),
    channels=32,
    mask_channels=4,
    decoder_feed_forward=64,
    quality_hidden=32,
)
CAPTION = "hand bag . tote . car ."


def picture(height: int = 300, width: int = 400) -> npt.NDArray[np.uint8]:
    """A smooth random picture, H×W×3 uint8, the same everywhere."""
    rows = np.linspace(0, 3, height)[:, None, None]
    columns = np.linspace(0, 5, width)[None, :, None]
    waves = np.sin(rows * 7 + columns * 3 + np.arange(3)) + np.cos(columns * 9 - rows)
    return np.asarray((waves + 2) * 63, np.uint8)
