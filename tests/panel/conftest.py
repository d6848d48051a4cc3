"""A host of our own for the panel."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_prodshot.finding import registry
from lib_prodshot.hosts import current
from tests.api.local_host import LocalHost
from tests.api.tools import BACKENDS


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalHost:
    local = LocalHost(tmp_path)
    monkeypatch.setattr(current, "_HOST", [local])
    monkeypatch.setattr(registry, "backends", lambda: BACKENDS)
    return local
