"""Gates against a known truth: how much harm to a product is seen, and how often harmless changes raise an alarm.

    python3 -m benchmarks.gates [--scenes 40] [--check] [--json FILE]

Each scene is a product (scikit-image's coffee cup and motorcycle, cut out by the lite finder; drawn bottles, boxes and
jars, each with a printed label) on a ground. Its harmed versions: grown, shrunk, shifted, recoloured, blurred, letters
exchanged, each by a known amount; its harmless ones: unchanged, retouched, slight noise, JPEG, a little lighter or
darker. The silhouettes come from the lite finder's real weights and the text from rapidocr's, as in the pipeline.

Scenes with even numbers choose limits, those with odd ones are only reported. `--check` exits with 1 where, with the
limits that are shipped, less than 95 % of the harm is seen or more than 2 % of the harmless changes raise an
alarm on the reported half. Last, ten labels go through a blur like a VAE's, and the detail lock over them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from lib_prodshot.enhancing.interface import Task
from lib_prodshot.enhancing.retouch import Retouch
from lib_prodshot.finding.finder import Finder
from lib_prodshot.finding.interface import Box
from lib_prodshot.finding.registry import load_finder
from lib_prodshot.gates import detail_lock, fidelity, growth, text
from lib_prodshot.gates.rapid_reader import RapidReader
from lib_prodshot.pictures import read
from lib_prodshot.preserve import composite
from lib_prodshot.request import Request

SIDE = 512
SCENES = 40
CASES = 5
"""Harmed and harmless versions of each scene, so many of each."""

GOAL_SEEN, GOAL_ALARMS = 0.95, 0.02

Rgb = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

WORDS = (
    ("Hand Soap", "Lavender", "500 ml"), ("OLIVE OIL", "extra virgin", "Net 750 ml"), ("Kaffee", "frisch geröstet"),
    ("Crème de nuit", "peau sèche", "50 ml"), ("MIEL DE ABEJA", "cosecha propia"), ("Green Tea", "organic leaves"),
    ("有机绿茶", "净含量 250 克"), ("Shampoo", "for daily use", "300 ml"), ("Dark Chocolate", "72 percent cocoa"),
    ("VITAMIN COMPLEX", "thirty tablets"),
)  # fmt: skip
"""Lines of the labels."""

FONT_FOLDERS = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"))
FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf", "DejaVuSansMono.ttf")
CJK_FONT = "NotoSansCJK-Regular.ttc"
"""Debian's fonts-dejavu and fonts-noto-cjk; labels whose font is missing are left out and said."""


@dataclass(frozen=True)
class Product:
    """A product by itself: SIDE×SIDE×3 RGB and alpha 0..1, and how to draw it again with other words (None: it has no
    label)."""

    rgb: Rgb
    alpha: Floats
    relabelled: Callable[[np.random.Generator], Product] | None = None


@dataclass(frozen=True)
class Scene:
    number: int
    product: Product
    ground: Rgb

    @property
    def rgb(self) -> Rgb:
        return _over(self.product.rgb, self.product.alpha, self.ground)

    @property
    def mask(self) -> npt.NDArray[np.uint8]:
        return np.where(self.product.alpha > 0.5, 255, 0).astype(np.uint8)

    @property
    def box(self) -> Box:
        rows, columns = (np.flatnonzero((self.product.alpha > 0.5).any(axis=axis)) for axis in (1, 0))
        return Box(0, 1.0, (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)))


@dataclass
class Case:
    """One version of a scene and what was measured on it; `kind` is what was done, empty `harm` nothing bad."""

    scene: int
    kind: str
    harm: bool
    amount: float
    figures: dict[str, float] = field(default_factory=dict)


def font_file(name: str) -> Path | None:
    return next((path for folder in FONT_FOLDERS for path in folder.rglob(name)), None)


def _over(rgb: Rgb, alpha: Floats, ground: Rgb) -> Rgb:
    mixed = rgb * alpha[..., None] + ground * (1 - alpha[..., None])
    return np.asarray(np.clip(np.rint(mixed), 0, 255), np.uint8)


# --- products


def cut_out(finder: Finder, file: str, corners: tuple[float, float, float, float]) -> Product:
    """A photographed product of scikit-image, as the lite finder cuts it out, made to fill half the scene."""
    import skimage.data

    rgb = read(Path(skimage.data.__file__).parent / file).rgb
    (soft,) = finder.segmenter.segment(rgb, [Box(0, 1.0, corners)])
    rows, columns = (np.flatnonzero((soft > 127).any(axis=axis)) for axis in (1, 0))
    part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    return _placed(rgb[part], soft[part].astype(np.float32) / 255, 0.6 * SIDE)


