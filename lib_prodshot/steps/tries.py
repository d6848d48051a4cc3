"""Tries at a product that failed its gates: with which settings each is made, and which one is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lib_prodshot.steps import gates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lib_prodshot.gates.interface import Rectangle
    from lib_prodshot.outcome import Outcome
    from lib_prodshot.request import Request
    from lib_prodshot.steps.interface import State

DENOISING = 0.8
"""Each further try denoises so much less of what the one before did."""

CONTROL = 0.25
"""Each further try raises ControlNet's weight by this, up to 2."""

RETOUCH = 0.5
"""Each further try retouches with so much of the strength of the one before."""


def changed(request: Request, number: int) -> Request:
    """The settings of try `number` (1: the request itself). The seed is the engine's to change (`Task.attempt`),
    and all there is to change of an edit."""
    further = number - 1
    if not further:
        return request
    if request.running_engine == "edit":
        return request
    if request.running_engine == "retouch":
        return request.replace(strength=request.retouch.strength * RETOUCH**further)
    options = request.inpaint
    denoising = "scene_denoising" if request.makes_packshot else "denoising_strength"
    values: dict[str, Any] = {denoising: getattr(request, denoising) * DENOISING**further}
    if options.control != "off":
        values["control_weight"] = max(options.control_weight, min(2.0, options.control_weight + CONTROL * further))
    return request.replace(**values)


@dataclass(frozen=True)
class Try:
    """One try, as it was when its gates had answered: the state, and what it wrote into the outcome."""

    number: int
    state: State
    written: dict[str, Any]

    @classmethod
    def of(cls, number: int, state: State) -> Try:
        """Remember what the outcome holds now."""
        return cls(number, state, {name: getattr(state.outcome, name) for name in _WRITTEN})

    def restore(self, outcome: Outcome) -> None:
        """Write it into the outcome again, over a later try's."""
        for name, value in self.written.items():
            setattr(outcome, name, value)

    @property
    def passed(self) -> bool:
        """Whether there is nothing to try again for."""
        return self.state.answers is None or self.state.answers.passed

    @property
    def lost_text(self) -> tuple[Rectangle, ...]:
        """The boxes of lines of text that were lost."""
        return () if self.state.answers is None else self.state.answers.lost

    @property
    def badness(self) -> tuple[int, float]:
        """What the best try has least of."""
        return (0, 0.0) if self.state.answers is None else self.state.answers.badness

    @property
    def failure(self) -> str:
        """Why its gates failed, for a sentence."""
        return "" if self.state.answers is None else self.state.answers.describe()


_WRITTEN = ("notes", "result", "picture", "audit", "ran")


def notes_on(request: Request, best: Try, made: int, stopped: str) -> Iterator[str]:
    """What the user is told of the tries, where their result is kept."""
    mode = gates.mode(request)
    if made > 1 or stopped:
        end = f"; try {made + 1} stopped: {stopped}" if stopped else ""
        yield f"try {best.number} of {made} was taken{end}"
    if not best.passed and (mode == "report" or request.gates.on_failure == "warn"):
        yield f"look whether it is still the same product: {best.failure}"
    if mode == "hold" and best.state.answers is not None:
        yield from (answer.reason for answer in best.state.answers.answers if answer.status == "not checked")


def refusal(best: Try, made: int, stopped: str) -> str:
    """Why the picture was left as it was."""
    tries = "the only try" if made == 1 else f"the best of {made} tries (try {best.number})"
    end = f"; try {made + 1} stopped: {stopped}" if stopped else ""
    advice = "change the settings, raise the limits, or set 'on_failure' to warn"
    kept = "no packshot was made" if best.state.request.makes_packshot else "the input was kept"
    return f"{tries} is not the same product any more: {best.failure}{end}; {kept}: {advice}"
