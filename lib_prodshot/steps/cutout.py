"""The step that cuts the product out of its picture; and the choice of what is made."""

from __future__ import annotations

from dataclasses import replace

from lib_prodshot.schema import setting
from lib_prodshot.steps.interface import State, Step, StepSettings


class CutOutSettings(StepSettings):
    """What to make, and how the product's edge is cut."""

    make: str = setting(
        "enhance",
        label="What to make",
        section="packshot",
        choices=("enhance", "packshot"),
        help="enhance changes the product and leaves the rest of the picture as it was; packshot cuts the product out "
        "and puts it on a new ground, without an engine.",
        named_only=True,
    )
    edges: str = setting(
        "feather",
        section="packshot",
        choices=("hard", "feather"),
        help="The cut-out's edge: hard (the mask's own) or feather (the mask blurred a little).",
        named_only=True,
    )
    edge_feather: float = setting(
        1.5,
        section="packshot",
        span=(0.0, 16.0, 0.1),
        unit="pixels",
        help="With edges 'feather': the blur's sigma.",
        named_only=True,
    )


class CutOutStep(Step[CutOutSettings]):
    """Give every pixel the product's share of it, and colours free of the old ground."""

    id = "cutout"
    settings = CutOutSettings
    tab = "Packshot"
    prefix = ""
    make = "packshot"

    def run(self, state: State) -> State:
        """Figures: `band` (pixels whose share was estimated), `unknown_share` of them among the product's."""
        import cv2

        from lib_prodshot.packshot import cutout, placement

        assert state.built is not None
        options, mask = self.options(state.request), state.built.mask
        source = cutout.source_of(state.loaded)
        sigma = options.edge_feather if options.edges == "feather" else 0.0
        cut = cutout.by_blur(source.rgb, mask, sigma)
        outcome = state.outcome
        outcome.notes += (*source.notes, *cutout.edge_notes(cut.alpha))
        outcome.alpha = cutout.levels(cut.alpha)
        band = cv2.countNonZero(cut.band)
        figures = {"band": band, "unknown_share": round(band / max(1, cv2.countNonZero(outcome.alpha)), 4)}
        frame = placement.identity(*mask.shape)
        return replace(state, source=source, cutout=cut, placement=frame, figures=figures)
