"""A few thousand of the generated cases of `tests.faults.fuzz`, the same in every run; the script runs many more."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest

from tests.faults.fuzz import TARGETS, run

CASES = int(os.environ.get("PRODSHOT_FUZZ_CASES", "3000"))


@pytest.mark.parametrize("name", TARGETS)
def test_generated_cases(name: str, tmp_path: Path) -> None:
    """Every one is answered, or refused in words; a share of them is answered, else the cases would show nothing."""
    if name == "recipes":
        pytest.importorskip("tomli_w", reason="training's packages are not here")
    if name == "a remote WebUI's answers":
        pytest.importorskip("httpx")
    count = CASES * TARGETS[name][1] // 100
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (total,) = run(count, 1, tmp_path, name)
    print(f"{name}: {total.ends}")
    assert total.ends.total() >= count and set(total.ends) - {"refused", "failed"}
