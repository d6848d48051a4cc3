"""What every enhancer speaks: a task in, new colours out. It neither composites nor audits: the pipeline does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from lib_prodshot.masks import Piece
from lib_prodshot.outcome import Detection
from lib_prodshot.provenance import Painted

if TYPE_CHECKING:
    from lib_prodshot.request import Request

Progress = Callable[[float], None]
"""Told the share done, 0..1. May raise to interrupt; the enhancer lets that pass."""


def _no_progress(share: float) -> None:
    """Nobody watches."""


@dataclass(frozen=True)
class Task:
    """One picture to enhance. Its arrays are read-only by agreement.

    `picture` is H×W×3 uint8 RGB, `mask` H×W uint8 (255 = to be enhanced), `alpha` the feathered mask (H×W uint8,
    0 = will stay untouched whatever the enhancer returns there), `detections` the chosen products, `pieces` the mask
    of each of them before they were joined (perhaps overlapping, and never inverted). `attempt` is the number of the
    try, from 1: an engine that draws lots draws others with each. `references` are further pictures (H×W×3 uint8 RGB
    of any size) that an edit model is shown.
    """

    picture: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8]
    detections: tuple[Detection, ...]
    request: Request
    progress: Progress = field(default=_no_progress)
    pieces: tuple[Piece, ...] = ()
    attempt: int = 1
    references: tuple[npt.NDArray[np.uint8], ...] = ()


@dataclass(frozen=True)
class Enhanced:
    """New colours: `rgb` is H×W×3 uint8 of the task's size, `notes` are for the user, `measures` for reports; `painted`
    where a trained model made them, for what the file says of itself; `ran` says in one line for each pass what really
    ran. `is_spare`: nobody else needs `rgb`, and outside the rectangle around the feathered mask it is the task's
    picture, so that the composite may be made in it; of a large photograph that saves a whole copy."""

    rgb: npt.NDArray[np.uint8]
    notes: tuple[str, ...] = ()
    measures: dict[str, float] = field(default_factory=dict)
    painted: Painted | None = None
    ran: tuple[str, ...] = ()
    is_spare: bool = False


class Enhancer(Protocol):
    """Makes the product in a picture look better."""

    name: str

    def enhance(self, task: Task) -> Enhanced:
        """New colours for the whole picture; only those inside `task.alpha` will be used.

        Raises `EnhanceError` when it cannot or must not (such as a colour limit that refuses).
        """
