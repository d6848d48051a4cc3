"""Picks a finder and says why; the only place that knows which backends there are.

Each backend is a `Backend`: its name, what it lacks here (empty when it can run), and how to load it. Nothing heavy
is imported until one is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_prodshot.errors import FieldProblem, FinderUnavailable, RequestError
from lib_prodshot.finding.interface import Finder


@dataclass(frozen=True)
class Backend:
    """One way to build a `Finder`. `lacking(models_dir)` gives one sentence for each missing package or file."""

    name: str
    lacking: Callable[[Path | None], Sequence[str]]
    load: Callable[[Path | None], Finder]


@dataclass(frozen=True)
class Choice:
    """The backend that was picked and the reason, for reports, the state line and `doctor`."""

    backend: Backend
    reason: str


def backends() -> tuple[Backend, ...]:
    """All backends, the preferred one first."""
    from lib_prodshot.finding import langsam, lite

    return (langsam.BACKEND, lite.BACKEND)


def choose(name: str = "auto", models_dir: Path | None = None) -> Choice:
    """Pick a backend by `name`; 'auto' takes the first that lacks nothing.

    Raises `FinderUnavailable` saying what is missing and how to get it.
    """
    known = backends()
    if name != "auto":
        return _choose_named(name, known, models_dir)
    reasons: list[str] = []
    for backend in known:
        lacking = backend.lacking(models_dir)
        if not lacking:
            return Choice(backend, "; ".join([*reasons, f"using {backend.name}"]))
        reasons.append(f"{backend.name} is not ready: {' '.join(lacking)}")
    raise FinderUnavailable("no finder can run here: " + "; ".join(reasons))


def _choose_named(name: str, known: Sequence[Backend], models_dir: Path | None) -> Choice:
    backend = next((candidate for candidate in known if candidate.name == name), None)
    if backend is None:
        names = ", ".join(candidate.name for candidate in known)
        raise RequestError([FieldProblem("finder", f"there is no finder {name!r}", f"auto, {names}")])
    lacking = backend.lacking(models_dir)
    if lacking:
        raise FinderUnavailable(f"the {name} finder cannot run here: {' '.join(lacking)}")
    return Choice(backend, f"{name} was asked for")


def load_finder(name: str = "auto", models_dir: Path | None = None) -> Finder:
    """Load the finder that `choose` picks; keep it, for loading costs seconds.

    `models_dir` is searched for weights before the usual places. Raises `FinderUnavailable` and `WeightsError`.
    """
    return choose(name, models_dir).backend.load(models_dir)
