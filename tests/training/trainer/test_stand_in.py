"""The stand-in is believed only because it says what the real sd-scripts was recorded to say, and ends as it ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.training.rigs import Rig
from tests.training.scenes import RECORDED, SCENES
from tests.training.trainers import real_trainer


@pytest.mark.parametrize("scene", SCENES)
def test_the_program_says_and_ends_as_recorded(rig: Rig, tmp_path: Path, scene: str) -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))[scene]
    assert SCENES[scene](rig, tmp_path).to_json() == recorded


def test_the_program_has_the_options_that_are_recorded() -> None:
    trainer = real_trainer()
    recorded = json.loads((RECORDED.parent / "options.json").read_text(encoding="utf-8"))
    common = recorded["train_network.py"]
    for program, options in trainer.info().programs.items():
        assert {name: dict(option) for name, option in options.items()} == {**common, **recorded[program]}, program
