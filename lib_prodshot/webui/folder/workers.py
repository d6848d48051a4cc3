"""Who does a folder job's work inside the WebUI: its finder, and its own inpaint passes, one picture at a time between
whatever the user generates meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path

from lib_prodshot.enhancing import load_enhancer
from lib_prodshot.enhancing.inpaint import InpaintEnhancer
from lib_prodshot.enhancing.interface import Enhanced, Task
from lib_prodshot.finding import registry
from lib_prodshot.finding.finder import Finder
from lib_prodshot.finding.interface import Findings, Picture
from lib_prodshot.hosts.interface import Host
from lib_prodshot.jobs.workers.engines import Engine, LocalEngine
from lib_prodshot.jobs.workers.local_worker import LocalHand
from lib_prodshot.jobs.workers.resources import Dismissed
from lib_prodshot.request import ProductClass, Request
from lib_prodshot.webui import options

WORKER = "this WebUI"
"""The `worker` of pictures whose passes the WebUI around us ran."""


class HostCrew:
    """One hand in the WebUI's process. Loads nothing before the first picture."""

    def __init__(self, host: Host, request: Request, dry_run: bool) -> None:
        self.hands: tuple[LocalHand, ...] = ()
        self._host = host
        self._request = request
        self._dry_run = dry_run
        self._held = ExitStack()

    def finder(self) -> str:
        """See `Crew`."""
        return registry.choose(self._request.finder, options.models_dir()).backend.name

    def open(self, inputs: frozenset[Path]) -> None:
        """See `Crew`. Raises `EnhanceError` for what the WebUI lacks."""
        self.hands = (LocalHand(self._request, self._lent_finder, self._engines(), inputs),)

    def close(self) -> None:
        """See `Crew`."""
        self._held.close()

    def _engines(self) -> Sequence[Engine] | None:
        if self._dry_run:
            return None
        if self._request.engine != "inpaint":
            return [LocalEngine(load_enhancer(self._request.engine))]
        self._host.inpainting_backend().check(self._request.sampler, self._request.scheduler, self._request.checkpoint)
        return [HostEngine(self._host)]

    def _lent_finder(self) -> Finder:
        return _queued(self._held.enter_context(self._host.use_finder(self._request.finder)), self._host)


def _queued(finder: Finder, host: Host) -> Finder:
    """The WebUI's finder, waiting in the WebUI's queue, as every generation does, if it shares the GPU with it; one
    that needs no GPU runs beside the generations."""
    shares_gpu = any(hasattr(part, "offload") for part in (finder.detector, finder.segmenter))

    def find(call: Callable[[], Findings], _picture: Picture, _classes: Sequence[ProductClass]) -> Findings:
        with host.job("Prodshot: find") if shares_gpu else nullcontext():
            return call()

    return finder.wrapped(find)


class HostEngine:
    """The engine 'inpaint', its passes run by the WebUI around us, each in its turn of the WebUI's queue."""

    address = WORKER

    def __init__(self, host: Host) -> None:
        self._host = host
        self._is_stopped = threading.Event()
        self._is_at_work = threading.Event()

    @property
    def name(self) -> str:
        """See `Engine`."""
        return InpaintEnhancer(self._host.inpainting_backend()).name

    def enhance(self, task: Task) -> Enhanced:
        """See `Engine`. Raises `Dismissed` when the job was stopped while it waited for its turn."""
        with self._host.job("Prodshot: folder"):
            if self._is_stopped.is_set():
                raise Dismissed
            self._is_at_work.set()
            try:
                return InpaintEnhancer(self._host.inpainting_backend()).enhance(task)
            finally:
                self._is_at_work.clear()

    def interrupt(self) -> None:
        """See `Engine`. Interrupts only what runs for us."""
        self._is_stopped.set()
        if self._is_at_work.is_set():
            self._host.interrupt()
