"""The last step of a packshot: the picture as a shop takes it, in sRGB and in the file format that is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.schema import setting
from lib_prodshot.steps.interface import State, Step, StepSettings

FORMATS = ("auto", "jpeg", "png", "webp", "tiff")


class ShopSettings(StepSettings):
    """For whom the packshot is, and as which file."""

    marketplace: str = setting(
        "",
        section="packshot",
        help="For whom: amazon, zalando … (all: prodshot check --list); several, with commas, give a packshot each. "
        "It sets ground, shadow, fill, size and format where they are not set, and the result is checked by its rules.",
        example="amazon, zalando",
        named_only=True,
    )
    format: str = setting(
        "auto",
        section="packshot",
        fold="Frame and file",
        label="File format",
        choices=FORMATS,
        help="The packshot's file: jpeg (4:4:4), png, webp or tiff; auto: as the marketplace wants it, else png.",
        named_only=True,
    )
    quality: int = setting(
        95,
        section="packshot",
        fold="Frame and file",
        label="File quality",
        span=(40, 100, 1),
        help="Of jpeg and webp; webp without loss at 100. Below 90 rings appear around the product, in white too.",
        named_only=True,
        when={"format": ["auto", "jpeg", "webp"]},
    )
    max_bytes: int = setting(
        0,
        section="packshot",
        fold="Frame and file",
        span=(0, 1_000_000_000, 1),
        unit="bytes",
        help="The largest file: the quality is lowered until it fits. 0: what the marketplace allows.",
        named_only=True,
    )
    file_names: str = setting(
        "",
        section="packshot",
        fold="Frame and file",
        help="The packshot's file name: {stem} (of the picture), {product}, {marketplace}, {n} (its number; with a "
        "frame for each product that product's). Empty: {stem}-{marketplace}, {stem} without one, {stem}-{n} for each "
        "product.",
        example="{stem}-{marketplace}",
        named_only=True,
    )

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> Iterator[FieldProblem]:
        """An unknown marketplace; a file name that cannot be one; transparency in a format that has none."""
        from lib_prodshot.packshot.naming import name_problem
        from lib_prodshot.steps.targets import known_markets

        try:
            count = len(known_markets(values.get("marketplace", "")))
        except RequestError as error:
            yield from error.problems
            count = 0
        problem = name_problem(values.get("file_names", ""), count, values.get("several_products") == "each")
        if problem:
            yield FieldProblem("file_names", problem, "text with {stem}, {product}, {marketplace}, {n}")
        if values.get("ground") == "transparent" and values.get("format") == "jpeg":
            yield FieldProblem("format", "jpeg knows no transparency", "png, webp, tiff, or another ground")


class ShopStep(Step[ShopSettings]):
    """Convert the packshot to sRGB and keep it with what its file is to be."""

    id = "shop"
    settings = ShopSettings
    tab = "Packshot"
    prefix = ""
    make = "packshot"
    per_target = True

    def run(self, state: State) -> State:
        """Figures: `marketplace` and what it set."""
        from lib_prodshot.outcome import Packshot
        from lib_prodshot.packshot import shop
        from lib_prodshot.packshot.framing import fill_of, product_box

        outcome, target = state.outcome, state.target
        assert outcome.result is not None and state.placement is not None and state.placed is not None
        assert target is not None
        options = self.options(state.request)
        outcome.result = shop.in_srgb(outcome.result)
        outcome.picture = outcome.result.rgb
        opacity = state.placed.shares.opacity
        box, (height, width) = product_box(opacity), opacity.shape
        outcome.packshots.append(
            Packshot(
                target.marketplace,
                outcome.result,
                opacity,
                shop.format_for(options.format, outcome.result),
                options.quality,
                options.max_bytes or target.limit,
                (width, height),
                round(fill_of(box, width, height), 4),
                round(box[2] * box[3] / (width * height), 4),
                round(state.placement.total_scale, 4),
                target.made,
                outcome.audit,
                _label(state),
                state.number,
                state.placement.enlarged_by,
            )
        )
        made = {f"set_{name}": value for name, value in target.made.items()}
        return replace(state, figures={"marketplace": target.marketplace, **made})


def _label(state: State) -> str:
    """The label of the product that this frame is for; '' where it holds all of them."""
    if not state.number or state.built is None or state.findings is None:
        return ""
    found = state.findings.finds[state.built.chosen[0]].box
    return state.request.classes[found.class_index].name
