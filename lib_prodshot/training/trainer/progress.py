"""Parses the output of sd-scripts into the progress of a run: stage, epoch, step, loss, time left."""

from __future__ import annotations

import math
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

STAGES = ("starting", "loading the model", "caching latents", "training", "making samples", "saving", "done")

_BAR = re.compile(r"^(?P<name>[^:%]*?):?\s*\d+%\|.*?\|\s*(?P<done>\d+)/(?P<total>\d+)\s*\[(?P<rest>.*?)\]?\s*$")
_LOSS = re.compile(r"avr_loss=(\S+?)[,\]]?$")
_EPOCH = re.compile(r"^epoch (\d+)/(\d+)$")
_TOTAL = re.compile(r"^\s*total optimization steps\b.*?: (\d+)$")
_SAVED = re.compile(r"^saving checkpoint: (.+)$")
_STAGE_OF = (
    ("load tokenizer", "loading the model"),
    ("loading model for process", "loading the model"),
    ("caching latents", "caching latents"),
    ("prepare optimizer", "loading the model"),
    ("generating sample images", "making samples"),
    ("saving state", "saving"),
    ("saving last state", "saving"),
    ("model saved", "saving"),
)

WINDOW = 50
"""The number of recent steps that the time left is estimated from."""


@dataclass(frozen=True)
class Progress:
    """The progress of a run. `step` counts from the first step of the first epoch, whatever was resumed in between;
    `loss` is sd-scripts' moving average; `seconds_left` is None until two steps are done."""

    stage: str = "starting"
    detail: str = ""
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    total_steps: int = 0
    loss: float | None = None
    seconds_left: float | None = None
    saved: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The progress for the HTTP API and the panel."""
        values = dict(vars(self))
        values["loss"] = self.loss if self.loss is not None and math.isfinite(self.loss) else None
        values["seconds_left"] = None if self.seconds_left is None else round(self.seconds_left)
        values["saved"] = list(self.saved)
        return values

    def to_text(self) -> str:
        """The progress on one line."""
        if not self.total_steps:
            return f"{self.stage} {self.detail}".rstrip()
        parts = [f"epoch {self.epoch}/{self.epochs}", f"step {self.step}/{self.total_steps}"]
        if self.loss is not None:
            parts.append(f"loss {self.loss:.4g}")
        if self.seconds_left is not None:
            parts.append(f"{format_duration(self.seconds_left)} left")
        return ", ".join(parts if self.stage == "training" else [self.stage, *parts])


@dataclass
class ProgressParser:
    """Parses the trainer's output line by line.

    `steps_before` are those of the epochs that a resumed run does not repeat: sd-scripts counts from 0 again.
    """

    steps_before: int = 0
    now: Callable[[], float] = time.monotonic
    progress: Progress = field(default_factory=Progress)
    _times: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def feed(self, line: str) -> None:
        """Parse one line, or one state of a progress bar."""
        line = line.strip("\r\n")
        bar = _BAR.match(line)
        if bar:
            self._feed_bar(bar)
        elif line.strip():
            self._feed_line(line.strip())

    def finish(self) -> None:
        """Set the stage to done, when the trainer process has ended."""
        self.progress = replace(self.progress, stage="done", detail="", seconds_left=None)

    def _feed_bar(self, bar: re.Match[str]) -> None:
        done, total = int(bar["done"]), int(bar["total"])
        if bar["name"].strip() == "steps":
            self._feed_step(done, bar["rest"])
        elif self.progress.stage == "caching latents":
            self.progress = replace(self.progress, detail=f"{done}/{total}")

    def _feed_step(self, done: int, rest: str) -> None:
        loss = _LOSS.search(rest)
        step = self.steps_before + done
        if done and (not self._times or self._times[-1][0] != step):
            self._times.append((step, self.now()))
        self.progress = replace(
            self.progress,
            stage="training",
            detail="",
            step=step,
            loss=_number(loss[1]) if loss else self.progress.loss,
            seconds_left=self._seconds_left(step),
        )

    def _feed_line(self, line: str) -> None:
        if match := _EPOCH.match(line):
            self.progress = replace(self.progress, stage="training", epoch=int(match[1]), epochs=int(match[2]))
        elif match := _TOTAL.match(line):
            self.progress = replace(self.progress, total_steps=int(match[1]), step=self.steps_before)
        elif match := _SAVED.match(line):
            name = Path(match[1]).name
            self.progress = replace(self.progress, stage="saving", detail=name, saved=(*self.progress.saved, name))
        else:
            stage = next((stage for words, stage in _STAGE_OF if line.startswith(words)), "")
            if stage:
                self.progress = replace(self.progress, stage=stage, detail="")

    def _seconds_left(self, step: int) -> float | None:
        if len(self._times) < 2:
            return None
        (first, start), (last, end) = self._times[0], self._times[-1]
        return (end - start) / (last - first) * max(0, self.progress.total_steps - step)


def format_duration(seconds: float) -> str:
    """A duration for people: 42 s, 3 min 20 s, 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
