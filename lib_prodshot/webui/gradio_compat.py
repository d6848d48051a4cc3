"""Compatibility of gradio 3.41, 4.40 and 6.20, and of what the WebUI adds to them; no other module tests for a
version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr

from lib_prodshot.hosts.compatibility import webui_modules

_MAJOR = int(gr.__version__.split(".")[0])
GRADIO_4 = _MAJOR >= 4


def javascript(code: str) -> dict[str, str]:
    """The keyword under which an event takes browser code: `button.click(fn, **javascript(code))`."""
    return {"js" if GRADIO_4 else "_js": code}


def upload_only() -> dict[str, Any]:
    """The keyword that keeps webcams off a picture component."""
    return {"sources": ["upload", "clipboard"]} if GRADIO_4 else {"source": "upload"}


def copy_button() -> dict[str, Any]:
    """The keyword that gives a text field a button to copy it."""
    return {"buttons": ["copy"]} if _MAJOR >= 6 else {"show_copy_button": True}


def in_page() -> bool:
    """True while the WebUI's page is drawn; False while its API asks `ui()` for the arguments' defaults.

    The page draws every script inside rows and groups; the API opens a bare `gr.Blocks` around it.
    """
    from gradio.context import Context

    return Context.block is not None and Context.block is not Context.root_block


def unsaved(component: Any) -> Any:
    """Keep a component out of the WebUI's ui-config.json: what it shows is no default to be remembered."""
    component.do_not_save_to_config = True
    return component


def small_button(text: str, elem_id: str) -> Any:
    """A button as wide as its words, in the secondary colour."""
    return unsaved(gr.Button(text, size="sm", min_width=40, elem_id=elem_id, elem_classes=["prodshot-small"]))


@contextmanager
def input_accordion(label: str, elem_id: str) -> Iterator[Any]:
    """An accordion that is a checkbox too, closed and off; yields the checkbox. The WebUI's own where there is one."""
    make = webui_modules.input_accordion()
    if make is not None:
        with make(False, label=label, elem_id=elem_id) as enabled:
            yield enabled
        return
    with gr.Accordion(label, open=False, elem_id=elem_id):
        yield gr.Checkbox(False, label=f"Enable {label}", elem_id=f"{elem_id}-checkbox")
