"""A run's folder with drawn pictures: a red bag on soft grounds without red, and a finder that finds red."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from lib_prodshot.finding.finder import Finder
from lib_prodshot.finding.interface import Box, Boxes, Picture, SoftMask
from lib_prodshot.products import ProductClass
from lib_prodshot.training.recipe import files as recipe_files
from lib_prodshot.training.recipe.recipe import Recipe
from lib_prodshot.training.trainer.ledger import RECIPE, Ledger, Start, now
from tests.training.photographs import TAG
from tests.training.rigs import make_checkpoint_file

RED = (190, 20, 30)


def ground(seed: int, size: tuple[int, int] = (192, 160)) -> Image.Image:
    """Soft shapes in green and blue."""
    shapes = np.random.default_rng(seed).integers(40, 256, (5, 6, 3), dtype=np.uint8)
    shapes[..., 0] = shapes.min(axis=2) // 2
    return Image.fromarray(shapes).resize(size, Image.Resampling.BICUBIC)


def bag(
    seed: int, colour: tuple[int, int, int] = RED, round_one: bool = False, size: tuple[int, int] = (192, 160)
) -> Image.Image:
    """The bag on one of the grounds, in one of many places and sizes; `round_one` is another bag."""
    picture = ground(seed, size)
    rng = np.random.default_rng(seed + 1000)
    wide = int(size[0] * rng.uniform(0.32, 0.45))
    high = int(wide * 0.75)
    left, top = int(rng.integers(8, size[0] - wide - 8)), int(rng.integers(high // 2 + 4, size[1] - high - 4))
    pen = ImageDraw.Draw(picture)
    dark = tuple(value // 2 for value in colour)
    if round_one:
        pen.ellipse((left, top - high // 3, left + wide, top + high), fill=colour)
        return picture
    pen.arc((left + wide // 4, top - high // 2, left + 3 * wide // 4, top + high // 2), 180, 360, fill=colour, width=6)
    pen.polygon(
        [(left, top), (left + wide, top), (left + wide - wide // 8, top + high), (left + wide // 8, top + high)], colour
    )
    pen.line((left, top + high // 3, left + wide, top + high // 3), fill=dark, width=4)
    pen.rectangle((left + wide // 2 - 5, top + high // 3 - 5, left + wide // 2 + 5, top + high // 3 + 9), fill=dark)
    return picture


class RedDetector:
    """Finds the box of all red pixels, the surer the more they are; counts its calls."""

    name = "red"

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, picture: Picture, classes: Sequence[ProductClass], text_threshold: float) -> Boxes:
        self.calls += 1
        rows, columns = np.nonzero(red(picture))
        if len(rows) < 50:
            return Boxes((), (0.05,))
        corners = (float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1))
        return Boxes((Box(0, 0.8, corners),), (0.8,))

    def segment(self, picture: Picture, boxes: Sequence[Box]) -> list[SoftMask]:
        return [red(picture).astype(np.uint8) * 255 for _ in boxes]

    def unload(self) -> None:
        pass


def red(picture: Picture) -> np.ndarray:
    rgb = picture.astype(int)
    return rgb[..., 0] > rgb[..., 1:].max(axis=2) + 40


def red_finder() -> Finder:
    part = RedDetector()
    return Finder("red", part, part)


def make_run(folder: Path, epochs: Mapping[int, Sequence[Image.Image]], photographs: int = 6, **changes: Any) -> Path:
    """A run that has ended, with these sample pictures of each epoch (one a prompt)."""
    photos = folder / "photos"
    photos.mkdir(parents=True)
    for number in range(1, photographs + 1):
        bag(number).save(photos / f"{number}.png")
    last = max(epochs)
    recipe = Recipe.of(
        {
            "output_name": "bag",
            "image_dir": str(photos),
            "output_dir": str(folder),
            "pretrained_model_name_or_path": "model.safetensors",
            "activation_tag": TAG,
            "resolution": 64,
            "max_train_epochs": last,
            "sample_prompts": [f"{TAG}, bag {number} --d {number}" for number in range(max(map(len, epochs.values())))],
            **changes,
        }
    )
    run = recipe.run_dir
    sample = run / "output" / "sample"
    sample.mkdir(parents=True)
    recipe_files.save(recipe, run / RECIPE)
    ledger = Ledger(recipe.to_dict(), last, 6, starts=[Start(now(), 0, ended=now(), outcome="finished")])
    ledger.write(run)
    steps = range(1, 6 * last + 1)
    (run / "loss.csv").write_text("".join(f"{step},{(step - 1) // 6 + 1},{1 / step}\n" for step in steps))
    for epoch, pictures in epochs.items():
        name = "bag" if epoch == last else f"bag-{epoch:06d}"
        make_checkpoint_file(run / "output" / f"{name}.safetensors")
        for number, picture in enumerate(pictures):
            picture.save(sample / f"bag_e{epoch:06d}_{number:02d}_20260101000000_{number}.png")
    return run
