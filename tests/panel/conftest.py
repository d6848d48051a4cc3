"""A host of our own for the panel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lib_prodshot.finding import registry
from lib_prodshot.hosts import active
from tests.api.local_host import LocalHost
from tests.api.tools import BACKENDS
from tests.panel.served import chromium


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalHost:
    local = LocalHost(tmp_path)
    monkeypatch.setattr(active, "_HOST", [local])
    monkeypatch.setattr(registry, "backends", lambda: BACKENDS)
    return local


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser of the module's own, driven by Playwright; skips where that is not installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright drives the browser")
    with playwright.sync_playwright() as engine, chromium(engine, tmp_path_factory.mktemp("profile")) as context:
        yield context


class Tab:
    """A browser's tab in which one page after the other is loaded: it has compiled their scripts already."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self.page = browser.new_page()
        self._size = self.page.viewport_size

    def leave(self) -> None:
        """Leave the page that is loaded; a tab that is too busy to do so is replaced."""
        from playwright.sync_api import Error

        try:
            self.page.set_viewport_size(self._size)
            self.page.goto("about:blank", wait_until="commit", timeout=10_000)
        except Error:
            self.page.close()
            self.page = self._browser.new_page()


@pytest.fixture(scope="module")
def tab(browser: Any) -> Iterator[Tab]:
    made = Tab(browser)
    yield made
    made.page.close()


@pytest.fixture
def page(tab: Tab, open_page: Callable[[Any], Any]) -> Iterator[Any]:
    """A page that nobody has touched; a module's `open_page` says which."""
    # a browser draws what stands behind another tab once a second, and each click waits for two drawings
    tab.page.bring_to_front()
    yield open_page(tab.page)
    tab.leave()


@pytest.fixture(scope="module")
def used_tab(browser: Any, open_page: Callable[[Any], Any]) -> Iterator[Any]:
    made = open_page(browser.new_page())
    yield made
    made.close()


@pytest.fixture
def used(used_tab: Any) -> Any:
    """One page for all tests that say from the beginning what they look at: loading one takes longer than most."""
    used_tab.bring_to_front()
    return used_tab
