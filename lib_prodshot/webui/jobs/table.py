"""The job queue: long work that a client starts, polls and cancels; one worker thread, one job at a time.

The kinds of jobs ('folder', 'training') are registered by `jobs.kinds`; here is only their life cycle.
"""

from __future__ import annotations

import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from lib_prodshot.errors import FieldProblem, ProdshotError, RequestError
from lib_prodshot.jobs.files.names import READABLE
from lib_prodshot.webui.answers import without_paths

_LOG = logging.getLogger("prodshot")

JobState = Literal["queued", "running", "done", "failed", "cancelled"]

MAX_FINISHED = 100
"""Finished jobs that stay in the table."""

MAX_QUEUED = 20

SERVED = READABLE | {".html", ".js", ".json", ".jsonl", ".csv", ".txt", ".toml", ".log"}
"""Suffixes of files that may be read out of a job's folder."""


class JobCancelled(Exception):
    """Cancelling was requested; whatever the job wrote so far stays."""


@dataclass
class Control:
    """The interface of a job's work to its job: progress, cancelling, files."""

    _job: Job

    @property
    def cancelled(self) -> bool:
        """Whether cancelling was requested: the job ends after the item in progress."""
        return self._job.cancel_requested.is_set()

    @property
    def aborted(self) -> bool:
        """Whether cancelling was requested twice: the item in progress is to be abandoned too."""
        return self._job.abort_requested.is_set()

    def set_progress(self, done: int, total: int, text: str = "", figures: Mapping[str, Any] | None = None) -> None:
        """Set the progress; `figures` are the kind's own (JSON), such as counts by verdict."""
        self._job.done, self._job.total, self._job.text = done, total, text
        self._job.figures = dict(figures or {})

    def report(self, done: int, total: int, text: str = "", figures: Mapping[str, Any] | None = None) -> None:
        """Set the progress. Raises `JobCancelled`."""
        self.set_progress(done, total, text, figures)
        if self.cancelled:
            raise JobCancelled

    def serve(self, folder: Path, **files: str) -> None:
        """Serve the files in `folder` to whoever may see the job; `files` names the main ones (`report="index.html"`),
        relative to it. They need not exist yet."""
        self._job.folder, self._job.files = folder, files


Work = Callable[[Control], Mapping[str, Any]]
"""The work of a job; returns the job's `result` (JSON)."""

Kind = Callable[[Mapping[str, Any]], Work]
"""Checks a job's settings and returns its work. Raises `RequestError` naming the fields."""


@dataclass
class Job:
    """One job; `done` of `total` are of the kind's own unit (pictures, steps).

    `key` opens the job's files to the page that started it, where no API is (`files` of `Control.serve`).
    """

    kind: str
    work: Work
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    state: JobState = "queued"
    done: int = 0
    total: int = 0
    text: str = ""
    figures: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    key: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    created: float = field(default_factory=time.time)
    finished: float = 0.0
    cancel_requested: threading.Event = field(default_factory=threading.Event)
    abort_requested: threading.Event = field(default_factory=threading.Event)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state in ("done", "failed", "cancelled")

    def file(self, name: str) -> Path | None:
        """Return the file of this name (with '/') in the job's folder; None where none may be read."""
        parts = PurePosixPath(name).parts
        if self.folder is None or "\0" in name or any(part.startswith((".", "/")) for part in parts):
            return None
        root = self.folder.resolve()
        path = root.joinpath(*parts).resolve()
        is_ours = root in path.parents and path.suffix.lower() in SERVED
        return path if is_ours and path.is_file() else None

    def to_json(self) -> dict[str, Any]:
        """Return the job as our routes show it."""
        shown: dict[str, Any] = {
            "id": self.id,
            "kind": self.kind,
            "state": self.state,
            "done": self.done,
            "total": self.total,
            "text": self.text,
            "created": round(self.created, 3),
            "files": {what: name for what, name in self.files.items() if self.file(name)},
        }
        if self.figures:
            shown["figures"] = self.figures
        if self.is_over:
            shown["finished"] = round(self.finished, 3)
        if self.state == "failed":
            shown["error"] = self.error
        if self.state == "done":
            shown["result"] = self.result
        return shown


