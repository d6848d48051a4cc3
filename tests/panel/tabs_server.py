"""`python -m tests.panel.tabs_server PORT FOLDER`: our tabs on a page as the WebUI makes one, with our script, our
style sheet and the door to what jobs wrote.

The finder finds a product in bright pictures, the backend shows the negative; each takes a moment, so that a job can
be watched and stopped.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gradio as gr

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.finding import registry
from lib_prodshot.finding.finder import Finder
from lib_prodshot.hosts import active
from lib_prodshot.inpainting import InpaintPass, PassResult
from lib_prodshot.webui import callbacks, tabs
from lib_prodshot.webui.gradio_compat import GRADIO_4
from lib_prodshot.webui.jobs import kinds as job_kinds
from tests.api.local_host import InvertingBackend, LocalHost
from tests.api.tools import BACKENDS
from tests.finders import BoxSegmenter, FixedDetector
from tests.panel.page_server import our_scripts, put_into_head

PAUSE = 0.2
"""Seconds of a pass."""


class SlowBackend(InvertingBackend):
    def inpaint(self, plan: InpaintPass) -> PassResult:
        time.sleep(PAUSE)
        return super().inpaint(plan)


class Host(LocalHost):
    def inpainting_backend(self, parent: object = None, index: int = 0) -> SlowBackend:
        return SlowBackend()

    @contextmanager
    def use_finder(self, name: str = "auto") -> Iterator[Finder]:
        yield Finder("lite", FixedDetector(darkest=25), BoxSegmenter())


def build() -> gr.Blocks:
    """The page: one tab of the WebUI for each of ours."""
    drawn = tabs.draw_tabs()
    style = (ROOT / "style.css").read_text(encoding="utf-8")
    head = our_scripts()
    if not GRADIO_4:
        put_into_head(head)
    with gr.Blocks(css=style, **({"head": head} if GRADIO_4 else {})) as page, gr.Tabs(elem_id="tabs"):
        with gr.Tab("txt2img"):
            gr.HTML("another tab")
        for blocks, title, ident in drawn:
            with gr.Tab(title, elem_id=f"tab_{ident}"):
                blocks.render()
    return page


def main() -> None:
    """Serve until killed."""
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    active._HOST.append(Host(folder))
    registry.backends = lambda: BACKENDS
    job_kinds.register()
    app, _, _ = build().launch(server_name="127.0.0.1", server_port=port, quiet=True, prevent_thread_lock=True)
    callbacks.serve(None, app)
    threading.Event().wait()


if __name__ == "__main__":
    main()
