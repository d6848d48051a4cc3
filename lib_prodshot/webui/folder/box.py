"""The folder job's controls, with its contact sheet beneath, which grows while the job goes on."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import gradio as gr

from lib_prodshot.webui.gradio_compat import unsaved
from lib_prodshot.webui.jobs.box import JobBox
from lib_prodshot.webui.jobs.files import page_link
from lib_prodshot.webui.jobs.table import Job

Shown = tuple[str, int]
"""A job's id and the time at which its sheet was written, in nanoseconds."""


class FolderBox(JobBox):
    """A folder job: its line, and its contact sheet, redrawn only when it was written anew."""

    sheet: Any = None
    shown: Any = None

    def draw_sheet(self) -> None:
        """Draw the sheet's place; empty and without height until there is one."""
        self.sheet = unsaved(gr.HTML("", elem_id="prodshot_folder_sheet", elem_classes=["prodshot-message"]))
        self.shown = gr.State(("", 0))

    def connect_all(self, begin: Callable[..., Job], inputs: list[Any]) -> None:
        """As `connect`; the sheet comes with the same refresh."""
        self.connect(begin, inputs)
        quiet = {"show_progress": False, "queue": False}
        self.refresh.click(self.refresh_sheet, [self.shown], [self.sheet, self.shown], **quiet)

    def refresh_sheet(self, shown: Shown) -> tuple[Any, Shown]:
        """The sheet where it differs from the one that the page has `shown`."""
        job = self.latest()
        if job is None:
            return gr.update(), shown
        written = _time_of(job)
        if (job.id, written) == tuple(shown):
            return gr.update(), shown
        return _frame(job, written) if written else "", (job.id, written)


def _time_of(job: Job) -> int:
    path = job.file(job.files.get("report", ""))
    try:
        return path.stat().st_mtime_ns if path else 0
    except OSError:
        return 0


def _frame(job: Job, written: int) -> str:
    address = html.escape(f"{page_link(job, 'report')}?{written}")
    return f"<iframe class='prodshot-sheet' title='Contact sheet' loading='lazy' src='{address}'></iframe>"
