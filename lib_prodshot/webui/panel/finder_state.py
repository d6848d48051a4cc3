"""Which finder is ready, what it is missing, and the download of missing weights in the background."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lib_prodshot import weights
from lib_prodshot.downloads import megabytes
from lib_prodshot.errors import ProdshotError
from lib_prodshot.finding import registry
from lib_prodshot.finding.finder import Backend
from lib_prodshot.model_files import Weights
from lib_prodshot.webui import options

Level = Literal["ready", "missing", "working"]

_LOG = logging.getLogger("prodshot")

LABELS = {"lite": "the lite finder", "langsam": "LangSAM"}
"""The finders that can be fetched, the small one first."""

_KNOWS = "The lite finder knows a list of products; LangSAM finds anything that has a name."


@dataclass(frozen=True)
class Offer:
    """A finder whose weights can be fetched, and how many bytes that is."""

    finder: str
    size: int

    @property
    def label(self) -> str:
        """What its button says."""
        return f"Get {LABELS[self.finder]} ({megabytes(self.size)})"


@dataclass(frozen=True)
class FinderState:
    """One line for the panel: level, text, what could be fetched, share of a running download (0 to 1), and which
    models of the user's own would serve as well (empty for none)."""

    level: Level
    text: str
    offers: tuple[Offer, ...] = ()
    share: float = 0.0
    own_models: str = ""


def state_of(finder: str) -> FinderState:
    """The state of the finder that a request names (auto, lite, langsam).

    Verifies weights that were never verified: reads them once, which takes seconds.
    """
    if FETCHING.is_running():
        return FETCHING.state()
    state = _resting_state(finder)
    return replace(state, text=f"{state.text} {FETCHING.failure}") if FETCHING.failure and state.offers else state


def _resting_state(finder: str) -> FinderState:
    wanted = tuple(LABELS) if finder == "auto" else (finder,)
    lacking = {name: sentences for name in wanted if (sentences := _missing_requirements(name))}
    offers = tuple(Offer(name, size) for name in lacking if (size := sum(entry.size for entry in missing(name))))
    ready = [name for name in reversed(wanted) if name not in lacking]
    own = _own_models(offer.finder for offer in offers)
    if ready:
        told = f"{_capital(LABELS[ready[0]])} is ready."
        return FinderState("ready", f"{told} {_KNOWS}" if offers else told, offers, own_models=own)
    if not offers:
        names = " and ".join(LABELS[name] for name in lacking)
        return FinderState("missing", f"Packages of {names} are missing; a restart of the WebUI installs them.")
    told = "There is no finder here yet." if finder == "auto" else f"{_capital(LABELS[finder])} is not here yet."
    return FinderState("missing", f"{told} {_KNOWS}" if len(offers) > 1 else told, offers, own_models=own)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def missing(finder: str) -> tuple[Weights, ...]:
    """The weights that a finder wants and that are not on this machine."""
    folder, to_fetch = options.models_dir(), _backend(finder).to_fetch
    wanted = weights.select([finder] if to_fetch is None else to_fetch(folder))
    return tuple(entry for entry in wanted if weights.look_for(entry, folder).path is None)


def _backend(finder: str) -> Backend:
    return next(candidate for candidate in registry.backends() if candidate.name == finder)


def _missing_requirements(finder: str) -> Sequence[str]:
    return _backend(finder).missing_requirements(options.models_dir())


def _own_models(finders: Iterable[str]) -> str:
    """One sentence on files that a user may bring instead of fetching these finders' own; empty where none would run
    here."""
    titles = [title for finder in finders for title in _backend(finder).own_models()]
    return own_models_sentence(titles) if titles else ""


def own_models_sentence(titles: Sequence[str]) -> str:
    """That a file of one of these models serves as well."""
    *first, last = titles
    named = f"{', '.join(first)} or {last}" if first else last
    return f"A file of your own serves as well: {named}, see docs/finders.md."


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
        """Start downloading the missing weights of a finder ('lite', 'langsam'); a second call while one runs does
        nothing."""
        with self._lock:
            if self.is_running():
                return
            wanted = missing(finder)
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
        return FinderState("working", f"Fetching {file}: {megabytes(done)} of {megabytes(total)}", share=share)

    def _run(self, wanted: Sequence[Weights]) -> None:
        total, before = sum(entry.size for entry in wanted), 0
        try:
            for entry in wanted:
                self._fetch_one(entry, before, total)
                before += entry.size
        except _Stopped:
            self.failure = "Stopped; the next time it goes on from there."
        except ProdshotError as error:
            _LOG.warning("weights were not fetched: %s", error)
            self.failure = f"That failed: {_first_clause(str(error))}."

    def _fetch_one(self, entry: Weights, before: int, total: int) -> None:
        def report(done: int, _total: int) -> None:
            if self._stop.is_set():
                raise _Stopped
            self._progress = (entry.file, before + done, total)

        report(0, entry.size)
        weights.fetch(entry, options.models_dir(), report)


def _first_clause(text: str) -> str:
    """What went wrong, without the advice for a command line that follows it."""
    return text.split(": choose ")[0].split(". ")[0].rstrip(".")[:200]


FETCHING = Fetching()
