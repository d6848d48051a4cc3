"""The panel drawn as the WebUI does: by its page, and by its API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from lib_prodshot.webui.panel.panel import Panel, draw_panel


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


def draw_script() -> Any:
    """img2img's script alone, as the WebUI's page draws it."""
    with gr.Blocks() as page, gr.Group():
        draw_panel(True, elem_id("img2img"), with_enabled=False)
    return page


def draw_bare(with_enabled: bool = False) -> Panel:
    """As the WebUI's API asks for defaults."""
    with gr.Blocks():
        return draw_panel(True, elem_id("img2img"), with_enabled)
