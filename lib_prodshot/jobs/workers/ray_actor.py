"""The Ray actor that processes pictures on a machine of the cluster: bytes in, an outcome and the results' bytes out.

It shares no file system with the process that sends the pictures.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lib_prodshot import __version__
from lib_prodshot.errors import FieldProblem, ProdshotError, RequestError
from lib_prodshot.finding.finder import Finder
from lib_prodshot.jobs.processor import upscaler_of
from lib_prodshot.jobs.workers.engines import Engine
from lib_prodshot.jobs.workers.interface import Fetched, FileTask, StoredSource, TaskCancelled, WorkerLost
from lib_prodshot.jobs.workers.local_worker import LocalWorker
from lib_prodshot.outcome import Outcome
from lib_prodshot.request import Request
from lib_prodshot.storage.store import StorageError, Store
from lib_prodshot.storage.urls import StorageURL


@dataclass(frozen=True)
class ActorSettings:
    """The settings of one actor: the request's by name, how to choose its finder, and the WebUIs that it uses."""

    number: int
    request: Mapping[str, Any]
    choose_finder: Callable[[], tuple[str, Callable[[], Finder]]]
    webuis: tuple[str, ...] = ()
    dry_run: bool = False


@dataclass(frozen=True)
class ActorInfo:
    """An actor that is ready: its version, its finder's name, and its WebUIs' checkpoints by address; `unreachable` are
    sentences on those that do not answer."""

    version: str
    finder: str
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    unreachable: tuple[str, ...] = ()


@dataclass(frozen=True)
class ActorResult:
    """The result of one picture: an outcome without arrays, and its files by name."""

    outcome: Outcome
    files: Mapping[str, bytes]
    worker: str
    retry: bool
    fetched: Fetched = field(default_factory=Fetched)


@dataclass(frozen=True)
class ActorError:
    """An error of an actor in a form that can be pickled. `lost`: the actor cannot go on; `cancelled`: it was stopped;
    `problems`: field, message, allowed of a `RequestError`."""

    text: str = ""
    problems: tuple[tuple[str, str, str], ...] = ()
    lost: bool = False
    cancelled: bool = False

    def reraise(self) -> None:
        """Raise what the actor raised."""
        if self.cancelled:
            raise TaskCancelled
        if self.lost:
            raise WorkerLost(self.text)
        if self.problems:
            raise RequestError([FieldProblem(*problem) for problem in self.problems])
        raise ProdshotError(self.text)


class PictureActor:
    """Processes pictures with a finder, and WebUIs or this machine's retouch. Thread-safe."""

    def __init__(self, settings: ActorSettings) -> None:
        self._settings = settings
        self._request = Request(**settings.request)
        self._opening = threading.Lock()
        self._info: ActorInfo | None = None
        self._worker: LocalWorker | None = None

    def open(self) -> ActorInfo | ActorError:
        """Get ready, once: choose the finder, check the WebUIs."""
        with self._opening:
            if self._info is not None:
                return self._info
            answer = self._open()
            self._info = answer if isinstance(answer, ActorInfo) else None
            return answer

    def _open(self) -> ActorInfo | ActorError:
        try:
            finder, load_finder = self._settings.choose_finder()
            engines, info = self._engines(finder)
            upscaler = upscaler_of(self._request)
            name = f"ray {self._settings.number} on {platform.node()}"
            worker = LocalWorker(self._request, load_finder, engines, name=name, upscaler=upscaler)
            worker.refuse_unknown()
        except RequestError as error:
            return _request_error(error)
        except ProdshotError as error:
            return ActorError(str(error))
        self._worker = worker
        return info

    def check_access(self, picture: StorageURL) -> str:
        """Return why this machine cannot reach the store that a picture is in; '' where it can."""
        if picture.scheme == "memory":
            return "memory:// is seen by one process only"
        try:
            Store(picture).find()
        except StorageError as error:
            return str(error)
        return ""

    def process(
        self,
        source: str,
        stem: str,
        seed: int | None,
        data: bytes | StoredSource,
        reference: str = "",
        is_measured: bool = False,
    ) -> ActorResult | ActorError:
        """Process the picture whose file has these bytes, or which this machine is to fetch; `source` is its path on
        the sending machine, the rest as in `FileTask`."""
        answer = self.open()  # again after a restart
        if isinstance(answer, ActorError) or self._worker is None:
            return ActorError(answer.text if isinstance(answer, ActorError) else "", lost=True)
        with TemporaryDirectory(prefix="prodshot-") as temporary:
            inputs, results = Path(temporary, "in"), Path(temporary, "out")
            inputs.mkdir()
            results.mkdir()
            picture = inputs / Path(source).name
            stored = data if isinstance(data, StoredSource) else None
            if isinstance(data, bytes):
                picture.write_bytes(data)
            try:
                task = FileTask(
                    picture, results, stem, seed, reference=reference, is_measured=is_measured, stored=stored
                )
                done = self._worker.process(task)
            except TaskCancelled:
                return ActorError(cancelled=True)
            except WorkerLost as reason:
                return ActorError(str(reason), lost=True)
            except RequestError as error:
                return _request_error(error)
            files = {path.name: path.read_bytes() for path in results.iterdir()}
        outcome = _without_arrays(done.outcome, str(picture), source)
        return ActorResult(outcome, files, done.worker, done.retry, done.fetched)

    def stop(self, now: bool) -> None:
        """See `Worker.stop`."""
        if self._worker is not None:
            self._worker.stop(now)

    def _engines(self, finder: str) -> tuple[Sequence[Engine] | None, ActorInfo]:
        from lib_prodshot.jobs.workers.local_pool import engines_for

        if not self._settings.webuis or self._settings.dry_run:
            engines = engines_for(self._request, (), self._settings.dry_run, lambda text: None)
            return engines, ActorInfo(__version__, finder)
        from lib_prodshot.jobs.workers.webuis import connect

        connected = connect(self._settings.webuis, self._request)
        return connected.engines, ActorInfo(__version__, finder, connected.checkpoints, connected.unreachable)


def _request_error(error: RequestError) -> ActorError:
    return ActorError(str(error), tuple((each.field, each.message, each.allowed) for each in error.problems))


def _without_arrays(outcome: Outcome, here: str, source: str) -> Outcome:
    outcome.picture = outcome.mask = outcome.alpha = outcome.result = None
    for made in outcome.packshots:
        made.result = made.alpha = None
    outcome.file = source
    outcome.verdict = type(outcome.verdict)(outcome.status, outcome.verdict.reason.replace(here, source))
    outcome.notes = tuple(note.replace(here, source) for note in outcome.notes)
    return outcome
