"""A known truth for the gates: products on a ground, and versions of them with and without harm of a known amount.

Each scene is a product (scikit-image's coffee cup and motorcycle, cut out by the lite finder; drawn bottles, boxes and
jars, each with a printed label) on a ground. Its harmed versions: grown, shrunk, shifted, recoloured, blurred, letters
exchanged, each by a known amount; its harmless ones: unchanged, retouched, slight noise, JPEG, a little lighter or
darker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from lib_prodshot.enhancing.interface import Task
from lib_prodshot.enhancing.retouch import Retouch
from lib_prodshot.finding.finder import Finder
from lib_prodshot.finding.interface import Box
from lib_prodshot.pictures import read
from lib_prodshot.preserve import composite
from lib_prodshot.request import Request

SIDE = 512

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


def font_file(name: str) -> Path | None:
    return next((path for folder in FONT_FOLDERS for path in folder.rglob(name)), None)


def refuse_missing_fonts() -> None:
    """Raise FileNotFoundError, with how to get them, where fonts of the labels are missing."""
    missing = [name for name in FONTS if font_file(name) is None]
    if missing:
        raise FileNotFoundError(f"fonts are missing: {', '.join(missing)}; on Debian: apt install fonts-dejavu")


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


def grounds(textured: float = 0.3) -> Callable[[np.random.Generator], Rgb]:
    """Plain backdrops, and (that share of them) brick, grass and gravel of scikit-image's photographs."""
    import skimage.data

    folder = Path(skimage.data.__file__).parent
    photographs = [folder / name for name in ("brick.png", "grass.png", "gravel.png") if (folder / name).is_file()]
    textures = [cv2.resize(read(path).rgb, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for path in photographs]

    def pick(rng: np.random.Generator) -> Rgb:
        if textures and rng.random() < textured:
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
    """A piece grows out of the product's side and goes on as the product does there."""
    product = scene.product
    area = product.alpha.sum()
    x0, y0, x1, y1 = scene.box.corners
    radius = float(np.sqrt(rng.uniform(0.1, 0.2) * area / (np.pi / 2)))
    is_left = rng.random() < 0.5
    added = np.zeros((SIDE, SIDE), np.uint8)
    place = (round(x0 if is_left else x1), round((y0 + y1) / 2 + 0.15 * (y1 - y0)))
    cv2.circle(added, place, round(radius), 255, -1)
    cover = np.maximum(product.alpha, cv2.GaussianBlur(added.astype(np.float32) / 255, (0, 0), 0.8))
    rgb = np.where(product.alpha[..., None] > 0.5, product.rgb, _continued(product, is_left))
    return _over(rgb, cover, scene.ground), float(cover.sum() / area - 1)


def _continued(product: Product, to_left: bool) -> Rgb:
    """What the product shows within a few pixels of its left or right side, row by row, over the whole picture."""
    rgb, solid = product.rgb, product.alpha > 0.9
    if to_left:
        rgb, solid = rgb[:, ::-1], solid[:, ::-1]
    edge = SIDE - 1 - np.argmax(solid[:, ::-1], axis=1)[:, None]
    away = np.abs(np.arange(SIDE)[None] - edge) % (2 * _STRIP)
    taken = np.clip(edge - np.minimum(away, 2 * _STRIP - 1 - away), 0, SIDE - 1)
    found = np.take_along_axis(rgb, np.broadcast_to(taken[..., None], rgb.shape), axis=1)
    return np.ascontiguousarray(found[:, ::-1] if to_left else found)


_STRIP = 12
"""Pixels of the product's side that are repeated."""


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


def on_another_ground(scene: Scene, rng: np.random.Generator, ground: Rgb) -> tuple[Scene, Rgb, float]:
    """What a scene's pass may do without harm: the product as it was, on a ground that was painted anew."""
    moved = replace(scene, ground=ground)
    return moved, moved.rgb, 0.0


def bulged_on_another_ground(scene: Scene, rng: np.random.Generator, ground: Rgb) -> tuple[Scene, Rgb, float]:
    """What it must not do: paint more of the product at its side."""
    moved = replace(scene, ground=ground)
    after, amount = bulged(moved, rng)
    # the product itself is laid over whatever was painted
    return moved, _over(scene.product.rgb, scene.product.alpha, after), amount


HARMLESS = (unchanged, retouched, noisy, jpeg, lighter)


def harm_of(scene: Scene) -> list[Callable[[Scene, np.random.Generator], tuple[Rgb, float]]]:
    """Which harm is done to a scene: by turns, letters wherever there are any."""
    first = [grown, shrunk] if scene.number // 4 % 2 else [bulged, shifted]
    rest = [recoloured, blurred]
    return [*first, *rest, letters if scene.product.relabelled else shrunk if bulged in first else bulged]
