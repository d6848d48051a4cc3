"""Where a worker on another machine does its pictures: bytes in, an outcome and the results' bytes out.

Knows nothing of the cluster around it, and shares no file system with whoever sends the pictures.
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
from lib_prodshot.jobs.workers.engines import Engine
from lib_prodshot.jobs.workers.local_worker import HandGone, LocalHand, Order
from lib_prodshot.jobs.workers.resources import Dismissed
from lib_prodshot.outcome import Outcome
from lib_prodshot.request import Request


@dataclass(frozen=True)
class Kit:
    """What a bench is given: settings by name, how to choose its finder, and the WebUIs that are its own."""

    number: int
    settings: Mapping[str, Any]
    choose_finder: Callable[[], tuple[str, Callable[[], Finder]]]
    webuis: tuple[str, ...] = ()
    dry_run: bool = False


@dataclass(frozen=True)
class Ready:
    """What a bench says of itself: its version, its finder's name, and its WebUIs' checkpoints by address; `absent`
    are sentences on those that do not answer."""

    version: str
    finder: str
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parcel:
    """What came of one picture: an outcome without arrays, and its files by name."""

    outcome: Outcome
    files: Mapping[str, bytes]
    worker: str
    retry: bool


@dataclass(frozen=True)
class Trouble:
    """An error on its way home, as text: exceptions do not travel well. `gone`: this bench can work no more;
    `dismissed`: it was stopped; `problems`: field, message, allowed of a `RequestError`."""

    text: str = ""
    problems: tuple[tuple[str, str, str], ...] = ()
    gone: bool = False
    dismissed: bool = False

    def raise_here(self) -> None:
        """Raise what was raised over there."""
        if self.dismissed:
            raise Dismissed
        if self.gone:
            raise HandGone(self.text)
        if self.problems:
            raise RequestError([FieldProblem(*problem) for problem in self.problems])
        raise ProdshotError(self.text)


class Bench:
    """A finder of its own, and its own WebUIs or this machine's retouch. For several threads at once."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._request = Request(**kit.settings)
        self._opening = threading.Lock()
        self._ready: Ready | None = None
        self._hand: LocalHand | None = None

    def open(self) -> Ready | Trouble:
        """Get ready, once: choose the finder, look at the WebUIs."""
        with self._opening:
            if self._ready is not None:
                return self._ready
            answer = self._open()
            self._ready = answer if isinstance(answer, Ready) else None
            return answer

    def _open(self) -> Ready | Trouble:
        try:
            name, load_finder = self._kit.choose_finder()
            engines, ready = self._engines(name)
        except RequestError as error:
            return _refusal(error)
        except ProdshotError as error:
            return Trouble(str(error))
        worker = f"ray {self._kit.number} on {platform.node()}"
        self._hand = LocalHand(self._request, load_finder, engines, name=worker)
        return ready

    def process(self, source: str, stem: str, seed: int | None, data: bytes) -> Parcel | Trouble:
        """Work on the picture whose file has these bytes; `source` is its path where it comes from."""
        answer = self.open()  # again after a restart
        if isinstance(answer, Trouble) or self._hand is None:
            return Trouble(answer.text if isinstance(answer, Trouble) else "", gone=True)
        with TemporaryDirectory(prefix="prodshot-") as made:
            here, results = Path(made, "in"), Path(made, "out")
            here.mkdir()
            results.mkdir()
            picture = here / Path(source).name
            picture.write_bytes(data)
            try:
                done = self._hand.process(Order(picture, results, stem, seed))
            except Dismissed:
                return Trouble(dismissed=True)
            except HandGone as reason:
                return Trouble(str(reason), gone=True)
            except RequestError as error:
                return _refusal(error)
            files = {path.name: path.read_bytes() for path in results.iterdir()}
        return Parcel(_without_arrays(done.outcome, str(picture), source), files, done.worker, done.retry)

    def stop(self, now: bool) -> None:
        """See `Hand.stop`."""
        if self._hand is not None:
            self._hand.stop(now)

    def _engines(self, finder: str) -> tuple[Sequence[Engine] | None, Ready]:
        from lib_prodshot.jobs.workers.local_pool import engines_for

        if not self._kit.webuis or self._kit.dry_run:
            return engines_for(self._request, (), self._kit.dry_run, lambda text: None), Ready(__version__, finder)
        from lib_prodshot.jobs.workers.webuis import survey

        seen = survey(self._kit.webuis, self._request)
        return seen.engines, Ready(__version__, finder, seen.checkpoints, seen.absent)


def _refusal(error: RequestError) -> Trouble:
    return Trouble(str(error), tuple((each.field, each.message, each.allowed) for each in error.problems))


def _without_arrays(outcome: Outcome, here: str, source: str) -> Outcome:
    outcome.picture = outcome.mask = outcome.alpha = outcome.result = None
    outcome.file = source
    outcome.verdict = type(outcome.verdict)(outcome.status, outcome.verdict.reason.replace(here, source))
    outcome.notes = tuple(note.replace(here, source) for note in outcome.notes)
    return outcome
