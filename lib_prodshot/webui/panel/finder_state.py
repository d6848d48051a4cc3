"""Which finder is ready, what it is missing, and the download of missing weights in the background."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lib_prodshot import weights
from lib_prodshot.downloads import megabytes
from lib_prodshot.errors import FinderUnavailable, ProdshotError
from lib_prodshot.finding import registry
from lib_prodshot.model_files import Weights
from lib_prodshot.webui import options

Level = Literal["ready", "limited", "missing", "working"]

LABELS = {"langsam": "LangSAM", "lite": "Lite finder"}


@dataclass(frozen=True)
class FinderState:
    """One line for the panel: level, text, bytes that could be downloaded, share of a running download (0 to 1)."""

    level: Level
    text: str
    fetch_bytes: int = 0
    share: float = 0.0

    @property
    def button(self) -> str:
        """The label of the button beside the line; empty where there is nothing to download."""
        if self.level == "working":
            return "Stop"
        return f"Fetch {megabytes(self.fetch_bytes)}" if self.fetch_bytes else ""


def state_of(finder: str) -> FinderState:
    """The state of the finder that a request names (auto, lite, langsam).

    Verifies weights that were never verified: reads them once, which takes seconds.
    """
    if FETCHING.is_running():
        return FETCHING.state()
    wanted = "lite" if finder == "lite" else "langsam"
    absent = missing(wanted)
    to_fetch = sum(entry.size for entry in absent)
    why = FETCHING.failure or _missing_words(to_fetch)
    try:
        chosen = registry.choose(finder, options.models_dir()).backend.name
    except FinderUnavailable:
        others = [name for name in _names() if finder == "auto" and name != wanted]
        parts = [f"{_label(wanted)}: {why or _first_missing(wanted)}", *(_labelled_missing(name) for name in others)]
        return FinderState("missing", "; ".join(parts), to_fetch)
    if finder == "auto" and chosen != "langsam":
        reason = f"{LABELS['langsam']}: {why or _first_missing('langsam')}"
        return FinderState("limited", f"{_label(chosen)} ready. {reason}", to_fetch)
    return FinderState("ready", f"{_label(chosen)} ready")


def missing(group: str) -> tuple[Weights, ...]:
    """The weights of a finder that are not on this machine."""
    folder = options.models_dir()
    return tuple(entry for entry in weights.select([group]) if weights.look_for(entry, folder).path is None)


def _missing_words(size: int) -> str:
    return f"weights missing, {megabytes(size)} to fetch" if size else ""


def _names() -> list[str]:
    return [backend.name for backend in registry.backends()]


def _label(name: str) -> str:
    return LABELS.get(name, name)


def _labelled_missing(name: str) -> str:
    return f"{_label(name)}: {_first_missing(name)}"


def _first_missing(name: str) -> str:
    backend = next(candidate for candidate in registry.backends() if candidate.name == name)
    return next(iter(backend.missing_requirements(options.models_dir())), "not ready")


class _Stopped(Exception):
    """The user stopped the download; the bytes received so far are kept, and a later download resumes."""


class Fetching:
    """The background download: one at a time, in a thread of its own."""

    def __init__(self) -> None:
        self.failure = ""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._progress = ("", 0, 0)

    def is_running(self) -> bool:
        """Whether a download is running."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def start(self, finder: str) -> None:
        """Start downloading the finder's missing weights; a second call while one runs does nothing."""
        with self._lock:
            if self.is_running():
                return
            wanted = missing("lite" if finder == "lite" else "langsam")
            self.failure = ""
            self._stop.clear()
            self._progress = ("", 0, sum(entry.size for entry in wanted))
            self._thread = threading.Thread(target=self._run, args=(wanted,), name="prodshot-fetch", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop at the next block of bytes; a later download resumes there."""
        self._stop.set()

    def wait(self, seconds: float | None = None) -> None:
        """Block until the download has ended, or for so many seconds."""
        if self._thread is not None:
            self._thread.join(seconds)

    def state(self) -> FinderState:
        """The download's progress."""
        file, done, total = self._progress
        share = done / total if total else 0.0
        return FinderState("working", f"Fetching {file}: {megabytes(done)} of {megabytes(total)}", 0, share)

    def _run(self, wanted: Sequence[Weights]) -> None:
        total, before = sum(entry.size for entry in wanted), 0
        try:
            for entry in wanted:
                self._fetch_one(entry, before, total)
                before += entry.size
        except _Stopped:
            self.failure = "stopped; fetching goes on where it ended"
        except ProdshotError as error:
            self.failure = str(error)

    def _fetch_one(self, entry: Weights, before: int, total: int) -> None:
        def report(done: int, _total: int) -> None:
            if self._stop.is_set():
                raise _Stopped
            self._progress = (entry.file, before + done, total)

        report(0, entry.size)
        weights.fetch(entry, options.models_dir(), report)


FETCHING = Fetching()
