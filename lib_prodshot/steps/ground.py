"""The step that lays the product and its shadow on a ground: the last of a packshot, whose result it writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lib_prodshot.errors import EnhanceError, FieldProblem
from lib_prodshot.schema import setting
from lib_prodshot.steps.interface import State, Step, StepSettings

if TYPE_CHECKING:
    from lib_prodshot.outcome import PackshotAudit
    from lib_prodshot.packshot.arrays import Rgb


class GroundSettings(StepSettings):
    """What the product stands on."""

    ground: str = setting(
        "auto",
        section="packshot",
        choices=("auto", "transparent", "white", "colour", "sweep", "blurred", "picture", "scene"),
        help="What the product stands on: nothing (transparent), pure white, one colour, a paper sweep in that colour "
        "(sweep), the picture's own ground blurred, another picture, or a scene painted around it by the WebUI's "
        "checkpoint; auto: as the marketplace wants it, else white.",
        named_only=True,
    )
    ground_colour: str = setting(
        "#f2f2f2",
        section="packshot",
        help="With ground 'colour' or 'sweep': #rrggbb or a CSS name.",
        example="#f2f2f2",
        named_only=True,
        when={"ground": ["colour", "sweep"]},
    )
    ground_picture: str = setting(
        "",
        section="packshot",
        help="With ground 'picture': the picture file, scaled so that it covers the frame; over the API also base64.",
        example="studio.jpg",
        named_only=True,
        when={"ground": ["picture"]},
    )

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> Iterator[FieldProblem]:
        """A colour that is none. That a ground 'picture' needs its file is told where files are read."""
        yield from colour_problems(values, "ground_colour")


def colour_problems(values: Mapping[str, Any], field: str) -> Iterator[FieldProblem]:
    """The problem of a field that must be a colour and is none."""
    from lib_prodshot.packshot.colours import parse_colour

    if field not in values:
        return
    try:
        parse_colour(values[field])
    except ValueError:
        yield FieldProblem(field, f"{values[field]!r} is not a colour", "#rrggbb or a CSS name such as 'ivory'")


class ComposeStep(Step[GroundSettings]):
    """Lay the product over its shadow over the ground, in the frame, and count whether its inner pixels are kept."""

    id = "compose"
    settings = GroundSettings
    tab = "Packshot"
    prefix = ""
    make = "packshot"
    per_target = True

    def run(self, state: State) -> State:
        """Figures: `width` and `height` of the packshot. Raises `EnhanceError` where an inner pixel would change."""
        from lib_prodshot.packshot import composite, residue

        assert state.cutout is not None and state.placement is not None and state.source is not None
        placed = state.placement.placed_cutout(state.cutout)
        if state.request.cutout.edges == "matte" and state.cutout.band.any():
            # enlarging draws an estimated edge out; a given one, and a picture's own alpha, are as they are meant
            placed = residue.unveiled(placed, residue.FRAME_REACH)
        composed = composite.compose(placed, self._ground(state), state.shadow, in_place=True)
        outcome = state.outcome
        outcome.result = composite.as_picture(composed, state.source.icc)
        outcome.picture = outcome.result.rgb
        outcome.audit = composite.audit(composed, state.placement, state.cutout, placed)
        _refuse_change(outcome.audit)
        return replace(state, placed=placed, figures={"width": state.placement.width, "height": state.placement.height})

    def _ground(self, state: State) -> Rgb | None:
        from lib_prodshot.packshot import grounds
        from lib_prodshot.packshot.colours import parse_colour

        assert state.placement is not None and state.cutout is not None
        options, size = self.options(state.request), (state.placement.height, state.placement.width)
        if options.ground == "transparent":
            return None
        if options.ground == "white":
            return grounds.plain(*size, (255, 255, 255))
        if options.ground == "blurred":
            return grounds.blurred(state.cutout, state.placement)
        if options.ground == "scene":
            assert state.scene is not None
            return state.scene
        if options.ground == "picture":
            if state.ground is None:
                raise EnhanceError("no picture for the ground was given; name one that this program may read")
            return grounds.fitted(state.ground, *size)
        make = grounds.plain if options.ground == "colour" else grounds.sweep
        return make(*size, parse_colour(options.ground_colour))


def _refuse_change(audit: PackshotAudit) -> None:
    if audit.changed_inside:
        raise EnhanceError(f"{audit.changed_inside} pixels inside the product would have changed; nothing was written")
