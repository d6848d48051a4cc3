"""The controls of one kind of job on a tab: Start, Stop and the progress line."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from lib_prodshot.webui.gradio_compat import small_button, unsaved
from lib_prodshot.webui.jobs.files import page_link
from lib_prodshot.webui.jobs.table import JOBS, Job
from lib_prodshot.webui.messages import failed


@dataclass
class JobBox:
    """Start and Stop of one kind of job, and the progress line of its latest one.

    Our script updates the line while the tab is visible: it presses the hidden Refresh (see prodshot.js). The line
    shows any job of the kind, so that a page that is loaded again, or a second page, shows it too.
    """

    kind: str
    links: tuple[tuple[str, str], ...]
    start: Any = None
    stop: Any = None
    refresh: Any = None
    message: Any = None
    line: Any = None

    def draw(self, words: str) -> None:
        """Draw the buttons (`words` on the one that starts) and the line."""
        named = f"prodshot_{self.kind}_job"
        with gr.Row(elem_classes=["prodshot-job-row"]):
            self.start = unsaved(gr.Button(words, variant="primary", elem_id=f"{named}_start"))
            self.stop = unsaved(gr.Button("Stop", elem_id=f"{named}_stop"))
            self.refresh = small_button("Refresh", f"{named}_refresh")
            self.refresh.elem_classes = [*self.refresh.elem_classes, "prodshot-hidden"]
        self.message = unsaved(gr.HTML("", elem_id=f"{named}_message", elem_classes=["prodshot-message"]))
        self.line = unsaved(gr.HTML("", elem_id=f"{named}_line", elem_classes=["prodshot-job"]))

    def connect(self, begin: Callable[..., Job], inputs: list[Any]) -> None:
        """Connect the buttons; `begin` queues the job, given the values of `inputs`; it may raise `ProdshotError`."""

        def start(*values: Any) -> tuple[str, Any]:
            try:
                begin(*values)
                return "", self.show()
            except Exception as error:
                return failed(error), gr.update()

        quiet = {"show_progress": False, "queue": False}
        self.start.click(start, inputs, [self.message, self.line], **quiet)
        self.stop.click(self.request_cancel, [], [self.line], **quiet)
        self.refresh.click(self.show, [], [self.line], **quiet)

    def latest(self) -> Job | None:
        """Return the job to show: the one that runs, else the newest."""
        jobs = [job for job in JOBS.list() if job.kind == self.kind]
        unfinished = [job for job in jobs if not job.is_over]
        return next(iter([*unfinished, *reversed(jobs)]), None)

    def show(self) -> Any:
        """Return the current line; no update where there was no job yet."""
        job = self.latest()
        return gr.update() if job is None else self.html_of(job)

    def request_cancel(self) -> Any:
        """Cancel the job; pressed again it is aborted in the middle of the current item."""
        job = self.latest()
        if job is not None and not job.is_over:
            JOBS.cancel(job.id)
        return self.show()

    def html_of(self, job: Job) -> str:
        """Return the line of one job: state, bar, text, links to its files."""
        share = job.done / job.total if job.total else 0.0
        bar = "" if job.is_over else f"<progress max='1' value='{share:.4f}'></progress>"
        words = job.error if job.state == "failed" else job.text
        links = "".join(
            f"<a href='{html.escape(link)}' target='_blank' rel='noopener'>{html.escape(words)}</a>"
            for what, words in self.links
            if (link := page_link(job, what))
        )
        return (
            f"<div class='prodshot-job-line prodshot-job-{job.state}' data-over='{int(job.is_over)}'>"
            f"<b>{_state(job)}</b> {bar}<span>{html.escape(words)}</span> {links}</div>"
        )


STATES = {"queued": "Waiting", "running": "Running", "done": "Done", "failed": "Failed", "cancelled": "Stopped"}
STOPPING = ("Stopping after what is at hand", "Stopping at once")
"""What the line calls a job's state: keys of the localisation files."""


def _state(job: Job) -> str:
    if job.is_over or not job.cancel_requested.is_set():
        return STATES[job.state]
    return STOPPING[job.abort_requested.is_set()]
