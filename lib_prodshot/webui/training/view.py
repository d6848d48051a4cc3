"""What the training tab shows of a check, of captions and of a run, as HTML: the templates are in `view.html`.

Jinja2 comes with gradio; it escapes all that is put into a template.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from PIL import Image, ImageOps

from lib_prodshot.training.comparing.comparison import figure
from lib_prodshot.training.dataset.check import Folder, Problem, counted
from lib_prodshot.training.dataset.fixing import to_text
from lib_prodshot.training.publishing.publish import Published
from lib_prodshot.webui.training.check import CheckResult

WIDTH, HEIGHT = 640, 150
"""Of the loss curve's drawing, in its own units; it is shown as wide as the page."""

_MARGIN = 34
SHOWN_FAULTY = 60
"""Photographs with faults that are shown as pictures, the first; the others by name."""

THUMBNAIL = 120
"""Their longer side in pixels."""

SHOWN_SAMPLES = 24
"""Sample pictures that are shown, the newest."""


def check_result(done: CheckResult) -> str:
    """The report: buckets, steps, what is wrong; with copies, also what was written and the report on them."""
    return _render("check_result", done, to_text(done.fixed) if done.fixed and done.copies else "")


def looked(result: Mapping[str, Any]) -> str:
    """The result of a job that checked a folder with the finder: what is wrong, file by file, and what was copied."""
    return _render("looked", {"views": [], **result}, to_text(result["fixed"]) if result.get("fixed") else "")


@dataclass(frozen=True)
class Faulty:
    """A photograph with something wrong, as a small picture (a data URL; empty where it cannot be shown)."""

    name: str
    picture: str
    faults: Sequence[Problem]


def by_file(problems: Sequence[Problem]) -> list[Faulty]:
    """Each file with something wrong once, with all that is wrong with it."""
    files: dict[str, list[Problem]] = {}
    for one in problems:
        if one.file:
            files.setdefault(one.file, []).append(one)
    shown = set(list(files)[:SHOWN_FAULTY])
    return [
        Faulty(Path(file).name, _thumbnail(Path(file)) if file in shown else "", own) for file, own in files.items()
    ]


def _thumbnail(file: Path) -> str:
    try:
        if not file.is_file():
            return ""
        with Image.open(file) as image:
            image.draft("RGB", (THUMBNAIL, THUMBNAIL))
            small = ImageOps.exif_transpose(image).convert("RGB")
            small.thumbnail((THUMBNAIL, THUMBNAIL))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return ""
    written = io.BytesIO()
    small.save(written, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(written.getvalue()).decode()}"


def changes(result: Mapping[str, Any], dry_run: bool) -> str:
    """What a caption job did, or would do."""
    return _render("changes", result, dry_run)


def curve(points: Sequence[Sequence[float]], total_steps: int) -> str:
    """The loss curve (step, epoch, sd-scripts' moving average) with a line at each epoch's end; empty without two."""
    if len(points) < 2:
        return ""
    steps, losses = [point[0] for point in points], [point[2] for point in points]
    low, high = min(losses), max(losses)
    last = max(total_steps, *steps)

    def across(step: float) -> str:
        return f"{_MARGIN + step / last * (WIDTH - _MARGIN - 4):.1f}"

    def down(loss: float) -> str:
        share = (loss - low) / (high - low) if high > low else 0.5
        return f"{HEIGHT - 20 - share * (HEIGHT - 32):.1f}"

    line = " ".join(f"{across(step)},{down(loss)}" for step, loss in zip(steps, losses))
    ends = [across(list(group)[-1][0]) for _, group in groupby(points, key=lambda point: point[1])][:-1]
    label = f"Loss: {losses[-1]:.4g} at step {steps[-1]:.0f}"
    return _render("curve", label, line, ends, f"{high:.3g}", f"{low:.3g}", f"{last:.0f}", WIDTH, HEIGHT, _MARGIN)


def samples(names: Sequence[str], link: Callable[[str], str]) -> str:
    """The newest sample pictures, each with its epoch; `link` gives a file's address by its name."""
    pictures = [(address, _epoch(name)) for name in names[-SHOWN_SAMPLES:] if (address := link(name))]
    return _render("samples", pictures) if pictures else ""


def compared(result: Mapping[str, Any], grid: str) -> str:
    """A comparison of epochs, and the address of its grid as a picture."""
    return _render("compared", result, grid)


def published(done: Sequence[Published]) -> str:
    """What was published, for reading."""
    return _render("published", done)


def _render(macro: str, *values: Any) -> str:
    return str(getattr(_macros(), macro)(*values))


@cache
def _macros() -> Any:
    templates = Environment(
        loader=PackageLoader("lib_prodshot.webui.training", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters |= {
        "counted": counted,
        "figure": figure,
        "file_name": _file_name,
        "without_path": _without_path,
        "by_file": by_file,
    }
    return templates.get_template("view.html").module


def _file_name(path: str) -> str:
    return Path(path).name


def _without_path(one: Folder) -> str:
    return str(replace(one, folder=Path(one.folder).name))


def _epoch(name: str) -> str:
    """'epoch 3' from sd-scripts' name of a sample, NAME_e000003_00_TIME_SEED.png."""
    _, found, rest = name.rpartition("_e0")
    digits = rest.partition("_")[0]
    return f"epoch {int(digits)}" if found and digits.isdigit() else Path(name).name
