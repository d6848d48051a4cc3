"""Whoever takes pictures of a folder job through the house, and this process's own: several pictures in flight, each
model on one of them at a time. So decoding, finding and writing go on while the engine works on another picture.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Protocol

from PIL import Image

from lib_prodshot.enhancing.interface import Enhanced, Task
from lib_prodshot.errors import EnhanceError
from lib_prodshot.finding.finder import Finder
from lib_prodshot.finding.interface import Findings, Picture
from lib_prodshot.jobs.files.reading import open_regular
from lib_prodshot.jobs.processor import Worker
from lib_prodshot.jobs.workers.engines import RESTS, Engine, EngineGone
from lib_prodshot.jobs.workers.resources import NobodyLeft, Pool, Room
from lib_prodshot.outcome import Outcome
from lib_prodshot.request import ProductClass, Request

ROOM = 96_000_000
"""Pixels of all pictures in flight together."""

AHEAD = 2
"""Pictures in flight beyond one for each engine: one being found, one being read or written."""


class HandGone(BaseException):
    """Whoever worked on a picture cannot go on (its WebUIs, its process or its machine went away); others can.

    No `Exception`, for it must never pass for a picture's own trouble.
    """


@dataclass(frozen=True)
class Order:
    """One picture to be worked on: its file, where its results go and what they are called, its own seed, and whether
    the results get its modification time."""

    source: Path
    folder: Path
    stem: str
    seed: int | None = None
    keep_times: bool = False


@dataclass(frozen=True)
class Done:
    """What came of an order. `worker`: who did it; `retry`: it failed, and another try may go better."""

    outcome: Outcome
    worker: str
    retry: bool = False


class Hand(Protocol):
    """Takes pictures through the house, `places` at a time, each from a thread of the job's."""

    places: int

    def process(self, order: Order) -> Done:
        """Work on one picture and write its results. Its own trouble is a failed outcome.

        Raises `HandGone` when it can work no more, `Dismissed` when it was stopped before the picture's turn, and
        `RequestError` for a request that fits no picture.
        """

    def stop(self, now: bool) -> None:
        """Begin no picture any more; `now`: and let go of those at hand."""


class LocalHand:
    """Works in this process: one finder, and one or several engines (None: a dry run).

    `inputs` are the resolved paths of all pictures of the job, which are never written over.
    """

    def __init__(
        self,
        request: Request,
        load_finder: Callable[[], Finder],
        engines: Sequence[Engine] | None,
        inputs: frozenset[Path] = frozenset(),
        name: str = "local",
        rests: Sequence[float] = RESTS,
    ) -> None:
        self.places = len(engines or ()) + AHEAD
        self._request = request
        self._load_finder = load_finder
        self._finder: Finder | None = None
        self._loading = threading.Lock()
        self._turns: Pool[str] = Pool(["the finder"])
        self._crew = None if engines is None else _Crew(engines, rests)
        self._inputs = inputs
        self._name = name
        self._room = Room(ROOM)

    def process(self, order: Order) -> Done:
        """See `Hand`."""
        request = self._request if order.seed is None else self._request.replace(seed=order.seed)
        with self._room.of(_pixels_of(order.source)):
            waited = [0.0]
            finder = _queued(self._loaded_finder(), self._turns, waited)
            if self._crew is None:
                outcome = Worker(request, finder).look(order.source)
                _leave_out(outcome, "find", waited[0])
                return Done(outcome, self._name, _may_be_cured(outcome))
            engine = _QueuedEnhancer(self._crew)
            worker = Worker(request, finder, engine, self._inputs, keep_times=order.keep_times)
            outcome = worker.process(order.source, order.folder, order.stem)
        _leave_out(outcome, "find", waited[0])
        _leave_out(outcome, "enhance", engine.waited)
        return Done(outcome, engine.worker or self._name, _may_be_cured(outcome) and not engine.has_settled)

    def stop(self, now: bool) -> None:
        """See `Hand`. What is with the finder while stopping still gets its turn with an engine."""
        self._room.close()
        self._turns.dismiss(later_too=True)
        if self._crew is not None:
            self._crew.stop(now)

    def _loaded_finder(self) -> Finder:
        with self._loading:
            if self._finder is None:
                self._finder = self._load_finder()
            return self._finder


