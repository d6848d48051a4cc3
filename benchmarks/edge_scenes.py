"""Pictures of products whose alpha and own colours are known exactly, for `benchmarks/edges.py`.

Three families. `soft`: one smooth body whose soft edge is 2 to 20 pixels wide, on grounds of one colour, brick or
grass, without noise: the kind of scene that the targets come from. `opaque`: a body with a handle and holes, its edge
soft by half a pixel to six (at side 1024), as products mostly are. `fine`: the same with straps and hairs of 0.8 to 6
pixels, a glass rim, and a soft shadow on the ground. These two have sensor noise, and grounds that are plain (a paper
that darkens downwards) or textured. Photographs are the product's texture. The mask is the truth moved by a pixel, the
soft mask as coarse as a segmenter's.

`tune` and `report` share no photograph, no textured ground, no outline and no seed: constants are chosen on the one,
figures are told of the other. Of `soft`, with four photographs and two textures in all, they are the even scenes and
the odd ones, which share neither outline nor seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.packshot.arrays import Grey, Rgb

Floats = npt.NDArray[np.float32]
Split = Literal["tune", "report"]
Family = Literal["soft", "opaque", "fine"]
Light = Literal["srgb", "linear"]

PARTS = ("body", "hole", "strap", "hair", "glass")
"""What an edge belongs to; a scene's `parts` counts from 1."""

PHOTOGRAPHS = {"tune": ("coffee.png", "chelsea.png"), "report": ("astronaut.png", "rocket.jpg", "motorcycle_left.png")}
GROUNDS = {"tune": ("", "", "brick.png"), "report": ("", "", "grass.png", "gravel.png")}
SEEDS = {"tune": 100, "report": 7000}

_TINTS = {"brick.png": (1.0, 0.86, 0.74), "grass.png": (0.85, 1.0, 0.7), "gravel.png": (0.95, 0.92, 1.0)}
_NOISE = 2.0

_SOFT_PHOTOGRAPHS = ("coffee.png", "astronaut.png", "chelsea.png", "rocket.jpg")
_SOFT_GROUNDS = ("", "brick.png", "", "grass.png")
_SOFT_SCENES = 48
_SOFT_WIDTHS = (2.0, 20.0)
"""How wide the soft edge of a `soft` scene is, in pixels of side 1024, from nothing to all."""
_FINER = 4
"""Shapes are drawn this much larger, so that the mean of an area is the true share of a pixel."""


@dataclass(frozen=True)
class Scene:
    """A picture (H×W×3 uint8), its true alpha (H×W float32, 0..1) and product colours (H×W×3 float32, 0..255), the mask
    and the soft mask (H×W uint8) that a segmenter would give, and which part each edge belongs to (H×W uint8)."""

    name: str
    kind: str
    family: Family
    light: Light
    rgb: Rgb
    alpha: Floats
    product: Floats
    mask: Grey
    soft: Grey
    parts: Grey

    def on_white(self) -> Floats:
        """The true picture on a white page, mixed as the scene is (H×W×3, 0..255)."""
        return _mixed(self.product, np.full_like(self.product, 255), self.alpha, self.light)


def scenes(side: int, split: Split, family: Family, light: Light = "srgb", first: int | None = None) -> Iterator[Scene]:
    """The split's scenes, the same ones at every call: every photograph on every ground. `first`: only so many on plain
    and as many on textured grounds."""
    if family == "soft":
        yield from _soft_scenes(side, split, light, first)
        return
    number, made = SEEDS[split], {"plain": 0, "textured": 0}
    for ground in GROUNDS[split]:
        for photograph in PHOTOGRAPHS[split]:
            number += 1
            kind = "textured" if ground else "plain"
            made[kind] += 1
            if first is None or made[kind] <= first:
                yield _scene(photograph, ground, side, family, light, split, np.random.default_rng(number))


