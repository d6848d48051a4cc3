"""Timing of work on one device: variants of the same work against the first of them, in one run.

A variant whose name ends with `TF32` runs with TF32 on, as WebUIs switch it on for the whole process.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.equality import distance
from lib_prodshot.finding.models.runtime import inference

SECONDS, LEAST, MOST = 0.3, 3, 15
"""A timing repeats for so long, and at least and at most so often."""

BUDGET = 300.0
"""Seconds from the start after which each timing is one run, and larger batches are left out."""

TF32 = " TF32"
HEAD = "| part | what | variant | batch | ms | ratio | pictures/s | peak MiB | largest difference |"


START = time.perf_counter()
"""When this run of the program began."""


def late() -> bool:
    return time.perf_counter() - START > BUDGET


@dataclass
class Row:
    """One measurement: of `what` by `variant`, in milliseconds, against the package's float32 in the same run."""

    part: str
    what: str
    variant: str
    batch: int
    milliseconds: float
    spread: tuple[float, float]
    ratio: float
    peak_mib: float | None
    difference: float | None = None

    def to_markdown(self) -> str:
        peak = "" if self.peak_mib is None else f"{self.peak_mib:.0f}"
        apart = "" if self.difference is None else f"{self.difference:.2g}"
        speed = f"{1000 * self.batch / self.milliseconds:.1f}"
        cells = (self.part, self.what, self.variant, self.batch, f"{self.milliseconds:.2f}", f"{self.ratio:.2f}")
        return f"| {' | '.join(map(str, cells))} | {speed} | {peak} | {apart} |"


@dataclass
class Results:
    """All that was measured, for the table and the JSON file."""

    device: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    extras: list[dict[str, Any]] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)


class Bench:
    """Times work on one device and keeps the results."""

    def __init__(self, device: Any, results: Results) -> None:
        self.device = device
        self.results = results

    def wait(self) -> None:
        import torch

        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def times(self, work: Callable[[], Any]) -> list[float]:
        """Milliseconds of each run, after one or two that do not count."""
        found: list[float] = []
        with inference():
            work()
            self.wait()
            end = time.perf_counter() + SECONDS
            least = 1 if late() else LEAST
            while len(found) < least or (len(found) < MOST and time.perf_counter() < end and not late()):
                start = time.perf_counter()
                work()
                self.wait()
                found.append(1000 * (time.perf_counter() - start))
        return found

    def peak(self, work: Callable[[], Any]) -> float | None:
        """How far the GPU's allocated memory rises while `work` runs, in MiB."""
        import torch

        if self.device.type != "cuda":
            return None
        self.wait()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        with inference():
            work()
        self.wait()
        return float(torch.cuda.max_memory_allocated(self.device) - before) / 2**20

    def compare(self, part: str, what: str, works: Mapping[str, Callable[[], Any]], batch: int = 1) -> None:
        """Time each variant; the first is what the others are compared with, in outputs too."""
        base, first = 0.0, None
        if batch > 1 and late():
            self.note(part, what, batch=batch, left_out="the time was up")
            return
        for variant, work in works.items():
            with tf32(variant.endswith(TF32)):
                try:
                    with inference():
                        outputs = [tensor.float().cpu() for tensor in tensors_of(work())] if batch == 1 else []
                    found, peak = self.times(work), self.peak(work)
                except RuntimeError as error:
                    self.note(part, what, variant=variant, batch=batch, failed=str(error).splitlines()[0])
                    continue
            middle = statistics.median(found)
            base = base or middle
            apart = None if first is None or not outputs else max(map(distance, outputs, first))
            first = first if first is not None else outputs
            spread = min(found), max(found)
            row = Row(part, what, variant, batch, middle, spread, middle / base, peak, apart)
            self.results.rows.append(row)
            say(row.to_markdown())

    def note(self, part: str, what: str, **values: Any) -> None:
        """Keep figures that are no timing of variants."""
        self.results.extras.append({"part": part, "what": what, **values})
        say(f"  {part}, {what}: {values}")


def say(line: str) -> None:
    print(line, flush=True)


@contextmanager
def tf32(on: bool) -> Iterator[None]:
    """TF32 for matrix products and convolutions on or off, as it was afterwards."""
    import torch

    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = on
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def tensors_of(output: Any) -> list[Any]:
    """All floating tensors in a module's output, in their order."""
    if hasattr(output, "tensors"):  # the package's NestedTensor
        return tensors_of(output.tensors)
    if isinstance(output, Mapping):
        return [tensor for value in output.values() for tensor in tensors_of(value)]
    if isinstance(output, (list, tuple)):
        return [tensor for value in output for tensor in tensors_of(value)]
    return [output] if hasattr(output, "is_floating_point") and output.is_floating_point() else []


def captured(module: Any, path: str, run: Callable[[], Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What the submodule at `path` is called with while `run` runs."""
    kept: list[Any] = []

    def keep(_module: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        kept.append((inputs, named))

    hook = module.get_submodule(path).register_forward_pre_hook(keep, with_kwargs=True)
    try:
        with inference():
            run()
    finally:
        hook.remove()
    inputs: tuple[tuple[Any, ...], dict[str, Any]] = kept[0]
    return inputs
