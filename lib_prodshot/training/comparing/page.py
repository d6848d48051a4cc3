"""What a comparison leaves to be looked at: an HTML page that loads nothing from anywhere, the grid (epoch × prompt) as
one picture, and the report as JSON."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Sequence
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

from PIL import Image, ImageDraw

from lib_prodshot.jobs.files.reading import open_regular
from lib_prodshot.jobs.files.staging import Staging
from lib_prodshot.jobs.report.lettering import font, shortened
from lib_prodshot.jobs.report.lettering import write as write_text
from lib_prodshot.jobs.report.thumbnails import BACKGROUND, Thumbnails, encode
from lib_prodshot.overlay import BOX
from lib_prodshot.training.comparing.comparison import Compared, Comparison, figure
from lib_prodshot.training.comparing.recommending import EpochScore
from lib_prodshot.training.comparing.samples import plain_prompt

PAGE, GRID, REPORT = "compare.html", "grid.png", "compare.json"

SIDE = 224
"""Longer side of a picture in the grid, in pixels."""

MAX_GRID_PIXELS = 16_000
"""Longest side of the grid as a picture: larger ones are refused by viewers, so its pictures get smaller."""

_GOOD, _BAD, _INK, _SOFT = (18, 128, 60), (198, 40, 40), (20, 20, 20), (110, 110, 110)
_HEAD, _LEFT, _WORDS, _GAP = 64, 120, 40, 12


def write(comparison: Comparison, folder: Path) -> None:
    """Write page, grid and report into a run's folder of comparisons, all of them or none. Raises `OutputError`."""
    cells = {one.sample.file: _small(one, SIDE) for one in comparison.pictures}
    with Staging(folder) as staging:
        staging.path(PAGE).write_text(_page(comparison, cells, folder), encoding="utf-8", errors="backslashreplace")
        grid(comparison, cells).save(staging.path(GRID), optimize=True)
        text = json.dumps(comparison.to_json(), ensure_ascii=False, indent=1)
        staging.path(REPORT).write_text(text, encoding="utf-8", errors="backslashreplace")


def _small(one: Compared, side: int) -> Image.Image:
    """A sample picture with the box of what was found; grey where the file cannot be read any more."""
    try:
        with open_regular(one.sample.file) as file, Image.open(file) as opened:
            small = opened.convert("RGB")
    except Exception:  # whatever its decoder raises; the figures are shown all the same
        return Image.new("RGB", (side, side), BACKGROUND)
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    if one.look.box:
        x0, y0, x1, y1 = one.look.box
        wide, high = small.size
        box = (x0 * wide, y0 * high, max(x0 * wide, x1 * wide - 1), max(y0 * high, y1 * high - 1))
        ImageDraw.Draw(small).rectangle(box, outline=BOX, width=1)
    return small


def _columns(comparison: Comparison) -> list[tuple[int, int]]:
    return sorted({one.sample.column for one in comparison.pictures})


def _column_name(comparison: Comparison, column: tuple[int, int]) -> tuple[str, str]:
    """The prompt and the seed of a column."""
    prompt, seed = column
    words = comparison.prompts[prompt] if prompt < len(comparison.prompts) else f"prompt {prompt + 1}"
    return plain_prompt(words), f"seed {seed}" if seed >= 0 else "any seed"


def _words(one: Compared) -> tuple[str, str]:
    """What is said below a picture: of the product, and of a copy."""
    found = f"found {one.look.score:.2f}" if one.look.found else f"not found ({one.look.score:.2f})"
    alike = f", difference {one.likeness.difference:.2f}" if one.likeness else ""
    return found + alike, f"copy of {one.copy_of}" if one.copy_of else ""


def grid(comparison: Comparison, cells: dict[Path, Image.Image]) -> Image.Image:
    """Epoch × prompt as one picture: what was found is framed green, what was not red."""
    columns, epochs = _columns(comparison), comparison.epochs
    longest = max(_LEFT + len(columns) * (SIDE + _GAP), _HEAD + len(epochs) * (SIDE + _WORDS + _GAP))
    side = SIDE if longest <= MAX_GRID_PIXELS else max(48, SIDE * MAX_GRID_PIXELS // longest)
    high = max(min(cell.height, side) for cell in cells.values()) + _WORDS + _GAP
    sheet = Image.new("RGB", (_LEFT + len(columns) * (side + _GAP), _HEAD + len(epochs) * high), "white")
    draw = ImageDraw.Draw(sheet)
    for number, column in enumerate(columns):
        for line, words in enumerate(_column_name(comparison, column)):
            place = (_LEFT + number * (side + _GAP), 12 + 20 * line)
            write_text(draw, place, shortened(words, font(13), side), font(13), _INK if not line else _SOFT)
    for row, score in enumerate(epochs):
        top = _HEAD + row * high
        is_best = score.epoch == comparison.recommendation.epoch
        write_text(draw, (12, top), f"epoch {score.epoch}", font(16), _GOOD if is_best else _INK)
        for line, words in enumerate(_row_words(score, is_best), 1):
            write_text(draw, (12, top + 20 * line), shortened(words, font(12), _LEFT - 16), font(12), _SOFT)
        for one in (one for one in comparison.pictures if one.sample.epoch == score.epoch):
            left = _LEFT + columns.index(one.sample.column) * (side + _GAP)
            _draw_cell(sheet, draw, one, cells[one.sample.file], (left, top), side)
    return sheet


def _row_words(score: EpochScore, is_best: bool) -> list[str]:
    words = [f"found {score.found}/{score.pictures}", f"difference {figure(score.difference)}"]
    return [*words, *(["recommended"] if is_best else []), *(["copies"] if score.copies else [])]


def _draw_cell(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    one: Compared,
    small: Image.Image,
    place: tuple[int, int],
    side: int,
) -> None:
    left, top = place
    shown = small.copy()
    shown.thumbnail((side, side))
    sheet.paste(shown, (left, top))
    colour = _GOOD if one.look.found else _BAD
    draw.rectangle((left, top, left + shown.width - 1, top + shown.height - 1), outline=colour, width=3)
    for line, words in enumerate(_words(one)):
        fill = _BAD if line else _SOFT
        write_text(draw, (left, top + shown.height + 3 + 17 * line), shortened(words, font(12), side), font(12), fill)


def _page(comparison: Comparison, cells: dict[Path, Image.Image], folder: Path) -> str:
    """The page's text. Everything that comes from outside is escaped here and nowhere else."""
    template = files("lib_prodshot.training.comparing").joinpath("page.html").read_text(encoding="utf-8")
    columns = _columns(comparison)
    facts = (
        f"{len(comparison.pictures)} pictures made by {comparison.source}, looked at by the {comparison.finder} finder "
        f"for {comparison.products}; {comparison.photographs} photographs, "
        f"{comparison.photographs_with_product} with the product"
    )
    values = {
        "facts": html.escape(facts),
        "class": "taken" if comparison.recommendation.epoch else "taken none",
        "taken": html.escape(_capital(comparison.recommended_text())),
        "notes": "".join(f'<p class="soft">{html.escape(_capital(note))}.</p>' for note in comparison.notes),
        "epochs": "\n".join(_figures(one, comparison.recommendation.epoch) for one in comparison.epochs),
        "curve": _curve(comparison),
        "columns": "".join(_heading(*_column_name(comparison, column)) for column in columns),
        "rows": "\n".join(_row(comparison, one, columns, cells, folder) for one in comparison.epochs),
        "title": html.escape(f"{comparison.name}: epochs compared"),
    }
    # in one pass: what was filled in may hold braces itself
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: values[mark[1]], template)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _heading(prompt: str, seed: str) -> str:
    return f'<th scope="col">{html.escape(prompt)}<br><span class="soft">{seed}</span></th>'


