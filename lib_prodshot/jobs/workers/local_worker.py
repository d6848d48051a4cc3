"""The worker in this process: several pictures in progress, each model on one of them at a time, so that decoding,
finding and writing go on while the engine enhances another picture.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from PIL import Image

from lib_prodshot.enhancing.interface import Enhanced, Task
from lib_prodshot.errors import EnhanceError
from lib_prodshot.finding.finder import Finder
from lib_prodshot.finding.interface import Findings, Picture
from lib_prodshot.jobs.files.reading import open_regular
from lib_prodshot.jobs.processor import PictureProcessor, failed_outcome
from lib_prodshot.jobs.workers.engines import BACKOFF, Engine, EngineUnavailable
from lib_prodshot.jobs.workers.interface import FileResult, FileTask, WorkerLost
from lib_prodshot.jobs.workers.resources import PoolExhausted, ResourcePool, WeightedSemaphore
from lib_prodshot.outcome import Outcome
from lib_prodshot.request import ProductClass, Request

if TYPE_CHECKING:
    from lib_prodshot.packshot.upscaling import Upscaler

MAX_PIXELS = 96_000_000
"""Pixels of all pictures in progress together, so that this bounds the memory."""

EXTRA_SLOTS = 2
"""Pictures in progress beyond one for each engine: one being found, one being read or written."""


class LocalWorker:
    """Processes pictures in this process with one finder and one or several engines (None: a dry run).

    `inputs` are the resolved paths of all pictures of the job, which are never written over; `backoff` as `BACKOFF`;
    `upscaler` enlarges packshots where the request asks for a model.
    """

    def __init__(
        self,
        request: Request,
        load_finder: Callable[[], Finder],
        engines: Sequence[Engine] | None,
        inputs: Container[Path] = frozenset(),
        name: str = "local",
        backoff: Sequence[float] = BACKOFF,
        upscaler: Upscaler | None = None,
    ) -> None:
        self.slots = len(engines or ()) + EXTRA_SLOTS
        self._request = request
        self._load_finder = load_finder
        self._finder: Finder | None = None
        self._loading = threading.Lock()
        self._finder_turn = WeightedSemaphore(1)
        self._engines = None if engines is None else _Engines(engines, backoff)
        self._inputs = inputs
        self._name = name
        self._upscaler = upscaler
        self._pixels = WeightedSemaphore(MAX_PIXELS)

    def refuse_unknown(self) -> None:
        """Raise `UnknownProducts`, as the first picture would, for products that the finder has no word for. Raises
        `ProdshotError` where the finder cannot be loaded."""
        self._request.find.refuse_unknown(self._loaded_finder())

    def process(self, task: FileTask) -> FileResult:
        """See `Worker`."""
        if task.stored is None:
            return self._process(task)
        from lib_prodshot.jobs.workers.fetching import process_fetched

        return process_fetched(task, self._process, partial(failed_outcome, self._request, ""))

    def _process(self, task: FileTask) -> FileResult:
        request = _request_for(task, self._request)
        with self._pixels.held(_pixels_of(task.source)):
            waited: list[float] = []
            finder = _queued(self._loaded_finder(), self._finder_turn, waited)
            if self._engines is None or task.is_measured:
                outcome = PictureProcessor(request, finder).detect(task.source)
                _subtract_waiting(outcome, "find", sum(waited))
                return FileResult(outcome, self._name, _is_retryable(outcome))
            engine = _FailoverEnhancer(self._engines)
            processor = PictureProcessor(
                request,
                finder,
                engine,
                self._inputs,
                keep_times=task.keep_times,
                upscaler=self._upscaler,
                names=task.names,
            )
            outcome = processor.process(task.source, task.folder, task.stem)
        _subtract_waiting(outcome, "find", sum(waited[:1]))
        # what came of it is looked at by the same finder
        _subtract_waiting(outcome, "gates", sum(waited[1:]))
        _subtract_waiting(outcome, "enhance", engine.waited)
        return FileResult(outcome, engine.address or self._name, _is_retryable(outcome) and not engine.has_refused)

    def stop(self, now: bool) -> None:
        """See `Worker`. A picture that the finder works on still gets its turn with an engine, unless `now`, and the
        gates theirs with the finder: what the engine has made is not thrown away."""
        self._pixels.close()
        self._finder_turn.close(now)
        if self._engines is not None:
            self._engines.stop(now)

    def _loaded_finder(self) -> Finder:
        with self._loading:
            if self._finder is None:
                self._finder = self._load_finder()
            return self._finder


def _request_for(task: FileTask, request: Request) -> Request:
    changes: dict[str, object] = {} if task.seed is None else {request.seed_setting: task.seed}
    if task.reference:
        changes["reference"] = task.reference
    return request.replace(**changes) if changes else request


def _queued(finder: Finder, turn: WeightedSemaphore, waited: list[float]) -> Finder:
    """Wrap `finder` so that each call waits for its turn; the seconds of each are added to `waited`. Raises
    `TaskCancelled`."""

    def find(call: Callable[[], Findings], _picture: Picture, _classes: Sequence[ProductClass]) -> Findings:
        start = perf_counter()
        with turn.held(is_begun=bool(waited)):
            waited.append(perf_counter() - start)
            return call()

    return finder.wrapped(find)


class _Engines:
    """The engines of one worker, with a backoff for those that do not answer."""

    def __init__(self, engines: Sequence[Engine], backoff: Sequence[float]) -> None:
        self.name = engines[0].name
        self.pool: ResourcePool[Engine] = ResourcePool(engines)
        self._backoff = backoff
        self._failures: dict[str, int] = {}
        self._removed: list[str] = []

    def release(self, engine: Engine) -> None:
        """Make an engine that answered free again."""
        self._failures.pop(engine.address, None)
        self.pool.release(engine)

    def retry_later(self, engine: Engine, reason: EngineUnavailable) -> None:
        """Hold an engine that did not answer back, each time longer; remove it in the end."""
        failures = self._failures.get(engine.address, 0)
        self._failures[engine.address] = failures + 1
        if failures < len(self._backoff):
            self.pool.release(engine, self._backoff[failures])
            return
        self._removed.append(str(reason))
        self.pool.remove(engine)

    def reasons(self) -> str:
        """Why engines were removed."""
        return "; ".join(self._removed)

    def stop(self, now: bool) -> None:
        self.pool.cancel_waiting(close=now)
        for engine in self.pool.members if now else ():
            # one that hangs must not keep the others waiting
            threading.Thread(target=engine.interrupt, daemon=True).start()


class _FailoverEnhancer:
    """Enhances one picture on the first free engine; where a WebUI fails, on another one.

    `address` is the engine that did it, `waited` the seconds until then, of all tries together; `has_refused`: the
    engine in this process refused the picture, and always will.
    """

    def __init__(self, engines: _Engines) -> None:
        self.name = engines.name
        self.address = ""
        self.waited = 0.0
        self.has_refused = False
        self._engines = engines
        self._failed: dict[Engine, EnhanceError] = {}

    def enhance(self, task: Task) -> Enhanced:
        """As `Enhancer.enhance`. Raises `TaskCancelled` and `WorkerLost` as well."""
        start, before = perf_counter(), self.waited
        while True:
            engine = self._acquire()
            self.waited = before + perf_counter() - start
            try:
                enhanced = engine.enhance(task)
            except EngineUnavailable as reason:
                self._engines.retry_later(engine, reason)
                continue
            except EnhanceError as error:
                self._engines.release(engine)
                if not engine.address:
                    self.has_refused = True
                    raise
                self._failed[engine] = error
                continue
            except BaseException:
                self._engines.release(engine)
                raise
            self._engines.release(engine)
            self.address = engine.address
            return enhanced

    def _acquire(self) -> Engine:
        try:
            return self._engines.pool.acquire(without=self._failed)
        except PoolExhausted:
            if self._failed:
                raise list(self._failed.values())[-1] from None
            raise WorkerLost(self._engines.reasons()) from None


def _pixels_of(source: Path) -> int:
    """Width times height as the file's header says; 0 when it does not, for then nothing will be decoded."""
    try:
        with open_regular(source) as file, Image.open(file) as image:
            return image.width * image.height
    except Exception:  # what is wrong with it is found, and said, when it is read
        return 0


def _subtract_waiting(outcome: Outcome, stage: str, seconds: float) -> None:
    """Take the time spent waiting out of a stage's time."""
    if stage in outcome.seconds:
        outcome.seconds[stage] = max(0.0, outcome.seconds[stage] - seconds)


def _is_retryable(outcome: Outcome) -> bool:
    """Whether a failure may not come again: anything but a file that cannot be read, and a product that every try
    changed too much."""
    if outcome.is_final:
        return False
    unforeseen = outcome.verdict.reason.startswith("unexpected ")
    return outcome.status == "failed" and ("read" in outcome.seconds or unforeseen)
