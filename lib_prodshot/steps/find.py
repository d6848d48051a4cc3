"""The step that looks for the products, and skips the picture where none is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lib_prodshot.corrections import NONE, ChosenBox, MaskEdits, parse_boxes, parse_edits
from lib_prodshot.errors import FieldProblem, RequestError, UnknownProducts
from lib_prodshot.outcome import Verdict
from lib_prodshot.products import (
    ProductClass,
    match_names,
    parse_products,
    parse_prompts,
    parse_thresholds,
    with_thresholds,
)
from lib_prodshot.schema import setting
from lib_prodshot.steps.interface import State, Step, StepSettings

if TYPE_CHECKING:
    from lib_prodshot.finding.finder import Finder
    from lib_prodshot.finding.interface import Findings, Picture, Selection


class FindSettings(StepSettings):
    """What to look for, and from which score on it is found."""

    products: str = setting(
        "",
        help="What to look for, comma-separated; synonyms after a colon: 'handbag, shoe: sneaker | trainer'.",
        example="handbag, shoe: sneaker | trainer, watch",
    )
    finder: str = setting(
        "auto",
        choices=("auto", "lite", "langsam"),
        help="Which finder to use: auto takes LangSAM when its weights are present, else the lite finder.",
    )
    box_threshold: float = setting(
        0.3,
        span=(0.0, 1.0, 0.01),
        help="A detection below this score is not a find (LangSAM's default, 0.3).",
    )
    text_threshold: float = setting(
        0.25,
        span=(0.0, 1.0, 0.01),
        help="A word of a product's name counts for a box from this score on (LangSAM's default, 0.25).",
        when={"finder": ["auto", "langsam"]},
    )
    class_thresholds: str = setting(
        "",
        label="Thresholds per product",
        help="Box thresholds for single products: 'watch: 0.4, shoe: 0.25'. Others use the box threshold.",
        example="watch: 0.4, shoe: 0.25",
    )
    instances: str = setting(
        "all",
        choices=("all", "largest", "best", "index"),
        help="Which detections of each product to work on: all, the largest, the best scored, or one by its number.",
    )
    instance_index: int = setting(
        0,
        label="Instance number",
        span=(0, 63, 1),
        help="With instances 'index': which detection of each product, 0 being the best scored.",
        when={"instances": ["index"]},
    )
    precision: str = setting(
        "full",
        choices=("auto", "full", "half"),
        named_only=True,
        help="How Segment Anything's encoder computes: full (float32), half (16 bits), or auto: half on a GPU that has"
        " units for it, full elsewhere. The detector computes in full always.",
    )
    boxes: str = setting(
        "",
        label="Chosen boxes",
        help="Only the detections at these boxes, whatever their scores: 'handbag 30 20 90 60' in pixels, or 'none'. "
        "Filled by Find; empty: as thresholds and instances say.",
        example="handbag 30 20 90 60, shoe 100 5 120 40",
        named_only=True,
    )

    unknown: str = setting(
        "refuse",
        label="Unknown products",
        choices=("refuse", "leave out"),
        help="What to do with products that the finder has no word for: refuse the request, or leave them out, say so "
        "and look for the others.",
        named_only=True,
    )

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> Iterator[FieldProblem]:
        """A product list that cannot be read; thresholds and boxes that cannot, or are for none of the products."""
        boxes: tuple[ChosenBox, ...] = ()
        try:
            boxes = parse_boxes(values.get("boxes", "")) or ()
        except RequestError as error:
            yield from error.problems
        try:
            classes = named_products(values)
            if classes is not None:
                names = {product.name.casefold() for product in classes}
                strange = [box.label for box in boxes if box.label and box.label.casefold() not in names]
                if strange:
                    allowed = ", ".join(product.name for product in classes)
                    yield FieldProblem("boxes", f"{strange[0]!r} is not among the products", allowed)
            thresholds = parse_thresholds(values.get("class_thresholds", ""))
            if classes is not None:
                match_names(classes, thresholds, "class_thresholds")
        except RequestError as error:
            yield from error.problems

    @property
    def classes(self) -> tuple[ProductClass, ...]:
        """The products as classes with synonyms and thresholds. Raises `RequestError` when there are none."""
        return with_thresholds(parse_products(self.products), self.class_thresholds, self.box_threshold)

    @property
    def chosen_boxes(self) -> tuple[ChosenBox, ...] | None:
        """The boxes that the user took; None where nothing was chosen."""
        return parse_boxes(self.boxes)

    def boxes_of(self, products: Sequence[ProductClass]) -> str:
        """The setting `boxes` for these of the products alone: their boxes, and those of any product."""
        chosen, names = self.chosen_boxes, {product.name.casefold() for product in products}
        own = [box.as_text() for box in chosen or () if not box.label or box.label.casefold() in names]
        return "" if chosen is None else ", ".join(own) or NONE

    def refuse_unknown(self, finder: Finder) -> None:
        """Raise `UnknownProducts` as `left_in` does, where the finder can tell without a picture."""
        try:
            finder.refuse_unknown(self.classes)
        except UnknownProducts as error:
            self.left_in(error)

    def left_in(self, error: UnknownProducts) -> tuple[ProductClass, ...]:
        """The products that are looked for although others are unknown. Raises the error again where the user wants
        that refused, or where no product is left."""
        known = tuple(product for product in self.classes if product.name not in error.unknown)
        if self.unknown == "refuse" or not known:
            raise error
        return known


def named_products(values: Mapping[str, Any]) -> tuple[ProductClass, ...] | None:
    """The products among the values of a request; None where none are given. Raises `RequestError`."""
    text = values.get("products", "")
    return parse_products(text) if text.strip() else None


def prompt_problems(values: Mapping[str, Any], field: str) -> Iterator[FieldProblem]:
    """Problems of a text setting with a prompt for single products: that it cannot be read, or is for none of them."""
    try:
        classes = named_products(values)
    except RequestError:
        return  # told by the step that owns the products
    try:
        prompts = parse_prompts(values.get(field, ""), field)
        if classes is not None:
            match_names(classes, prompts, field)
    except RequestError as error:
        yield from error.problems


class FindStep(Step[FindSettings]):
    """Detect the products and segment them; without a detection the picture is skipped and no later step runs."""

    id = "find"
    settings = FindSettings
    tab = "Find"
    prefix = ""
    in_dry_run = True

    def run(self, state: State) -> State:
        """Figures: `detections` (how many), `best_score` of all classes, `chosen` boxes where the user chose some."""
        from lib_prodshot.finding.interface import Selection

        chosen = self.options(state.request).chosen_boxes
        edits = parse_edits(state.request.mask.mask_edits)
        if edits and not edits.fits(state.loaded.seen()):
            state.outcome.notes += (OTHER_PICTURE,)
            edits = MaskEdits()
        state, findings = self._find(state, Selection(chosen, edits.prompts, state.with_candidates))
        state.outcome.seconds.update(findings.seconds)
        state.outcome.notes += findings.notes
        if state.with_candidates:
            state.outcome.findings = findings
        if not findings.finds:
            is_absent = chosen is None or findings.outside
            reason = absence(state.request.classes, findings) if is_absent else not_chosen(chosen or ())
            state.outcome.verdict = Verdict("skipped", reason)
        figures: dict[str, float | int] = {
            "detections": len(findings.finds),
            "best_score": round(max(findings.best_scores), 4),
        }
        if chosen is not None:
            figures["chosen"] = len(chosen)
            missing = len(chosen) - len(findings.finds)
            if missing and findings.finds:
                state.outcome.notes += (f"{missing} of {len(chosen)} chosen boxes are not in this picture",)
        return replace(state, findings=findings, edits=edits, figures=figures)

    def _find(self, state: State, selection: Selection) -> tuple[State, Findings]:
        """The findings, and the state with a request for the products that the finder knows, where the user wants the
        others left out. Raises `UnknownProducts` where he does not, or where no product is left."""
        options = self.options(state.request)
        picture = state.loaded.seen()
        try:
            return state, _ask(state.finder, picture, options.classes, options, selection)
        except UnknownProducts as error:
            known = options.left_in(error)
            note = error.note()
        state.outcome.notes += (note,)
        request = state.request.only(*known)
        return replace(state, request=request), _ask(state.finder, picture, request.classes, options, selection)


OTHER_PICTURE = "the mask edits were made on another picture and are not used on this one"


def not_chosen(chosen: Sequence[ChosenBox]) -> str:
    """Why the picture is skipped by a choice of boxes."""
    if not chosen:
        return "no detection was taken (setting 'boxes')"
    return f"nothing was found at the {len(chosen)} chosen boxes; clear 'boxes' to work on all that is found"


def _ask(
    finder: Finder,
    picture: Picture,
    classes: Sequence[ProductClass],
    options: FindSettings,
    selection: Selection,
) -> Findings:
    return finder.find(picture, classes, options.text_threshold, precision=options.precision, selection=selection)


def absence(classes: Sequence[ProductClass], findings: Findings) -> str:
    """Why the picture is skipped: which products were looked for, and how near the nearest one came; or that what was
    found lies outside the region that the user drew."""
    if findings.outside:
        found = ", ".join(f"{classes[box.class_index].name} {box.score:.2f}" for box in findings.outside)
        return f"found outside the drawn mask only: {found}; draw the mask over the product, or work without one"
    names = ", ".join(item.name for item in classes)
    scored = list(zip(findings.best_scores, classes, strict=True))
    score, nearest = max(scored, key=lambda pair: pair[0] - pair[1].threshold)
    opening = f"no {names}" if len(classes) == 1 else f"none of {names}"
    return f"{opening} found (best score {score:.2f} for {nearest.name}, threshold {nearest.threshold:.2f})"
