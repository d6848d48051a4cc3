"""Draw docs/images/overview.jpg: before, found, after, and a picture that is skipped.

Run it from the checkout, where Prodshot and the lite weights are: `python -m docs.make_overview`. The photographs are
those that scikit-image ships; everything on the sheet is what the pipeline gives, at the settings' defaults.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

import lib_prodshot
from lib_prodshot.commands.demo import find_photographs
from lib_prodshot.enhancing import load_enhancer
from lib_prodshot.finding.finder import Finder
from lib_prodshot.overlay import draw_overlay
from lib_prodshot.pictures import read

TARGET = Path(__file__).parent / "images" / "overview.jpg"
PRODUCTS = "coffee cup, motorcycle"
SHOWN = (("coffee.png", 1.0), ("motorcycle_left.png", 1.0), ("chelsea.png", 1.0))
"""Photographs of scikit-image and the retouch strength for each; full, so that it can be seen at this size."""

CELL = (300, 200)
GAP = 10
CAPTION = 26
INK = (40, 40, 40)

Rgb = npt.NDArray[np.uint8]


def main() -> None:
    """Run the pipeline on the photographs and draw the sheet."""
    photographs = {path.name: path for path in find_photographs()}
    finder = lib_prodshot.load_finder("lite")
    rows = [_row(photographs[name], strength, finder) for name, strength in SHOWN]
    sheet = Image.new("RGB", (3 * CELL[0] + 4 * GAP, len(rows) * (CELL[1] + CAPTION + GAP) + GAP), "white")
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.truetype("DejaVuSans.ttf", 14)
    for number, row in enumerate(rows):
        top = GAP + number * (CELL[1] + CAPTION + GAP)
        for column, (picture, words) in enumerate(row):
            left = GAP + column * (CELL[0] + GAP)
            sheet.paste(_fitted(picture), (left, top))
            pen.text((left, top + CELL[1] + 5), words, fill=INK, font=font)
    sheet.save(TARGET, quality=88, optimize=True)
    print(TARGET, TARGET.stat().st_size)


def _row(path: Path, strength: float, finder: Finder) -> Sequence[tuple[Rgb, str]]:
    request = lib_prodshot.Request(products=PRODUCTS, finder="lite", strength=strength)
    picture = read(path)
    outcome = lib_prodshot.run(picture, request, finder, load_enhancer(request.retouch.engine))
    before = (picture.rgb, f"looking for {PRODUCTS}")
    if outcome.status != "found" or outcome.picture is None or outcome.audit is None:
        best = outcome.verdict.reason.partition("(")[2].rstrip(")").split(",")[0]
        return (before, (picture.rgb, f"{outcome.status}: {best}"), (picture.rgb, "the same file, byte for byte"))
    found = draw_overlay(picture.rgb, outcome.alpha, outcome.detections)
    kept = f"enhanced; {outcome.audit.changed_outside} pixels changed outside"
    return (before, (found, f"found {outcome.describe_detections()}"), (outcome.picture, kept))


def _fitted(picture: Rgb) -> Image.Image:
    """The middle of the picture in a cell's ratio, at a cell's size."""
    height, width = picture.shape[:2]
    scale = max(CELL[0] / width, CELL[1] / height)
    image = Image.fromarray(picture).resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)
    left, top = (image.width - CELL[0]) // 2, (image.height - CELL[1]) // 2
    return image.crop((left, top, left + CELL[0], top + CELL[1]))


if __name__ == "__main__":
    main()