def _scene(photograph: str, ground: str, side: int, family: Family, light: Light, split: Split,
           rng: np.random.Generator) -> Scene:  # fmt: skip
    outline = _joined_outline if split == "tune" else _wavy_outline
    alpha, holes = _body(outline, side, rng)
    product = cv2.resize(_photograph(photograph), (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    parts = np.where(_near(holes, 14 * side // 1024), np.uint8(2), np.uint8(1))
    behind = _textured(ground, side) if ground else _paper(side, rng)
    if family == "fine":
        _add_fine_parts(alpha, product, parts, rng)
        shadow = cv2.GaussianBlur(np.roll(alpha, (side // 40, side // 60), (0, 1)), (0, 0), side / 60)
        behind = behind * (1 - np.float32(rng.uniform(0.15, 0.4)) * shadow[..., None])
    mixed = _mixed(product, behind, alpha, light)
    rgb = np.clip(np.rint(mixed + rng.normal(0, _NOISE, mixed.shape)), 0, 255).astype(np.uint8)
    mask, soft = _segmented(alpha, rng)
    kind, name = ("textured", Path(ground).stem) if ground else ("plain", "paper")
    return Scene(f"{Path(photograph).stem} on {name}", kind, family, light, rgb, alpha, product, mask, soft, parts)


def _segmented(alpha: Floats, rng: np.random.Generator) -> tuple[Grey, Grey]:
    """The mask and the soft mask of a true alpha, a pixel off."""
    side = len(alpha)
    moved = np.roll(alpha, tuple(rng.choice((-1, 1), 2)), (0, 1))
    coarse = cv2.resize(moved, (side // 4, side // 4), interpolation=cv2.INTER_AREA)
    soft = np.rint(np.clip(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR), 0, 1) * 255)
    return np.where(moved > 0.5, np.uint8(255), np.uint8(0)), soft.astype(np.uint8)


def _soft_scenes(side: int, split: Split, light: Light, first: int | None) -> Iterator[Scene]:
    made = {"plain": 0, "textured": 0}
    for number in range(0 if split == "tune" else 1, _SOFT_SCENES, 2):
        turn = number // 2
        ground = _SOFT_GROUNDS[turn % 4]
        kind = "textured" if ground else "plain"
        made[kind] += 1
        if first is None or made[kind] <= first:
            photograph = _SOFT_PHOTOGRAPHS[(turn + turn // 4) % 4]
            yield _soft_scene(photograph, ground, side, light, np.random.default_rng(20_000 + number))


def _soft_scene(photograph: str, ground: str, side: int, light: Light, rng: np.random.Generator) -> Scene:
    """A body cut out of a photograph by a smooth outline, on a ground that it was never on."""
    narrowest, widest = _SOFT_WIDTHS
    width = float(narrowest * (widest / narrowest) ** rng.uniform()) * side / 1024
    canvas = np.zeros((side * _FINER, side * _FINER), np.uint8)
    _wavy_outline(canvas, rng)
    inside, outside = (cv2.distanceTransform(plane, cv2.DIST_L2, 5) for plane in (canvas, 255 - canvas))
    reached = np.clip((inside - outside) / (width * _FINER) + 0.5, 0, 1)
    smooth = np.asarray(reached * reached * (3 - 2 * reached), np.float32)
    alpha = np.asarray(cv2.resize(smooth, (side, side), interpolation=cv2.INTER_AREA), np.float32)
    product = cv2.resize(_photograph(photograph), (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    plain = np.full((side, side, 3), rng.uniform(30, 245, 3), np.float32)
    behind = _textured(ground, side) if ground else plain
    rgb = np.clip(np.rint(_mixed(product, behind, alpha, light)), 0, 255).astype(np.uint8)
    mask, soft = _segmented(alpha, rng)
    kind, name = ("textured", Path(ground).stem) if ground else ("plain", "one colour")
    named = f"{Path(photograph).stem} on {name}, edge {width:.1f}"
    return Scene(named, kind, "soft", light, rgb, alpha, product, mask, soft, np.ones_like(mask))


def _mixed(over: Floats, under: Floats, alpha: Floats, light: Light) -> Floats:
    share = alpha[..., None]
    if light == "srgb":
        return np.asarray(over * share + under * (1 - share), np.float32)
    return encoded(decoded(over) * share + decoded(under) * (1 - share))


def decoded(levels: Floats) -> Floats:
    """sRGB levels (0..255) as linear light (0..1; IEC 61966-2-1)."""
    shade = np.clip(levels / np.float32(255), 0, 1)
    return np.asarray(np.where(shade <= 0.04045, shade / 12.92, ((shade + 0.055) / 1.055) ** 2.4), np.float32)


def encoded(light: Floats) -> Floats:
    """Linear light (0..1) as sRGB levels (0..255)."""
    light = np.clip(light, 0, 1)
    return np.asarray(np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055) * 255, np.float32)


def _photograph(name: str) -> Rgb:
    from skimage import data

    pixels = cv2.imread(str(Path(data.data_dir) / name), cv2.IMREAD_COLOR)
    assert pixels is not None, name
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def _textured(name: str, side: int) -> Floats:
    grey = cv2.resize(_photograph(name)[..., 0], (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    return np.asarray(np.clip(grey[..., None] * np.array(_TINTS[name], np.float32), 0, 255), np.float32)


def _paper(side: int, rng: np.random.Generator) -> Floats:
    """A studio's backdrop that darkens downwards."""
    colour = rng.uniform(170, 245) + rng.uniform(-12, 12, 3)
    fall = np.linspace(1, 0.85, side)[:, None, None]
    return np.asarray(np.ones((side, side, 3)) * colour * fall, np.float32)


Canvas = npt.NDArray[np.uint8]


def _joined_outline(canvas: Canvas, rng: np.random.Generator) -> None:
    big = len(canvas)
    middle = (big // 2, int(big * 0.6))
    cv2.ellipse(canvas, middle, (int(big * 0.27), int(big * 0.24)), float(rng.uniform(-20, 20)), 0, 360, 255, -1)
    cv2.rectangle(canvas, (int(big * 0.3), int(big * 0.42)), (int(big * 0.7), int(big * 0.55)), 255, -1)


def _wavy_outline(canvas: Canvas, rng: np.random.Generator) -> None:
    """A closed curve whose radius is a short Fourier series."""
    big = len(canvas)
    turn = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    radius = np.full_like(turn, 0.24)
    for wave in range(2, 7):
        radius += rng.normal(0, 0.05 / wave) * np.cos(wave * turn + rng.uniform(0, 2 * np.pi))
    curve = np.stack([0.5 + radius * np.cos(turn), 0.6 + radius * np.sin(turn)], axis=1) * big
    cv2.fillPoly(canvas, [np.rint(curve).astype(np.int32)], 255)


def _body(outline: object, side: int, rng: np.random.Generator) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Alpha of a body with a handle and two holes, out of focus by a different amount all around; and its holes."""
    assert callable(outline)
    big, unit = side * _FINER, side * _FINER / 1024
    canvas, punched = np.zeros((big, big), np.uint8), np.zeros((big, big), np.uint8)
    outline(canvas, rng)
    for x in (0.42, 0.58):
        cv2.circle(punched, (int(big * x), int(big * 0.62)), int(big * rng.uniform(0.02, 0.05)), 255, -1)
    canvas[punched > 0] = 0
    handle = (int(big * 0.5), int(big * 0.42))
    cv2.ellipse(canvas, handle, (int(big * 0.15), int(big * 0.22)), 0, 180, 360, 255, int(12 * unit))
    return _blurred_by_place(_shrunk(canvas, side), rng), _shrunk(punched, side) > 0


def _blurred_by_place(sharp: Floats, rng: np.random.Generator) -> Floats:
    side = len(sharp)
    layers = [cv2.GaussianBlur(sharp, (0, 0), sigma * side / 1024) for sigma in (0.5, 1.5, 3.0, 6.0)]
    turn = rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    level = 1.5 + 1.5 * np.cos(np.arctan2(rows, columns) - turn)
    result = np.zeros_like(sharp)
    for number, layer in enumerate(layers):
        result += layer * np.clip(1 - np.abs(level - number), 0, 1)
    result[result > 0.998] = 1
    result[result < 0.002] = 0
    return np.asarray(result, np.float32)


def _add_fine_parts(alpha: Floats, product: Floats, parts: Grey, rng: np.random.Generator) -> None:
    """Straps, hairs and a glass rim behind the body. A strap is of one material, lit as the photograph is."""
    side = len(alpha)
    big, unit = side * _FINER, side * _FINER / 1024
    light = 0.85 + 0.3 * cv2.GaussianBlur(product.mean(axis=2), (0, 0), side / 100) / 255
    widths = [1.0, 1.5, 2.0, 3.0, 4.0, 6.0, *rng.uniform(0.8, 1.6, 10)]
    for number, width in enumerate(widths):
        strand = _strand(
            rng, (big // 2, int(big * 0.6)), big, max(1, round(width * unit)), 0.45 if number < 6 else 0.33
        )
        colours = rng.uniform((20, 15, 10), (120, 80, 60)) * light[..., None]
        _paste(alpha, product, parts, _shrunk(strand, side), colours, 3 if width >= 2 else 4)
    glass = np.zeros((big, big), np.uint8)
    cv2.ellipse(glass, (int(big * 0.72), int(big * 0.6)), (int(big * 0.09), int(big * 0.12)), 0, 0, 360, 140,
                max(1, int(8 * unit)))  # fmt: skip
    _paste(alpha, product, parts, _shrunk(glass, side), np.array((60.0, 110.0, 100.0)) * light[..., None], 5)


def _shrunk(canvas: Canvas, side: int) -> Floats:
    return cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)


def _near(places: npt.NDArray[np.bool_], reach: int) -> npt.NDArray[np.bool_]:
    return cv2.dilate(places.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)) > 0


def _paste(alpha: Floats, product: Floats, parts: Grey, part: Floats, colours: npt.NDArray[np.float64],
           number: int) -> None:  # fmt: skip
    """Put a part behind what is there: it is seen where the rest leaves something to see."""
    added = part * (1 - alpha)
    total = alpha + added
    weight = (added / np.maximum(total, 1e-6))[..., None]
    product += weight * (colours.astype(np.float32) - product)
    parts[_near(added > 0.02, 3)] = number
    np.copyto(alpha, total)


def _strand(rng: np.random.Generator, start: tuple[int, int], big: int, width: int, spread: float) -> Canvas:
    """A curved line from the body outwards (a quadratic Bézier curve)."""
    canvas = np.zeros((big, big), np.uint8)
    angle = rng.uniform(0, 2 * np.pi)
    end = np.array(start) + spread * big * np.array([np.cos(angle), np.sin(angle)])
    bend = (np.array(start) + end) / 2 + rng.normal(0, 0.06 * big, 2)
    step = np.linspace(0, 1, 60)[:, None]
    curve = (1 - step) ** 2 * np.array(start) + 2 * step * (1 - step) * bend + step**2 * end
    cv2.polylines(canvas, [np.rint(curve).astype(np.int32)], False, 255, width, cv2.LINE_AA)
    return canvas
