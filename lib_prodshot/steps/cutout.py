"""The step that cuts the product out of its picture; and the choice of what is made."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lib_prodshot.errors import EnhanceError
from lib_prodshot.schema import setting
from lib_prodshot.steps.interface import State, Step, StepSettings

if TYPE_CHECKING:
    from lib_prodshot.packshot.arrays import Grey
    from lib_prodshot.packshot.cutout import CutOut, Source


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
        "matte",
        section="packshot",
        choices=("hard", "feather", "matte"),
        help="The cut-out's edge: hard (the mask's own), feather (the mask blurred a little) or matte (estimated from "
        "the picture, with the old ground taken out of its colours).",
        named_only=True,
    )
    edge_feather: float = setting(
        1.5,
        section="packshot",
        span=(0.0, 16.0, 0.1),
        unit="pixels",
        help="With edges 'feather': the blur's sigma.",
        named_only=True,
        when={"edges": ["feather"]},
    )


class CutOutStep(Step[CutOutSettings]):
    """Give every pixel the product's share of it, and colours free of the old ground."""

    id = "cutout"
    settings = CutOutSettings
    tab = "Packshot"
    prefix = ""
    make = "packshot"
    per_product = True

    def run(self, state: State) -> State:
        """Figures: `band` (pixels whose share was estimated), `unknown_share` of them among the product's, `cut_by`
        (hard, feather, matte; guided where matting had no answer; own alpha; whole picture), `pieces` that do not touch
        each other."""
        import cv2
        import numpy as np

        from lib_prodshot.components import components_of
        from lib_prodshot.packshot import cutout, placement

        assert state.built is not None
        source = cutout.source_of(state.loaded)
        cut, cut_by, notes = self._cut(state, source)
        outcome = state.outcome
        own = cut.shares.opacity
        edge_notes = () if cut_by == WHOLE else cutout.edge_notes(own)
        outcome.notes += (*source.notes, *notes, *edge_notes)
        outcome.alpha = own if state.number <= 1 or outcome.alpha is None else np.maximum(outcome.alpha, own)
        band, pixels = cv2.countNonZero(cut.band), cv2.countNonZero(own)
        if not pixels:
            raise EnhanceError("nothing is left of the product: the picture is wholly transparent there")
        figures: dict[str, float | int | str] = {
            "band": band,
            "unknown_share": round(band / pixels, 4),
            "cut_by": cut_by,
            "pieces": components_of(state.built.mask).count,
        }
        frame = placement.identity(*cut.shares.shape)
        return replace(state, source=source, cutout=cut, placement=frame, figures=figures)

    def _cut(self, state: State, source: Source) -> tuple[CutOut, str, tuple[str, ...]]:
        from lib_prodshot.packshot import cutout, residue, scenes

        assert state.built is not None
        options, mask = self.options(state.request), state.built.mask
        if state.request.keeps_picture:
            return scenes.whole(source.rgb), WHOLE, ()
        own = state.loaded.alpha
        if own is not None and int(own.min()) < 255:
            cut = cutout.by_own_alpha(source.rgb, own, mask)
            if _covered(mask, cut.shares.opacity) >= _OWN_SHARE:
                return cut, "own alpha", ("the picture's own transparency was taken as the cut-out",)
        if options.edges != "matte":
            sigma = options.edge_feather if options.edges == "feather" else 0.0
            cut, cut_by = cutout.by_blur(source.rgb, mask, sigma), options.edges
        else:
            cut, is_matted = cutout.by_matte(source.rgb, mask, _soft(state))
            cut_by = "matte" if is_matted else "guided"
            cut = residue.cleared(cut)
        if own is not None:
            cut = cutout.limited(cut, own)
        notes = ("the edge could not be matted and was drawn by a guided filter",) if cut_by == "guided" else ()
        return cut, cut_by, notes


WHOLE = "whole picture"
"""Said of a cut-out that is the picture itself, for a scene that is painted around it."""

_OWN_SHARE = 0.5
"""The mask covers at least so much of what a transparent picture shows where that is the product cut out already, and
not a photograph with rounded corners, say."""


def _covered(mask: Grey, opacity: Grey) -> float:
    """How much of what is not wholly transparent (H×W) lies in the mask (H×W, 255)."""
    shown = opacity > 0
    return float((shown & (mask > 0)).sum() / max(1, shown.sum()))


def _soft(state: State) -> Grey | None:
    """The chosen finds' soft masks as one; None where the mask's edge is not theirs."""
    from lib_prodshot.masks import union

    assert state.built is not None and state.findings is not None
    mask = state.request.mask
    if mask.invert or mask.grow or mask.grow_share or abs(mask.mask_threshold - 0.5) > 0.2:
        return None
    finds = state.findings.finds
    return union([finds[index].soft_mask for index in state.built.chosen])
