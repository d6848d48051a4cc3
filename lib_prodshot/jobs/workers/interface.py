"""Workers and worker pools, as the folder job's runner uses them: tasks in, results out."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lib_prodshot.jobs.files.names import ResultNames
from lib_prodshot.outcome import Outcome
from lib_prodshot.storage.store import StoredObject
from lib_prodshot.storage.urls import StorageURL

if TYPE_CHECKING:
    from lib_prodshot.jobs.report.thumbnails import EncodedThumbnails


class WorkerLost(BaseException):
    """A worker cannot go on (its WebUIs, its process or its machine went away); others can.

    No `Exception`, so that it never passes for an error of the picture.
    """


class TaskCancelled(BaseException):
    """The task was cancelled, for the job ends.

    No `Exception`, so that it never passes for an error of the picture.
    """


@dataclass(frozen=True)
class StoredSource:
    """A picture in an object store, which the worker fetches itself, from wherever it runs. `job_seed`: that of the
    job, of which the picture gets its own (None: the request's); `side`: of its thumbnails, in pixels."""

    picture: StoredObject
    job_seed: int | None
    side: int


@dataclass(frozen=True)
class FileTask:
    """One picture to process: its file, the folder and the stem of its results, its seed (None: the request's), and
    whether the results get its modification time. `reference` takes the place of the request's ('': the request's);
    `is_measured`: only find, and write nothing. `names` are the results of the whole job. With `stored` the file is put
    at `source` for as long as the worker has it."""

    source: Path
    folder: Path
    stem: str
    seed: int | None = None
    keep_times: bool = False
    reference: str = ""
    is_measured: bool = False
    names: ResultNames = field(default_factory=ResultNames)
    stored: StoredSource | None = None


@dataclass(frozen=True)
class Fetched:
    """What only the worker knows that fetched a picture: the SHA-256 of its bytes, its own seed, its thumbnails."""

    content: str = ""
    seed: int | None = None
    thumbnails: EncodedThumbnails = (None, None, None)


@dataclass(frozen=True)
class FileResult:
    """The result of a task. `worker`: who enhanced the picture; `retry`: it failed, and another run may succeed;
    `fetched`: of a picture from an object store."""

    outcome: Outcome
    worker: str
    retry: bool = False
    fetched: Fetched = field(default_factory=Fetched)


class Worker(Protocol):
    """Processes up to `slots` tasks at a time, each called from a thread of the runner's."""

    slots: int

    def process(self, task: FileTask) -> FileResult:
        """Process one picture and write its results. An error of the picture is a failed outcome.

        Raises `WorkerLost` when the worker cannot go on, `TaskCancelled` when it was stopped before the picture's turn,
        and `RequestError` for a request that fits no picture.
        """

    def stop(self, now: bool) -> None:
        """Start no more pictures; `now`: also cancel those in progress."""


class WorkerPool(Protocol):
    """The workers of one folder job."""

    @property
    def workers(self) -> Sequence[Worker]:
        """Empty until `open`."""

    def finder_name(self) -> str:
        """Return the name of the finder that will run. Raises `ProdshotError` when none can."""

    def check_access(self, picture: StorageURL) -> None:
        """Raise `ProdshotError` where a worker cannot reach the store that this picture is in."""

    def open(self, inputs: Container[Path]) -> None:
        """Start the workers. `inputs`: resolved paths that no result may be written to. Raises `ProdshotError` where
        one cannot work: a WebUI does not answer, the finder cannot be loaded or, as the first picture would, has no
        word for a product (`UnknownProducts`)."""

    def close(self) -> None:
        """Release everything."""
