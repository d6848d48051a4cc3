"""What the tests share: weights fetched once for all runs, one finder loaded once, the seed's pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lib_prodshot.bootstrap import ROOT

if TYPE_CHECKING:
    from lib_prodshot.finding.finder import Finder

SEED = ROOT.parent / "shared" / "seed"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several workers: the tests of one file stay together. Those that run a whole suite in another environment
    take longest, so each begins by itself and before all others."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    items.sort(key=lambda item: not _is_suite(item))
    for item in items:
        item.add_marker(pytest.mark.xdist_group(item.name if _is_suite(item) else str(item.path)))


def _is_suite(item: pytest.Item) -> bool:
    return item.path.name in ("test_pins.py", "test_pythons.py")


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
