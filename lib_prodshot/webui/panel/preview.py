"""What Find shows, as HTML: the picture, the mask over it, boxes with their scores, and the verdict in words.

Mask and boxes are layers of their own, switched by plain checkboxes, so that nothing is drawn anew to hide them. Each
detection's own mask comes along, candidates' too, so that our script (`javascript/prodshot_find.js`) can take, leave
and correct them without asking again.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from lib_prodshot import masks
from lib_prodshot.corrections import fingerprint
from lib_prodshot.finding.interface import Find
from lib_prodshot.outcome import Detection, Outcome
from lib_prodshot.pictures import LoadedPicture
from lib_prodshot.request import Request
from lib_prodshot.resampling import by_area
from lib_prodshot.steps.mask import whole_pixels

MAX_SIDE = 1024
"""The preview's longer side in pixels at most; boxes are drawn as vectors and stay exact."""

MASK_COLOUR = (255, 0, 144)
"""A magenta that hardly any product has."""

MASK_OPACITY = 0.55

_HEADINGS = {"found": "Found", "skipped": "Skipped", "failed": "Failed"}

CLOSE = "<button type='button' class='prodshot-close' aria-label='Close the preview'>×</button>"

TEXTS = (
    *_HEADINGS.values(),
    *("Boxes", "Mask", "Take or leave", "Add", "Erase", "Remove", "Brush", "Points", "Undo", "Save mask"),
    "Send to Inpaint",
    *("Score threshold", "Product", "Score", "Box", "Area", "The picture has changed: press Find again."),
)
"""Every text of the card that is the same for all pictures: the keys of the localisation files."""

_CHANGED = f"<p class='prodshot-changed' role='status'>{TEXTS[-1]}</p>"

_NUMBERS = count()


@dataclass(frozen=True)
class Row:
    """One detection as the card lists it: taken, or a candidate that may be. `threshold` is its product's own."""

    found: Detection
    threshold: float
    piece: masks.Piece
    taken: bool


def html_of(loaded: LoadedPicture, outcome: Outcome, request: Request, takes_points: bool = False) -> str:
    """The card of one picture and what a finder said of it; `takes_points`: its segmenter can be told points."""
    height, width = loaded.size
    number = next(_NUMBERS)
    seen = loaded.seen()
    rows = sorted(_rows(outcome, request), key=lambda row: -row.found.score)
    layers = [picture_layer(seen)]
    if outcome.alpha is not None:
        layers.append(mask_layer(outcome.alpha))
    if rows:
        layers.append(box_layer([row.found for row in rows], width, height, [row.taken for row in rows]))
    tools = toggles(number) + _tools(number, request, takes_points, max(width, height)) if rows else ""
    head = CLOSE + verdict(outcome) + _CHANGED
    return (
        f"<div class='prodshot-preview prodshot-is-{outcome.status}' {_facts(seen, request)}>{head}"
        f"{tools}{canvas(layers, width, height)}{_table(rows, width * height)}{_remarks(outcome, width, height)}</div>"
    )


def _facts(seen: npt.NDArray[np.uint8], request: Request) -> str:
    """What our script must know to choose and to draw as the pipeline does."""
    facts = {
        "picture": fingerprint(seen),
        "width": seen.shape[1],
        "height": seen.shape[0],
        "feather": f"{request.feather:g}",
        "invert": int(request.invert),
        "instances": request.instances,
        "index": request.instance_index,
    }
    return " ".join(f"data-{name}='{value}'" for name, value in facts.items())


def _rows(outcome: Outcome, request: Request) -> Iterator[Row]:
    if outcome.findings is None:
        return
    classes, finds = request.classes, outcome.findings.finds
    taken: Sequence[int] = range(len(finds))
    if request.find.chosen_boxes is None and finds:
        pieces = [masks.piece_of(find, request) for find in finds]
        areas = [cv2.countNonZero(piece.mask) for piece in pieces]
        boxes = [find.box for find in finds]
        taken = masks.choose_instances(boxes, areas, request.instances, request.instance_index)
    for number, find in enumerate((*finds, *outcome.findings.candidates)):
        product = classes[find.box.class_index]
        yield _row(find, product.name, product.threshold, request, number in taken)


