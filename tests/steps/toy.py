"""A step that nobody ships: it makes what is enhanced lighter. Put into the registry as a new step would be."""

from __future__ import annotations

from dataclasses import replace

import cv2

from lib_prodshot.schema import setting
from lib_prodshot.steps import registry
from lib_prodshot.steps.interface import State, Step, StepSettings


class LightenSettings(StepSettings):
    """How much lighter."""

    amount: int = setting(0, span=(0, 100, 1), unit="levels", help="Add this to every channel of the product.")
    curve: str = setting("flat", choices=("flat", "steep"), help="How the levels are raised.")


class LightenStep(Step[LightenSettings]):
    """Make the product lighter."""

    id = "lighten"
    version = 3
    settings = LightenSettings
    tab = "Lighten"

    def applies(self, state: State) -> bool:
        return state.enhanced is not None and self.options(state.request).amount > 0

    def run(self, state: State) -> State:
        assert state.enhanced is not None
        amount = self.options(state.request).amount
        lighter = cv2.add(state.enhanced.rgb, (amount, amount, amount, 0))
        return replace(state, enhanced=replace(state.enhanced, rgb=lighter), figures={"amount": amount})


_BEFORE = [step.id for step in registry.STEPS].index("preserve")
WITH_TOY = (*registry.STEPS[:_BEFORE], LightenStep(), *registry.STEPS[_BEFORE:])
