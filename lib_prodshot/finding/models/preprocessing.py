"""Preprocessing: pictures to input tensors of the models, as their authors' code does it."""

from __future__ import annotations

from typing import Any

import numpy as np

from lib_prodshot.errors import PictureError
from lib_prodshot.finding.interface import Picture

IMAGENET_MEAN = np.array((0.485, 0.456, 0.406), np.float32)
IMAGENET_STD = np.array((0.229, 0.224, 0.225), np.float32)
SAM_MEAN = np.array((123.675, 116.28, 103.53), np.float32)
SAM_STD = np.array((58.395, 57.12, 57.375), np.float32)
SHORT_SIDE, LONG_SIDE = 800, 1333
"""GroundingDINO's own: the shorter side becomes 800 pixels unless the longer would pass 1,333."""

LEAST_SIDE = 64
"""Under this a feature level would vanish; only pictures longer than 20 times their width are stretched by it."""


def as_rgb(picture: Any) -> Picture:
    """Convert a picture that may be grey (H×W, H×W×1) or have an alpha channel (dropped) to H×W×3 uint8.

    Raises `PictureError` for anything else.
    """
    array = np.asarray(picture)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.size == 0:
        raise PictureError(f"a picture is H×W×3 uint8, this is {array.dtype} of shape {array.shape}")
    if array.ndim == 2:
        array = array[:, :, None]
    if array.shape[2] == 1:
        array = array.repeat(3, axis=2)
    if array.shape[2] not in (3, 4):
        raise PictureError(f"a picture has 1, 3 or 4 channels, this has {array.shape[2]}")
    # the array itself where it fits: what is kept of the last picture tells it by that
    return np.ascontiguousarray(array if array.shape[2] == 3 else array[:, :, :3])


def detector_size(height: int, width: int, short_side: int = SHORT_SIDE) -> tuple[int, int]:
    """Height and width of GroundingDINO's input (the rule of DETR's `RandomResize`)."""
    long_side = LONG_SIDE * short_side / SHORT_SIDE
    short, long = min(height, width), max(height, width)
    if long / short * short_side > long_side:
        short_side = round(long_side * short / long)
    longer = int(short_side * long / short) if short_side else int(long_side)
    size = (longer, short_side) if width < height else (short_side, longer)
    return max(LEAST_SIDE, size[0]), max(LEAST_SIDE, size[1])


def detector_pixels(picture: Picture, short_side: int = SHORT_SIDE) -> Any:
    """GroundingDINO's input: float32 tensor 1 × 3 × height × width, ImageNet-normalised."""
    import torch
    from PIL import Image

    height, width = detector_size(picture.shape[0], picture.shape[1], short_side)
    resized = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))
    scaled = resized.astype(np.float32) / 255.0
    scaled = (scaled - IMAGENET_MEAN) / IMAGENET_STD
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))[None]


def segmenter_size(height: int, width: int, side: int, stretch: bool = False) -> tuple[int, int]:
    """Height and width of the picture in SAM's input: its longer side becomes `side` (SAM's `ResizeLongestSide`).

    With `stretch`, both become `side`, as SAM 2 does it.
    """
    if stretch:
        return side, side
    scale = side / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def segmenter_pixels(picture: Picture, side: int, stretch: bool = False) -> Any:
    """SAM's input: float32 tensor 1 × 3 × side × side, ImageNet-normalised, zeros right and below."""
    import torch
    from PIL import Image

    height, width = segmenter_size(picture.shape[0], picture.shape[1], side, stretch)
    resized = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))
    scaled = (resized.astype(np.float32) - SAM_MEAN) / SAM_STD
    padded = np.zeros((3, side, side), np.float32)
    padded[:, :height, :width] = scaled.transpose(2, 0, 1)
    return torch.from_numpy(padded)[None]