def _row(find: Find, label: str, threshold: float, request: Request, taken: bool) -> Row:
    piece = masks.piece_of(find, request)
    area = cv2.countNonZero(piece.mask) if piece.mask.size else 0
    return Row(Detection(label, find.box.score, whole_pixels(find.box.corners), area), threshold, piece, taken)


def verdict(outcome: Outcome) -> str:
    """The verdict's heading and its words."""
    words = outcome.describe_detections() if outcome.status == "found" else outcome.verdict.reason
    heading = _HEADINGS[outcome.status]
    return f"<p class='prodshot-verdict'><b>{heading}</b> <span>{html.escape(words)}</span></p>"


def toggles(number: int | str, is_on: bool = True) -> str:
    """The checkboxes that show boxes and mask; `number` makes their ids the card's own."""
    checked = " checked" if is_on else ""
    names = (("boxes", "Boxes", "B"), ("mask", "Mask", "M"))
    return "".join(
        f"<input type='checkbox'{checked} class='prodshot-show-{name}' id='prodshot-{name}-{number}'>"
        f"<label for='prodshot-{name}-{number}'>{word} <kbd>{key}</kbd></label>"
        for name, word, key in names
    )


def _tools(number: int, request: Request, takes_points: bool, side: int) -> str:
    kinds = (("take", "Take or leave"), ("add", "Add"), ("erase", "Erase"), ("remove", "Remove"))
    radios = "".join(
        f"<label><input type='radio' name='prodshot-tool-{number}' value='{kind}'"
        f"{' checked' if kind == 'take' else ''}><span>{word}</span></label>"
        for kind, word in kinds
    )
    points = "<label><input type='checkbox' class='prodshot-points' checked><span>Points</span></label>"
    brush = max(2, side // 40)
    buttons = "".join(
        f"<button type='button' class='prodshot-tool prodshot-{kind}'>{word}</button>"
        for kind, word in (("undo", "Undo"), ("save", "Save mask"), ("send", "Send to Inpaint"))
    )
    threshold = f"{request.box_threshold:.2f}"
    return (
        "<div class='prodshot-tools'><label class='prodshot-slider'><span>Score threshold</span>"
        f"<input type='range' class='prodshot-threshold' min='0' max='1' step='0.01' value='{threshold}'>"
        f"<output>{threshold}</output></label>"
        f"<span role='radiogroup' class='prodshot-kinds'>{radios}</span>"
        f"<label class='prodshot-slider'><span>Brush</span><input type='range' class='prodshot-brush' min='1' "
        f"max='{max(20, side // 8)}' value='{brush}'></label>{points if takes_points else ''}{buttons}</div>"
    )


def canvas(layers: Sequence[str], width: int, height: int) -> str:
    """Layers over each other in the picture's own ratio."""
    return f"<div class='prodshot-canvas' style='aspect-ratio:{width}/{height}'>{''.join(layers)}</div>"


def picture_layer(rgb: npt.NDArray[np.uint8], kind: str = "") -> str:
    """A picture (H×W×3 uint8), made small; `kind` is a class of its own."""
    return f"<img alt='' class='{kind}' src='{data_url(Image.fromarray(small(rgb)), 'JPEG')}'>"


def mask_layer(alpha: npt.NDArray[np.uint8]) -> str:
    """The feathered mask as a tint: a palette picture of one colour whose index is its opacity."""
    tint = Image.fromarray(small(alpha)).convert("P")
    tint.putpalette(MASK_COLOUR * 256)
    opacities = bytes(round(level * MASK_OPACITY) for level in range(256))
    return f"<img alt='' class='prodshot-mask' src='{data_url(tint, 'PNG', transparency=opacities)}'>"


def box_layer(detections: Sequence[Detection], width: int, height: int, taken: Sequence[bool] = ()) -> str:
    """Boxes with their scores, those that are not `taken` faint; small ones over large ones, to be clicked."""
    letter = max(width, height) / 40
    order = sorted(range(len(detections)), key=lambda number: -_area(detections[number]))
    left = {number for number, is_taken in enumerate(taken) if not is_taken}
    marks = "".join(
        f"<g data-row='{number}'{_LEFT if number in left else ''}>{_box(detections[number], letter, width)}</g>"
        for number in order
    )
    return f"<svg class='prodshot-boxes' viewBox='0 0 {width} {height}' aria-hidden='true'>{marks}</svg>"


_LEFT = " class='prodshot-left'"


def _area(found: Detection) -> int:
    x0, y0, x1, y1 = found.box
    return (x1 - x0) * (y1 - y0)


def _box(found: Detection, letter: float, width: int) -> str:
    x0, y0, x1, y1 = found.box
    text = f"{found.label} {found.score:.2f}"
    tag_width = min((len(text) + 1) * letter * 0.58, width)
    left = max(0.0, min(x0, width - tag_width))
    top = y0 - letter * 1.4 if y0 >= letter * 1.4 else y0
    height = letter * 1.4
    tag = f"<rect class='prodshot-tag' x='{left:.1f}' y='{top:.1f}' width='{tag_width:.1f}' height='{height:.1f}'/>"
    place = f"x='{left + letter * 0.3:.1f}' y='{top + letter:.1f}' font-size='{letter:.1f}'"
    words = f"<text {place}>{html.escape(text)}</text>"
    return f"<rect x='{x0}' y='{y0}' width='{x1 - x0}' height='{y1 - y0}'/>{tag}{words}"


def _table(rows: Sequence[Row], pixels: int) -> str:
    if not rows:
        return ""
    lines = "".join(_line(number, row, pixels) for number, row in enumerate(rows))
    return (
        "<table><thead><tr><td></td><th>Product</th><th>Score</th><th>Box</th><th>Area</th></tr></thead>"
        f"<tbody>{lines}</tbody></table>"
    )


def _line(number: int, row: Row, pixels: int) -> str:
    found, label = row.found, html.escape(row.found.label)
    rows, columns = row.piece.region
    box = "<input type='checkbox' class='prodshot-take'"
    box += f" aria-label='{label} {found.score:.2f}'{' checked' if row.taken else ''}>"
    mask = data_url(Image.fromarray(row.piece.mask).convert("1"), "PNG") if row.piece.mask.size else ""
    return (
        f"<tr data-row='{number}' data-label='{label}' data-score='{found.score!r}' data-threshold='{row.threshold!r}'"
        f" data-box='{' '.join(map(str, found.box))}' data-area='{found.area}'"
        f" data-left='{columns.start or 0}' data-top='{rows.start or 0}' data-mask='{mask}'"
        f"{'' if row.taken else _LEFT}>"
        f"<td>{box}</td><td>{label}</td><td>{found.score:.2f}</td><td>{', '.join(map(str, found.box))}</td>"
        f"<td>{found.area / pixels:.1%}</td></tr>"
    )


def _remarks(outcome: Outcome, width: int, height: int) -> str:
    spent = outcome.seconds.get("find", 0.0) + outcome.seconds.get("mask", 0.0)
    return remarks([f"{width}×{height} pixels, {outcome.finder} finder, {spent:.1f} s", *outcome.notes])


def remarks(texts: Sequence[str]) -> str:
    """Small print, one paragraph for each text."""
    return "".join(f"<p class='prodshot-remark'>{html.escape(text)}</p>" for text in texts)


def small(samples: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A picture or mask whose longer side is `MAX_SIDE` at most."""
    height, width = samples.shape[:2]
    scale = MAX_SIDE / max(height, width)
    if scale >= 1:
        return samples
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return by_area(samples, size)


def data_url(picture: Image.Image, kind: str, **options: object) -> str:
    """A picture as a data URL."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
