"""The step that frames a packshot: crop, fill, margins, alignment and size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lib_prodshot.errors import FieldProblem
from lib_prodshot.schema import setting
from lib_prodshot.steps.interface import State, Step, StepSettings

if TYPE_CHECKING:
    from lib_prodshot.packshot.framing import Frame, Framed

DEFAULT_FILL = 0.85
"""Where a frame is asked for and its fill is not: what most marketplaces accept."""


class FrameSettings(StepSettings):
    """Where the product stands in its packshot, and how large."""

    fill: float = setting(
        0.0,
        section="packshot",
        span=(0.0, 1.0, 0.01),
        help="The share of the frame that the product's box takes, along the side where it takes more. 0: as the "
        "marketplace wants it; without one 0.85 where a size is given, else the picture keeps its frame.",
        named_only=True,
    )
    size: str = setting(
        "",
        section="packshot",
        help="The packshot's size in pixels ('2000x2000') or its ratio alone ('4:5', the product keeps its scale). "
        "Empty: as the marketplace wants it; without one the picture's own ratio.",
        example="2000x2000",
        named_only=True,
    )
    margin: float = setting(
        0.0,
        section="packshot",
        fold="Frame and file",
        span=(0.0, 0.45, 0.01),
        help="At least this share of the frame stays free on every side of the product, whatever the fill.",
        named_only=True,
    )
    align: str = setting(
        "centre",
        section="packshot",
        fold="Frame and file",
        choices=("centre", "baseline"),
        help="Where the product's box stands: in the middle, or all products of a folder on one line.",
        named_only=True,
    )
    frame_scale: float = setting(
        0.0,
        section="packshot",
        fold="Frame and file",
        span=(0.0, 16.0, 0.001),
        help="Pixels of the packshot for one of the picture, in place of the fill: variants photographed alike keep "
        "their sizes among each other. 0: by the fill.",
        named_only=True,
    )
    same_scale: bool = setting(
        False,
        section="packshot",
        fold="Frame and file",
        help="Show all products of a folder at one scale: the largest fills its frame as asked, the others keep their "
        "sizes beside it. All pictures are looked through first.",
        named_only=True,
    )
    reference: str = setting(
        "",
        section="packshot",
        fold="Frame and file",
        label="Reference size",
        help="Width and height of a product in its photograph, in pixels, that fills the frame as asked; others keep "
        "their sizes beside it. 'same_scale' measures it.",
        example="1200x900",
        named_only=True,
    )
    several_products: str = setting(
        "together",
        section="packshot",
        choices=("together", "each"),
        help="Several products in one picture: all together in one frame, or a packshot of each.",
        named_only=True,
    )
    enlarge: str = setting(
        "plain",
        section="packshot",
        fold="Frame and file",
        choices=("plain", "model", "never"),
        help="A product that is too small for its frame: plain enlarges it by interpolation, model by an upscaler, and "
        "both are told; never makes the packshot smaller.",
        named_only=True,
    )
    upscaler: str = setting(
        "",
        section="packshot",
        fold="Frame and file",
        help="With enlarge 'model': the WebUI's upscaler by its name (empty: its first), in commands the file of a "
        "model that spandrel reads.",
        example="R-ESRGAN 4x+",
        named_only=True,
    )

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> Iterator[FieldProblem]:
        """A size that is none, and a reference."""
        from lib_prodshot.packshot.framing import parse_reference, parse_size

        try:
            parse_size(values.get("size", ""))
        except ValueError as error:
            yield FieldProblem("size", str(error), "WIDTHxHEIGHT in pixels such as 2000x2000, or a ratio such as 4:5")
        try:
            parse_reference(values.get("reference", ""))
        except ValueError as error:
            yield FieldProblem("reference", str(error), "WIDTHxHEIGHT in pixels such as 1200x900")


class FrameStep(Step[FrameSettings]):
    """Crop, scale and place the product in its frame; where none is asked for the picture keeps its own."""

    id = "frame"
    settings = FrameSettings
    tab = "Packshot"
    prefix = ""
    make = "packshot"
    per_target = True

    def applies(self, state: State) -> bool:
        """Where a frame is asked for."""
        options = self.options(state.request)
        asked = options.fill or options.size or options.margin or options.frame_scale or options.reference
        return super().applies(state) and bool(asked)

    def run(self, state: State) -> State:
        """Figures: `fill` and `area_share` of the product's box as they came out, `scale` of the picture, `enlarged_by`
        what enlarged it, if anything did."""
        from lib_prodshot.errors import EnhanceError
        from lib_prodshot.packshot import framing

        assert state.cutout is not None
        try:
            framed = framing.frame(state.cutout, self._wanted(state))
        except ValueError as error:
            raise EnhanceError(str(error)) from error
        state.outcome.notes += framed.notes
        if framed.placement.scale > 1:
            framed = self._enlarged(framed, state)
        scale = round(framed.placement.total_scale, 4)
        figures: dict[str, float | str] = {"fill": framed.fill, "area_share": framed.area_share, "scale": scale}
        if framed.placement.enlarged_by:
            figures["enlarged_by"] = framed.placement.enlarged_by
        return replace(state, cutout=framed.cutout, placement=framed.placement, figures=figures)

    def _enlarged(self, framed: Framed, state: State) -> Framed:
        """The frame with its product enlarged by a model where that is asked for; said either way."""
        from lib_prodshot.errors import EnhanceError
        from lib_prodshot.packshot import upscaling

        times = framed.placement.scale
        if self.options(state.request).enlarge == "model":
            if state.upscaler is None:
                raise EnhanceError("there is no upscaler to enlarge the product by; set enlarge to plain or never")
            framed = upscaling.enlarged(framed, state.upscaler)
        else:
            framed = replace(framed, placement=replace(framed.placement, enlarged_by=upscaling.PLAIN))
        by = framed.placement.enlarged_by
        told = f"the product was enlarged {times:.2f} times by {by} to fill its frame"
        state.outcome.notes += (f"{told}; a larger photograph would be better",)
        return framed

    def _wanted(self, state: State) -> Frame:
        from lib_prodshot.packshot.framing import Frame, parse_reference, parse_size

        options = self.options(state.request)
        return Frame(
            parse_size(options.size),
            options.fill or (1.0 if state.request.keeps_picture else DEFAULT_FILL),
            options.margin,
            "baseline" if options.align == "baseline" else "centre",
            options.frame_scale,
            options.enlarge != "never",
            parse_reference(options.reference),
        )
