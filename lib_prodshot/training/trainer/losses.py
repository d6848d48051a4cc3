"""The loss curve of a run, as its folder keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

LOSSES = "loss.csv"
"""A line for each step: step, epoch, loss."""


def read_losses(folder: Path) -> list[tuple[int, int, float]]:
    """The loss curve of a run folder over all its starts: step, epoch, loss; a step that was repeated counts once."""
    path = folder / LOSSES
    if not path.is_file():
        return []
    points: dict[int, tuple[int, int, float]] = {}
    # a start that was killed leaves half a line: the curve is only shown, and its other points are right
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for line in file:
            with suppress(ValueError):
                step, epoch, loss = line.split(",")
                points[int(step)] = (int(step), int(epoch), float(loss))
    return [points[step] for step in sorted(points)]


def epoch_end_losses(losses: Sequence[tuple[int, int, float]], steps_per_epoch: int) -> str:
    """The loss at each epoch's end on one line; an epoch that was not trained to its end has none."""
    ends = {epoch: loss for step, epoch, loss in losses if step == epoch * steps_per_epoch}
    return ", ".join(f"{epoch}: {loss:.4g}" for epoch, loss in sorted(ends.items()))
