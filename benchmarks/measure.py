"""A ratio measured several times, and the table of many."""

from __future__ import annotations

import gc
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import numpy.typing as npt

Work = Callable[[], Any]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Ratio:
    """What was measured against what, once in each round: 2.0 is twice as much. `limit`: what it may come to, where
    somebody promised that."""

    name: str
    against: str
    values: tuple[float, ...]
    limit: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def to_row(self) -> str:
        spread = f"{min(self.values):.2f} to {max(self.values):.2f}"
        limit = "" if self.limit is None else f"{self.limit:.2f}"
        return f"| {self.name} | {self.against} | {self.median:.2f} | {spread} | {limit} |"

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "against": self.against,
            "median": round(self.median, 4),
            "values": [round(value, 4) for value in self.values],
            "limit": self.limit,
        }


def compare(
    name: str, ours: Work, against: str, theirs: Work, rounds: int, times: int = 1, clock: Clock = process_time
) -> Ratio:
    """Run both in turn, `times` in a row in each round, after one run of each that does not count.

    The clock is the processor's unless told: on a shared machine it moves least.
    """
    ours()
    theirs()
    values = []
    for number in range(rounds):
        # whoever goes first finds colder caches: both do as often
        first, second = (ours, theirs) if number % 2 else (theirs, ours)
        spent = {first: _spent(first, times, clock), second: _spent(second, times, clock)}
        values.append(spent[ours] / spent[theirs])
    return Ratio(name, against, tuple(values))


def _spent(work: Work, times: int, clock: Clock) -> float:
    gc.collect()
    start = clock()
    for _ in range(times):
        work()
    return max(clock() - start, 1e-9)


class Unseen:
    """A picture (H×W×3 uint8) that differs in a corner each time it is asked for: a model keeps what it computed of the
    last picture, and would be measured doing nothing."""

    def __init__(self, picture: npt.NDArray[np.uint8]) -> None:
        self._picture = picture
        self._times = 0

    def __call__(self) -> npt.NDArray[np.uint8]:
        self._times += 1
        other = self._picture.copy()
        other[0, 0] = (*divmod(self._times, 256), 0)
        return other


def wall(work: Work) -> float:
    """Seconds on the wall for one run."""
    start = perf_counter()
    work()
    return perf_counter() - start


def machine() -> str:
    """The machine in a few words, without its name."""
    return f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {date.today().isoformat()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def to_markdown(ratios: Sequence[Ratio], words: str) -> str:
    """The table, with the machine beneath it."""
    head = "| what | against | ratio | spread | limit |\n|---|---|---|---|---|"
    return "\n".join(
        [head, *(ratio.to_row() for ratio in ratios), "", f"{words}; the median of the rounds. {machine()}"]
    )
