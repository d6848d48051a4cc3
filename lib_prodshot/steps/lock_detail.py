"""The step that puts the original's fine detail back onto what diffusion painted."""

from __future__ import annotations

from dataclasses import replace

from lib_prodshot.schema import setting
from lib_prodshot.steps.interface import State, Step, StepSettings


class DetailLockSettings(StepSettings):
    """How much of the original's fine detail comes back."""

    detail_lock: float = setting(
        0.0,
        section="enhance",
        span=(0.0, 1.0, 0.05),
        help="Put this much of the original's fine detail (print, weave, letters) back onto what the pass painted; "
        "light and colours stay the pass's.",
        named_only=True,
    )


class DetailLockStep(Step[DetailLockSettings]):
    """Frequency separation inside the feathered mask; and, where the text gate says so, all detail of lost lines."""

    id = "lock_detail"
    settings = DetailLockSettings
    tab = "Enhance"
    prefix = ""
    engine = "inpaint"
    make = "enhance"
    stage = "enhance"

    def applies(self, state: State) -> bool:
        """Where an engine gave new colours, and detail is to come back."""
        is_wanted = self.options(state.request).detail_lock > 0 or bool(state.lost_text)
        return super().applies(state) and state.enhanced is not None and is_wanted

    def run(self, state: State) -> State:
        """Figures: `strength`, and `lines` of text whose detail came back."""
        from lib_prodshot.gates import detail_lock

        assert state.built is not None and state.enhanced is not None
        strength = self.options(state.request).detail_lock
        original, alpha = state.loaded.rgb, state.built.alpha
        rgb = detail_lock.lock(original, state.enhanced.rgb, alpha, strength)
        rgb = detail_lock.restore(original, rgb, alpha, state.lost_text)
        figures: dict[str, float | int] = {"strength": strength}
        if state.lost_text:
            figures["lines"] = len(state.lost_text)
        return replace(state, enhanced=replace(state.enhanced, rgb=rgb), figures=figures)