class JobTable:
    """All jobs of this process."""

    def __init__(self) -> None:
        self._kinds: dict[str, Kind] = {}
        self._jobs: dict[str, Job] = {}
        self._waiting: queue.Queue[Job] = queue.Queue()
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None

    def register(self, name: str, kind: Kind) -> None:
        """Register a kind of job; a second registration (a reload of the UI) replaces the first."""
        self._kinds[name] = kind

    @property
    def kinds(self) -> tuple[str, ...]:
        """The registered kinds, sorted."""
        return tuple(sorted(self._kinds))

    def start(self, kind: str, settings: Mapping[str, Any]) -> Job:
        """Check the settings and put the job in the queue. Raises `RequestError`; for a full queue as well."""
        if kind not in self._kinds:
            allowed = ", ".join(self.kinds) or "none on this server yet"
            raise RequestError([FieldProblem("kind", f"there is no kind of job called {kind!r}", allowed)])
        return self.put(kind, self._kinds[kind](settings))

    def put(self, kind: str, work: Work) -> Job:
        """Put work in the queue whose settings have been checked. Raises `RequestError` for a full queue."""
        job = Job(kind, work)
        with self._lock:
            if sum(not known.is_over for known in self._jobs.values()) >= MAX_QUEUED:
                raise RequestError([FieldProblem("kind", f"{MAX_QUEUED} jobs are waiting; cancel one or wait")])
            self._jobs[job.id] = job
            self._forget_old()
            self._waiting.put(job)
            if self._worker is None or not self._worker.is_alive():
                self._worker = threading.Thread(target=self._run_queue, name="prodshot-jobs", daemon=True)
                self._worker.start()
        return job

    def get(self, job_id: str) -> Job | None:
        """Return one job; None when there is none of that id."""
        return self._jobs.get(job_id)

    def with_key(self, key: str) -> Job | None:
        """Return the job that this key opens; None when there is none."""
        found = (job for job in self.list() if secrets.compare_digest(job.key.encode(), key.encode()))
        return next(found, None)

    def list(self) -> list[Job]:
        """Return all jobs, the oldest first."""
        with self._lock:
            return list(self._jobs.values())

    def cancel(self, job_id: str) -> Job | None:
        """Request cancelling; a queued job ends at once, a finished one stays as it is. A second request aborts."""
        job = self.get(job_id)
        if job is None:
            return None
        with self._lock:
            if job.cancel_requested.is_set():
                job.abort_requested.set()
            job.cancel_requested.set()
            if job.state == "queued":
                _end(job, "cancelled")
        return job

    def _forget_old(self) -> None:
        over = [job.id for job in self._jobs.values() if job.is_over]
        for job_id in over[: max(0, len(over) - MAX_FINISHED)]:
            del self._jobs[job_id]

    def _run_queue(self) -> None:
        while True:
            job = self._waiting.get()
            with self._lock:
                if job.is_over:
                    continue
                job.state = "running"
            _run(job)


def _run(job: Job) -> None:
    try:
        job.result = dict(job.work(Control(job)))
        _end(job, "done")
    except JobCancelled:
        _end(job, "cancelled")
    except ProdshotError as error:
        job.error = without_paths(str(error))
        _end(job, "failed")
    except Exception:
        _LOG.exception("job %s failed", job.id)
        job.error = f"an error nobody foresaw; the server's console has it under the job's id {job.id}"
        _end(job, "failed")


def _end(job: Job, state: JobState) -> None:
    # the time first: a reader of the state may read it at once
    job.finished = time.time()
    job.state = state


JOBS = JobTable()
