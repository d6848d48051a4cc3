"""BLIP under what the WebUIs pin: transformers 4.30.2 (AUTOMATIC1111) and 4.57.6 (Forge)."""

from __future__ import annotations

import re

import pytest

from tests.environments import PINS, python_of, run_pytest


@pytest.mark.parametrize("pins", PINS)
def test_blip_works_under_the_pins(pins: str) -> None:
    _, reason = python_of(PINS[pins])
    if reason:
        pytest.skip(reason)
    done = run_pytest(PINS[pins], ("tests/training/test_captioners.py",))
    closing = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr
    print(f"{pins}: {closing}")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert int(re.findall(r"(\d+) passed", closing)[0]) >= 14 and "skipped" not in closing
