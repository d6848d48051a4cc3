"""What the gates measure on the known truth of `benchmarks/gate_scenes.py`, and on ten labels through a blur."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.gate_scenes import (
    CJK_FONT,
    HARMLESS,
    SIDE,
    WORDS,
    Rgb,
    Scene,
    bulged_on_another_ground,
    drawn,
    font_file,
    grounds,
    harm_of,
    on_another_ground,
)
from lib_prodshot.finding.finder import Finder
from lib_prodshot.gates import detail_lock, fidelity, growth, text
from lib_prodshot.gates.rapid_reader import RapidReader
from lib_prodshot.preserve import composite


@dataclass
class Case:
    """One version of a scene and what was measured on it; `kind` is what was done, and whether it did `harm`. `gates`
    are those that look at it: all that an enhanced picture has, or the one that a painted scene has."""

    scene: int
    kind: str
    harm: bool
    amount: float
    figures: dict[str, float] = field(default_factory=dict)
    gates: str = "enhance"


class Measurer:
    def __init__(self, finder: Finder) -> None:
        self._finder, self._reader = finder, RapidReader()
        self._ground = grounds(textured=0.7)

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
        yield from self._on_new_grounds(scene, silhouette)

    def _on_new_grounds(self, scene: Scene, silhouette: npt.NDArray[np.uint8]) -> Iterator[Case]:
        """As the gate of painted scenes: only growth, for the product itself is laid over what was painted."""
        for harm, function in ((False, on_another_ground), (True, bulged_on_another_ground)):
            rng = np.random.default_rng([scene.number, 100, int(harm)])
            moved, after, amount = function(scene, rng, self._ground(rng))
            found = growth.compare(np.maximum(silhouette, scene.mask), self._silhouette(moved, after))
            figures = {"growth": found.growth, "loss": found.loss, "iou": found.iou}
            yield Case(scene.number, function.__name__, harm, round(amount, 4), figures, "scene")

    def _silhouette(self, scene: Scene, rgb: Rgb) -> npt.NDArray[np.uint8]:
        (find,) = self._finder.segment(rgb, [scene.box], ()).finds
        return np.where(find.soft_mask > 127, 255, 0).astype(np.uint8)

    def lines(self, rgb: Rgb, mask: npt.NDArray[np.uint8]) -> tuple[text.Line, ...]:
        return text.read_inside(self._reader, rgb, mask)


def vae_like(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Fine print as a VAE leaves it: a little soft, and bent by a pixel or so in waves of a few pixels."""
    soft = cv2.GaussianBlur(rgb, (0, 0), 1.2)
    bend = [cv2.GaussianBlur(rng.normal(0, 1, rgb.shape[:2]).astype(np.float32), (0, 0), 4) * 12 for _ in range(2)]
    rows, columns = np.mgrid[: rgb.shape[0], : rgb.shape[1]].astype(np.float32)
    return np.asarray(cv2.remap(soft, columns + bend[0], rows + bend[1], cv2.INTER_LINEAR), np.uint8)


def labels(measurer: Measurer) -> list[dict[str, Any]]:
    """Ten labels in large and in small print: letters read for sure, and the edit distance after the blur, with the
    detail lock at 0, 0.5 and 1."""
    words = [lines for lines in WORDS if lines[0].isascii() or font_file(CJK_FONT)]
    return [_label_row(measurer, number, lines, size) for size in PRINT for number, lines in enumerate(words)]


PRINT = {"large": 1.0, "small": 0.5}
"""Scale of the drawn products: letters about 30 pixels high, and about 15."""


def _label_row(measurer: Measurer, number: int, lines: Sequence[str], size: str) -> dict[str, Any]:
    scene = Scene(number, drawn(300 + number, lines), np.full((SIDE, SIDE, 3), 225, np.uint8))
    before, mask = (
        np.asarray(cv2.resize(plane, None, fx=PRINT[size], fy=PRINT[size], interpolation=cv2.INTER_AREA), np.uint8)
        for plane in (scene.rgb, scene.mask)
    )
    after = composite(before, vae_like(before, np.random.default_rng(number)), mask)
    read_before = measurer.lines(before, mask)
    compared = text.compare(read_before, read_before)
    row: dict[str, Any] = {"label": " / ".join(lines), "print": size}
    row["letters"] = sum(len(each.before) for each in compared)
    for strength in (0.0, 0.5, 1.0):
        locked = detail_lock.lock(before, after, mask, strength)
        compared = text.compare(read_before, measurer.lines(locked, mask))
        row[f"lock {strength:g}"] = sum(each.distance for each in compared if each.before)
    return row