def _figures(one: EpochScore, best: int) -> str:
    cells = (
        f"{one.found} of {one.pictures}",
        figure(one.score),
        figure(one.colour, 1),
        figure(one.shape),
        figure(one.difference),
        figure(one.loss, 4),
        html.escape(f"copies {', '.join(one.copies)}" if one.copies else one.problem),
    )
    row = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr{_best(one, best)}><th scope="row">{one.epoch}</th>{row}</tr>'


def _best(one: EpochScore, best: int) -> str:
    return ' class="best"' if one.epoch == best else ""


def _row(
    comparison: Comparison,
    score: EpochScore,
    columns: Sequence[tuple[int, int]],
    cells: dict[Path, Image.Image],
    folder: Path,
) -> str:
    own = {one.sample.column: one for one in comparison.pictures if one.sample.epoch == score.epoch}
    shown = "".join(
        f"<td>{_cell(own[column], cells[own[column].sample.file], folder) if column in own else ''}</td>"
        for column in columns
    )
    best = comparison.recommendation.epoch
    mark = '<br><span class="soft">recommended</span>' if score.epoch == best else ""
    return f'<tr{_best(score, best)}><th scope="row">epoch {score.epoch}{mark}</th>{shown}</tr>'


def _cell(one: Compared, small: Image.Image, folder: Path) -> str:
    picture = encode(Thumbnails(small))[0]
    assert picture is not None
    said, copied = _words(one)
    link = quote(os.path.relpath(one.sample.file, folder).replace(os.sep, "/"), errors="surrogateescape")
    words = html.escape(f"epoch {one.sample.epoch}: {said}")
    copy = f'<br><span class="copy">{html.escape(copied)}</span>' if copied else ""
    return (
        f'<figure class="{"found" if one.look.found else "absent"}"><a href="{html.escape(link)}">'
        f'<img loading="lazy" width="{picture.width}" height="{picture.height}" alt="{words}" '
        f'src="data:image/webp;base64,{picture.data}"></a><figcaption>{html.escape(said)}{copy}</figcaption></figure>'
    )


_WIDE, _HIGH, _EDGE = 640, 150, 34


def _curve(comparison: Comparison) -> str:
    """The loss curve, with a line at each epoch's end, the recommended one's in green; nothing without two points."""
    points = comparison.losses
    if len(points) < 2:
        return ""
    low, high = min(loss for _, _, loss in points), max(loss for _, _, loss in points)
    last = points[-1][0]

    def across(step: float) -> float:
        return round(_EDGE + step / last * (_WIDE - _EDGE - 6), 1)

    def down(loss: float) -> float:
        return round(_HIGH - 22 - (loss - low) / ((high - low) or 1.0) * (_HIGH - 36), 1)

    ends = [(epoch, across(list(group)[-1][0])) for epoch, group in groupby(points, key=lambda point: point[1])]
    marks = "".join(
        f'<line x1="{x}" x2="{x}" y1="8" y2="{_HIGH - 20}" stroke="var(--{_mark(comparison, epoch)})"/>'
        f'<text x="{x}" y="{_HIGH - 6}" text-anchor="middle">{epoch}</text>'
        for epoch, x in ends
    )
    line = " ".join(f"{across(step)},{down(loss)}" for step, _, loss in points)
    return (
        f'<h2>Loss</h2>\n<svg viewBox="0 0 {_WIDE} {_HIGH}" role="img" aria-label="Loss by epoch">{marks}'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.5"/>'
        f'<text x="2" y="14">{high:.3g}</text><text x="2" y="{_HIGH - 22}">{low:.3g}</text></svg>'
    )


def _mark(comparison: Comparison, epoch: int) -> str:
    return "good" if epoch == comparison.recommendation.epoch else "edge"
