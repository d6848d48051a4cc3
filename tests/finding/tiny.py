"""Tiny shapes for the packages' own loaders. GroundingDINO's backbone and 256 channels are fixed: 115 MB it stays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lib_prodshot.finding.models.architecture import SWINS, Bert, DetectorShape, SegmenterShape

DETECTOR = DetectorShape(
    SWINS[0],
    Bert(vocabulary=30522, hidden=64, layers=1, intermediate=128, positions=512, types=2),
    channels=256,
    encoder_layers=2,
    decoder_layers=2,
    feed_forward=256,
    queries=60,
)
SEGMENTER = SegmenterShape(
    side=128,
    patch=16,
    embed_dim=32,
    depth=2,
    heads=2,
    feed_forward=64,
    window=3,
    global_blocks=(1,),
    channels=32,
    mask_channels=4,
    masks=3,
    decoder_depth=2,
    decoder_feed_forward=64,
    quality_depth=3,
    quality_hidden=32,
)
CAPTION = "hand bag . tote . car ."


def picture(height: int = 300, width: int = 400) -> npt.NDArray[np.uint8]:
    """A smooth random picture, H×W×3 uint8, the same everywhere."""
    rows = np.linspace(0, 3, height)[:, None, None]
    columns = np.linspace(0, 5, width)[None, :, None]
    waves = np.sin(rows * 7 + columns * 3 + np.arange(3)) + np.cos(columns * 9 - rows)
    return np.asarray((waves + 2) * 63, np.uint8)
