"""The step that looks whether the enhanced product is still the same: silhouette, text, colours and detail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lib_prodshot.schema import setting
from lib_prodshot.steps import silhouette
from lib_prodshot.steps.interface import State, Step, StepSettings

if TYPE_CHECKING:
    from lib_prodshot.gates.fidelity import Limits
    from lib_prodshot.gates.interface import Answer, Rectangle
    from lib_prodshot.gates.text import Line
    from lib_prodshot.masks import Mask
    from lib_prodshot.request import Request

_FOLD = "Fidelity"
_ON = {"fidelity": ["auto", "report", "hold"]}
_HOLDS = {"fidelity": ["auto", "hold"]}


class GatesSettings(StepSettings):
    """Which gates there are, how far the product may differ, and what happens beyond that."""

    fidelity: str = setting(
        "auto",
        section="gates",
        choices=("auto", "off", "report", "hold"),
        help="Look whether the product is still the same: report says so, hold tries again, then does as 'on failure' "
        "says; auto reports with inpaint, whose change was asked for, and holds with retouch and scenes.",
        fold=_FOLD,
        named_only=True,
    )
    fidelity_gates: str = setting(
        "auto",
        section="gates",
        choices=("auto", "all", "colour and detail"),
        help="Which gates: all (growth of the silhouette, text, colour and detail) or colour and detail alone; auto "
        "takes all with inpaint and the latter with retouch, which moves no edge.",
        fold=_FOLD,
        when=_ON,
        named_only=True,
    )
    growth_limit: float = setting(
        0.0,
        section="gates",
        span=(0.0, 1.0, 0.01),
        help="The silhouette may grow or lose this share of its area at most; 0: as measured for the engine.",
        fold=_FOLD,
        when=_ON,
        named_only=True,
    )
    text_limit: float = setting(
        0.0,
        section="gates",
        span=(0.0, 1.0, 0.01),
        help="This share of the letters of any line of text may change at most; 0: as measured for the engine.",
        fold=_FOLD,
        when=_ON,
        named_only=True,
    )
    shift_limit: float = setting(
        0.0,
        label="Colour shift limit",
        section="gates",
        span=(0.0, 100.0, 0.5),
        unit="ΔE2000",
        help="The product's colours may move this far on average; 0: as measured for the engine.",
        fold=_FOLD,
        when=_ON,
        named_only=True,
    )
    detail_limit: float = setting(
        0.0,
        section="gates",
        span=(0.0, 1.0, 0.01),
        help="Gradients and structure must be this much alike at least (1: the same); 0: as measured for the engine.",
        fold=_FOLD,
        when=_ON,
        named_only=True,
    )
    fidelity_retries: int = setting(
        2,
        section="gates",
        span=(0, 8, 1),
        help="When a gate fails, try so many times more: with another seed, more ControlNet and less denoising, or "
        "less retouch.",
        fold=_FOLD,
        when=_HOLDS,
        named_only=True,
    )
    on_failure: str = setting(
        "refuse",
        section="gates",
        choices=("refuse", "warn", "keep"),
        help="When the best try fails too: refuse it and leave the picture as it was, keep it and warn, or keep it.",
        fold=_FOLD,
        when=_HOLDS,
        named_only=True,
    )


@dataclass(frozen=True)
class Reference:
    """What the gates measured on the input: the same for every try. None: not yet."""

    silhouette: Mask | None = None
    lines: tuple[Line, ...] | None = None


class GatesStep(Step[GatesSettings]):
    """Measure the last composite against the input and answer; the pipeline tries again where the answer says so."""

    id = "gates"
    settings = GatesSettings
    tab = "Enhance"
    prefix = ""
    make = "enhance"
    per_try = True

    def applies(self, state: State) -> bool:
        """Where there is a result to look at, and somebody wants to know."""
        return super().applies(state) and state.enhanced is not None and mode(state.request) != "off"

    def run(self, state: State) -> State:
        """Figures: the number of the `try`, `gates` (pass, fail, not checked), those that failed or were not
        checked, and what each of them measured."""
        from lib_prodshot.gates.interface import Answers

        options = self.options(state.request)
        product = _product(state)
        reference = state.reference or Reference()
        answers: list[Answer] = []
        lost: tuple[Rectangle, ...] = ()
        if _looks_at_all(state.request):
            grown, reference = _growth(state, reference, options.growth_limit)
            read, lost, reference = _text(state, reference, product, options.text_limit)
            answers += [grown, read]
        answers.append(_colour_and_detail(state, product, limits(state.request)))
        answered = Answers(tuple(answers), lost)
        figures: dict[str, float | int | str] = {"try": state.attempt, "gates": answered.status}
        figures |= dict(told(answered.answers))
        return replace(state, answers=answered, reference=reference, figures=figures)


def mode(request: Request) -> str:
    """off, report or hold: what `fidelity` says for what the request makes. A packshot that is no scene keeps the
    product's own pixels, which its audit counts: there is nothing to look at."""
    if request.makes_packshot and request.compose.ground != "scene":
        return "off"
    if request.gates.fidelity != "auto":
        return request.gates.fidelity
    return "report" if not request.makes_packshot and request.uses_webui else "hold"


