"""Looks photographs over for what a LoRA would learn besides the product, or too little of it: by the finder, and by
the gates' text reader where it is installed. Opt-in, for it costs up to seconds a photograph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from lib_prodshot.errors import as_typed, pip_install_extra
from lib_prodshot.jobs.settings import job_setting
from lib_prodshot.products import ProductClass, parse_products
from lib_prodshot.training.appearance import INSIDE, palette, palette_distance, reduced, shape_distance, shapes
from lib_prodshot.training.recipe.recipe import Recipe

if TYPE_CHECKING:
    from lib_prodshot.finding.finder import Finder
    from lib_prodshot.finding.interface import Picture
    from lib_prodshot.gates.text import TextReader

Shares = tuple[float, float, float, float]
"""A box: left, top, right, bottom as shares of the upright picture's width and height."""

SMALL_SIDE = 1 / 3
"""A product whose longer side is under this share of the picture's shorter one is small: at 512 pixels it is trained at
170, which is 21 cells of the model's latent picture (8 pixels each), too few for writing and buckles."""

CROP_SIDE = 0.6
"""Share of a crop's side that the product's longer side takes."""

FEW_VIEWS = 4
"""Fewer views are too few: DreamBooth (Ruiz et al. 2023) takes 3 to 5 pictures of a subject from different sides."""

SAME_VIEW = 0.2
"""Up to this distance of their HOGs two photographs show the same view: the same drawn bag elsewhere and in another
size is at most 0.15 away, another one 0.6 and more."""

ALIKE_GROUNDS = 6.0
"""Backgrounds whose palettes are no further apart (median, ΔE2000) are all alike; at 6 one calls it the same colour."""

_MAX_PAIRED = 24

LOOK = job_setting(
    "look",
    "Look at each photograph",
    "Also have the finder look for the recipe's products on each photograph (some seconds each): too few views, alike "
    "backgrounds, a small or missing product, text beside it.",
    False,
)
"""The setting by which a check looks, too."""


@dataclass(frozen=True)
class View:
    """What was seen on one photograph: whether the product is there, how sure that is, its box (empty: not found), its
    shape (HOG, and that of the mirror picture), the background's palette, and lines of text beside it."""

    file: Path
    found: bool
    score: float
    box: Shares | tuple[()] = ()
    side: float = 1.0
    shape: tuple[str, str] = ("", "")
    ground: tuple[tuple[float, float, float, float], ...] = ()
    text: tuple[str, ...] = ()

    @property
    def is_small(self) -> bool:
        """Whether the product is too small in the picture; `side` is the share of its shorter side that it takes."""
        return self.found and self.side < SMALL_SIDE

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        values = {"file": str(self.file), "found": self.found, "score": self.score, "box": list(self.box)}
        return {**values, "side": self.side if self.found else None, "text": list(self.text)}


@dataclass(frozen=True)
class Looker:
    """Looks at photographs for `classes`; without a `reader` no text is looked for."""

    finder: Finder
    classes: Sequence[ProductClass]
    reader: TextReader | None = None

    def look(self, file: Path) -> View:
        """Look at one photograph. Raises `PictureError`, and what the finder and the reader raise."""
        import numpy as np

        from lib_prodshot import pictures

        picture = reduced(pictures.read(file).rgb)
        findings = self.finder.find(picture, self.classes)
        score = round(float(max(findings.best_scores, default=0.0)), 4)
        if not findings.finds:
            return View(file, False, score, text=self._text(picture, np.zeros(picture.shape[:2], np.uint8)))
        mask = np.maximum.reduce([find.soft_mask for find in findings.finds])
        x0, y0, x1, y1 = _around([find.box.corners for find in findings.finds])
        if not (mask > INSIDE).any():
            mask[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1] = 255
        height, width = picture.shape[:2]
        ground = np.where(mask > INSIDE, np.uint8(0), np.uint8(255))
        return View(
            file,
            True,
            score,
            (round(x0 / width, 4), round(y0 / height, 4), round(x1 / width, 4), round(y1 / height, 4)),
            round(max(x1 - x0, y1 - y0) / min(width, height), 4),
            shapes(picture, mask),
            palette(picture, ground) if ground.any() else (),
            self._text(picture, mask),
        )

    def _text(self, picture: Picture, mask: Any) -> tuple[str, ...]:
        from lib_prodshot.gates.text import SURE, split

        if self.reader is None:
            return ()
        lines = [line for line in self.reader.read(picture) if line.score >= SURE]
        return tuple(line.text for line in split(lines, mask)[1])


