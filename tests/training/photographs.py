"""Photographs for the tests of training: small, all different, and whatever can be wrong with one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

TAG = "ppzocketv2"


def picture(seed: int, size: tuple[int, int] = (160, 128)) -> Image.Image:
    """A picture of soft shapes, `size` is width and height; another seed looks quite different."""
    shapes = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(shapes).resize(size, Image.Resampling.BICUBIC)


def make_folder(folder: Path, count: int = 6, size: tuple[int, int] = (160, 128), captions: bool = True) -> Path:
    """`count` photographs of one size, each with a caption that begins with the tag."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, count + 1):
        picture(number, size).save(folder / f"{number}.jpg", quality=92)
        if captions:
            (folder / f"{number}.txt").write_text(f"{TAG}, a bag on table {number}\n", encoding="utf-8")
    return folder