def reads_text(request: Request) -> bool:
    """Whether a request's gates need a text reader. A scene is painted around the product, whose letters stay."""
    return mode(request) != "off" and not request.makes_packshot and _looks_at_all(request)


def _looks_at_all(request: Request) -> bool:
    """Whether an enhanced product's growth and text are looked at, too."""
    if request.gates.fidelity_gates != "auto":
        return request.gates.fidelity_gates == "all"
    return request.retouch.engine != "retouch"


def limits(request: Request) -> Limits:
    """The limits of colour and detail that the request sets, or that stand for 0 with its engine."""
    from lib_prodshot.gates import fidelity

    options, own = request.gates, fidelity.DIFFUSION
    if request.retouch.engine == "retouch":
        # the retouch keeps a colour limit of its own; what that allows is no failure
        own = replace(fidelity.RETOUCH, delta_e=max(request.retouch.delta_e_limit, 1.0))
    return replace(own, delta_e=options.shift_limit or own.delta_e, detail=options.detail_limit or own.detail)


def _product(state: State) -> Mask:
    """Where the product is; with an inverted mask that is what the mask leaves out."""
    from lib_prodshot.masks import invert

    assert state.built is not None
    return invert(state.built.mask) if state.request.mask.invert else state.built.mask


def _colour_and_detail(state: State, product: Mask, allowed: Limits) -> Answer:
    from lib_prodshot.gates import fidelity

    assert state.outcome.picture is not None
    return fidelity.answer(fidelity.measure(state.loaded.rgb, state.outcome.picture, product), allowed)


def _text(
    state: State, reference: Reference, product: Mask, limit: float
) -> tuple[Answer, tuple[Rectangle, ...], Reference]:
    from lib_prodshot.bounds import bounding_box
    from lib_prodshot.errors import EnhanceError
    from lib_prodshot.gates import rapid_reader, text
    from lib_prodshot.gates.interface import not_checked

    if state.reader is None:
        return not_checked("text", rapid_reader.MISSING), (), reference
    if min(bounding_box(product)[2:]) < text.SMALLEST:
        return not_checked("text", f"the product is under {text.SMALLEST} pixels wide or high"), (), reference
    assert state.outcome.picture is not None
    before = reference.lines
    try:
        if before is None:
            before = text.read_inside(state.reader, state.loaded.rgb, product)
        after = text.read_inside(state.reader, state.outcome.picture, product)
    except EnhanceError as error:
        return not_checked("text", str(error)), (), reference
    answer, lost = text.answer(before, after, limit or text.LIMIT)
    return answer, lost, replace(reference, lines=before)


def _growth(state: State, reference: Reference, limit: float) -> tuple[Answer, Reference]:
    from lib_prodshot.errors import FinderError
    from lib_prodshot.gates import growth
    from lib_prodshot.gates.interface import not_checked

    assert state.outcome.result is not None
    result, before = state.outcome.result, reference.silhouette
    seen = replace(state.loaded, rgb=result.rgb, native=result.native).seen()
    try:
        if before is None:
            before = silhouette.of_input(state)
        after = silhouette.in_picture(state, seen, silhouette.boxes(state))
    except FinderError as error:
        return not_checked("growth", str(error)), reference
    return growth.answer(before, after, limit or growth.LIMIT), replace(reference, silhouette=before)


def told(answers: Sequence[Answer]) -> Iterator[tuple[str, float | int | str]]:
    """The answers as figures of a step."""
    for status in ("fail", "not checked"):
        named = ", ".join(answer.gate for answer in answers if answer.status == status)
        if named:
            yield status.replace("fail", "failed").replace(" ", "_"), named
    if unmeasured := [answer.reason for answer in answers if answer.status == "not checked"]:
        yield "why_not_checked", "; ".join(unmeasured)
    for answer in answers:
        yield from answer.figures.items()