def looker_for(recipe: Recipe, finder: Finder) -> Looker:
    """A looker for the recipe's products, with the text reader where that is installed. Raises `RequestError`, for
    products that the finder does not know too."""
    from lib_prodshot.gates.rapid_reader import installed_reader

    classes = classes_of(recipe)
    finder.refuse_unknown(classes)
    return Looker(finder, classes, installed_reader())


def classes_of(recipe: Recipe) -> tuple[ProductClass, ...]:
    """What is looked for. Raises `RequestError` where the recipe names no product."""
    return parse_products(recipe.products)


def remarks(views: Sequence[View], reads_text: bool) -> Iterator[tuple[str, Path | None, str]]:
    """What there is to warn of: kind, file (None: the whole folder) and message."""
    for view in views:
        yield from _remarks_of(view)
    found = [view for view in views if view.found]
    count = views_apart(found)
    if found and count < FEW_VIEWS:
        message = f"{count} of its sides on {len(found)} photographs: take more, from all around, near and far"
        yield "few_views", None, f"the product is shown from too few views, {message}"
    apart = background_spread(found)
    if apart is not None and apart <= ALIKE_GROUNDS:
        message = f"the backgrounds are all alike (ΔE2000 {apart:.1f} apart): the LoRA learns them with the product"
        yield "alike_backgrounds", None, f"{message}; photograph it elsewhere too, or name the background in captions"
    if views and not reads_text:
        advice = f"the package rapidocr is missing ({pip_install_extra('text')})"
        yield "text_not_checked", None, f"text beside the product was not checked: {advice}"


def _remarks_of(view: View) -> Iterator[tuple[str, Path | None, str]]:
    if not view.found:
        yield "product_missing", view.file, f"the finder sees no product on it (best score {view.score:.2f})"
    if view.is_small:
        advice = "the copies of --fix are cropped around it"
        yield "product_small", view.file, f"the product takes only {view.side:.0%} of the picture's side: {advice}"
    if view.text:
        told = ", ".join(f"'{text}'" for text in view.text[:3])
        advice = f"`{as_typed('enhance --remove text')}` takes it away"
        yield "text_overlay", view.file, f"text beside the product ({told}) would be learned: {advice}"


def views_apart(found: Sequence[View]) -> int:
    """How many photographs show the product otherwise than all before them."""
    taken: list[View] = []
    for view in found:
        if all(shape_distance(view.shape[0], *other.shape) > SAME_VIEW for other in taken):
            taken.append(view)
    return len(taken)


def background_spread(found: Sequence[View]) -> float | None:
    """The median distance of the backgrounds' palettes (ΔE2000), None where there are fewer than four."""
    grounds = [view.ground for view in found if view.ground]
    if len(grounds) < FEW_VIEWS:
        return None
    asked = grounds[:: -(-len(grounds) // _MAX_PAIRED) or 1]
    return median(palette_distance(one, other) for one, other in combinations(asked, 2))


def crop_window(size: tuple[int, int], box: Shares, bucket: tuple[int, int]) -> tuple[int, int, int, int]:
    """The window (left, top, right, bottom in pixels) of a picture of `size` (width, height) that shows the product at
    `box` in the middle, as far as there is picture, in the `bucket`'s aspect ratio.

    The product's longer side takes 60 % of it, or less where the window would have fewer pixels than the bucket, which
    would then be blurred; larger than the picture it never is.
    """
    width, height = size
    x0, y0, x1, y1 = box[0] * width, box[1] * height, box[2] * width, box[3] * height
    across, down = bucket
    # pixels of the picture for one of the bucket
    scale = max((x1 - x0) / across, (y1 - y0) / down) / CROP_SIDE
    scale = min(max(scale, 1.0), width / across, height / down)
    wide, high = min(width, round(across * scale)), min(height, round(down * scale))
    left = round(min(max((x0 + x1 - wide) / 2, 0), width - wide))
    top = round(min(max((y0 + y1 - high) / 2, 0), height - high))
    return left, top, left + wide, top + high


def _around(boxes: Sequence[tuple[float, float, float, float]]) -> Shares:
    left, top, right, bottom = zip(*boxes)
    return min(left), min(top), max(right), max(bottom)
