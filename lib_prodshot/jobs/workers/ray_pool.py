"""The worker pool on a Ray cluster: actors with a finder each, and WebUIs of their own where the engine needs them.

Ray places the actors and restarts those that die. The pictures stay with the process that runs the job: it sends each
to a free actor, and writes results and report itself. So the machines share no file system, and the report is the same
whatever their number.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import Any, cast

from lib_prodshot import __version__
from lib_prodshot.errors import OutputError, ProdshotError, pip_install_extra
from lib_prodshot.finding.finder import Finder
from lib_prodshot.jobs.files.reading import Stamp, open_regular, stamp_of
from lib_prodshot.jobs.processor import failed_outcome, is_in_the_way, staged_results
from lib_prodshot.jobs.workers.interface import FileResult, FileTask, StoredSource, TaskCancelled, WorkerLost
from lib_prodshot.jobs.workers.local_worker import EXTRA_SLOTS
from lib_prodshot.jobs.workers.ray_actor import ActorError, ActorInfo, ActorResult, ActorSettings, PictureActor
from lib_prodshot.jobs.workers.resources import WeightedSemaphore
from lib_prodshot.request import Request
from lib_prodshot.storage.urls import StorageURL

CPUS_PER_WORKER = 4
"""Without a number of workers: one for so many processors of the cluster."""

START_TIMEOUT = 600.0
"""Seconds until every actor must have been placed and be ready."""

TASK_TIMEOUT = 3600.0
"""Seconds after which an actor that does not return its picture is given up."""

RESTART_TIMEOUT = 180.0
"""Seconds that Ray has to restart an actor that died."""

ChooseFinder = Callable[[], tuple[str, Callable[[], Finder]]]
"""Gives the finder's name and how to load it. Runs on the actor's machine. Raises `FinderUnavailable`."""


def chosen_finder(name: str, models_dir: Path | None) -> tuple[str, Callable[[], Finder]]:
    """Return the finder that this machine chooses for a setting. Raises `FinderUnavailable`."""
    from lib_prodshot.finding import registry

    backend = registry.choose(name, models_dir).backend
    return backend.name, partial(backend.load, models_dir)


@dataclass
class RayPool:
    """One worker for each actor; connects when it is used.

    `address` is the cluster's ('auto', 'host:6379', 'ray://…'); None makes one on this machine, reachable from nowhere
    else, for as long as the job runs. `say` gets what the user should know.
    """

    request: Request
    choose_finder: ChooseFinder
    address: str | None = None
    worker_count: int | None = None
    webuis: Sequence[str] = ()
    dry_run: bool = False
    say: Callable[[str], None] = lambda text: None
    workers: tuple[RayWorker, ...] = ()
    _actors: list[Any] = field(default_factory=list)
    _has_joined: bool = False
    _finder: str = ""

    def finder_name(self) -> str:
        """See `WorkerPool`. Only the actors know, so they are started here."""
        ray = _import_ray()
        self._join(ray)
        self._actors = [self._actor(ray, settings) for settings in self._actor_settings(ray)]
        try:
            answers = ray.get([actor.open.remote() for actor in self._actors], timeout=START_TIMEOUT)
        except ray.exceptions.GetTimeoutError as error:
            message = f"the cluster has no room for {len(self._actors)} workers; ask for fewer (--workers)"
            raise ProdshotError(message) from error
        except ray.exceptions.RayError as error:
            raise ProdshotError(f"a worker of the cluster could not start: {_in_a_line(error)}") from error
        return self._agree(answers)

    def check_access(self, picture: StorageURL) -> None:
        """See `WorkerPool`. Each machine has credentials of its own, or none."""
        ray = _import_ray()
        try:
            answers = ray.get([actor.check_access.remote(picture) for actor in self._actors], timeout=START_TIMEOUT)
        except ray.exceptions.RayError as error:
            raise ProdshotError(f"a worker of the cluster cannot fetch the pictures: {_in_a_line(error)}") from error
        why = next(filter(None, answers), "")
        if why:
            raise ProdshotError(f"a worker of the cluster cannot fetch the pictures: {why}")

    def open(self, inputs: Container[Path]) -> None:
        """See `WorkerPool`."""
        engines = max(1, -(-len(self.webuis) // max(1, len(self._actors))))
        self.workers = tuple(
            RayWorker(actor, self.request, self._finder, inputs, engines + EXTRA_SLOTS) for actor in self._actors
        )

    def close(self) -> None:
        """See `WorkerPool`."""
        if self._actors or self._has_joined:
            ray = _import_ray()
            for actor in self._actors:
                ray.kill(actor)
            if self._has_joined:
                ray.shutdown()
        self._actors, self._has_joined = [], False

    def _join(self, ray: Any) -> None:
        if ray.is_initialized():
            return
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        try:
            if self.address is not None:
                ray.init(address=self.address, **quiet)
            else:
                # a cluster of our own sends no usage statistics
                os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
                cpus = max(os.cpu_count() or 1, self.worker_count or 1)
                ray.init(num_cpus=cpus, include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            where = self.address or "on this machine"
            raise ProdshotError(f"the Ray cluster {where} cannot be reached: {_in_a_line(error)}") from error
        self._has_joined = True

    def _actor_settings(self, ray: Any) -> list[ActorSettings]:
        cpus = int(ray.cluster_resources().get("CPU", 1))
        number = self.worker_count or len(self.webuis) or max(1, cpus // CPUS_PER_WORKER)
        request = self.request.to_dict()
        return [
            ActorSettings(index, request, self.choose_finder, _share(self.webuis, index, number), self.dry_run)
            for index in range(number)
        ]

    def _actor(self, ray: Any, settings: ActorSettings) -> Any:
        # more threads than slots, so that one is left for `stop`
        options = {"num_cpus": 1, "max_concurrency": 64, "max_restarts": -1, "max_task_retries": 0}
        return ray.remote(**options)(PictureActor).remote(settings)

    def _agree(self, answers: Sequence[ActorInfo | ActorError]) -> str:
        """Check that all actors give the same results, drop those whose WebUIs are unavailable, return the finder's
        name."""
        ready = [answer for answer in answers if isinstance(answer, ActorInfo)]
        for answer in answers:
            if not isinstance(answer, ActorError):
                continue
            if not ready or not self.webuis or answer.problems:
                answer.reraise()
            self.say(f"{answer.text}; going on without it")
        self._actors = [actor for actor, answer in zip(self._actors, answers) if isinstance(answer, ActorInfo)]
        _check_equal("version", {one.version for one in ready} | {__version__})
        _check_equal("finder", {one.finder for one in ready})
        for sentence in dict.fromkeys(sentence for one in ready for sentence in one.unreachable):
            self.say(f"{sentence}; going on without it")
        if self.webuis:
            from lib_prodshot.jobs.workers.webuis import check_same_checkpoint

            check_same_checkpoint({address: name for one in ready for address, name in one.checkpoints.items()})
        self._finder = ready[0].finder
        return self._finder


class RayWorker:
    """Sends pictures to one actor and writes their results. See `Worker`."""

    def __init__(self, actor: Any, request: Request, finder: str, inputs: Container[Path], slots: int) -> None:
        self.slots = slots
        self._actor = actor
        self._request = request
        self._finder = finder
        self._inputs = inputs
        self._free_slots = WeightedSemaphore(slots)
        self._cancelled = threading.Event()

    def process(self, task: FileTask) -> FileResult:
        """See `Worker`."""
        try:
            stamp, data = _sent(task)
            answer = self._call_with_retry(task, data)
        except (OSError, _ActorDied) as error:
            failed = failed_outcome(self._request, self._finder, str(error), task.source)
            return FileResult(failed, "", retry=True)
        if isinstance(answer, ActorError):
            answer.reraise()
        assert isinstance(answer, ActorResult)
        outcome = answer.outcome
        start = perf_counter()
        try:
            if not task.is_measured:
                self._write(task, answer, stamp)
        except OutputError as error:
            outcome.fail(str(error))
            return FileResult(outcome, answer.worker, retry=True, fetched=answer.fetched)
        outcome.seconds["write"] = outcome.seconds.get("write", 0.0) + perf_counter() - start
        return FileResult(outcome, answer.worker, answer.retry, answer.fetched)

    def stop(self, now: bool) -> None:
        """See `Worker`."""
        self._free_slots.close()
        self._actor.stop.remote(now)
        if now:
            self._cancelled.set()

    def _call_with_retry(self, task: FileTask, data: bytes | StoredSource) -> ActorResult | ActorError:
        """Return the actor's answer; when it dies over several pictures, retry each of them alone, so that only the one
        that kills it fails. Raises `_ActorDied` for that one, and what `_call` raises."""
        try:
            with self._free_slots.held():
                return self._call(task, data)
        except _ActorDied:
            with self._free_slots.held(self.slots):
                return self._call(task, data)

    def _call(self, task: FileTask, data: bytes | StoredSource) -> ActorResult | ActorError:
        """Return the actor's answer. Raises `_ActorDied` when it died over the picture and was restarted, `WorkerLost`
        when it was not."""
        ray = _import_ray()
        pending = self._actor.process.remote(
            str(task.source), task.stem, task.seed, data, task.reference, task.is_measured
        )
        start = monotonic()
        while not ray.wait([pending], timeout=0.5)[0]:
            if self._cancelled.is_set():
                raise TaskCancelled
            if monotonic() - start > TASK_TIMEOUT:
                raise WorkerLost("a worker of the cluster does not answer any more")
        try:
            return cast("ActorResult | ActorError", ray.get(pending))
        except ray.exceptions.RayError as error:
            reason = _in_a_line(error)
        self._await_restart(ray)
        raise _ActorDied(f"the worker died over this picture: {reason}")

    def _await_restart(self, ray: Any) -> None:
        """Wait until Ray has restarted the actor. Raises `WorkerLost` when it cannot."""
        start = monotonic()
        while not self._cancelled.is_set():
            try:
                ray.get(self._actor.open.remote(), timeout=RESTART_TIMEOUT)
                return
            except ray.exceptions.RayError as error:
                if monotonic() - start > RESTART_TIMEOUT:
                    raise WorkerLost(f"a worker of the cluster is gone: {_in_a_line(error)}") from error
            sleep(0.5)
        raise TaskCancelled

    def _write(self, task: FileTask, result: ActorResult, stamp: Stamp | None) -> None:
        """Write the results into the output folder. Raises `OutputError`."""
        outcome = result.outcome
        keeps_time = task.keep_times or outcome.status == "skipped"
        names = tuple(result.files)
        kept = stamp if keeps_time else None
        if outcome.status == "skipped" and self._stays(task, result):
            outcome.output_file = ""
            return
        with staged_results(outcome, task.folder, names, self._inputs, kept, task.names) as to:
            for name, data in result.files.items():
                to(name).write_bytes(data)
        for kind in ("output_file", "mask_file"):
            if getattr(outcome, kind):
                setattr(outcome, kind, str(task.folder / Path(getattr(outcome, kind)).name))
        for made in outcome.packshots:
            made.file = str(task.folder / Path(made.file).name)

    def _stays(self, task: FileTask, result: ActorResult) -> bool:
        """Whether a file of somebody else stands where the copy of a skipped picture should."""
        copies = (
            is_in_the_way(result.outcome, task.folder / name, sha256(data).hexdigest, self._inputs)
            for name, data in result.files.items()
        )
        return any(copies)


class _ActorDied(Exception):
    """An actor died over a picture and was restarted."""


def _sent(task: FileTask) -> tuple[Stamp | None, bytes | StoredSource]:
    """What is sent of a picture: its bytes, or where the actor finds it. Raises OSError."""
    if task.stored is not None:
        picture = task.stored.picture
        return (None if picture.modified is None else (picture.size, picture.modified)), task.stored
    with open_regular(task.source) as file:
        return stamp_of(task.source), file.read()


def _share(webuis: Sequence[str], index: int, number: int) -> tuple[str, ...]:
    """Return the WebUIs of one worker of `number`; where there are more workers than WebUIs some share one."""
    if not webuis:
        return ()
    return tuple(webuis[index::number]) or (webuis[index % len(webuis)],)


def _check_equal(what: str, values: set[str]) -> None:
    if len(values) > 1:
        raise ProdshotError(f"the workers differ in their {what} ({', '.join(sorted(values))}): make them the same")


def _in_a_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        message = (
            f"Ray is not installed: in Prodshot's folder run {pip_install_extra('cluster')} (or install ray itself)"
        )
        raise ProdshotError(message) from error
    return ray
