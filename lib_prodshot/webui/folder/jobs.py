"""Jobs of the kind 'folder': what a client or the page asks for, checked, and run by the same runner as
`prodshot batch`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.hosts.active import host
from lib_prodshot.hosts.ground_pictures import FIELD, REFERENCES, given_for
from lib_prodshot.hosts.server_paths import OpenPath, check_folder
from lib_prodshot.hosts.upscaling import upscaler_for
from lib_prodshot.jobs.folder.job import FolderJob, Progress
from lib_prodshot.jobs.folder.lines import SUMMARY_NAME
from lib_prodshot.jobs.folder.runner import PAGE_NAME, Runner
from lib_prodshot.jobs.report.report import CSV_NAME, JSONL_NAME
from lib_prodshot.jobs.report.summary import Summary, counted
from lib_prodshot.jobs.settings import SETTINGS, read_own
from lib_prodshot.request import WEBUI_BASE, Request
from lib_prodshot.webui import service
from lib_prodshot.webui.api import bodies
from lib_prodshot.webui.folder.workers import host_pool
from lib_prodshot.webui.jobs.table import Control, JobCancelled, Work

FILES = {"report": PAGE_NAME, "lines": JSONL_NAME, "table": CSV_NAME, "summary": SUMMARY_NAME}

PREPARING = "looking what is done"

PATIENCE = 5.0
"""Seconds that a job waits for its output folder: one that was cancelled twice is over for its client at once, while
what it was painting leaves the folder a little later."""

PROGRESS_INTERVAL = 0.3
"""Seconds between two updates of a job's progress."""


def work_from(settings: Mapping[str, Any], open_path: OpenPath = check_folder) -> Work:
    """Return the work that these settings describe: the folder job's and the request's. Raises `RequestError`."""
    job = _job(settings, open_path)
    return _FolderWork(job)


def _job(settings: Mapping[str, Any], open_path: OpenPath) -> FolderJob:
    own, problems = read_own(SETTINGS, settings)
    rest = {name: value for name, value in settings.items() if name not in own}
    bodies.refuse_long({**settings})
    if problems:
        raise RequestError(problems)
    folder, out = (_opened(name, own[name], open_path) for name in ("folder", "out"))
    if not folder.is_dir():
        raise RequestError([FieldProblem("folder", "there is no such folder")])
    if folder == out:
        raise RequestError([FieldProblem("out", "this is the pictures' own folder; choose another")])
    request = Request.from_arguments([rest], base=WEBUI_BASE)
    _ = request.classes
    service.refuse_unready(request.finder)
    upscaler_for(host(), request)
    given = given_for(request, open_path)
    if given.references:
        files = (str(open_path(REFERENCES, name)) for name in request.reference_files)
        request = request.replace(edit_references="\n".join(files))
    if given.ground is not None:
        request = request.replace(ground_picture=str(open_path(FIELD, request.ground_picture.strip())))
    return FolderJob(
        folder,
        out,
        request,
        recursive=own["recursive"],
        limit=own["limit"] or None,
        only=frozenset(line.strip() for line in own["only"].splitlines() if line.strip()),
        dry_run=own["dry_run"],
        keep_times=own["keep_times"],
        may_open=partial(_may_open, open_path),
    )


def _opened(name: str, text: str, open_path: OpenPath) -> Path:
    if not text.strip():
        raise RequestError([FieldProblem(name, "a folder is needed")])
    return open_path(name, text)


def _may_open(open_path: OpenPath, place: Path) -> bool:
    """Return whether a link in the folder may lead to this place: only where the caller may name it as a folder."""
    try:
        open_path("folder", str(place))
    except RequestError:
        return False
    return True


@dataclass(frozen=True)
class _FolderWork:
    """The work of a validated job; called by the job queue."""

    job: FolderJob

    def __call__(self, control: Control) -> Mapping[str, Any]:
        """Run the job. Raises `JobCancelled` and whatever ends the job."""
        control.serve(self.job.out, **FILES)
        runner = Runner(self.job, host_pool(host(), self.job.request, self.job.dry_run), patience=PATIENCE)
        runner.start()
        stops = 0
        while not runner.wait(PROGRESS_INTERVAL):
            _show_progress(control, runner.progress)
            requested = control.cancelled + control.aborted
            while stops < requested:
                stops += 1
                runner.stop(now=stops > 1)
        _show_progress(control, runner.progress)
        if runner.progress.state == "stopped":
            raise JobCancelled
        summary = runner.result()
        _show_progress(control, runner.progress, _classes(summary))
        return summary.to_json()


def _show_progress(control: Control, progress: Progress, more: str = "") -> None:
    preparing = f"measuring the products: {progress.done} of {progress.total}" if progress.total else PREPARING
    words = preparing if progress.state == "preparing" else _words(progress) + more
    figures: dict[str, Any] = {"found": progress.found, "skipped": progress.skipped, "failed": progress.failed}
    figures["done_before"] = progress.before
    if progress.eta is not None:
        figures |= {
            "seconds_left": round(progress.eta, 1),
            "pictures_per_second": round(progress.pictures_per_second, 3),
        }
    control.set_progress(progress.done, progress.total, words, figures)


def _words(progress: Progress) -> str:
    counts = f"{progress.done} of {progress.total} pictures: "
    counts += f"{progress.found} found, {progress.skipped} skipped, {progress.failed} failed"
    return counts if progress.eta is None or progress.is_over else f"{counts}; {_time(progress.eta)} to go"


def _classes(summary: Summary) -> str:
    """'; shoe in 4 pictures, watch in 1 picture'."""
    classes = ", ".join(f"{name} in {counted(count, 'picture')}" for name, count in sorted(summary.pictures.items()))
    return f"; {classes}" if classes else ""


def _time(seconds: float) -> str:
    """'45 s', '12 min', '3 h 05 min'."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"
