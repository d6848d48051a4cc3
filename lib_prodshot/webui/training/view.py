"""What the training tab shows of a check, of captions and of a run, as HTML."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from lib_prodshot.training.dataset.check import CheckReport, Folder, counted
from lib_prodshot.training.dataset.fixing import to_text
from lib_prodshot.training.publishing.publish import Published
from lib_prodshot.webui.training.check import CheckResult

WIDTH, HEIGHT = 640, 150
"""Of the loss curve's drawing, in its own units; it is shown as wide as the page."""

_MARGIN = 34
SHOWN_SAMPLES = 24
"""Sample pictures that are shown, the newest."""


def report(found: CheckReport) -> str:
    """The check's report: buckets, steps, what is wrong."""
    rows = "".join(
        f"<tr><td>{bucket.size[0]}×{bucket.size[1]}</td><td>{bucket.photographs}</td><td>{bucket.with_repeats}</td>"
        f"<td>{bucket.batches}</td></tr>"
        for bucket in found.table.buckets
    )
    folders = "".join(f"<li>{html.escape(_folder(one))}</li>" for one in found.folders) if found.lists_folders else ""
    head = "<tr><th>Bucket</th><th>Photographs</th><th>With repeats</th><th>Batches</th></tr>"
    steps = f"{found.steps_per_epoch} steps an epoch × {found.epochs} epochs = {found.total_steps} steps"
    problems = "".join(
        f"<li class='prodshot-{one.level}'>{html.escape(f'{Path(one.file).name}: ' if one.file else '')}"
        f"{html.escape(one.message)}</li>"
        for one in found.problems
    )
    verdict = counted(len(found.errors), "error") + ", " + counted(len(found.problems) - len(found.errors), "warning")
    return (
        f"<div class='prodshot-training-report'><p><b>{found.photographs} photographs</b>, {found.with_repeats} with "
        f"repeats; <b>{steps}</b>; {verdict}</p>"
        f"{f'<ul>{folders}</ul>' if folders else ''}<ul>{problems}</ul>"
        f"<details><summary>{len(found.table.buckets)} buckets</summary><table>{head}{rows}</table></details></div>"
    )


def _folder(one: Folder) -> str:
    return str(replace(one, folder=Path(one.folder).name))


def check_result(done: CheckResult) -> str:
    """The report; with copies, also what was written and the report on them."""
    if done.fixed is None or done.copies is None:
        return report(done.report)
    return f"{report(done.report)}{_fixed(done.fixed, done.copies)}"


def _fixed(summary: Mapping[str, Any], copies: CheckReport) -> str:
    items = "".join(
        f"<li class='prodshot-error'>{html.escape(Path(one['file']).name)}: {html.escape(one['message'])}</li>"
        for one in summary["problems"]
    )
    return (
        f"<div class='prodshot-training-changes'><p>Copies in {html.escape(to_text(summary))}</p><ul>{items}</ul></div>"
        f"{report(copies)}"
    )


def changes(result: Mapping[str, Any], dry_run: bool) -> str:
    """What a caption job did, or would do."""
    verb = "would be written" if dry_run else "written"
    unread = f", {result['unread']} unread and kept" if result["unread"] else ""
    counts = f"{result['written']} captions {verb}, {result['kept']} kept, {result['missing']} missing{unread}"
    items = "".join(_change(one) for one in result["changes"])
    return f"<div class='prodshot-training-changes'><p>{counts}</p><ul>{items}</ul></div>"


def _change(one: Mapping[str, Any]) -> str:
    if one["problem"]:
        return f"<li><b>{html.escape(one['file'])}</b>: {html.escape(one['problem'])}</li>"
    before = f"<del>{html.escape(one['before'])}</del>" if one["before"] else ""
    return f"<li><b>{html.escape(one['file'])}</b> {before} <ins>{html.escape(one['after'])}</ins></li>"


def curve(points: Sequence[Sequence[float]], total_steps: int) -> str:
    """The loss curve (step, epoch, sd-scripts' moving average) with a line at each epoch's end; empty without two."""
    if len(points) < 2:
        return ""
    steps, losses = [point[0] for point in points], [point[2] for point in points]
    low, high = min(losses), max(losses)
    last = max(total_steps, *steps)

    def place(step: float, loss: float) -> str:
        share = (loss - low) / (high - low) if high > low else 0.5
        return f"{_across(step, last):.1f},{HEIGHT - 20 - share * (HEIGHT - 32):.1f}"

    line = " ".join(place(step, loss) for step, loss in zip(steps, losses))
    ends = [list(group)[-1][0] for _, group in groupby(points, key=lambda point: point[1])][:-1]
    marks = "".join(
        f"<line x1='{_across(step, last):.1f}' x2='{_across(step, last):.1f}' y1='8' y2='{HEIGHT - 20}'/>"
        for step in ends
    )
    texts = (
        f"<text x='{_MARGIN - 4}' y='14' class='prodshot-end'>{high:.3g}</text>"
        f"<text x='{_MARGIN - 4}' y='{HEIGHT - 18}' class='prodshot-end'>{low:.3g}</text>"
        f"<text x='{_MARGIN}' y='{HEIGHT - 5}'>0</text>"
        f"<text x='{WIDTH - 4}' y='{HEIGHT - 5}' class='prodshot-end'>{last:.0f} steps</text>"
    )
    label = f"Loss: {losses[-1]:.4g} at step {steps[-1]:.0f}"
    return (
        f"<figure class='prodshot-curve'><svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{label}'>{marks}"
        f"<polyline points='{line}'/>{texts}</svg><figcaption>{label}</figcaption></figure>"
    )


def _across(step: float, last: float) -> float:
    return _MARGIN + step / last * (WIDTH - _MARGIN - 4)


def samples(names: Sequence[str], link: Any) -> str:
    """The newest sample pictures, each with its epoch; `link` gives a file's address by its name."""
    shown = "".join(
        f"<figure><a href='{html.escape(address)}' target='_blank' rel='noopener'>"
        f"<img src='{html.escape(address)}' loading='lazy' alt=''></a><figcaption>{_epoch(name)}</figcaption></figure>"
        for name in names[-SHOWN_SAMPLES:]
        if (address := link(name))
    )
    return f"<div class='prodshot-samples'>{shown}</div>" if shown else ""


def _epoch(name: str) -> str:
    """'epoch 3' from sd-scripts' name of a sample, NAME_e000003_00_TIME_SEED.png."""
    _, found, rest = name.rpartition("_e0")
    digits = rest.partition("_")[0]
    return f"epoch {int(digits)}" if found and digits.isdigit() else html.escape(Path(name).name)


def published(done: Sequence[Published]) -> str:
    """What was published, for reading."""
    items = "".join(f"<li>{html.escape(_published(one))}</li>" for one in done)
    return f"<div class='prodshot-training-changes'><p>{len(done)} LoRAs published</p><ul>{items}</ul></div>"


def _published(one: Published) -> str:
    side_car = f"; {one.side_car_kept} was there with something else in it, and stays" if one.side_car_kept else ""
    return f"{one.file.name}{' (was there)' if one.was_there else ''}{side_car}"
