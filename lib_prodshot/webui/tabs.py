"""Our tabs beside txt2img and img2img.

A tab is a function that draws into the current gradio context; it is named in `TABS` and imported when the page is
drawn.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

import gradio as gr

_LOG = logging.getLogger("prodshot")

TABS: tuple[tuple[str, str, str], ...] = (
    ("Prodshot folder", "prodshot_folder", "lib_prodshot.webui.folder.tab"),
    ("Prodshot training", "prodshot_training", "lib_prodshot.webui.training.tab"),
)
"""Title, id, and the module whose `draw()` draws it, in their order."""


def draw_tabs() -> list[tuple[Any, str, str]]:
    """The WebUI's `on_ui_tabs`: what it takes of each tab. One that cannot be drawn is left out, and the console says
    why."""
    drawn = []
    for title, ident, module in TABS:
        try:
            with gr.Blocks(analytics_enabled=False) as blocks, gr.Column(elem_classes=["prodshot"], elem_id=ident):
                import_module(module).draw()
        except Exception:
            _LOG.exception("the tab %s cannot be drawn", title)
            continue
        drawn.append((blocks, title, ident))
    return drawn
