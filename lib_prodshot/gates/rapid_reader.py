"""A `TextReader` by the package rapidocr: PP-OCR's detector and recogniser on ONNX Runtime, weights in its wheel."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from lib_prodshot.errors import EnhanceError
from lib_prodshot.gates.text import Line, Rgb

if TYPE_CHECKING:
    from lib_prodshot.gates.text import TextReader

NEEDS = ("rapidocr", "onnxruntime", "omegaconf", "pyclipper", "shapely", "colorlog", "six", "yaml")
"""Modules without which it cannot read."""

SHORTER_SIDE = 480
"""A smaller part of a picture is enlarged to this for the detector; rapidocr's own 736 costs twice the time."""

MISSING = "the package rapidocr is missing or incomplete; docs/gates.md says how to get it"


class RapidReader:
    """PP-OCR as rapidocr ships it; loaded at its first use, one picture at a time."""

    name = "rapidocr"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._engine: Any = None

    def read(self, picture: Rgb) -> Sequence[Line]:
        """As `TextReader.read`."""
        with self._lock:
            try:
                found = self._loaded()(np.ascontiguousarray(picture[:, :, ::-1]))
            except Exception as error:
                raise EnhanceError(f"the text reader rapidocr failed: {type(error).__name__}: {error}") from error
        if found.boxes is None or found.txts is None or found.scores is None:
            return ()
        return tuple(
            Line(text, float(score), _around(corners), tuple((float(x), float(y)) for x, y in corners))
            for text, score, corners in zip(found.txts, found.scores, found.boxes)
        )

    def _loaded(self) -> Any:
        if self._engine is None:
            from rapidocr import RapidOCR

            self._engine = RapidOCR(params={"Global.log_level": "critical", "Det.limit_side_len": SHORTER_SIDE})
        return self._engine


def _around(corners: Any) -> tuple[int, int, int, int]:
    points = np.asarray(corners, np.float64)
    (x0, y0), (x1, y1) = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))
    return int(x0), int(y0), int(x1), int(y1)


@lru_cache(maxsize=1)
def _reader() -> RapidReader:
    return RapidReader()


def installed_reader() -> TextReader | None:
    """The reader of this process; None where its packages are missing. Nothing is imported to find out."""
    return _reader() if all(find_spec(name) is not None for name in NEEDS) else None
