"""The trainers that the tests drive: the real sd-scripts where it is, and its stand-in everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from lib_prodshot.training.trainer.sd_scripts import Trainer, environment_variables

HERE = Path(__file__).parent
STAND_IN = Trainer(HERE / "stand_in", Path(sys.executable))
"""Prints and writes what the real one does, and trains nothing; `test_runner.py` holds both to the same tests."""

TINY = HERE / "tiny"


def real_trainer() -> Trainer:
    """The real sd-scripts that PRODSHOT_SD_SCRIPTS and PRODSHOT_SD_SCRIPTS_PYTHON name; skips the test without."""
    checkout = os.environ.get("PRODSHOT_SD_SCRIPTS", "")
    python = os.environ.get("PRODSHOT_SD_SCRIPTS_PYTHON", "")
    if not checkout or not python:
        pytest.skip("set PRODSHOT_SD_SCRIPTS and PRODSHOT_SD_SCRIPTS_PYTHON to a checkout of sd-scripts and its Python")
    return Trainer(Path(checkout), Path(python))


def tiny_trainer() -> Trainer:
    """The real sd-scripts, unchanged but for the sizes of its models, so that tiny ones can be trained."""
    return Trainer(TINY / "checkout", real_trainer().python)


@cache
def tiny_model(folder: Path, family: str = "sd15") -> Path:
    """A random model of a family in `folder`, with its tokenizers (Stable Diffusion 1.x: 37 MB); made once."""
    trainer = real_trainer()
    command = [str(trainer.python), str(TINY / "make_model.py"), str(folder), family]
    variables = {**environment_variables(), "PRODSHOT_SD_SCRIPTS": str(trainer.checkout)}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder
