"""Committed outputs on fixed inputs, so that a silent change of what a step or a model gives shows in the diff.

`python -m pytest tests/snapshots` compares; with PRODSHOT_UPDATE_SNAPSHOTS=1 it writes the files anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

FOLDER = Path(__file__).parent
GRID = 4


def check(name: str, values: Mapping[str, Any], tolerance: float = 0.02) -> None:
    """Hold values (numbers, texts, nested lists of them) against the committed ones.

    `tolerance` is relative, and absolute below 1: what processors and library versions may differ by.
    """
    path = FOLDER / f"{name}.json"
    rounded = {key: _rounded(value) for key, value in values.items()}
    if os.environ.get("PRODSHOT_UPDATE_SNAPSHOTS"):
        lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in rounded.items())
        path.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
        return
    known = json.loads(path.read_text(encoding="utf-8"))
    assert list(known) == list(rounded)
    for key, value in known.items():
        _compare(f"{name}: {key}", rounded[key], value, tolerance)


def cells(array: npt.NDArray[Any]) -> list[float]:
    """The means of an H×W or H×W×channels array over a grid of 4 × 4 cells, row by row."""
    rows = [part for row in np.array_split(array, GRID) for part in np.array_split(row, GRID, axis=1)]
    return [float(cell.mean()) for cell in rows]


def _rounded(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_rounded(inner) for inner in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{float(value):.4g}")
    return value


def _compare(where: str, value: Any, known: Any, tolerance: float) -> None:
    if isinstance(known, list):
        assert len(value) == len(known), where
        for number, (one, other) in enumerate(zip(value, known)):
            _compare(f"{where}[{number}]", one, other, tolerance)
    elif isinstance(known, (int, float)) and not isinstance(known, bool):
        assert value == pytest.approx(known, rel=tolerance, abs=tolerance), where
    else:
        assert value == known, where
