"""Every error a user can cause. The message is one plain sentence: what was wrong and what to do."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any


def as_typed(arguments: str) -> str:
    """A command of ours as it is typed where this process runs: by the name or path of the program that was started, or
    by this Python where that was; in a WebUI, which is neither, by its plain name."""
    started = Path(sys.argv[0])
    if _is_our_module(started):
        return f"{this_python()} -m lib_prodshot {arguments}"
    if started.stem == "prodshot" and not _is_on_the_path(started):
        return f"{_quoted(sys.argv[0])} {arguments}"
    return f"prodshot {arguments}"


def pip_install(arguments: str) -> str:
    """pip's command for the Python that runs a command of ours: the pip that is first on the PATH may be another's."""
    started = Path(sys.argv[0])
    is_ours = started.stem == "prodshot" or _is_our_module(started)
    return f"{this_python()} -m pip install {arguments}" if is_ours else f"pip install {arguments}"


def pip_install_extra(name: str) -> str:
    """The same for one of our own extras, from the checkout's folder."""
    return pip_install(f"'.[{name}]'")


def this_python() -> str:
    """This Python as one types it."""
    return _quoted(sys.executable)


def _quoted(path: str) -> str:
    return f'"{path}"' if " " in path else path


def _is_our_module(started: Path) -> bool:
    """Whether `python -m lib_prodshot` was started."""
    return started.name == "__main__.py" and started.parent.name == "lib_prodshot"


def _is_on_the_path(program: Path) -> bool:
    found = shutil.which("prodshot")
    return found is not None and Path(found).resolve() == program.resolve()


class ProdshotError(Exception):
    """Base of all errors whose text is meant for the user; never shown with a traceback."""


@dataclass(frozen=True)
class FieldProblem:
    """What is wrong with one field of a request: its name, the complaint, and what would be accepted."""

    field: str
    message: str
    allowed: str = ""

    def __str__(self) -> str:
        allowed = f" (allowed: {self.allowed})" if self.allowed else ""
        return f"{self.field}: {self.message}{allowed}"


def unknown_name(name: str, known: Sequence[str], what: str = "unknown setting", field: str = "") -> FieldProblem:
    """The problem of a name that nobody knows: the nearest known one is told, and all that there are. `field` is the
    name with its place, where it has one."""
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    message = f"{what}; the nearest is {near[0]!r}" if near else what
    return FieldProblem(field or name, message, ", ".join(known))


class RequestError(ProdshotError):
    """A request that cannot be accepted. `problems` names each field (API: 422, CLI: exit code 2)."""

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class UnknownProducts(RequestError):
    """Products that the chosen finder has no word for: never the same as absent ones. `unknown` holds all of them, by
    their names as written, each with the nearest names that the finder knows."""

    def __init__(self, unknown: Mapping[str, Sequence[str]], finder: str, advice: str) -> None:
        self.unknown = {name: tuple(nearest) for name, nearest in unknown.items()}
        self.finder = finder
        self.advice = advice
        super().__init__([FieldProblem("products", f"{self.without_advice()}; {advice}")])

    def without_advice(self) -> str:
        """Which words the finder does not know, and what comes near them."""
        words = (f"{name!r}{_nearest(near)}" for name, near in self.unknown.items())
        return f"the {self.finder} finder does not know {', '.join(words)}"

    def note(self) -> str:
        """What a picture is told where these products are left out (`tells_of_unknown`)."""
        return f"left out: {self.without_advice()}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pools hand errors from process to process."""
        return type(self), (self.unknown, self.finder, self.advice)


_UNKNOWN = re.compile(r"left out: the \S+ finder does not know |the \S+ finder has no word for ")


def tells_of_unknown(note: str) -> bool:
    """Whether a note says which products, or which words of them, were not looked for, because the finder has no word
    for them: the same for every picture of a run."""
    return _UNKNOWN.match(note) is not None


def disregarded(finder: str, words: Sequence[str], name: str) -> str:
    """What a picture is told where words of a product's phrase ("blue") changed nothing (`tells_of_unknown`)."""
    return f"the {finder} finder has no word for {' '.join(words)!r} and looked for any {name!r}"


def _nearest(names: Sequence[str]) -> str:
    return f" (nearest known names: {', '.join(names)})" if names else ""


class PictureError(ProdshotError):
    """A file or byte string that cannot be used as a picture."""


class WeightsError(ProdshotError):
    """Model weights that are missing, damaged, of the wrong kind, or could not be fetched."""


class FinderUnavailable(ProdshotError):
    """A finder that cannot run here: a package or its weights are missing. Says what to install.

    `brief` is the same in a few words, for places where there is a button to get it and no command line.
    """

    def __init__(self, message: str, brief: str = "") -> None:
        self.brief = brief or message
        super().__init__(message)


class FinderError(ProdshotError):
    """A finder that ran and failed (not finite scores, out of memory twice). Never means 'absent'."""


class NotFiniteError(FinderError):
    """A finder's model gave numbers that are not finite: damaged weights, or an overflow in half precision."""


class EnhanceError(ProdshotError):
    """An enhancement that could not be made; the picture stays as it was."""


class ProductChanged(EnhanceError):
    """Every try changed the product more than its gates allow; the same request would do it again."""


class OutputError(ProdshotError):
    """A result that could not be written; nothing half-written is left behind."""
