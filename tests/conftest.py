"""What the tests share: weights fetched once for all runs, one finder loaded once, the seed's pictures."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lib_prodshot.bootstrap import ROOT

if TYPE_CHECKING:
    from lib_prodshot.finding.finder import Finder

SEED = ROOT.parent / "shared" / "seed"


SUITES = ("test_pins.py", "test_pythons.py")
"""Their tests run a whole suite in another environment each, and take longest."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first."""
    items.sort(key=lambda item: item.path.name not in SUITES)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With several workers: the tests of one file stay together, so that each fixture is made once; each suite goes by
    itself. (xdist 3.8 marks groups in a field that pytest 9.2 no longer has.)"""
    from xdist.scheduler import LoadScopeScheduling

    class FilesTogether(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file, _, _ = nodeid.partition("::")
            return nodeid if Path(file).name in SUITES else file

    return FilesTogether(config, log)


@pytest.fixture(autouse=True)
def modules_stay() -> Iterator[None]:
    """What was imported since the last test stays: no collection of garbage is to look through torch and transformers
    again, and unloading a model asks for one."""
    loaded = len(sys.modules)
    yield
    if len(sys.modules) > loaded + 100:
        gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def no_text_reader() -> Iterator[None]:
    """The pipeline finds no text reader by itself: what the real one costs, only its own test pays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lib_prodshot.gates.rapid_reader.find_spec", lambda name: None)
        yield


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The folder of the lite weights: PRODSHOT_MODELS if set, else the user's cache; fetched when it lacks them."""
    from lib_prodshot import weights
    from lib_prodshot.errors import WeightsError

    try:
        paths = [weights.fetch(entry) for entry in weights.select(["lite"])]
    except WeightsError as error:
        pytest.fail(f"the lite weights could not be fetched: {error}")
    return paths[0].parent


@pytest.fixture(scope="session")
def lite_finder(models_dir: Path) -> Finder:
    """The lite finder with its real weights, loaded once."""
    from lib_prodshot.finding.registry import load_finder

    return load_finder("lite", models_dir)


@pytest.fixture(scope="session")
def seed_dir() -> Path:
    """The seed author's pictures and masks, which are not ours to ship."""
    if not SEED.is_dir():
        pytest.skip(f"the seed's pictures are not here ({SEED})")
    return SEED
