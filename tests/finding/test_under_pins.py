"""LangSAM's halves under what the WebUIs pin: transformers 4.30.2 (AUTOMATIC1111) and 4.57.6 (Forge), same sums."""

from __future__ import annotations

import re

import pytest

from tests.environments import PINS, python_of, run_pytest

LANGSAM = (
    "tests/finding/test_classes.py",
    "tests/finding/test_fast_deformable.py",
    "tests/finding/test_fast_attention.py",
    "tests/finding/test_fast_layers.py",
    "tests/finding/test_groundingdino.py",
    "tests/finding/test_sam.py",
    "tests/finding/test_hf.py",
    "tests/finding/test_protocol.py",
    "tests/finding/test_snapshots.py",
)
LEAST = {"a1111": 210, "forge": 233}
"""Tests that must have passed, or the suite skipped itself; transformers' own GroundingDINO is Forge's only."""

LEFT_OUT = {"a1111": (), "forge": ("-k", "not lite")}
"""The lite finder uses nothing of what the two sets of pins differ in: one of them is enough."""


@pytest.mark.parametrize("pins", PINS)
def test_langsam_works_under_the_pins(pins: str) -> None:
    _, reason = python_of(PINS[pins])
    if reason:
        pytest.skip(reason)
    done = run_pytest(PINS[pins], (*LANGSAM, *LEFT_OUT[pins]))
    closing = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr
    print(f"{pins}: {closing}")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert int(re.findall(r"(\d+) passed", closing)[0]) >= LEAST[pins]
