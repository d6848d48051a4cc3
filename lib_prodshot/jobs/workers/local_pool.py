"""Who does the work of a folder job: this process, alone or with WebUIs for its inpaint passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from lib_prodshot.enhancing import load_enhancer
from lib_prodshot.finding.finder import Finder
from lib_prodshot.jobs.workers.engines import RESTS, Engine, LocalEngine
from lib_prodshot.jobs.workers.local_worker import LocalHand
from lib_prodshot.request import Request

LoadEngines = Callable[[], Sequence[Engine] | None]
"""Gives the engines, None for a dry run. Raises `ProdshotError`."""


class LocalCrew:
    """One hand in this process. `finder_name` is that of the finder which `load_finder` loads, at the first picture."""

    def __init__(
        self,
        request: Request,
        finder_name: str,
        load_finder: Callable[[], Finder],
        load_engines: LoadEngines,
        rests: Sequence[float] = RESTS,
    ) -> None:
        self.hands: tuple[LocalHand, ...] = ()
        self._request = request
        self._finder_name = finder_name
        self._load_finder = load_finder
        self._load_engines = load_engines
        self._rests = rests

    def finder(self) -> str:
        """See `Crew`."""
        return self._finder_name

    def open(self, inputs: frozenset[Path]) -> None:
        """See `Crew`."""
        self.hands = (LocalHand(self._request, self._load_finder, self._load_engines(), inputs, rests=self._rests),)

    def close(self) -> None:
        """See `Crew`."""


def local_crew(
    request: Request,
    *,
    models_dir: Path | None = None,
    webuis: Sequence[str] = (),
    dry_run: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> LocalCrew:
    """The crew that a command line asks for; `say` is told what the user should know. Loads nothing yet.

    Raises `FinderUnavailable`.
    """
    from lib_prodshot.finding import registry

    backend = registry.choose(request.finder, models_dir).backend
    load_engines = partial(engines_for, request, tuple(webuis), dry_run, say)
    return LocalCrew(request, backend.name, partial(backend.load, models_dir), load_engines)


def engines_for(
    request: Request, webuis: Sequence[str], dry_run: bool, say: Callable[[str], None]
) -> Sequence[Engine] | None:
    """The engines for a request: the WebUIs, or the one that needs none; None for a dry run.

    Raises `RemoteError`, `EnhanceError` and `RequestError` as the functions of `webuis` do.
    """
    if dry_run:
        return None
    if not webuis:
        return [LocalEngine(load_enhancer(request.engine))]
    from lib_prodshot.jobs.workers.webuis import refuse_different, refuse_repeated, survey

    refuse_repeated(webuis)
    seen = survey(webuis, request)
    refuse_different(seen.checkpoints)
    for sentence in seen.absent:
        say(f"{sentence}; going on without it")
    return seen.engines
