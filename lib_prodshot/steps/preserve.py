"""The step that keeps every pixel outside the feathered mask as it was, and counts that into the outcome."""

from __future__ import annotations

from lib_prodshot.errors import EnhanceError
from lib_prodshot.outcome import Audit
from lib_prodshot.schema import setting
from lib_prodshot.steps.interface import State, Step, StepSettings


class PreserveSettings(StepSettings):
    """What else is kept beside the result."""

    save_originals: bool = setting(
        False,
        section="output",
        help="Also keep each picture as it was before, in the gallery and on disk.",
        webui_only=True,
    )
    save_masks: bool = setting(
        False,
        section="output",
        help="Also keep each mask (white: the product), in the gallery and on disk.",
        webui_only=True,
    )
    save_overlays: bool = setting(
        False,
        section="output",
        help="Also keep each picture with its boxes, scores and mask drawn on it, in the gallery and on disk.",
        webui_only=True,
    )
    warn_delta_e: float = setting(
        20.0,
        label="Warn of a colour shift",
        section="output",
        span=(0.0, 100.0, 0.5),
        unit="ΔE2000",
        help="Say so when the product's colours moved further than this on average (twice the colour limit that the "
        "retouch keeps to); 0 never says it.",
        named_only=True,
        when={"make": ["enhance"]},
    )


class PreserveStep(Step[PreserveSettings]):
    """Composite the new colours over the input by the feathered mask, in the picture's own mode, and audit it."""

    id = "preserve"
    settings = PreserveSettings
    tab = "Output"
    prefix = ""

    def applies(self, state: State) -> bool:
        """Where an engine gave new colours."""
        return state.enhanced is not None

    def run(self, state: State) -> State:
        """Its figures are the outcome's audit. Raises `EnhanceError` where a pixel outside would have changed."""
        from lib_prodshot import pictures, preserve

        assert state.built is not None and state.enhanced is not None
        loaded, alpha, outcome = state.loaded, state.built.alpha, state.outcome
        composed = preserve.composite(loaded.rgb, state.enhanced.rgb, alpha, in_place=state.enhanced.is_spare)
        outcome.result = pictures.restore(loaded, composed, alpha, is_composed=True)
        outcome.notes = (*outcome.notes, *outcome.result.notes)
        # what a palette or a grey mode made of the colours, for that is what will be seen and measured
        outcome.picture = outcome.result.rgb
        outcome.audit = preserve.audit(loaded, outcome.result, outcome.picture, alpha)
        _refuse_leak(outcome.audit)
        outcome.notes += _warn_of_shift(outcome.audit, self.options(state.request).warn_delta_e)
        return state


def _warn_of_shift(audit: Audit, limit: float) -> tuple[str, ...]:
    if not limit or audit.delta_e_mean <= limit:
        return ()
    told = f"ΔE2000 {audit.delta_e_mean:.1f} on average, {audit.delta_e_p95:.1f} at the 95th percentile"
    return (f"the product's colours moved by {told}, above {limit:g}: look whether it is still the same product",)


def _refuse_leak(audit: Audit) -> None:
    if audit.changed_outside:
        raise EnhanceError(f"{audit.changed_outside} pixels outside the mask would have changed; nothing was written")
