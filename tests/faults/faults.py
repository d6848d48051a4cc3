"""The table of faults: at every arrow of the pipeline, what strikes once, and the words that must tell it.

    read ─► detect ─► segment ─► mask ─► enhance ─► preserve ─► write

A fault strikes the first picture that passes its arrow; whatever comes next must work as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import pytest

from lib_prodshot import masks, pictures, preserve
from lib_prodshot.enhancing.interface import Enhanced, Task
from lib_prodshot.finding.interface import Box, Boxes
from lib_prodshot.pictures import RestoredPicture
from tests.finders import BoxSegmenter, FixedDetector

What = Callable[..., Any]
"""What happens instead of the call: given the real function and its arguments."""


class OutOfMemoryError(RuntimeError):
    """As torch's; it is no MemoryError."""


@dataclass(frozen=True)
class Fault:
    """`arrow` is where it strikes, `what` what happens there, `reason` a part of the words that tell it."""

    arrow: str
    name: str
    what: What
    reason: str

    def __str__(self) -> str:
        return f"{self.arrow}: {self.name}"

    def arm(self, patch: pytest.MonkeyPatch, engine: type) -> None:
        """Let it strike the next call. `engine` is the enhancer's class at the entry."""
        owner, name = {
            "detect": (FixedDetector, "detect"),
            "segment": (BoxSegmenter, "segment"),
            "mask": (masks, "build_mask"),
            "enhance": (engine, "enhance"),
            "composite": (preserve, "composite"),
            "restore": (pictures, "restore"),
            "audit": (preserve, "audit"),
        }[self.arrow]
        strike_once(patch, owner, name, self.what)


def strike_once(patch: pytest.MonkeyPatch, owner: Any, name: str, what: What) -> list[str]:
    """Replace `owner.name` so that `what` happens at its next call; returns a list that tells when it has struck."""
    real, struck = getattr(owner, name), []

    def fault(*arguments: Any, **named: Any) -> Any:
        if struck:
            return real(*arguments, **named)
        struck.append(name)
        return what(real, *arguments, **named)

    patch.setattr(owner, name, fault)
    return struck


def raises(error: BaseException) -> What:
    def fail(real: Any, *arguments: Any, **named: Any) -> Any:
        raise error

    return fail


def gives(answer: Callable[[Any], Any]) -> What:
    """Another answer in the place of the real one."""
    return lambda real, *arguments, **named: answer(real(*arguments, **named))


def _box(corners: tuple[float, ...] | None = None, score: float = 0.8, index: int = 0) -> What:
    def change(answer: Boxes) -> Boxes:
        (box,) = answer.boxes
        given: Any = corners or box.corners
        return Boxes((Box(index, score, given),), answer.best_scores)

    return gives(change)


def _another_picture(real: Any, enhancer: Any, task: Task) -> Enhanced:
    return Enhanced(np.zeros((3, 5, 3), np.uint8))


def _floats(real: Any, enhancer: Any, task: Task) -> Enhanced:
    return Enhanced(np.full(task.picture.shape, np.nan))  # type: ignore[arg-type]


def _leaking(result: RestoredPicture) -> RestoredPicture:
    return replace(result, native=255 - result.native)


NAN, INFINITE = float("nan"), float("inf")
OOM = "out of memory; use a smaller picture"
MISFIT = "for a picture of shape"
CUDA = OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
BIG = cv2.error("OpenCV(4.11) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 12000000000 bytes")

FAULTS = (
    Fault("detect", "raises", raises(RuntimeError("bad weights")), "RuntimeError: bad weights"),
    Fault("detect", "raises without a word", raises(KeyError()), "KeyError"),
    Fault("detect", "out of memory", raises(MemoryError()), OOM),
    Fault("detect", "out of memory, in torch's words", raises(CUDA), OOM),
    Fault("detect", "out of memory, in ONNX Runtime's words", raises(RuntimeError("std::bad_alloc")), OOM),
    Fault("detect", "gives nothing", gives(lambda _: None), "gave no answer"),
    Fault("detect", "gives an empty answer", gives(lambda _: Boxes((), ())), "gave no answer"),
    Fault("detect", "gives NaN as the best score", gives(lambda _: Boxes((), (NAN,))), "not numbers (NaN)"),
    Fault("detect", "gives NaN as a box's score", _box(score=NAN), "not numbers (NaN)"),
    Fault("detect", "gives NaN as a corner", _box((1, NAN, 9, 9)), "not four numbers (NaN)"),
    Fault("detect", "gives an infinite corner", _box((1, 1, INFINITE, 9)), "not four numbers (NaN)"),
    Fault("detect", "gives three corners", _box((1, 1, 9)), "not four numbers"),
    Fault("detect", "gives a box outside of the picture", _box((9000, 1, 9009, 9)), "outside of the picture"),
    Fault("detect", "gives a box turned inside out", _box((20, 1, 9, 9)), "outside of the picture"),
    Fault("detect", "gives a product nobody asked for", _box(index=7), "was not asked for"),
    Fault("segment", "raises", raises(ValueError("bad shape")), "ValueError: bad shape"),
    Fault("segment", "out of memory", raises(MemoryError()), OOM),
    Fault("segment", "out of memory, in torch's words", raises(CUDA), OOM),
    Fault("segment", "gives nothing", gives(lambda _: None), "gave 0 masks for 1 boxes"),
    Fault("segment", "gives too many", gives(lambda found: found * 2), "gave 2 masks for 1 boxes"),
    Fault("segment", "gives a mask of another size", gives(lambda _: [np.ones((3, 5), np.uint8)]), "mask of 3×5"),
    Fault("segment", "gives a mask lying on its side", gives(lambda found: [found[0].T]), "gave a mask of"),
    Fault("segment", "gives NaN", gives(lambda found: [np.full(found[0].shape, NAN)]), "of float64 values"),
    Fault("segment", "gives an empty mask", gives(lambda found: [found[0] * 0]), "no pixel reaches"),
    Fault("mask", "out of memory", raises(MemoryError()), OOM),
    Fault("mask", "out of memory, in OpenCV's words", raises(BIG), OOM),
    Fault("enhance", "raises", raises(ZeroDivisionError("division by zero")), "ZeroDivisionError"),
    Fault("enhance", "out of memory", raises(MemoryError()), OOM),
    Fault("enhance", "out of memory, in torch's words", raises(CUDA), OOM),
    Fault("enhance", "gives nothing", gives(lambda _: None), MISFIT),
    Fault("enhance", "gives a picture of another size", _another_picture, MISFIT),
    Fault("enhance", "gives NaN", _floats, MISFIT),
    Fault("composite", "out of memory", raises(MemoryError()), OOM),
    Fault("restore", "raises", raises(ValueError("palette")), "ValueError: palette"),
    Fault("restore", "out of memory", raises(MemoryError()), OOM),
    Fault("restore", "leaks", gives(_leaking), "pixels outside the mask would have changed"),
    Fault("audit", "out of memory", raises(MemoryError()), OOM),
)
