"""The folder job on a Ray cluster: actors with a finder each, and WebUIs of their own where the engine needs them.

Ray places the actors and restarts those that die. The pictures stay with the process that runs the job: it sends each
to an actor that is free, and writes results and report itself. So the machines share no file system, and the report is
the same whatever their number.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import Any, cast

from lib_prodshot import __version__
from lib_prodshot.errors import OutputError, ProdshotError
from lib_prodshot.finding.finder import Finder
from lib_prodshot.jobs.files.reading import open_regular
from lib_prodshot.jobs.files.staging import Staging
from lib_prodshot.jobs.processor import Stamp, real_path, stamp_of
from lib_prodshot.jobs.workers.local_worker import AHEAD, Done, HandGone, Order
from lib_prodshot.jobs.workers.ray_actor import Bench, Kit, Parcel, Ready, Trouble
from lib_prodshot.jobs.workers.resources import Dismissed, Room
from lib_prodshot.outcome import Outcome, Verdict
from lib_prodshot.request import Request

CPUS_EACH = 4
"""Without a number of workers: one for so many processors of the cluster."""

OPEN_PATIENCE = 600.0
"""Seconds until every actor must have been placed and be ready."""

PATIENCE = 3600.0
"""Seconds after which an actor that says nothing of its picture is given up."""

RESTART_PATIENCE = 180.0
"""Seconds that Ray has to bring an actor back that died."""

ChooseFinder = Callable[[], tuple[str, Callable[[], Finder]]]
"""Gives the finder's name and how to load it. Runs on the actor's machine. Raises `FinderUnavailable`."""


def chosen_finder(name: str, models_dir: Path | None) -> tuple[str, Callable[[], Finder]]:
    """The finder that this machine picks. Raises `FinderUnavailable`."""
    from lib_prodshot.finding import registry

    backend = registry.choose(name, models_dir).backend
    return backend.name, partial(backend.load, models_dir)


def ray_crew(
    request: Request,
    *,
    address: str | None = None,
    workers: int | None = None,
    models_dir: Path | None = None,
    webuis: Sequence[str] = (),
    dry_run: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> RayCrew:
    """The crew that a command line asks for; `say` is told what the user should know. Connects later."""
    choose = partial(chosen_finder, request.finder, models_dir)
    return RayCrew(request, choose, address=address, workers=workers, webuis=webuis, dry_run=dry_run, say=say)


class RayCrew:
    """One hand for each actor. `address` is the cluster's ('auto', 'host:6379', 'ray://…'); None makes one on this
    machine, reachable from nowhere else, for as long as the job runs."""

    def __init__(
        self,
        request: Request,
        choose_finder: ChooseFinder,
        *,
        address: str | None = None,
        workers: int | None = None,
        webuis: Sequence[str] = (),
        dry_run: bool = False,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.hands: tuple[RayHand, ...] = ()
        self._request = request
        self._choose_finder = choose_finder
        self._address = address
        self._workers = workers
        self._webuis = tuple(webuis)
        self._dry_run = dry_run
        self._say = say
        self._actors: list[Any] = []
        self._began_ray = False
        self._finder = ""

    def finder(self) -> str:
        """See `Crew`. Only the actors know, so they are started here."""
        ray = _import_ray()
        self._join(ray)
        self._actors = [self._actor(ray, kit) for kit in self._kits(ray)]
        try:
            answers = ray.get([actor.open.remote() for actor in self._actors], timeout=OPEN_PATIENCE)
        except ray.exceptions.GetTimeoutError as error:
            message = f"the cluster has no room for {len(self._actors)} workers; ask for fewer (--workers)"
            raise ProdshotError(message) from error
        except ray.exceptions.RayError as error:
            raise ProdshotError(f"a worker of the cluster could not start: {_in_a_line(error)}") from error
        return self._agree(answers)

    def open(self, inputs: frozenset[Path]) -> None:
        """See `Crew`."""
        engines = max(1, -(-len(self._webuis) // max(1, len(self._actors))))
        self.hands = tuple(
            RayHand(actor, self._request, self._finder, inputs, engines + AHEAD) for actor in self._actors
        )

    def close(self) -> None:
        """See `Crew`."""
        if self._actors or self._began_ray:
            ray = _import_ray()
            for actor in self._actors:
                ray.kill(actor)
            if self._began_ray:
                ray.shutdown()
        self._actors, self._began_ray = [], False

    def _join(self, ray: Any) -> None:
        if ray.is_initialized():
            return
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        try:
            if self._address is not None:
                ray.init(address=self._address, **quiet)
            else:
                # a cluster of our own tells nobody about itself
                os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
                cpus = max(os.cpu_count() or 1, self._workers or 1)
                ray.init(num_cpus=cpus, include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            where = self._address or "on this machine"
            raise ProdshotError(f"the Ray cluster {where} cannot be reached: {_in_a_line(error)}") from error
        self._began_ray = True

    def _kits(self, ray: Any) -> list[Kit]:
        cpus = int(ray.cluster_resources().get("CPU", 1))
        number = self._workers or len(self._webuis) or max(1, cpus // CPUS_EACH)
        settings = self._request.to_dict()
        return [
            Kit(place, settings, self._choose_finder, _share(self._webuis, place, number), self._dry_run)
            for place in range(number)
        ]

    def _actor(self, ray: Any, kit: Kit) -> Any:
        # more threads than places, so that one is left to say stop
        options = {"num_cpus": 1, "max_concurrency": 64, "max_restarts": -1, "max_task_retries": 0}
        return ray.remote(**options)(Bench).remote(kit)

    def _agree(self, answers: Sequence[Ready | Trouble]) -> str:
        """All actors must give the same results. Drops those whose WebUIs are away; returns the finder's name."""
        ready = [answer for answer in answers if isinstance(answer, Ready)]
        for answer in answers:
            if not isinstance(answer, Trouble):
                continue
            if not ready or not self._webuis or answer.problems:
                answer.raise_here()
            self._say(f"{answer.text}; going on without it")
        self._actors = [actor for actor, answer in zip(self._actors, answers) if isinstance(answer, Ready)]
        _refuse_two("version", {one.version for one in ready} | {__version__})
        _refuse_two("finder", {one.finder for one in ready})
        for sentence in dict.fromkeys(sentence for one in ready for sentence in one.absent):
            self._say(f"{sentence}; going on without it")
        if self._webuis:
            from lib_prodshot.jobs.workers.webuis import refuse_different

            refuse_different({address: checkpoint for one in ready for address, checkpoint in one.checkpoints.items()})
        self._finder = ready[0].finder
        return self._finder


