"""The rigs that runs are tested on: with the stand-in, and with the real sd-scripts where it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.photographs import make_folder
from tests.training.rigs import Rig, stand_in_rig
from tests.training.trainers import tiny_model, tiny_trainer


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
