"""The step that removes what does not belong (stickers, dates, watermarks), before the product is worked on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lib_prodshot import removal
from lib_prodshot.errors import EnhanceError, FieldProblem, RequestError
from lib_prodshot.schema import setting
from lib_prodshot.steps.enhance import asked
from lib_prodshot.steps.interface import State, Step, StepSettings

if TYPE_CHECKING:
    from lib_prodshot.gates.text import Line, TextReader
    from lib_prodshot.removal import Mask, Rgb
    from lib_prodshot.request import Request

_FOLD = "Remove"

MUCH = 0.2
"""The share of the product from which on somebody should look at what is left of it."""

READ = 0.5
"""A line of text is removed that the reader is so sure of: a watermark is faint."""


class CleanUpSettings(StepSettings):
    """What is removed, and by what."""

    remove: str = setting(
        "",
        label="Remove",
        section="mask",
        help="Paint over what does not belong: 'text' (all text outside the product: dates, watermarks) and boxes "
        "anywhere, 'x0 y0 x1 y1' in pixels or in % of width and height.",
        example="text; 70% 90% 100% 100%",
        fold=_FOLD,
        named_only=True,
    )
    remove_with: str = setting(
        "fill",
        label="Remove with",
        section="mask",
        choices=("fill", "inpaint"),
        help="Fill it from around it (for small spots and plain grounds), or paint over it with the engine inpaint's "
        "checkpoint.",
        fold=_FOLD,
        named_only=True,
    )
    remove_prompt: str = setting(
        "clean empty background",
        label="Prompt of the removal",
        section="mask",
        help="With inpaint: what is painted in its place.",
        fold=_FOLD,
        when={"remove_with": ["inpaint"]},
        named_only=True,
    )

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> Iterator[FieldProblem]:
        """A list of boxes that cannot be read."""
        try:
            removal.parse(values.get("remove", ""))
        except RequestError as error:
            yield from error.problems

    @property
    def wanted(self) -> removal.Removal:
        """What is to go."""
        return removal.parse(self.remove)


class CleanUpStep(Step[CleanUpSettings]):
    """Paint over text outside the product and over the user's boxes. What comes after takes the picture without them
    for its input; the same exact composite as ever keeps all other pixels, and the same audit counts them."""

    id = "clean_up"
    settings = CleanUpSettings
    tab = "Mask"
    prefix = ""

    def applies(self, state: State) -> bool:
        """Where something is to go."""
        return super().applies(state) and bool(self.options(state.request).wanted)

    def run(self, state: State) -> State:
        """Figures: `boxes` and `lines` painted over, their `pixels`, the share of the `product` that was among them,
        and pixels `changed_outside` them (none). Raises `EnhanceError` for boxes outside the picture, and where too
        little of it would be left."""
        from lib_prodshot import pictures, preserve

        assert state.built is not None
        wanted = self.options(state.request).wanted
        boxes = _boxes(state, wanted)
        lines = _lines(state) if wanted.text else ()
        region = _region(state, boxes, lines)
        pixels = int((region > 0).sum())
        figures: dict[str, float | int | str] = {"boxes": len(boxes), "lines": len(lines), "pixels": pixels}
        if not pixels:
            return replace(state, figures=figures)
        self._refuse_too_much(state, pixels / region.size)
        state, new = self._painted(state, region)
        composed = preserve.composite(state.loaded.rgb, new, region)
        cleaned = pictures.restore(state.loaded, composed, region)
        figures["changed_outside"] = preserve.audit(state.loaded, cleaned, cleaned.rgb, region).changed_outside
        if figures["changed_outside"]:
            raise EnhanceError(f"removing would have changed {figures['changed_outside']} pixels elsewhere")
        told = _told(boxes, lines, pixels)
        state.outcome.notes += (*cleaned.notes, told)
        state.outcome.result_notes += (told,)
        figures["product"] = _of_product(state, region)
        loaded = replace(state.loaded, rgb=cleaned.rgb, native=cleaned.native)
        return replace(state, loaded=loaded, figures=figures)

    def _refuse_too_much(self, state: State, share: float) -> None:
        if self.options(state.request).remove_with == "fill" and share > removal.LARGEST_FILL:
            raise EnhanceError(
                f"what is to be removed covers {share:.0%} of the picture: too little is left to fill it from"
            )

    def _painted(self, state: State, region: Mask) -> tuple[State, Rgb]:
        """The state, and the whole picture with new colours where the region is."""
        options = self.options(state.request)
        if options.remove_with == "fill":
            return state, removal.filled(state.loaded.rgb, region)
        from lib_prodshot.enhancing.interface import Task

        request = _pass_request(state.request, options.remove_prompt)
        task = Task(state.loaded.rgb, region, region, state.outcome.detections, request)
        answered = asked(state, task)
        assert answered.enhanced is not None
        # the new colours are this step's own, not those of the product
        return replace(answered, enhanced=state.enhanced), answered.enhanced.rgb


def _pass_request(request: Request, prompt: str) -> Request:
    """The settings of the removal's inpaint pass: it starts from what is around, and nothing holds a shape."""
    return request.replace(
        prompt=prompt,
        class_prompts="",
        denoising_strength=1.0,
        inpaint_area="only masked",
        inpainting_fill="fill",
        control="off",
        invert=False,
        feather=0,
    )