class RayHand:
    """Sends pictures to one actor and writes what comes back. See `Hand`."""

    def __init__(self, actor: Any, request: Request, finder: str, inputs: frozenset[Path], places: int) -> None:
        self.places = places
        self._actor = actor
        self._request = request
        self._finder = finder
        self._inputs = inputs
        self._places = Room(places)
        self._let_go = threading.Event()

    def process(self, order: Order) -> Done:
        """See `Hand`."""
        try:
            with open_regular(order.source) as file:
                stamp, data = stamp_of(order.source), file.read()
            answer = self._ask_again(order, data)
        except (OSError, _Crash) as error:
            return self._failed(order, str(error))
        if isinstance(answer, Trouble):
            answer.raise_here()
        assert isinstance(answer, Parcel)
        outcome = answer.outcome
        start = perf_counter()
        try:
            self._write(order, answer, stamp)
        except OutputError as error:
            outcome.fail(str(error))
            return Done(outcome, answer.worker, retry=True)
        outcome.seconds["write"] = outcome.seconds.get("write", 0.0) + perf_counter() - start
        return Done(outcome, answer.worker, answer.retry)

    def stop(self, now: bool) -> None:
        """See `Hand`."""
        self._places.close()
        self._actor.stop.remote(now)
        if now:
            self._let_go.set()

    def _ask_again(self, order: Order, data: bytes) -> Parcel | Trouble:
        """The actor's answer; when it dies over several pictures, each of them gets a second try alone, so that only
        the guilty one fails. Raises `_Crash` for that one, and what `_ask` raises."""
        try:
            with self._places.of(1):
                return self._ask(order, data)
        except _Crash:
            with self._places.of(self.places):
                return self._ask(order, data)

    def _ask(self, order: Order, data: bytes) -> Parcel | Trouble:
        """The actor's answer. Raises `_Crash` when it died over the picture and works again, `HandGone` when not."""
        ray = _import_ray()
        pending = self._actor.process.remote(str(order.source), order.stem, order.seed, data)
        begun = monotonic()
        while not ray.wait([pending], timeout=0.5)[0]:
            if self._let_go.is_set():
                raise Dismissed
            if monotonic() - begun > PATIENCE:
                raise HandGone("a worker of the cluster does not answer any more")
        try:
            return cast("Parcel | Trouble", ray.get(pending))
        except ray.exceptions.RayError as error:
            reason = _in_a_line(error)
        self._await_restart(ray)
        raise _Crash(f"the worker died over this picture: {reason}")

    def _await_restart(self, ray: Any) -> None:
        """Until Ray has brought the actor back. Raises `HandGone` when it cannot."""
        begun = monotonic()
        while not self._let_go.is_set():
            try:
                ray.get(self._actor.open.remote(), timeout=RESTART_PATIENCE)
                return
            except ray.exceptions.RayError as error:
                if monotonic() - begun > RESTART_PATIENCE:
                    raise HandGone(f"a worker of the cluster is gone: {_in_a_line(error)}") from error
            sleep(0.5)
        raise Dismissed

    def _write(self, order: Order, parcel: Parcel, stamp: Stamp | None) -> None:
        """Put the results in place. Raises `OutputError`."""
        outcome = parcel.outcome
        keeps_time = order.keep_times or outcome.status == "skipped"
        for name in parcel.files:
            if real_path(order.folder / name) in self._inputs:
                raise OutputError(f"{order.folder / name} is itself one of the pictures; choose another output folder")
        with Staging(order.folder, modified=stamp[1] if stamp and keeps_time else None) as staging:
            for name, data in parcel.files.items():
                staging.path(name).write_bytes(data)
        for kind in ("output_file", "mask_file"):
            if getattr(outcome, kind):
                setattr(outcome, kind, str(order.folder / Path(getattr(outcome, kind)).name))
        if staging.time_note:
            outcome.notes = (*outcome.notes, staging.time_note)

    def _failed(self, order: Order, reason: str) -> Done:
        names = tuple(product.name for product in self._request.classes)
        return Done(Outcome(Verdict("failed", reason), names, self._finder, file=str(order.source)), "", retry=True)


class _Crash(Exception):
    """A worker died over a picture."""


def _share(webuis: tuple[str, ...], place: int, number: int) -> tuple[str, ...]:
    """The WebUIs of one worker: dealt out; where there are more workers than WebUIs some share one."""
    if not webuis:
        return ()
    return webuis[place::number] or (webuis[place % len(webuis)],)


def _refuse_two(what: str, told: set[str]) -> None:
    if len(told) > 1:
        raise ProdshotError(f"the workers differ in their {what} ({', '.join(sorted(told))}): make them the same")


def _in_a_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        message = "Ray is not installed: in Prodshot's folder run pip install '.[cluster]' (or install ray itself)"
        raise ProdshotError(message) from error
    return ray
