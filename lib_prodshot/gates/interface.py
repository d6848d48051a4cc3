"""What a gate answers, and what all gates of one try answer together. Nothing here measures anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Status = Literal["fail", "pass", "not checked"]

Rectangle = tuple[int, int, int, int]
"""x0, y0, x1, y1 in whole pixels of the picture."""


@dataclass(frozen=True)
class Answer:
    """One gate's answer: `reason` is a sentence without a capital and a full stop, `figures` what was measured (shares
    0..1, ΔE2000, degrees), `excess` how far the worst of them is beyond its limit, in shares of the limit (0: within).

    A gate that could not measure says 'not checked', which is never the same as passed.
    """

    gate: str
    status: Status
    reason: str
    figures: Mapping[str, float | int] = field(default_factory=dict)
    excess: float = 0.0


@dataclass(frozen=True)
class Answers:
    """The answers to one try. `lost` are the boxes of the text lines that changed."""

    answers: tuple[Answer, ...]
    lost: tuple[Rectangle, ...] = ()

    @property
    def failed(self) -> tuple[Answer, ...]:
        """Those that failed."""
        return tuple(answer for answer in self.answers if answer.status == "fail")

    @property
    def passed(self) -> bool:
        """Whether none failed; those that were not checked do not count as failed, and are told."""
        return not self.failed

    @property
    def status(self) -> Status:
        """fail where one failed, pass where one passed and none failed, else 'not checked'."""
        found = {answer.status for answer in self.answers}
        # in this order in which they decide
        return next((status for status in get_args(Status) if status in found), "not checked")

    @property
    def badness(self) -> tuple[int, float]:
        """What the best of several tries has least of: failed gates, then how far they are beyond their limits."""
        return len(self.failed), sum(answer.excess for answer in self.failed)

    def describe(self) -> str:
        """The reasons of those that failed, for a sentence."""
        return "; ".join(answer.reason for answer in self.failed)


def by_limits(gate: str, figures: Mapping[str, float | int], checks: Mapping[str, tuple[float, str]]) -> Answer:
    """An answer by limits: `checks` holds for each figure that has one its excess (above 0: beyond the limit, in shares
    of the limit) and the sentence to say then."""
    beyond = {name: (excess, words) for name, (excess, words) in checks.items() if excess > 0}
    if not beyond:
        return Answer(gate, "pass", f"the {gate} gate found nothing", figures)
    worst = max(excess for excess, _ in beyond.values())
    return Answer(gate, "fail", "; ".join(words for _, words in beyond.values()), figures, worst)


def not_checked(gate: str, reason: str) -> Answer:
    """The answer of a gate that could not measure."""
    return Answer(gate, "not checked", f"{gate} was not checked: {reason}")
