"""The step that gives the product a shadow on its new ground."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lib_prodshot.errors import FieldProblem
from lib_prodshot.schema import setting
from lib_prodshot.steps.ground import colour_problems
from lib_prodshot.steps.interface import State, Step, StepSettings

if TYPE_CHECKING:
    from lib_prodshot.packshot.shadows import Cover

_DRAWN = {"shadow": ["contact", "soft"]}
_ANY = {"shadow": ["contact", "soft", "kept"]}


class ShadowSettings(StepSettings):
    """Which shadow, and how it looks."""

    shadow: str = setting(
        "auto",
        section="packshot",
        choices=("auto", "none", "contact", "soft", "kept"),
        help="The product's shadow: none, contact (a dark line where it stands), soft (its outline on the floor, under "
        "a large light) or kept (the real one, from a plain ground); auto: as the marketplace wants it, else none.",
        named_only=True,
    )
    shadow_strength: float = setting(
        0.5,
        section="packshot",
        span=(0.0, 1.0, 0.05),
        help="How dark a drawn shadow is at its darkest; a kept one is as dark as it was at 0.5, and 0 is no shadow.",
        named_only=True,
        when=_ANY,
    )
    shadow_softness: float = setting(
        1.0,
        section="packshot",
        span=(0.1, 4.0, 0.1),
        help="How far a drawn shadow's edge is blurred, as a multiple of the usual.",
        named_only=True,
        when=_DRAWN,
    )
    shadow_length: float = setting(
        1.0,
        section="packshot",
        span=(0.1, 4.0, 0.1),
        help="How far a drawn shadow reaches over the floor, as a multiple of the usual.",
        named_only=True,
        when=_DRAWN,
    )
    shadow_colour: str = setting(
        "#000000",
        section="packshot",
        help="The shadow's colour: #rrggbb or a CSS name.",
        example="#000000",
        named_only=True,
        when=_ANY,
    )

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> Iterator[FieldProblem]:
        """A colour that is none."""
        yield from colour_problems(values, "shadow_colour")


class ShadowStep(Step[ShadowSettings]):
    """Draw the product's shadow in its frame, or take the real one along."""

    id = "cast_shadow"
    settings = ShadowSettings
    tab = "Packshot"
    prefix = ""
    make = "packshot"
    per_target = True

    def applies(self, state: State) -> bool:
        """Where a shadow is asked for."""
        options = self.options(state.request)
        return super().applies(state) and options.shadow not in ("auto", "none") and options.shadow_strength > 0

    def run(self, state: State) -> State:
        """Figures: `darkest`, the largest cover of the ground by the shadow."""
        from lib_prodshot.packshot import shadows
        from lib_prodshot.packshot.colours import parse_colour
        from lib_prodshot.packshot.composite import Shadow

        assert state.placement is not None
        options = self.options(state.request)
        cover = self._cover(state)
        if cover is None:
            state.outcome.notes += ("the ground is not plain enough to take its shadow along; there is none",)
            return replace(state, figures={"darkest": 0.0})
        shadow = Shadow(cover, parse_colour(options.shadow_colour))
        darkest = round(shadows.largest(cover, state.placement.height), 4)
        return replace(state, shadow=shadow, figures={"darkest": darkest})

    def _cover(self, state: State) -> Cover | None:
        from lib_prodshot.packshot import shadows

        assert state.cutout is not None and state.placement is not None
        options, cutout, placement = self.options(state.request), state.cutout, state.placement
        if options.shadow == "kept":
            real = shadows.kept(cutout, placement)
            return None if real is None else shadows.Strengthened(real, 2 * options.shadow_strength)
        draw = shadows.contact if options.shadow == "contact" else shadows.soft
        drawn = draw(placement.placed_alpha(cutout.shares), options.shadow_softness, options.shadow_length)
        return shadows.Strengthened(drawn, options.shadow_strength)