def _queued(finder: Finder, turns: Pool[str], waited: list[float]) -> Finder:
    """`finder`, waiting for its turn; the seconds waited are put into `waited`. Raises `Dismissed` as well."""

    def find(call: Callable[[], Findings], _picture: Picture, _classes: Sequence[ProductClass]) -> Findings:
        start = perf_counter()
        turn = turns.take()
        waited[:] = [perf_counter() - start]
        try:
            return call()
        finally:
            turns.give_back(turn)

    return finder.wrapped(find)


class _Crew:
    """The engines of one hand and how often each was away lately."""

    def __init__(self, engines: Sequence[Engine], rests: Sequence[float]) -> None:
        self.name = engines[0].name
        self.pool: Pool[Engine] = Pool(engines)
        self._rests = rests
        self._away: dict[str, int] = {}
        self._gone: list[str] = []

    def answered(self, engine: Engine) -> None:
        """The engine is free again."""
        self._away.pop(engine.address, None)
        self.pool.give_back(engine)

    def missed(self, engine: Engine, reason: EngineGone) -> None:
        """The engine did not answer: it rests, each time longer, and in the end is given up."""
        times = self._away.get(engine.address, 0)
        self._away[engine.address] = times + 1
        if times < len(self._rests):
            self.pool.give_back(engine, self._rests[times])
            return
        self._gone.append(str(reason))
        self.pool.drop(engine)

    def why_gone(self) -> str:
        """The last words of those given up."""
        return "; ".join(self._gone)

    def stop(self, now: bool) -> None:
        self.pool.dismiss(later_too=now)
        for engine in self.pool.members if now else ():
            # one that hangs must not keep the others waiting
            threading.Thread(target=engine.interrupt, daemon=True).start()


class _QueuedEnhancer:
    """For one picture: waits for a free engine; where a WebUI dies or fails, another one does it.

    `worker` is who did it, `waited` the seconds until then; `has_settled`: the engine here refused the picture, and
    always will.
    """

    def __init__(self, crew: _Crew) -> None:
        self.name = crew.name
        self.worker = ""
        self.waited = 0.0
        self.has_settled = False
        self._crew = crew
        self._failed: dict[Engine, EnhanceError] = {}

    def enhance(self, task: Task) -> Enhanced:
        """As `Enhancer.enhance`. Raises `Dismissed` and `HandGone` as well."""
        start = perf_counter()
        while True:
            engine = self._take()
            self.waited = perf_counter() - start
            try:
                enhanced = engine.enhance(task)
            except EngineGone as reason:
                self._crew.missed(engine, reason)
                continue
            except EnhanceError as error:
                self._crew.answered(engine)
                if not engine.address:
                    self.has_settled = True
                    raise
                self._failed[engine] = error
                continue
            except BaseException:
                self._crew.answered(engine)
                raise
            self._crew.answered(engine)
            self.worker = engine.address
            return enhanced

    def _take(self) -> Engine:
        try:
            return self._crew.pool.take(without=self._failed)
        except NobodyLeft:
            if self._failed:
                raise list(self._failed.values())[-1] from None
            raise HandGone(self._crew.why_gone()) from None


def _pixels_of(source: Path) -> int:
    """Width times height as the file's header says; 0 when it does not, for then nothing will be decoded."""
    try:
        with open_regular(source) as file, Image.open(file) as image:
            return image.width * image.height
    except Exception:  # what is wrong with it is found, and said, when it is read
        return 0


def _leave_out(outcome: Outcome, stage: str, seconds: float) -> None:
    """Waiting for one's turn is not part of a stage."""
    if stage in outcome.seconds:
        outcome.seconds[stage] = max(0.0, outcome.seconds[stage] - seconds)


def _may_be_cured(outcome: Outcome) -> bool:
    """Whether a failure may not come again: anything but a file that cannot be read."""
    unforeseen = outcome.verdict.reason.startswith("unexpected ")
    return outcome.status == "failed" and ("read" in outcome.seconds or unforeseen)
