"""What the steps that change the product share: the enhancer is asked for new colours, which must fit the picture."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from lib_prodshot.errors import EnhanceError
from lib_prodshot.steps.interface import S, State, Step

if TYPE_CHECKING:
    from lib_prodshot.enhancing.interface import Enhanced, Task


class EnhanceStep(Step[S]):
    """Base of the engines' steps: hand the picture and its mask to the enhancer that the caller gave."""

    tab = "Enhance"
    prefix: ClassVar[str | None] = ""
    stage = "enhance"
    make = "enhance"
    per_try = True

    def run(self, state: State) -> State:
        """Figures: what the enhancer measured."""
        from lib_prodshot.enhancing.interface import Task

        assert state.built is not None
        built, outcome = state.built, state.outcome
        task = Task(
            state.loaded.rgb,
            built.mask,
            built.alpha,
            outcome.detections,
            state.request,
            pieces=built.pieces,
            attempt=state.attempt,
            references=state.references,
        )
        return asked(state, task)


def asked(state: State, task: Task) -> State:
    """The state with the enhancer's answer to a task, its notes in the outcome and its measures as figures. Raises
    `EnhanceError` for an answer that does not fit the task's picture."""
    assert state.enhancer is not None
    enhanced = state.enhancer.enhance(task)
    _refuse_misfit(state.enhancer.name, enhanced, task)
    state.outcome.notes += enhanced.notes
    state.outcome.ran = enhanced.ran
    figures = {name: round(value, 4) for name, value in enhanced.measures.items()}
    painted = state.painted if enhanced.painted is None else (*state.painted, enhanced.painted)
    return replace(state, enhanced=enhanced, figures=figures, painted=painted)


def _refuse_misfit(engine: str, enhanced: Enhanced, task: Task) -> None:
    """Raise `EnhanceError` for an answer that cannot be laid over the task's picture, such as one of floats."""
    rgb = getattr(enhanced, "rgb", None)
    if rgb is None or rgb.shape != task.picture.shape or rgb.dtype != task.picture.dtype:
        told = "nothing" if rgb is None else f"{rgb.dtype} values of shape {rgb.shape}"
        raise EnhanceError(f"the engine {engine} gave {told} for a picture of shape {task.picture.shape}")
