"""Every error a user can cause. The message is one plain sentence: what was wrong and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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


class RequestError(ProdshotError):
    """A request that cannot be accepted. `problems` names each field (API: 422, CLI: exit code 2)."""

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class UnknownProduct(RequestError):
    """A product that the chosen finder has no word for: never the same as an absent one."""

    def __init__(self, word: str, finder: str, nearest: Sequence[str], advice: str) -> None:
        self.word = word
        self.nearest = tuple(nearest)
        near = f"; nearest known names: {', '.join(nearest)}" if nearest else ""
        message = f"the {finder} finder does not know {word!r}{near}; {advice}"
        super().__init__([FieldProblem("products", message)])


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


class EnhanceError(ProdshotError):
    """An enhancement that could not be made; the picture stays as it was."""


class OutputError(ProdshotError):
    """A result that could not be written; nothing half-written is left behind."""