def refuse_if_impossible(request: Request, reader: TextReader | None) -> None:
    """Raise `RequestError`, before anything is looked for, where text is to be found and nothing here can read it, and
    where a pass is to paint and no engine runs one."""
    from lib_prodshot.gates import rapid_reader

    options = request.clean_up
    wanted = options.wanted
    if wanted.text and reader is None:
        message = f"text cannot be found to be removed: {rapid_reader.MISSING}"
        raise RequestError([FieldProblem("remove", message, "boxes")])
    if wanted and options.remove_with == "inpaint" and request.running_engine != "inpaint":
        message = "this needs the engine inpaint, or a scene, and neither is chosen"
        raise RequestError([FieldProblem("remove_with", message, "fill")])


def needs_reader(request: Request) -> bool:
    """Whether text is to be found."""
    return request.clean_up.wanted.text


def _boxes(state: State, wanted: removal.Removal) -> tuple[removal.Rectangle, ...]:
    height, width = state.loaded.size
    boxes = removal.rectangles(wanted, height, width)
    if wanted.boxes and not boxes:
        raise EnhanceError(f"no box to remove covers a pixel of the picture, which is {width}×{height} pixels")
    left_out = len(wanted.boxes) - len(boxes)
    if left_out:
        state.outcome.notes += (f"{left_out} of {len(wanted.boxes)} boxes to remove cover no pixel of the picture",)
    return boxes


def _lines(state: State) -> tuple[Line, ...]:
    """The lines of text whose middle lies outside the product."""
    from lib_prodshot.gates import text

    assert state.built is not None and state.reader is not None
    read = [line for line in state.reader.read(state.loaded.seen()) if line.score >= READ]
    inside, outside = text.split(read, state.built.mask)
    if not outside:
        state.outcome.notes += (
            "there is no text outside the product to remove" + (f"; {len(inside)} on it stay" if inside else ""),
        )
    return outside


def _region(state: State, boxes: tuple[removal.Rectangle, ...], lines: tuple[Line, ...]) -> Mask:
    """H×W, 255 where it is painted over: boxes wholly, of text its letters, but never the product for its sake."""
    assert state.built is not None
    letters = removal.region_of_letters(state.loaded.rgb, [_corners(line) for line in lines])
    letters[state.built.mask > 0] = 0
    return letters | removal.region_of_boxes(boxes, *state.loaded.size)


def _corners(line: Line) -> removal.Quad:
    x0, y0, x1, y1 = line.box
    return line.corners or ((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def _of_product(state: State, region: Mask) -> float:
    """The share of the product that was painted over; a large one is for somebody to look at."""
    import cv2

    from lib_prodshot.packshot import review

    assert state.built is not None
    product = state.built.mask
    share = cv2.countNonZero(cv2.bitwise_and(product, region)) / max(1, cv2.countNonZero(product))
    if share > MUCH:
        text = f"{share:.0%} of the product was painted over"
        state.outcome.doubt(review.doubt(review.NOT_WHOLE, share / MUCH, text))
    return round(share, 4)


def _told(boxes: tuple[removal.Rectangle, ...], lines: tuple[Line, ...], pixels: int) -> str:
    parts = [f"{len(boxes)} {'box' if len(boxes) == 1 else 'boxes'}"] if boxes else []
    if lines:
        parts.append("text (" + ", ".join(repr(line.text) for line in lines) + ")")
    return f"removed {' and '.join(parts)}: {pixels} {'pixel' if pixels == 1 else 'pixels'} painted over"
