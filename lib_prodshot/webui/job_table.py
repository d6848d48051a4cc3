"""Long work that a client starts, watches and cancels: one job at a time, in a thread of its own.

Other rooms register what kinds of jobs there are ('folder', 'training'); this one knows only how they live.
"""

from __future__ import annotations

import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lib_prodshot.errors import FieldProblem, ProdshotError, RequestError
from lib_prodshot.webui.answers import without_paths

_LOG = logging.getLogger("prodshot")

JobState = Literal["queued", "running", "done", "failed", "cancelled"]

KEPT = 100
"""Finished jobs that can still be asked for."""

MAX_QUEUED = 20


class JobCancelled(Exception):
    """Raised out of `Control.report` when the job is to end; whatever it wrote so far stays."""


@dataclass
class Control:
    """What a job's work speaks to."""

    _job: Job

    @property
    def cancelled(self) -> bool:
        """Whether the job is to end soon."""
        return self._job.cancel_asked.is_set()

    def report(self, done: int, total: int, text: str = "") -> None:
        """Tell how far the work is. Raises `JobCancelled`."""
        self._job.done, self._job.total, self._job.text = done, total, text
        if self.cancelled:
            raise JobCancelled


Work = Callable[[Control], Mapping[str, Any]]
"""The work itself; returns what the job's `result` will be (JSON)."""

Kind = Callable[[Mapping[str, Any]], Work]
"""Checks a job's settings and returns its work. Raises `RequestError` naming the fields."""


@dataclass
class Job:
    """One job from its first minute on; `done` of `total` are of the kind's own unit (pictures, steps)."""

    kind: str
    work: Work
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    state: JobState = "queued"
    done: int = 0
    total: int = 0
    text: str = ""
    error: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    created: float = field(default_factory=time.time)
    finished: float = 0.0
    cancel_asked: threading.Event = field(default_factory=threading.Event)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in ("done", "failed", "cancelled")

    def to_json(self) -> dict[str, Any]:
        """The job as our routes show it."""
        shown: dict[str, Any] = {
            "id": self.id,
            "kind": self.kind,
            "state": self.state,
            "done": self.done,
            "total": self.total,
            "text": self.text,
            "created": round(self.created, 3),
        }
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
        self._guard = threading.Lock()
        self._worker: threading.Thread | None = None

    def register(self, name: str, kind: Kind) -> None:
        """Make a kind of job known; a second registration (a reload of the UI) takes the first one's place."""
        self._kinds[name] = kind

    @property
    def kinds(self) -> tuple[str, ...]:
        """What can be started."""
        return tuple(sorted(self._kinds))

    def start(self, kind: str, settings: Mapping[str, Any]) -> Job:
        """Check the settings and put the job in the queue. Raises `RequestError`; for a full queue as well."""
        if kind not in self._kinds:
            allowed = ", ".join(self.kinds) or "none on this server yet"
            raise RequestError([FieldProblem("kind", f"there is no kind of job called {kind!r}", allowed)])
        job = Job(kind, self._kinds[kind](settings))
        with self._guard:
            if sum(not known.is_over for known in self._jobs.values()) >= MAX_QUEUED:
                raise RequestError([FieldProblem("kind", f"{MAX_QUEUED} jobs are waiting; cancel one or wait")])
            self._jobs[job.id] = job
            self._forget_old()
            self._waiting.put(job)
            if self._worker is None or not self._worker.is_alive():
                self._worker = threading.Thread(target=self._run, name="prodshot-jobs", daemon=True)
                self._worker.start()
        return job

    def get(self, job_id: str) -> Job | None:
        """One job; None when there is none of that id."""
        return self._jobs.get(job_id)

    def list(self) -> list[Job]:
        """All jobs, the oldest first."""
        with self._guard:
            return list(self._jobs.values())

    def cancel(self, job_id: str) -> Job | None:
        """Ask a job to end; one that waits ends at once, one that is over stays as it is."""
        job = self.get(job_id)
        if job is None:
            return None
        with self._guard:
            job.cancel_asked.set()
            if job.state == "queued":
                _end(job, "cancelled")
        return job

    def _forget_old(self) -> None:
        over = [job.id for job in self._jobs.values() if job.is_over]
        for job_id in over[: max(0, len(over) - KEPT)]:
            del self._jobs[job_id]

    def _run(self) -> None:
        while True:
            job = self._waiting.get()
            with self._guard:
                if job.is_over:
                    continue
                job.state = "running"
            _work(job)


def _work(job: Job) -> None:
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
    # the time first: whoever sees the state may read it
    job.finished = time.time()
    job.state = state


JOBS = JobTable()
