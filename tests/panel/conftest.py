"""The panel under whichever gradio the environment has, drawn for a host of our own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

gr = pytest.importorskip("gradio", reason="the panel is tested where gradio is: the WebUIs' environments")

from lib_prodshot.finding import registry  # noqa: E402
from lib_prodshot.hosts import current  # noqa: E402
from lib_prodshot.webui.panel import Panel, draw_panel  # noqa: E402
from tests.api.conftest import BACKENDS  # noqa: E402
from tests.api.local_host import LocalHost  # noqa: E402


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalHost:
    local = LocalHost(tmp_path)
    monkeypatch.setattr(current, "_HOST", [local])
    monkeypatch.setattr(registry, "backends", lambda: BACKENDS)
    return local


def elem_id(tab: str) -> Callable[[str], str]:
    return lambda item: f"script_{tab}_prodshot_{item}"


def draw_page() -> tuple[Any, dict[tuple[str, bool], Panel]]:
    """Both tabs with script and accordion, as the WebUI's page draws them: inside groups."""
    panels = {}
    with gr.Blocks() as page:
        for tab in ("txt2img", "img2img"):
            for with_enabled in (True, False):
                with gr.Group():
                    panels[tab, with_enabled] = draw_panel(tab == "img2img", elem_id(tab), with_enabled)
    return page, panels


def draw_bare(with_enabled: bool = False) -> Panel:
    """As the WebUI's API asks for defaults."""
    with gr.Blocks():
        return draw_panel(True, elem_id("img2img"), with_enabled)
