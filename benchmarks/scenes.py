"""Scenes with known masks for `benchmarks/recall.py`, composed of real cut-outs: what a finder's boxes go wrong on.

    python -m benchmarks.scenes FOLDER LABELS.json OUT

A label with "cut_out": "product" (one box of one product) gives a product, "hand" and "fruit" give what stands in its
way, "ground" a background. Each product is pasted as two alike, with a small second one, beside a cardboard box and a
fruit, before a hand, and small on a background. OUT gets the pictures, their masks and labels.json; a second run gives
the same bytes. A scene is named PRODUCT'S FILE~SCENE, so it falls into the half of the photograph it shows.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from lib_prodshot.finding.finder import Finder
from lib_prodshot.finding.interface import Box, Picture
from lib_prodshot.finding.registry import load_finder
from lib_prodshot.pictures import read

WIDTH, HEIGHT = 960, 720

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class CutOut:
    """A thing without its surroundings: H×W×3 uint8 RGB and H×W float32 alpha in 0..1, cut to what is visible."""

    rgb: Picture
    alpha: Floats

    def scaled(self, side: float, *, mirrored: bool = False) -> CutOut:
        factor = side / max(self.alpha.shape)
        size = (max(1, round(self.alpha.shape[1] * factor)), max(1, round(self.alpha.shape[0] * factor)))
        rgb, alpha = (cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in (self.rgb, self.alpha))
        step = -1 if mirrored else 1
        return CutOut(np.asarray(rgb, np.uint8)[:, ::step], np.asarray(alpha, np.float32)[:, ::step])


class Scene:
    """A picture that things are pasted into; `boxes` and `mask` are those of the product."""

    def __init__(self, ground: Picture) -> None:
        self.rgb = cv2.resize(ground, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float32)
        self.mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        self.boxes: list[list[int]] = []

    def paste(self, thing: CutOut, middle: tuple[float, float], *, product: bool) -> None:
        """Paste around `middle` (x, y in pixels), cut where the scene ends."""
        high, wide = thing.alpha.shape
        left, top = round(middle[0] - wide / 2), round(middle[1] - high / 2)
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + wide, WIDTH), min(top + high, HEIGHT)
        part = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        alpha = thing.alpha[part][..., None]
        place = self.rgb[y0:y1, x0:x1]
        place += alpha * (thing.rgb[part] - place)
        if product:
            self.mask[y0:y1, x0:x1][alpha[..., 0] > 0.5] = 255
            self.boxes.append([x0, y0, x1, y1])
        else:
            self.mask[y0:y1, x0:x1][alpha[..., 0] > 0.5] = 0


def cut_out(finder: Finder, rgb: Picture, box: Sequence[float]) -> CutOut:
    """What the segmenter sees in a labelled box; wrong edges do no harm, since the scene's mask has the same."""
    x0, y0, x1, y1 = box
    (soft,) = finder.segmenter.segment(rgb, [Box(0, 1.0, (x0, y0, x1, y1))])
    rows, columns = np.flatnonzero((soft > 127).any(axis=1)), np.flatnonzero((soft > 127).any(axis=0))
    part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    return CutOut(rgb[part], (soft[part] / 255).astype(np.float32))


def cardboard(rng: np.random.Generator) -> CutOut:
    """A closed box seen from above its edge, 300×260."""
    rgb = np.zeros((260, 300, 3), np.uint8)
    tone = np.array((196, 154, 108), np.float32) * rng.uniform(0.85, 1.1)
    faces = (((0, 80), (190, 60), (190, 240), (0, 259)), ((190, 60), (299, 20), (299, 190), (190, 240)),
             ((0, 80), (110, 30), (299, 20), (190, 60)))  # fmt: skip
    alpha = np.zeros((260, 300), np.float32)
    for shade, face in zip((1.0, 0.75, 1.15), faces, strict=True):
        corners = np.array(face, np.int32)
        cv2.fillPoly(rgb, [corners], tuple(float(value) for value in (tone * shade).clip(0, 255)), cv2.LINE_AA)
        cv2.fillPoly(alpha, [corners], 1.0)
    grain = rng.normal(0, 4, rgb.shape)
    return CutOut((rgb + grain).clip(0, 255).astype(np.uint8), alpha)


