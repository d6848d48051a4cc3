"""A product that is whatever is red, and an enhancer that paints by a function: for tests of gates and tries."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lib_prodshot.enhancing.interface import Enhanced, Task
from lib_prodshot.finding.interface import Box

Array = np.ndarray


class RedSegmenter:
    """The product is what is red."""

    name = "red"

    def __init__(self) -> None:
        self.calls = 0

    def segment(self, picture: Array, boxes: Sequence[Box]) -> list[Array]:
        self.calls += 1
        red = (picture[:, :, 0] > picture[:, :, 2].astype(int) + 40).astype(np.uint8) * 255
        return [red for _ in boxes]

    def unload(self) -> None:
        pass


class Painter:
    """Paints by a function of the picture and the number of the try."""

    name = "painter"

    def __init__(self, paint: Callable[[Array, int], Array]) -> None:
        self.paint = paint
        self.tasks: list[Task] = []

    def enhance(self, task: Task) -> Enhanced:
        self.tasks.append(task)
        rgb = self.paint(task.picture.copy(), task.attempt)
        return Enhanced(rgb, (f"painted {task.attempt}",), ran=(f"pass {task.attempt}",))