def _placed(rgb: Rgb, alpha: Floats, longest: float) -> Product:
    factor = longest / max(alpha.shape)
    size = (round(alpha.shape[1] * factor), round(alpha.shape[0] * factor))
    small, cover = (cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in (rgb, alpha))
    canvas, whole = np.zeros((SIDE, SIDE, 3), np.uint8), np.zeros((SIDE, SIDE), np.float32)
    top, left = (SIDE - size[1]) // 2, (SIDE - size[0]) // 2
    canvas[top : top + size[1], left : left + size[0]] = small
    whole[top : top + size[1], left : left + size[0]] = cover
    return Product(canvas, whole)


def drawn(seed: int, lines: Sequence[str]) -> Product:
    """A bottle, a box or a jar with a label; the same seed with other lines differs in its letters alone."""
    rng = np.random.default_rng(seed)
    shape = np.zeros((SIDE, SIDE), np.uint8)
    wide, high = rng.uniform(0.42, 0.5), rng.uniform(0.6, 0.68)
    x0, x1 = round(SIDE * (0.5 - wide / 2)), round(SIDE * (0.5 + wide / 2))
    y0, y1 = round(SIDE * (0.5 - high / 2)), round(SIDE * (0.5 + high / 2))
    kind = seed % 3
    if kind == 0:  # a bottle with its neck
        cv2.rectangle(shape, (x0, y0 + round(0.22 * high * SIDE)), (x1, y1), 255, -1)
        middle = (x0 + x1) // 2
        cv2.rectangle(shape, (middle - (x1 - x0) // 6, y0), (middle + (x1 - x0) // 6, y1), 255, -1)
    elif kind == 1:
        cv2.rectangle(shape, (x0, y0), (x1, y1), 255, -1)
    else:
        cv2.rectangle(shape, (x0, y0 + 30), (x1, y1 - 30), 255, -1)
        cv2.ellipse(shape, ((x0 + x1) // 2, y1 - 30), ((x1 - x0) // 2, 30), 0, 0, 360, 255, -1)
        cv2.ellipse(shape, ((x0 + x1) // 2, y0 + 30), ((x1 - x0) // 2, 30), 0, 0, 360, 255, -1)
    colour = cv2.cvtColor(
        np.array([[[rng.uniform(0, 360), rng.uniform(0.45, 0.9), rng.uniform(0.35, 0.75)]]], np.float32),
        cv2.COLOR_HSV2RGB,
    )[0, 0]
    across = np.linspace(-1, 1, SIDE, dtype=np.float32)[None, :]
    light = (1.1 - 0.5 * across**2 + rng.normal(0, 0.02, (SIDE, SIDE))).astype(np.float32)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (SIDE, SIDE)).astype(np.float32), (0, 0), 2) * 0.25
    body = colour * (light + grain)[..., None] * 255
    rgb = np.clip(body, 0, 255).astype(np.uint8)
    label = _label(rng, lines, (round(0.86 * (x1 - x0)), round(0.42 * (y1 - y0))))
    left, top = (SIDE - label.shape[1]) // 2, round((y0 + y1) / 2 - label.shape[0] / 3)
    place = rgb[top : top + label.shape[0], left : left + label.shape[1]]
    place[:] = np.clip(label * light[top : top + label.shape[0], left : left + label.shape[1], None], 0, 255)
    turn = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), float(rng.uniform(-8, 8)), 1.0)
    rgb = np.asarray(cv2.warpAffine(rgb, turn, (SIDE, SIDE), flags=cv2.INTER_CUBIC), np.uint8)
    soft = cv2.GaussianBlur(cv2.warpAffine(shape, turn, (SIDE, SIDE)).astype(np.float32) / 255, (0, 0), 0.8)

    def again(other: np.random.Generator) -> Product:
        return drawn(seed, _exchanged(lines, other))

    return Product(rgb, soft, again)


def _label(rng: np.random.Generator, lines: Sequence[str], size: tuple[int, int]) -> Rgb:
    width, height = size
    paper, ink = ((246, 243, 235), (25, 25, 35)) if rng.random() < 0.7 else ((28, 30, 38), (235, 230, 215))
    image = Image.new("RGB", size, paper)
    draw = ImageDraw.Draw(image)
    name = FONTS[int(rng.integers(len(FONTS)))]
    file = font_file(CJK_FONT if any(ord(letter) > 0x2E80 for line in lines for letter in line) else name)
    assert file is not None, "fonts are looked for before"
    for number, line in enumerate(lines):
        room = height / (len(lines) + 0.4)
        points = int(room * rng.uniform(0.55, 0.75))
        while draw.textlength(line, font=ImageFont.truetype(str(file), points)) > 0.92 * width:
            points -= 1
        font = ImageFont.truetype(str(file), points)
        start = (width - draw.textlength(line, font=font)) / 2
        draw.text((start, room * (number + 0.25)), line, fill=ink, font=font)
    return np.asarray(image)


def _exchanged(lines: Sequence[str], rng: np.random.Generator) -> list[str]:
    """One line with a third of its letters, at least two, exchanged for others of its script."""
    changed = list(lines)
    number = int(rng.integers(len(lines)))
    letters = list(changed[number])
    places = [place for place, letter in enumerate(letters) if letter.isalnum()]
    alphabet = "茶油水木火土金山" if any(ord(letter) > 0x2E80 for letter in letters) else "abdehkmnprstuwxz"
    for place in rng.choice(places, max(2, len(places) // 3), replace=False):
        others = [letter for letter in alphabet if letter != letters[place].lower()]
        new = others[int(rng.integers(len(others)))]
        letters[place] = new.upper() if letters[place].isupper() else new
    changed[number] = "".join(letters)
    return changed


def grounds() -> Callable[[np.random.Generator], Rgb]:
    """Plain backdrops, and brick, grass, gravel and a table's corner of scikit-image's photographs."""
    import skimage.data

    folder = Path(skimage.data.__file__).parent
    photographs = [folder / name for name in ("brick.png", "grass.png", "gravel.png") if (folder / name).is_file()]
    textures = [cv2.resize(read(path).rgb, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for path in photographs]

    def pick(rng: np.random.Generator) -> Rgb:
        if textures and rng.random() < 0.3:
            texture = textures[int(rng.integers(len(textures)))].astype(np.float32)
            return np.asarray(np.clip(texture * 0.35 + rng.uniform(90, 150), 0, 255), np.uint8)
        colour = rng.uniform(150, 245) + rng.uniform(-12, 12, 3)
        fall = np.linspace(1.0, rng.uniform(0.75, 0.95), SIDE)[:, None, None]
        return np.clip(colour * fall + rng.normal(0, 1.5, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)

    return pick


def scenes(finder: Finder, count: int) -> Iterator[Scene]:
    photographed = [
        cut_out(finder, "coffee.png", (76, 18, 480, 391)),
        cut_out(finder, "motorcycle_left.png", (103, 97, 684, 451)),
    ]
    ground = grounds()
    words = [lines for lines in WORDS if lines[0].isascii() or font_file(CJK_FONT)]
    for number in range(count):
        rng = np.random.default_rng(1000 + number)
        # two numbers that follow each other fall into different halves: each kind into both
        is_drawn = number // 2 % 2
        product = drawn(number, words[number // 4 % len(words)]) if is_drawn else photographed[number // 4 % 2]
        yield Scene(number, product, ground(rng))


# --- what is done to them


def _warped(scene: Scene, scale: float, x: float = 0.0, y: float = 0.0) -> Rgb:
    turn = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), 0, scale)
    turn[:, 2] += x, y
    rgb = cv2.warpAffine(scene.product.rgb, turn, (SIDE, SIDE), flags=cv2.INTER_CUBIC)
    alpha = np.clip(cv2.warpAffine(scene.product.alpha, turn, (SIDE, SIDE)), 0, 1)
    return _over(np.asarray(rgb, np.uint8), np.asarray(alpha, np.float32), scene.ground)


def grown(scene: Scene, rng: np.random.Generator) -> tuple[Rgb, float]:
    amount = float(rng.uniform(1.06, 1.16))
    return _warped(scene, amount), amount**2 - 1


def bulged(scene: Scene, rng: np.random.Generator) -> tuple[Rgb, float]:
    """A piece grows out of the product's side, of its own colours."""
    area = scene.product.alpha.sum()
    x0, y0, x1, y1 = scene.box.corners
    radius = float(np.sqrt(rng.uniform(0.1, 0.2) * area / (np.pi / 2)))
    side = x0 if rng.random() < 0.5 else x1
    added = np.zeros((SIDE, SIDE), np.uint8)
    cv2.circle(added, (round(side), round((y0 + y1) / 2 + 0.15 * (y1 - y0))), round(radius), 255, -1)
    cover = np.maximum(scene.product.alpha, cv2.GaussianBlur(added.astype(np.float32) / 255, (0, 0), 0.8))
    inner = (scene.product.alpha > 0.9).astype(np.uint8)
    mean = np.array(cv2.mean(scene.product.rgb, inner)[:3])
    rgb = np.where(scene.product.alpha[..., None] > 0.5, scene.product.rgb, mean.astype(np.uint8))
    return _over(rgb, cover, scene.ground), float(cover.sum() / area - 1)


def shrunk(scene: Scene, rng: np.random.Generator) -> tuple[Rgb, float]:
    amount = float(rng.uniform(0.86, 0.95))
    return _warped(scene, amount), 1 - amount**2


def shifted(scene: Scene, rng: np.random.Generator) -> tuple[Rgb, float]:
    x0, y0, x1, y1 = scene.box.corners
    share = float(rng.uniform(0.06, 0.12))
    way = -1 if rng.random() < 0.5 else 1
    return _warped(scene, 1.0, way * share * (x1 - x0), share * 0.3 * (y1 - y0)), share


def recoloured(scene: Scene, rng: np.random.Generator) -> tuple[Rgb, float]:
    """The hue turned by 30 to 90 degrees, and a tint, so that grey products change too."""
    degrees = float(rng.uniform(30, 90))
    lab = cv2.cvtColor(scene.product.rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    turn = np.radians(degrees)
    a, b = lab[..., 1].copy(), lab[..., 2].copy()
    lab[..., 1] = a * np.cos(turn) - b * np.sin(turn) + 8
    lab[..., 2] = a * np.sin(turn) + b * np.cos(turn)
    rgb = np.clip(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB) * 255, 0, 255).astype(np.uint8)
    return _over(rgb, scene.product.alpha, scene.ground), degrees


def blurred(scene: Scene, rng: np.random.Generator) -> tuple[Rgb, float]:
    sigma = float(rng.uniform(2.0, 4.0))
    soft = np.asarray(cv2.GaussianBlur(scene.rgb, (0, 0), sigma), np.uint8)
    return composite(scene.rgb, soft, scene.mask), sigma


def letters(scene: Scene, rng: np.random.Generator) -> tuple[Rgb, float]:
    assert scene.product.relabelled is not None
    other = scene.product.relabelled(rng)
    return _over(other.rgb, other.alpha, scene.ground), 1 / 3


def unchanged(scene: Scene, rng: np.random.Generator) -> tuple[Rgb, float]:
    return scene.rgb, 0.0


def retouched(scene: Scene, rng: np.random.Generator) -> tuple[Rgb, float]:
    strength = float(rng.choice([0.25, 0.5]))
    task = Task(scene.rgb, scene.mask, scene.mask, (), Request(products="cup", strength=strength, delta_e_limit=5.0))
    return composite(scene.rgb, Retouch().enhance(task).rgb, scene.mask), strength


def noisy(scene: Scene, rng: np.random.Generator) -> tuple[Rgb, float]:
    sigma = float(rng.uniform(1.0, 3.0))
    return np.clip(np.rint(scene.rgb + rng.normal(0, sigma, scene.rgb.shape)), 0, 255).astype(np.uint8), sigma


def jpeg(scene: Scene, rng: np.random.Generator) -> tuple[Rgb, float]:
    quality = int(rng.integers(80, 97))
    _, data = cv2.imencode(".jpg", scene.rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1], np.uint8), quality


def lighter(scene: Scene, rng: np.random.Generator) -> tuple[Rgb, float]:
    gain = float(rng.uniform(0.94, 1.06))
    changed = np.clip(np.rint(scene.rgb * gain), 0, 255).astype(np.uint8)
    return composite(scene.rgb, changed, scene.mask), gain


HARM = {"growth": (grown, bulged, shrunk, shifted), "colour and detail": (recoloured, blurred), "text": (letters,)}
HARMLESS = (unchanged, retouched, noisy, jpeg, lighter)
GATE_OF = {function.__name__: gate for gate, functions in HARM.items() for function in functions}


def harm_of(scene: Scene) -> list[Callable[[Scene, np.random.Generator], tuple[Rgb, float]]]:
    """Which harm is done to a scene: by turns, letters wherever there are any."""
    first = [grown, shrunk] if scene.number // 4 % 2 else [bulged, shifted]
    rest = [recoloured, blurred]
    return [*first, *rest, letters if scene.product.relabelled else shrunk if bulged in first else bulged]


# --- measuring


class Measurer:
    def __init__(self, finder: Finder) -> None:
        self._finder, self._reader = finder, RapidReader()

    def cases(self, scene: Scene) -> Iterator[Case]:
        before, mask = scene.rgb, scene.mask
        silhouette = self._silhouette(scene, before)
        lines = text.read_inside(self._reader, before, mask) if scene.product.relabelled else ()
        for harm, functions in ((True, harm_of(scene)), (False, HARMLESS)):
            for number, function in enumerate(functions):
                rng = np.random.default_rng([scene.number, number, int(harm)])
                after, amount = function(scene, rng)
                case = Case(scene.number, function.__name__, harm, round(amount, 4))
                is_same = np.array_equal(after, before)
                found = growth.compare(silhouette, silhouette if is_same else self._silhouette(scene, after))
                case.figures |= {"growth": max(found.growth, found.loss), "iou": found.iou}
                like = fidelity.measure(before, after, mask)
                assert like is not None
                case.figures |= asdict(like)
                if scene.product.relabelled:
                    read_now = lines if is_same else text.read_inside(self._reader, after, mask)
                    compared = text.compare(lines, read_now)
                    case.figures["lines"] = len(compared)
                    case.figures["text"] = max((each.share for each in compared), default=0.0)
                yield case

    def _silhouette(self, scene: Scene, rgb: Rgb) -> npt.NDArray[np.uint8]:
        (find,) = self._finder.segment(rgb, [scene.box], ()).finds
        return np.where(find.soft_mask > 127, 255, 0).astype(np.uint8)

    def lines(self, rgb: Rgb, mask: npt.NDArray[np.uint8]) -> tuple[text.Line, ...]:
        return text.read_inside(self._reader, rgb, mask)


@dataclass(frozen=True)
class GateLimits:
    growth: float = growth.LIMIT
    text: float = text.LIMIT
    delta_e: float = fidelity.DIFFUSION.delta_e
    hue: float = fidelity.DIFFUSION.hue
    detail: float = fidelity.DIFFUSION.detail


def alarms(case: Case, limits: GateLimits) -> set[str]:
    """The gates that fail a case."""
    figures, found = case.figures, set()
    if figures["growth"] > limits.growth:
        found.add("growth")
    if figures.get("text", 0.0) > limits.text:
        found.add("text")
    detail = min(figures["gradient_correlation"], figures["ms_ssim"])
    if figures["delta_e_mean"] > limits.delta_e or figures["hue_shift"] > limits.hue or detail < limits.detail:
        found.add("colour and detail")
    return found


def chosen(cases: Sequence[Case]) -> GateLimits:
    """Limits from these cases: halfway between the worst harmless one but one in a hundred, and the mildest harm but
    one in twenty that the figure is there to see."""

    def between(value: Callable[[Case], float], *kinds: str) -> float:
        calm = [value(case) for case in cases if not case.harm]
        harm = [value(case) for case in cases if case.kind in kinds]
        return float((np.quantile(calm, 0.99) + np.quantile(harm, 0.05)) / 2) if calm and harm else float("nan")

    return GateLimits(
        between(lambda case: case.figures["growth"], "grown", "bulged", "shrunk", "shifted"),
        between(lambda case: case.figures.get("text", 0.0), "letters"),
        between(lambda case: case.figures["delta_e_mean"], "recoloured"),
        between(lambda case: case.figures["hue_shift"], "recoloured"),
        1 - between(lambda case: 1 - min(case.figures["gradient_correlation"], case.figures["ms_ssim"]), "blurred"),
    )


def summary(cases: Sequence[Case], limits: GateLimits) -> dict[str, Any]:
    """By kind of harm: seen by any gate and by its own; by gate: alarms on harmless cases; and all together."""
    kinds = {}
    for kind in dict.fromkeys(case.kind for case in cases):
        own = [case for case in cases if case.kind == kind]
        rows = [alarms(case, limits) for case in own]
        kinds[kind] = {
            "cases": len(own),
            "harm": own[0].harm,
            "any gate": sum(map(bool, rows)),
            "own gate": sum(GATE_OF.get(kind, "") in row for row in rows),
        }
    harmed, calm = ([case for case in cases if case.harm is harm] for harm in (True, False))
    return {
        "kinds": kinds,
        "alarms": {gate: sum(gate in alarms(case, limits) for case in calm) for gate in HARM},
        "seen": sum(bool(alarms(case, limits)) for case in harmed) / len(harmed),
        "false alarms": sum(bool(alarms(case, limits)) for case in calm) / len(calm),
        "harmed": len(harmed),
        "harmless": len(calm),
    }


def vae_like(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Fine print as a VAE leaves it: a little soft, and bent by a pixel or so in waves of a few pixels."""
    soft = cv2.GaussianBlur(rgb, (0, 0), 1.2)
    bend = [cv2.GaussianBlur(rng.normal(0, 1, rgb.shape[:2]).astype(np.float32), (0, 0), 4) * 12 for _ in range(2)]
    rows, columns = np.mgrid[: rgb.shape[0], : rgb.shape[1]].astype(np.float32)
    return np.asarray(cv2.remap(soft, columns + bend[0], rows + bend[1], cv2.INTER_LINEAR), np.uint8)


def labels(measurer: Measurer) -> list[dict[str, Any]]:
    """Ten labels: letters read for sure, and the edit distance after the blur, with the detail lock at 0, 0.5 and 1."""
    rows = []
    words = [lines for lines in WORDS if lines[0].isascii() or font_file(CJK_FONT)]
    for number, lines in enumerate(words):
        scene = Scene(number, drawn(300 + number, lines), np.full((SIDE, SIDE, 3), 225, np.uint8))
        before, mask = scene.rgb, scene.mask
        after = composite(before, vae_like(before, np.random.default_rng(number)), mask)
        row: dict[str, Any] = {"label": " / ".join(lines)}
        read_before = measurer.lines(before, mask)
        compared = text.compare(read_before, read_before)
        row["letters"] = sum(len(each.before) for each in compared)
        for strength in (0.0, 0.5, 1.0):
            locked = detail_lock.lock(before, after, mask, strength)
            compared = text.compare(read_before, measurer.lines(locked, mask))
            row[f"lock {strength:g}"] = sum(each.distance for each in compared if each.before)
        rows.append(row)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m benchmarks.gates", description="Gates against a known truth.")
    parser.add_argument("--scenes", type=int, default=SCENES, help="how many (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="exit with 1 beyond the goals")
    parser.add_argument("--json", type=Path, help="also write every case's figures here")
    parser.add_argument("--models-dir", type=Path, help="look for the lite weights here first")
    arguments = parser.parse_args()
    missing = [name for name in FONTS if font_file(name) is None]
    if missing:
        print(f"fonts are missing: {', '.join(missing)}; on Debian: apt install fonts-dejavu", file=sys.stderr)
        return 1
    measurer = Measurer(finder := load_finder("lite", arguments.models_dir))
    cases: list[Case] = []
    for scene in scenes(finder, arguments.scenes):
        cases += measurer.cases(scene)
        if arguments.json:
            told = [asdict(case) for case in cases]
            arguments.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        print(f"scene {scene.number + 1} of {arguments.scenes}", file=sys.stderr, flush=True)
    return report(cases, labels(measurer), arguments.check)


def report(cases: Sequence[Case], read_again: Sequence[dict[str, Any]], check: bool) -> int:
    halves = {"chosen on": 0, "reported": 1}
    shipped = GateLimits()
    print(f"limits that the even scenes choose: {chosen([case for case in cases if case.scene % 2 == 0])}")
    print(f"limits that are shipped:            {shipped}")
    broken = []
    for name, half in halves.items():
        told = summary([case for case in cases if case.scene % 2 == half], shipped)
        print(f"\n{name}: {told['harmed']} harmed, {told['harmless']} harmless\n")
        print("| version | cases | a gate failed | its own gate failed |\n|---|---|---|---|")
        for kind, row in told["kinds"].items():
            own = row["own gate"] if row["harm"] else ""
            print(f"| {kind} | {row['cases']} | {row['any gate']} | {own} |")
        print(f"\nharm seen {told['seen']:.1%}, false alarms {told['false alarms']:.1%}, by gate {told['alarms']}")
        if half == 1 and told["seen"] < GOAL_SEEN:
            broken.append(f"harm seen {told['seen']:.1%}, goal {GOAL_SEEN:.0%}")
        if half == 1 and told["false alarms"] > GOAL_ALARMS:
            broken.append(f"false alarms {told['false alarms']:.1%}, goal {GOAL_ALARMS:.0%}")
    print("\n| label | letters | no lock | lock 0.5 | lock 1 |\n|---|---|---|---|---|")
    for row in read_again:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")
    print("\n" + ("beyond the goals: " + "; ".join(broken) if broken else "within the goals"))
    return 1 if broken and check else 0


if __name__ == "__main__":
    raise SystemExit(main())
