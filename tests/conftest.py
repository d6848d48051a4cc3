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
    """With several workers: the tests of one file stay together; those under one set of pins, or one other Python, too,
    and begin first."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        given = item.callspec.params if hasattr(item, "callspec") else {}
        item.add_marker(pytest.mark.xdist_group(given.get("pins") or given.get("python") or str(item.path)))
    items.sort(key=lambda item: "_under_the_pins" not in item.name and "_under_every_python" not in item.name)


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
