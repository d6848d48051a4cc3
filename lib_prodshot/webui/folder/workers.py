"""The worker pool of a folder job inside the WebUI: its finder and its inpaint passes, one picture at a time between
the user's own generations."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from lib_prodshot.enhancing import enhancer_on, load_enhancer
from lib_prodshot.enhancing.interface import Enhanced, Task
from lib_prodshot.finding import registry
from lib_prodshot.finding.finder import Finder
from lib_prodshot.hosts.interface import Host
from lib_prodshot.hosts.upscaling import upscaler_for
from lib_prodshot.jobs.workers.engines import Engine, LocalEngine
from lib_prodshot.jobs.workers.interface import TaskCancelled
from lib_prodshot.jobs.workers.local_pool import LocalPool
from lib_prodshot.request import Request
from lib_prodshot.webui import options
from lib_prodshot.webui.service import queued

WORKER = "this WebUI"
"""The `worker` of pictures whose passes this process's WebUI ran."""


def host_pool(host: Host, request: Request, dry_run: bool) -> LocalPool:
    """Return the worker pool in the WebUI's process; loads nothing before the first picture.

    Raises `FinderUnavailable`; its `open` raises `EnhanceError` for what the WebUI misses.
    """
    name = registry.choose(request.finder, options.models_dir()).backend.name
    held = ExitStack()

    def load_finder() -> Finder:
        return queued(held.enter_context(host.use_finder(request.finder)), host)

    return LocalPool(
        request,
        name,
        load_finder,
        partial(_engines, host, request, dry_run),
        release=held.close,
        load_upscaler=partial(upscaler_for, host, request),
    )


def _engines(host: Host, request: Request, dry_run: bool) -> Sequence[Engine] | None:
    if dry_run:
        return None
    if not request.uses_webui:
        return [LocalEngine(load_enhancer(request.running_engine))]
    host.inpainting_backend().check(*request.pass_models)
    return [HostEngine(host, request.running_engine)]


class HostEngine:
    """An engine that is a WebUI's model, its passes run by this process's WebUI, each queued like a generation."""

    address = WORKER

    def __init__(self, host: Host, engine: str) -> None:
        self._host = host
        self._engine = engine
        self._is_stopped = threading.Event()
        self._is_running = threading.Event()

    @property
    def name(self) -> str:
        """See `Engine`."""
        return self._engine

    def enhance(self, task: Task) -> Enhanced:
        """See `Engine`. Raises `TaskCancelled` when the job was stopped while it waited in the queue."""
        with self._host.job("Prodshot: folder"):
            if self._is_stopped.is_set():
                raise TaskCancelled
            self._is_running.set()
            try:
                return enhancer_on(self._host.inpainting_backend(), self._engine).enhance(task)
            finally:
                self._is_running.clear()

    def interrupt(self) -> None:
        """See `Engine`. Interrupts only our own passes."""
        self._is_stopped.set()
        if self._is_running.is_set():
            self._host.interrupt()