def studio(rng: np.random.Generator) -> Picture:
    """A plain backdrop that darkens downwards."""
    colour = rng.uniform(110, 245) + rng.uniform(-14, 14, 3)
    fall = np.linspace(1.0, rng.uniform(0.75, 0.95), HEIGHT)[:, None, None]
    rgb = np.ones((HEIGHT, WIDTH, 3)) * colour * fall + rng.normal(0, 1.5, (HEIGHT, WIDTH, 3))
    return rgb.clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Props:
    """What the scenes are made of besides the product."""

    hands: Sequence[CutOut]
    fruits: Sequence[CutOut]
    grounds: Sequence[Picture]


def two_alike(product: CutOut, _: Props, rng: np.random.Generator) -> Scene:
    scene = Scene(studio(rng))
    scene.paste(product.scaled(400), (235, rng.uniform(330, 420)), product=True)
    scene.paste(product.scaled(rng.uniform(330, 390), mirrored=True), (720, rng.uniform(330, 420)), product=True)
    return scene


def small_second(product: CutOut, _: Props, rng: np.random.Generator) -> Scene:
    scene = Scene(studio(rng))
    scene.paste(product.scaled(560), (330, 360), product=True)
    scene.paste(product.scaled(190), (820, rng.uniform(180, 560)), product=True)
    return scene


def beside_a_box(product: CutOut, _: Props, rng: np.random.Generator) -> Scene:
    scene = Scene(studio(rng))
    scene.paste(cardboard(rng).scaled(rng.uniform(300, 420)), (690, 330), product=False)
    scene.paste(product.scaled(430), (360, 420), product=True)
    return scene


def beside_a_fruit(product: CutOut, props: Props, rng: np.random.Generator) -> Scene:
    scene = Scene(studio(rng))
    scene.paste(product.scaled(480), (390, 360), product=True)
    fruit = props.fruits[rng.integers(len(props.fruits))]
    scene.paste(fruit.scaled(rng.uniform(130, 190)), (690, rng.uniform(430, 520)), product=False)
    return scene


def before_a_hand(product: CutOut, props: Props, rng: np.random.Generator) -> Scene:
    scene = Scene(studio(rng))
    hand = props.hands[rng.integers(len(props.hands))]
    scene.paste(hand.scaled(620), (330, rng.uniform(380, 430)), product=False)
    scene.paste(product.scaled(340), (560, 330), product=True)
    return scene


def in_a_landscape(product: CutOut, props: Props, rng: np.random.Generator) -> Scene:
    scene = Scene(props.grounds[rng.integers(len(props.grounds))])
    scene.paste(product.scaled(rng.uniform(260, 420)), (rng.uniform(300, 660), rng.uniform(330, 480)), product=True)
    return scene


SCENES: dict[str, Callable[[CutOut, Props, np.random.Generator], Scene]] = {
    "two": two_alike, "small": small_second, "box": beside_a_box, "fruit": beside_a_fruit, "hand": before_a_hand,
    "landscape": in_a_landscape,
}  # fmt: skip


def compose(folder: Path, labels: dict[str, dict[str, Any]], out: Path) -> dict[str, dict[str, Any]]:
    """Write every scene and its mask to `out`; the labels of all."""
    finder = load_finder("lite")
    things: dict[str, dict[str, CutOut]] = {"product": {}, "hand": {}, "fruit": {}}
    grounds: list[Picture] = []
    for file, label in sorted(labels.items()):
        role = label.get("cut_out")
        if role == "ground":
            grounds.append(read(folder / file).rgb)
        elif role:
            ((box,),) = label.get("parts", label["boxes"]).values()
            things[role][file] = cut_out(finder, read(folder / file).rgb, box)
    props = Props([*things["hand"].values()], [*things["fruit"].values()], grounds)
    composed: dict[str, dict[str, Any]] = {}
    for file, product in tqdm(things["product"].items(), unit="product", disable=None):
        (name,) = labels[file]["boxes"]
        for kind, make in SCENES.items():
            stem = f"{Path(file).stem}~{kind}"
            scene = make(product, props, np.random.default_rng(zlib.crc32(stem.encode())))
            cv2.imwrite(str(out / f"{stem}.png"), scene.rgb.round().astype(np.uint8)[..., ::-1])
            cv2.imwrite(str(out / f"{stem}.mask.png"), scene.mask)
            composed[f"{stem}.png"] = {"boxes": {name: scene.boxes}, "masks": {name: f"{stem}.mask.png"}}
    return composed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    labels = json.loads(arguments.labels.read_text(encoding="utf-8"))
    composed = compose(arguments.folder, labels, arguments.out)
    (arguments.out / "labels.json").write_text(json.dumps(composed, indent=0), encoding="utf-8")


if __name__ == "__main__":
    main()
