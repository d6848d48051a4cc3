"""The training tab's jobs: sd-scripts' setup, captions, and the run with its loss curve and sample pictures."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import gradio as gr

from lib_prodshot.errors import ProdshotError
from lib_prodshot.hosts.active import host
from lib_prodshot.hosts.server_paths import page_is_trusted
from lib_prodshot.training.errors import TrainerError
from lib_prodshot.training.trainer import sd_scripts, setup
from lib_prodshot.webui.gradio_compat import unsaved
from lib_prodshot.webui.jobs.box import JobBox
from lib_prodshot.webui.jobs.files import page_address, page_link
from lib_prodshot.webui.jobs.table import JOBS, Control, Job
from lib_prodshot.webui.training import view as training_view

_QUIET = {"show_progress": False, "queue": False}


class CaptionBox(JobBox):
    """Shows below its line what the job changed, or would change."""

    def html_of(self, job: Job) -> str:
        """The line, and the captions once the job is done."""
        done = training_view.changes(job.result, job.result["dry_run"]) if job.state == "done" else ""
        return super().html_of(job) + done


class LookBox(JobBox):
    """Shows below its line what is wrong with the photographs."""

    def html_of(self, job: Job) -> str:
        """The line, and the report once the job is done."""
        return super().html_of(job) + (training_view.looked(job.result) if job.state == "done" else "")


class CompareBox(JobBox):
    """Shows below its line the epochs in figures, the one to take, and the grid of pictures."""

    def html_of(self, job: Job) -> str:
        """The line, and the comparison once the job is done."""
        if job.state != "done":
            return super().html_of(job)
        return super().html_of(job) + training_view.compared(job.result, page_link(job, "grid"))


class RunBox(JobBox):
    """A training run: its line, a loss curve and sample pictures, each redrawn only when it has changed."""

    curve: Any = None
    samples: Any = None
    shown: Any = None

    def draw_all(self) -> None:
        """Draw buttons, line, curve and samples."""
        self.draw("Train")
        self.curve = unsaved(gr.HTML("", elem_id="prodshot_training_curve", elem_classes=["prodshot-message"]))
        self.samples = unsaved(gr.HTML("", elem_id="prodshot_training_samples", elem_classes=["prodshot-message"]))
        self.shown = gr.State(("", 0, 0))

    def connect_all(self, begin: Callable[..., Job], inputs: list[Any]) -> None:
        """As `connect`; what is shown besides the line comes with the same refresh."""
        self.connect(begin, inputs)
        self.refresh.click(self.refresh_figures, [self.shown], [self.curve, self.samples, self.shown], **_QUIET)

    def refresh_figures(self, shown: tuple[str, int, int]) -> tuple[Any, Any, Any]:
        """Curve and samples where they differ from what the page has `shown`: the job, steps, number of samples."""
        job = self.latest()
        if job is None:
            return gr.update(), gr.update(), shown
        points, names = job.figures.get("losses", []), job.figures.get("samples", [])
        now = (job.id, points[-1][0] if points else 0, len(names))
        curve = gr.update() if now[:2] == tuple(shown[:2]) else training_view.curve(points, job.total)
        has_new = (now[0], now[2]) != (shown[0], shown[2])
        pictures = training_view.samples(names, lambda name: page_address(job, name)) if has_new else gr.update()
        return curve, pictures, now


class SetupBox(JobBox):
    """Says what training has here and what it lacks, and gets sd-scripts."""

    state: Any = None
    get: Any = None

    def __init__(self) -> None:
        super().__init__("training_setup", ())

    def draw_all(self) -> None:
        """Draw what is here; the button is there only while sd-scripts is not."""
        self.state = unsaved(gr.HTML(_inventory(), elem_id="prodshot_training_trainer"))
        with gr.Column(visible=not _has_trainer(), elem_id="prodshot_training_setup") as self.get:
            self.draw("Get sd-scripts (3 to 8 GB)")

    def connect_all(self) -> None:
        """Let the button start the setup, and go when it has done its work."""
        self.connect(self._begin, [])
        self.refresh.click(self._refresh, [], [self.state, self.get], **_QUIET)

    @staticmethod
    def _refresh() -> tuple[str, Any]:
        return _inventory(), gr.update(visible=not _has_trainer())

    @staticmethod
    def _begin() -> Job:
        if not page_is_trusted():
            raise TrainerError("this page is open to others: the WebUI's owner runs `prodshot train setup` instead")
        plan = setup.plan()
        return JOBS.put("training_setup", lambda control: _set_up(plan, control))


def _set_up(plan: setup.SetupPlan, control: Control) -> dict[str, str]:
    def report(text: str) -> None:
        control.report(0, 0, text)

    sizes = plan.to_text().splitlines()[0]
    report(f"making its environment; {sizes}")
    _, info = setup.install(plan, report)
    return {"torch": info.torch}


def _has_trainer() -> bool:
    try:
        sd_scripts.find()
    except ProdshotError:
        return False
    return True


TEXTS = (
    *("Here", "Missing", "checkpoints to train on:", "a checkpoint to train on"),
    *("sd-scripts, which trains:", "sd-scripts, which trains: one button brings it"),
)
"""The words of the inventory, apart from what is counted: keys of the localisation files."""


def _inventory() -> str:
    """What a training needs: here or missing, one a line."""
    is_here, is_missing, counted, checkpoint, trainer, no_trainer = TEXTS
    count = len(host().names().checkpoints)
    lines = (
        (_has_trainer(), trainer if _has_trainer() else no_trainer, sd_scripts.TAG if _has_trainer() else ""),
        (bool(count), counted if count else checkpoint, str(count or "")),
    )
    items = "".join(
        f"<li><span class='prodshot-dot prodshot-{'ready' if here else 'lacking'}'></span>"
        f"<b>{is_here if here else is_missing}</b> <span>{words}</span> <span>{html.escape(what)}</span></li>"
        for here, words, what in lines
    )
    return f"<ul class='prodshot-inventory'>{items}</ul>"
