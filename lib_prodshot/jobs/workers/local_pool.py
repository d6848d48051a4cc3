"""The worker pool in this process, with an engine of its own or with WebUIs for its inpaint passes."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lib_prodshot.enhancing import load_enhancer
from lib_prodshot.finding.finder import Finder
from lib_prodshot.jobs.processor import upscaler_of
from lib_prodshot.jobs.workers.engines import BACKOFF, Engine, LocalEngine
from lib_prodshot.jobs.workers.local_worker import LocalWorker
from lib_prodshot.request import Request
from lib_prodshot.storage.urls import StorageURL

if TYPE_CHECKING:
    from lib_prodshot.packshot.upscaling import Upscaler

LoadEngines = Callable[[], Sequence[Engine] | None]
"""Gives the engines, None for a dry run. Raises `ProdshotError`."""


@dataclass
class LocalPool:
    """One worker in this process. `name` is that of the finder which `load_finder` loads, at the first picture;
    `release` runs when the pool is closed; `backoff` as `BACKOFF`; `load_upscaler` gives what enlarges packshots, None
    where no model is asked for."""

    request: Request
    name: str
    load_finder: Callable[[], Finder]
    load_engines: LoadEngines
    backoff: Sequence[float] = BACKOFF
    release: Callable[[], None] = lambda: None
    load_upscaler: Callable[[], Upscaler | None] = lambda: None
    workers: tuple[LocalWorker, ...] = ()

    def finder_name(self) -> str:
        """See `WorkerPool`."""
        return self.name

    def check_access(self, picture: StorageURL) -> None:
        """See `WorkerPool`. This process has listed the pictures."""

    def open(self, inputs: Container[Path]) -> None:
        """See `WorkerPool`."""
        engines = self.load_engines()
        upscaler = self.load_upscaler()
        worker = LocalWorker(self.request, self.load_finder, engines, inputs, backoff=self.backoff, upscaler=upscaler)
        worker.refuse_unknown()
        self.workers = (worker,)

    def close(self) -> None:
        """See `WorkerPool`."""
        self.release()


def local_pool(
    request: Request,
    *,
    models_dir: Path | None = None,
    webuis: Sequence[str] = (),
    dry_run: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> LocalPool:
    """Return the pool for a command line's options; `say` gets what the user should know. Loads nothing yet.

    Raises `FinderUnavailable`.
    """
    from lib_prodshot.finding import registry

    backend = registry.choose(request.finder, models_dir).backend
    load_engines = partial(engines_for, request, tuple(webuis), dry_run, say)
    load_finder, load_upscaler = partial(backend.load, models_dir), partial(upscaler_of, request)
    return LocalPool(request, backend.name, load_finder, load_engines, load_upscaler=load_upscaler)


def engines_for(
    request: Request, webuis: Sequence[str], dry_run: bool, say: Callable[[str], None]
) -> Sequence[Engine] | None:
    """Return the engines for a request: the WebUIs, or the one that needs none; None for a dry run.

    Raises `RemoteError`, `EnhanceError` and `RequestError` as the functions of `webuis` do.
    """
    if dry_run:
        return None
    if not webuis:
        return [LocalEngine(load_enhancer(request.running_engine))]
    from lib_prodshot.jobs.workers.webuis import check_same_checkpoint, check_unique, connect

    check_unique(webuis)
    connected = connect(webuis, request)
    check_same_checkpoint(connected.checkpoints)
    for sentence in connected.unreachable:
        say(f"{sentence}; going on without it")
    return connected.engines
