"""What each step gives on one fixed picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from lib_prodshot.enhancing.interface import Enhanced, Task
from lib_prodshot.enhancing.retouch import Retouch
from lib_prodshot.finding.finder import Finder
from lib_prodshot.outcome import Outcome
from lib_prodshot.pictures import LoadedPicture
from lib_prodshot.pipeline import run
from lib_prodshot.request import Request
from tests import snapshots
from tests.finders import FixedDetector
from tests.finding.tiny import picture

SIZE = (240, 320)


class RoundSegmenter:
    """A soft disc with a hole and a speck, so that every mask setting has something to do."""

    name = "round"

    def segment(self, picture: Any, boxes: Any) -> list[Any]:
        rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
        distance = np.hypot(rows - 120, columns - 160)
        soft = np.clip((70 - distance) * 16, 0, 255)
        soft[distance < 8] = 0
        soft[10:13, 10:13] = 255
        return [soft.astype(np.uint8) for _ in boxes]

    def unload(self) -> None:
        pass


class Negative:
    name = "negative"

    def enhance(self, task: Task) -> Enhanced:
        return Enhanced(255 - task.picture, measures={"asked": 1.0})


def outcome_of(enhancer: Any, **values: Any) -> Outcome:
    finder = Finder("fixed", FixedDetector(), RoundSegmenter())
    loaded = LoadedPicture.from_rgb(picture(*SIZE))
    return run(loaded, Request(products="car, shoe", **values), finder, enhancer)


def figures(outcome: Outcome, step: str) -> dict[str, Any]:
    return next(line for line in outcome.to_json()["steps"] if line["step"] == step)


def test_find() -> None:
    outcome = outcome_of(None)
    boxes = [[found.label, found.score, *found.box, found.area] for found in outcome.detections]
    snapshots.check("find", {**figures(outcome, "find"), "detections": boxes, "reason": outcome.verdict.reason})


def test_skip() -> None:
    outcome = outcome_of(None, box_threshold=0.9)
    snapshots.check("skip", {**figures(outcome, "find"), "status": outcome.status, "reason": outcome.verdict.reason})


def test_mask() -> None:
    plain, worked = outcome_of(None), outcome_of(None, grow=6, fill_holes=1.0, drop_specks=0.1, feather=9.0)
    assert plain.alpha is not None and worked.alpha is not None
    values = {"plain": snapshots.cells(plain.alpha), "worked": snapshots.cells(worked.alpha)}
    snapshots.check("mask", {**figures(worked, "mask"), **values})


def test_retouch() -> None:
    outcome = outcome_of(Retouch(), strength=1.0)
    assert outcome.picture is not None
    snapshots.check("retouch", {**figures(outcome, "retouch"), "picture": snapshots.cells(outcome.picture)})


def test_inpaint_and_preserve() -> None:
    outcome = outcome_of(Negative(), engine="inpaint")
    assert outcome.picture is not None and outcome.audit is not None
    values = {**figures(outcome, "inpaint"), "picture": snapshots.cells(outcome.picture)}
    snapshots.check("inpaint", {**values, "audit": list(outcome.audit.to_json().values())})
