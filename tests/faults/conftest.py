"""The WebUI doubles of the other suites, for the same faults at their entry points."""

from __future__ import annotations

import pytest

from tests.api.conftest import client, host
from tests.hosts.conftest import webui

__all__ = ["client", "dialect", "host", "webui"]


@pytest.fixture
def dialect() -> str:
    """The ControlNet that the WebUI double has."""
    return "mikubill"
