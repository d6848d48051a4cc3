"""What a run needs: a trainer (the stand-in, and the real one where it is), photographs, a recipe of few steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lib_prodshot.training.recipe import Recipe
from lib_prodshot.training.runner import TrainingJob, TrainingResult
from lib_prodshot.training.sd_scripts import Trainer
from tests.training.photographs import TAG, make_folder
from tests.training.trainers import STAND_IN, tiny_model, tiny_trainer

PATIENCE = 240.0
"""Seconds that a run may take; the real one loads PyTorch first."""


@dataclass(frozen=True)
class Rig:
    """One trainer with all that it needs to train; `steps` are those of an epoch of its recipe."""

    trainer: Trainer
    photographs: Path
    model: Path
    tokenizers: Path
    runs: Path
    is_real: bool
    steps: int = 6

    def recipe(self, **changes: Any) -> Recipe:
        """Six photographs × 2 / 2 = six steps an epoch, three epochs, on the CPU."""
        told = {
            "output_name": "bag",
            "image_dir": str(self.photographs),
            "pretrained_model_name_or_path": str(self.model),
            "tokenizer_cache_dir": str(self.tokenizers),
            "output_dir": str(self.runs),
            "activation_tag": TAG,
            "resolution": 64,
            "min_bucket_reso": 64,
            "max_bucket_reso": 128,
            "num_repeats": 2,
            "max_train_epochs": 3,
            "mixed_precision": "no",
            "optimizer_type": "AdamW",
            "max_data_loader_n_workers": 0,
            "persistent_data_loader_workers": False,
            "lowram": False,
        }
        return Recipe.of({**told, **changes})

    def job(self, fresh: bool = False, force: bool = False, **changes: Any) -> TrainingJob:
        return TrainingJob(self.recipe(**changes), self.trainer, fresh=fresh, force=force)

    def train(self, fresh: bool = False, force: bool = False, **changes: Any) -> TrainingResult:
        """Start and wait for the end."""
        job = self.job(fresh, force, **changes)
        job.start()
        return ended(job)


def stand_in_rig(photographs: Path, runs: Path) -> Rig:
    """A rig with the stand-in, which reads no model."""
    return Rig(STAND_IN, photographs, photographs / "1.jpg", photographs, runs, is_real=False)


def ended(job: TrainingJob) -> TrainingResult:
    result = job.wait(PATIENCE)
    assert result is not None, f"the run did not end: {job.progress()}"
    return result


@pytest.fixture(autouse=True)
def own_probes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the user's trainer is read or written."""
    monkeypatch.setenv("PRODSHOT_TRAINER", str(tmp_path / "trainer"))


@pytest.fixture(scope="session")
def small_photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six photographs of one size. Never written to."""
    return make_folder(tmp_path_factory.mktemp("training") / "photos", size=(128, 128))


@pytest.fixture(scope="session", params=["stand-in", "sd-scripts"])
def make_rig(
    request: pytest.FixtureRequest, small_photographs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Path], Rig]:
    """Makes a rig with a folder for its runs. The real program's tests skip where it is not installed."""
    if request.param == "stand-in":
        return lambda runs: stand_in_rig(small_photographs, runs)
    trainer = tiny_trainer()
    tiny = tiny_model(tmp_path_factory.mktemp("tiny"))
    return lambda runs: Rig(trainer, small_photographs, tiny / "model", tiny / "tokenizers", runs, is_real=True)


@pytest.fixture
def rig(make_rig: Callable[[Path], Rig], tmp_path: Path) -> Rig:
    return make_rig(tmp_path / "runs")


@pytest.fixture
def plain(small_photographs: Path, tmp_path: Path) -> Rig:
    """The stand-in alone, for what does not depend on the program."""
    return stand_in_rig(small_photographs, tmp_path / "runs")
