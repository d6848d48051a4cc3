"""What the tests of the folder job share: jobs with a finder of known answers, and what to compare of their folders."""

from __future__ import annotations

import csv
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lib_prodshot.enhancing.interface import Enhanced, Task
from lib_prodshot.finding.finder import Finder
from lib_prodshot.jobs.folder.job import FolderJob
from lib_prodshot.jobs.folder.runner import Runner
from lib_prodshot.jobs.report.summary import Summary
from lib_prodshot.jobs.workers.engines import Engine, LocalEngine
from lib_prodshot.jobs.workers.local_pool import LocalPool
from lib_prodshot.request import Request
from tests.finders import BoxSegmenter, FixedDetector

REQUEST = Request(products="mug, motorcycle", fidelity="off")

DARKEST = 90.0
"""Pictures darker than this on average hold no product for `finder`: about a third of the photographs."""


class SlowDetector(FixedDetector):
    """Takes its time, so that there is some to be interrupted in."""

    def __init__(self, pause: float = 0.0) -> None:
        super().__init__(darkest=DARKEST)
        self.pause = pause

    def detect(self, *arguments: Any) -> Any:
        time.sleep(self.pause)
        return super().detect(*arguments)


def finder(pause: float = 0.0) -> Finder:
    return Finder("fixed", SlowDetector(pause), BoxSegmenter())


def choose_finder() -> tuple[str, Callable[[], Finder]]:
    return "fixed", finder


class Shade:
    """An enhancer that shows the request's seed and strength in every pixel, after a pause."""

    name = "shade"

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause
        self.calls = 0

    def enhance(self, task: Task) -> Enhanced:
        self.calls += 1
        time.sleep(self.pause)
        level = 20 + (max(task.request.seed, 0) + round(100 * task.request.strength)) % 60
        return Enhanced(np.asarray(cv2.add(task.picture, np.full_like(task.picture, level))))


def pool(
    request: Request = REQUEST,
    engines: Sequence[Engine] | None = (),
    load_finder: Callable[[], Finder] = finder,
) -> LocalPool:
    """A pool with the finder of known answers and `Shade`, or these engines (None: a dry run)."""
    chosen = [LocalEngine(Shade())] if engines is not None and not engines else engines
    return LocalPool(request, "fixed", load_finder, partial(_given, chosen), backoff=(0.1, 0.1))


def _given(engines: Sequence[Engine] | None) -> Sequence[Engine] | None:
    return engines


def job(inputs: Path, out: Path, request: Request = REQUEST, **changes: Any) -> FolderJob:
    return FolderJob(inputs, out, request, **{"recursive": True, **changes})


def run(inputs: Path, out: Path, request: Request = REQUEST, **changes: Any) -> Summary:
    """The whole job, here and now."""
    engines = changes.pop("engines", () if not changes.get("dry_run") else None)
    load_finder = changes.pop("load_finder", finder)
    runner = Runner(job(inputs, out, request, **changes), pool(request, engines, load_finder))
    runner.start()
    return runner.result()


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file by name, without what a job keeps for itself."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".prodshot" not in path.parts
    }


def lines_of(out: Path) -> list[dict[str, Any]]:
    """The report as it stands; fails on a line that is not whole."""
    return [json.loads(line) for line in (out / "report.jsonl").read_text().splitlines()]


def timeless(line: dict[str, Any]) -> dict[str, Any]:
    """A report line without what may differ from run to run."""
    return {key: value for key, value in line.items() if key not in ("seconds", "worker")}


def all_of(out: Path) -> dict[str, Any]:
    """All that a job leaves, comparable: files byte for byte, reports without timings and workers."""
    files = digests(out)
    for name in ("report.jsonl", "report.csv", "summary.json"):
        del files[name]
    with (out / "report.csv").open(newline="", encoding="utf-8") as file:
        rows = [{key: cell for key, cell in row.items() if key != "seconds"} for row in csv.DictReader(file)]
    summary = json.loads((out / "summary.json").read_text())
    counts = {key: summary[key] for key in ("pictures", "done", "found", "skipped", "failed", "classes")}
    return {"files": files, "lines": [timeless(line) for line in lines_of(out)], "rows": rows, "summary": counts}


def names_of(photos: Path) -> set[str]:
    """The files of the conftest's `photos`, or of a copy, that a job lists."""
    return {name for name in digests(photos) if name not in ("notes.txt", ".hidden.png")}
