"""Registry of finder backends: lists them, selects one and gives the reason; loads nothing heavy before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_prodshot.errors import FieldProblem, FinderUnavailable, RequestError
from lib_prodshot.finding.finder import Backend, Finder


@dataclass(frozen=True)
class Choice:
    """The selected backend and the reason, for reports, the state line and `doctor`."""

    backend: Backend
    reason: str


def backends() -> tuple[Backend, ...]:
    """All backends, the preferred one first."""
    from lib_prodshot.finding import lite
    from lib_prodshot.finding.langsam import backend as langsam

    return (langsam.BACKEND, lite.BACKEND)


def choose(name: str = "auto", models_dir: Path | None = None) -> Choice:
    """Select a backend by `name`; 'auto' takes the first without missing requirements.

    Raises `FinderUnavailable` saying what is missing and how to get it.
    """
    known = backends()
    if name != "auto":
        return _choose_named(name, known, models_dir)
    reasons: list[str] = []
    for backend in known:
        missing = backend.missing_requirements(models_dir)
        if not missing:
            return Choice(backend, "; ".join([*reasons, f"using {backend.name}"]))
        reasons.append(f"{backend.name} is not ready: {' '.join(missing)}")
    raise FinderUnavailable("no finder can run here: " + "; ".join(reasons), "there is no finder here yet")


def _choose_named(name: str, known: Sequence[Backend], models_dir: Path | None) -> Choice:
    backend = next((candidate for candidate in known if candidate.name == name), None)
    if backend is None:
        names = ", ".join(candidate.name for candidate in known)
        raise RequestError([FieldProblem("finder", f"there is no finder {name!r}", f"auto, {names}")])
    missing = backend.missing_requirements(models_dir)
    if missing:
        brief = f"the {name} finder is not here yet"
        raise FinderUnavailable(f"the {name} finder cannot run here: {' '.join(missing)}", brief)
    return Choice(backend, f"{name} was asked for")


def load_finder(name: str = "auto", models_dir: Path | None = None) -> Finder:
    """Load the finder that `choose` selects. Keep it: loading takes seconds.

    `models_dir` is searched for weights before the usual places. Raises `FinderUnavailable` and `WeightsError`.
    """
    return choose(name, models_dir).backend.load(models_dir)
