"""Small pictures for the contact sheet: before, boxes and mask, after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

PAPER = (238, 238, 238)
"""What shows through transparent pixels."""

_MASK_TINT = (255, 0, 128)
_BOX_COLOUR = (0, 200, 83)


@dataclass(frozen=True)
class Thumbnails:
    """RGB pictures of at most the same side, each None where there is nothing to show."""

    before: Image.Image | None = None
    overlay: Image.Image | None = None
    after: Image.Image | None = None


def thumbnails_of(line: Mapping[str, Any], folder: Path, side: int) -> Thumbnails:
    """The three small pictures of one report line; its results are looked for in `folder`, else as written.

    A file that is gone or unreadable gives None: the sheet tells the verdict all the same.
    """
    opened = _open_small(_path(line, "file"), side)
    if opened is None:
        return Thumbnails()
    before, scale = opened
    if line.get("status") != "found":
        return Thumbnails(before)
    overlay = _overlay(before, _result(line, "mask", folder), line.get("detections") or [], scale)
    after = _open_small(_result(line, "output", folder), side)
    return Thumbnails(before, overlay, after[0] if after else None)


def _path(line: Mapping[str, Any], key: str) -> Path | None:
    name = line.get(key)
    return Path(str(name)) if name else None


def _result(line: Mapping[str, Any], key: str, folder: Path) -> Path | None:
    """A result stands in the job's own folder, also after that was moved or is read from elsewhere."""
    written = _path(line, key)
    if written is None:
        return None
    moved = folder / written.name
    return moved if moved.is_file() else written


def _open_small(path: Path | None, side: int) -> tuple[Image.Image, tuple[float, float]] | None:
    """The picture as RGB with its longer side at most `side`, and small pixels per pixel in x and y."""
    if path is None:
        return None
    try:
        with Image.open(path) as opened:
            full = ImageOps.exif_transpose(opened).size
            opened.draft("RGB", (side * 2, side * 2))
            upright = _eight_bit(ImageOps.exif_transpose(opened))
            # the palette's and the alpha's values must not be mixed by the scaling
            small = ImageOps.contain(_flatten(upright), (side, side), Image.Resampling.BOX)
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError):
        return None
    return small, (small.width / full[0], small.height / full[1])


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Wide greys (I;16, I, F) scaled to 8 bits, which Pillow's own conversion would clip."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    values = np.asarray(picture, np.float32)
    top = 65535.0 if picture.mode.startswith("I") else max(float(values.max()), 1e-6)
    return Image.fromarray(np.clip(values * (255.0 / top), 0, 255).astype(np.uint8))


def _flatten(picture: Image.Image) -> Image.Image:
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        return picture.convert("RGB")
    clear = picture.convert("RGBA")
    paper = Image.new("RGB", clear.size, PAPER)
    paper.paste(clear, mask=clear.getchannel("A"))
    return paper


def _overlay(
    before: Image.Image, mask_file: Path | None, detections: Sequence[Mapping[str, Any]], scale: tuple[float, float]
) -> Image.Image:
    drawn = before.copy()
    if mask_file is not None:
        _tint(drawn, mask_file)
    draw = ImageDraw.Draw(drawn)
    font = load_font(max(9, before.width // 18))
    for found in detections:
        x0, y0, x1, y1 = (value * scale[index % 2] for index, value in enumerate(found["box"]))
        box = (x0, y0, min(x1, before.width - 1), min(y1, before.height - 1))
        draw.rectangle(box, outline=_BOX_COLOUR, width=2)
        draw_text(draw, (x0 + 4, y0 + 3), f"{found['label']} {found['score']:.2f}", font, (255, 255, 255), _BOX_COLOUR)
    return drawn


def _tint(picture: Image.Image, mask_file: Path) -> None:
    try:
        with Image.open(mask_file) as opened:
            mask = opened.convert("L").resize(picture.size, Image.Resampling.BILINEAR)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return
    picture.paste(_MASK_TINT, (0, 0), mask.point(lambda value: value * 2 // 5))
    edge = mask.point(lambda value: 255 if value > 127 else 0).filter(ImageFilter.FIND_EDGES)
    picture.paste(_MASK_TINT, (0, 0), edge)


Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


def load_font(size: int) -> Font:
    """Pillow's own font; Pillow before 10.1, or without FreeType, has it in one size only."""
    try:
        return ImageFont.load_default(size)
    except (TypeError, OSError):
        return ImageFont.load_default()


def draw_text(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    font: Font,
    colour: tuple[int, int, int],
    background: tuple[int, int, int] | None = None,
) -> None:
    """Write one line of text at its upper left corner; letters that the font cannot write become escapes."""
    if not isinstance(font, ImageFont.FreeTypeFont):
        text = text.encode("latin-1", "backslashreplace").decode("latin-1")
    if background is not None:
        left, top, right, bottom = draw.textbbox(place, text, font=font)
        draw.rectangle((left - 2, top - 1, right + 2, bottom + 1), fill=background)
    draw.text(place, text, font=font, fill=colour)
