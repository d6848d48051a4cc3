"""The step that looks whether a painted scene shows more of the product than there is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lib_prodshot.steps import gates, silhouette
from lib_prodshot.steps.interface import State, Step, StepSettings

if TYPE_CHECKING:
    from lib_prodshot.gates.interface import Answer
    from lib_prodshot.masks import Mask
    from lib_prodshot.packshot.arrays import Rgb


class SceneGateSettings(StepSettings):
    """None of its own: it reads those of the gates."""


class SceneGateStep(Step[SceneGateSettings]):
    """Lay the product over the painted scene, find its silhouette there again, and compare. Only growth can fail: the
    product's own pixels lie over whatever was painted, so none of them can be lost or changed."""

    id = "gate_scene"
    settings = SceneGateSettings
    tab = "Packshot"
    prefix = ""
    stage = "gates"
    make = "packshot"
    per_target = True
    per_try = True
    borrows = ("fidelity", "growth_limit", "fidelity_retries", "on_failure")

    def applies(self, state: State) -> bool:
        """Where a scene was painted, and somebody wants to know."""
        return super().applies(state) and state.enhanced is not None and gates.mode(state.request) != "off"

    def run(self, state: State) -> State:
        """Figures: the number of the `try`, `gates` (pass, fail, not checked), and what was measured."""
        from lib_prodshot.gates.interface import Answers

        reference = state.reference or gates.Reference()
        answer, before = self._growth(state, reference.silhouette)
        answered = Answers((answer,))
        figures: dict[str, float | int | str] = {"try": state.attempt, "gates": answered.status}
        figures |= dict(gates.told(answered.answers))
        return replace(state, answers=answered, reference=replace(reference, silhouette=before), figures=figures)

    def _growth(self, state: State, before: Mask | None) -> tuple[Answer, Mask | None]:
        from lib_prodshot.errors import FinderError
        from lib_prodshot.gates import growth
        from lib_prodshot.gates.interface import not_checked

        assert state.placement is not None
        if state.request.keeps_picture and _is_cut_off(state):
            return not_checked("growth", "the picture cuts the product off, and the scene may go on with it"), before
        try:
            if before is None:
                before = _silhouette_before(state)
            places = silhouette.boxes_in_frame(state, state.placement)
            after = silhouette.in_picture(state, _seen(state), places)
        except FinderError as error:
            return not_checked("growth", str(error)), before
        limit = state.request.gates.growth_limit or growth.SCENE_LIMIT
        return growth.answer(before, after, limit, can_lose=False), before


def _silhouette_before(state: State) -> Mask:
    """What is product in the frame: what the finder saw in the input, and whatever the cut-out keeps any part of."""
    assert state.placement is not None and state.cutout is not None
    seen = silhouette.in_frame(silhouette.of_input(state), state.placement)
    if state.request.keeps_picture:
        return seen
    seen[state.placement.placed_alpha(state.cutout.shares).opacity > 0] = 255
    return seen


def _is_cut_off(state: State) -> bool:
    """Whether the product ends at the picture's edge."""
    assert state.built is not None
    mask = state.built.mask
    return bool(max(mask[0].max(), mask[-1].max(), mask[:, 0].max(), mask[:, -1].max()))


def _seen(state: State) -> Rgb:
    """The product over the scene, as a viewer shows it; without its shadow, which is ours and no growth."""
    from lib_prodshot.packshot import composite

    assert state.cutout is not None and state.placement is not None and state.source is not None
    composed = composite.compose(state.placement.placed_cutout(state.cutout), state.scene)
    return composite.as_picture(composed, state.source.icc).source.seen()
