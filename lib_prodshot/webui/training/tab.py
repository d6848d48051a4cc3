"""Entry point of the tab "Prodshot training": the tab, or a message why it cannot be shown."""

from __future__ import annotations

from importlib.util import find_spec

import gradio as gr

from lib_prodshot.hosts.active import incompatibility
from lib_prodshot.webui.messages import said

REQUIRED_PACKAGES = {"imagehash": "ImageHash", "psutil": "psutil", "tomli_w": "tomli-w"}
"""Packages that training requires in addition to the WebUI's own, by module; install.py installs them."""


def draw() -> None:
    """Draw the tab into the current gradio context."""
    missing = [name for module, name in REQUIRED_PACKAGES.items() if find_spec(module) is None]
    why = incompatibility()
    if missing:
        advice = "restart the WebUI with a network, or look into its console for what install.py said"
        why = f"training needs {', '.join(missing)}: {advice}"
    if why:
        gr.HTML(said(why, is_error=True))
        return
    from lib_prodshot.webui.training import page as training_page

    training_page.draw()
