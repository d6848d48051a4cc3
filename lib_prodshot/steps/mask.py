"""The step that makes one feathered mask of the chosen detections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lib_prodshot.corrections import parse_edits
from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.outcome import Detection, Verdict
from lib_prodshot.products import ProductClass
from lib_prodshot.schema import setting
from lib_prodshot.steps.interface import State, Step, StepSettings

if TYPE_CHECKING:
    from lib_prodshot.finding.interface import Findings
    from lib_prodshot.masks import BuiltMask
    from lib_prodshot.request import Request


class MaskSettings(StepSettings):
    """How the soft masks of the detections become one mask."""

    mask_threshold: float = setting(
        0.5,
        span=(0.01, 0.99, 0.01),
        help="A pixel belongs to the product from this probability on.",
    )
    grow: int = setting(
        0,
        label="Grow mask",
        span=(-512, 512, 1),
        unit="pixels",
        help="Widen the mask by this many pixels; negative numbers shrink it.",
    )
    grow_share: float = setting(
        0.0,
        label="Grow mask by share",
        span=(-0.5, 0.5, 0.01),
        help="Widen the mask by this share of its box's longer side, on top of 'grow'; negative numbers shrink it.",
    )
    fill_holes: float = setting(
        0.0,
        span=(0.0, 1.0, 0.01),
        help="Fill holes up to this share of the mask's area (1 fills all, such as the gap under a handle); 0 is off.",
    )
    drop_specks: float = setting(
        0.01,
        span=(0.0, 1.0, 0.01),
        help="Drop separate pieces of a mask smaller than this share of its largest piece; 0 keeps all.",
    )
    feather: float = setting(
        4.0,
        span=(0.0, 64.0, 0.5),
        unit="pixels",
        help="Soften the mask's edge (the WebUI's mask blur; the seed used 4); it reaches 2.5 times as far.",
    )
    invert: bool = setting(
        False,
        label="Invert mask",
        help="Work on everything but the product.",
    )
    mask_edits: str = setting(
        "",
        help="Corrections of the mask: brush strokes ('add 12: 30 40, 35 44', 'erase 6: 80 20', radius and points in "
        "pixels) and points for LangSAM's segmenter ('include: 50 50', 'exclude: 10 12'). Filled by Find.",
        example="add 12: 30 40, 35 44; erase 6: 80 20",
        named_only=True,
    )

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> Iterator[FieldProblem]:
        """Edits that cannot be read."""
        try:
            parse_edits(values.get("mask_edits", ""))
        except RequestError as error:
            yield from error.problems


class MaskStep(Step[MaskSettings]):
    """Threshold, clean, grow, join and feather the masks; skip the picture where no instance has the asked number."""

    id = "mask"
    settings = MaskSettings
    tab = "Mask"
    prefix = ""
    in_dry_run = True

    def run(self, state: State) -> State:
        """Figures: `pixels` of the mask, `share` of the picture that it covers, `edits` if there are any; `width` and
        `height` of what a frame will hold where a folder gets one scale."""
        import cv2

        from lib_prodshot.masks import build_mask

        assert state.findings is not None
        # boxes that were chosen by themselves are not chosen among once more
        chosen = None if state.request.find.chosen_boxes is None else range(len(state.findings.finds))
        built = build_mask(state.findings.finds, state.request, state.edits.strokes, chosen)
        outcome = state.outcome
        outcome.detections = detections_of(state.request.classes, state.findings, built)
        if not outcome.detections:
            number, count = state.request.find.instance_index, len(state.findings.finds)
            outcome.verdict = Verdict("skipped", f"no product has an instance number {number}; {count} found")
            return state
        outcome.mask, outcome.alpha = built.mask, built.alpha
        if state.request.makes_packshot:
            # which is cut along the mask itself
            built = replace(built, alpha=built.mask)
        pixels = cv2.countNonZero(built.mask)
        figures: dict[str, float | int] = {"pixels": pixels, "share": round(pixels / built.mask.size, 4)}
        if state.request.frame.same_scale:
            figures["width"], figures["height"] = _framed_size(state.request, built)
        if state.edits:
            edits = figures["edits"] = len(state.edits.strokes) + len(state.edits.prompts)
            outcome.notes += (f"the mask was corrected by hand ({edits} {'edit' if edits == 1 else 'edits'})",)
        return replace(state, built=built, figures=figures)


def _framed_size(request: Request, built: BuiltMask) -> tuple[int, int]:
    """Width and height of what a packshot's frame will hold: of the mask, or of the largest product's."""
    from lib_prodshot.bounds import bounding_box

    if request.frame.several_products == "together" or request.invert:
        return bounding_box(built.mask)[2:]
    sizes = [bounding_box(piece.mask)[2:] for piece in built.pieces if piece.mask.size]
    return max(width for width, _ in sizes), max(height for _, height in sizes)


def detections_of(classes: Sequence[ProductClass], findings: Findings, built: BuiltMask) -> tuple[Detection, ...]:
    """The chosen finds as detections: labels as the user wrote them, boxes in whole pixels, areas of their masks."""
    chosen = [findings.finds[index].box for index in built.chosen]
    return tuple(
        Detection(classes[box.class_index].name, box.score, whole_pixels(box.corners), area)
        for box, area in zip(chosen, built.areas, strict=True)
    )


def whole_pixels(corners: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
    """A box's corners, rounded."""
    x0, y0, x1, y1 = (round(corner) for corner in corners)
    return x0, y0, x1, y1
