"""The way of a picture through the steps: find, mask, retouch or inpaint, preserve. A picture in, an outcome out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from lib_prodshot.errors import EnhanceError, ProdshotError, ProductChanged, RequestError
from lib_prodshot.outcome import Outcome, StepRecord, Verdict
from lib_prodshot.steps import clean_up, gates, registry, tries
from lib_prodshot.steps.enhance import EnhanceStep
from lib_prodshot.steps.interface import State, Step
from lib_prodshot.steps.targets import products_of, targets_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from lib_prodshot.enhancing.interface import Enhancer
    from lib_prodshot.finding.finder import Finder
    from lib_prodshot.gates.text import TextReader
    from lib_prodshot.packshot.upscaling import Upscaler
    from lib_prodshot.pictures import LoadedPicture
    from lib_prodshot.provenance import Painted
    from lib_prodshot.request import Request

Progress = Callable[[str], None]
"""Told the name of each stage as it begins: find, mask, enhance, preserve, gates."""


def run(
    loaded: LoadedPicture,
    request: Request,
    finder: Finder,
    enhancer: Enhancer | None,
    progress: Progress = lambda stage: None,
    ground: npt.NDArray[np.uint8] | None = None,
    with_candidates: bool = False,
    upscaler: Upscaler | None = None,
    painted: tuple[Painted, ...] = (),
    reader: TextReader | None = None,
    references: tuple[npt.NDArray[np.uint8], ...] = (),
) -> Outcome:
    """Take one picture through the steps. Without an `enhancer` only those of a dry run apply (find and mask).
    `ground` (H×W×3 uint8 RGB, any size) is the picture for a packshot's ground, where the request names one, `upscaler`
    what enlarges it where the request asks for a model; `reader` reads the text on products, and is the one installed
    here unless given. `references` (H×W×3 uint8 RGB, any size) are further pictures that an edit model is shown.

    Absent products give a 'skipped' outcome and no later step runs. Anything that goes wrong gives 'failed' with
    the reason, and no result: the caller keeps the picture it has. `with_candidates` keeps the findings in the outcome,
    and those below their threshold with them. `painted` is what trained models painted of the picture before it came.

    Raises `RequestError` (`UnknownProducts` among them): a request that fits no picture is not the picture's fault; and
    whatever nobody foresaw, for only the caller knows where its traceback belongs (`unforeseen` has the words).

    >>> import numpy as np
    >>> from lib_prodshot.finding.finder import Finder
    >>> from lib_prodshot.finding.interface import Boxes
    >>> from lib_prodshot.pictures import LoadedPicture
    >>> from lib_prodshot.request import Request
    >>> class Nothing:
    ...     name = "nothing"
    ...     def detect(self, picture, classes, text_threshold):
    ...         return Boxes((), (0.1,))
    >>> picture = LoadedPicture.from_rgb(np.zeros((8, 8, 3), np.uint8))
    >>> run(picture, Request(products="car"), Finder("nothing", Nothing(), None), None).to_infotext()
    'skipped: no car found (best score 0.10 for car, threshold 0.30)'
    """
    names = tuple(item.name for item in request.classes)
    outcome = Outcome(Verdict("failed", ""), names, finder.name, notes=loaded.notes)
    if request.edits_scene:
        request = request.replace(invert=True)
    try:
        state = State(loaded, request, finder, enhancer, outcome, with_candidates=with_candidates)
        if reader is None and enhancer is not None and (gates.reads_text(request) or clean_up.needs_reader(request)):
            reader = _installed_reader()
        if enhancer is not None:
            clean_up.refuse_if_impossible(request, reader)
        given = replace(state, ground=ground, upscaler=upscaler, painted=painted, references=references)
        _run_steps(replace(given, reader=reader), progress)
    except RequestError:
        raise
    except ProdshotError as error:
        outcome.fail(str(error))
        outcome.is_final = isinstance(error, ProductChanged)
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        outcome.fail("out of memory; use a smaller picture or fewer instances")
    return outcome


def _installed_reader() -> TextReader | None:
    from lib_prodshot.gates.rapid_reader import installed_reader

    return installed_reader()


def _run_steps(state: State, progress: Progress) -> None:
    outcome = state.outcome
    state = _in_tries([step for step in registry.STEPS if not (step.per_product or step.per_target)], state, progress)
    if outcome.status == "skipped":
        return
    for product in products_of(state):
        _frame_product(product, progress)
    outcome.verdict = Verdict("found", outcome.describe_detections())


def _frame_product(state: State, progress: Progress) -> None:
    """Make the packshots of one frame's product, one for each target; what is no packshot goes through once."""
    outcome = state.outcome
    before = len(outcome.notes)
    state = _through([step for step in registry.STEPS if step.per_product], state, progress)
    last = [step for step in registry.STEPS if step.per_target]
    if state.cutout is None:
        _through(last, state, progress)
        return
    from lib_prodshot.packshot import review

    missed: list[str] = []
    for target in targets_of(state.request):
        notes = len(outcome.notes)
        made = _in_tries(last, replace(state, request=target.request, target=target), progress)
        missed += [answer.reason for answer in made.answers.failed] if made.answers else []
        if target.marketplace:
            _attribute_notes(outcome, notes, target.marketplace)
    doubts = [*review.doubts(state), *(review.doubt(review.MISSED, 1, reason) for reason in dict.fromkeys(missed))]
    if state.number:
        label = f"{outcome.packshots[-1].product} {state.number}"
        _attribute_notes(outcome, before, label)
        doubts = [review.of(label, doubt) for doubt in doubts]
    outcome.doubt(*doubts)


def _attribute_notes(outcome: Outcome, since: int, whose: str) -> None:
    told = (f"{whose}: {note}" for note in outcome.notes[since:])
    outcome.notes = (*outcome.notes[:since], *told)


Steps = Sequence[Step[Any]]


def _in_tries(steps: Steps, state: State, progress: Progress) -> State:
    """The state behind these steps, of which those of a try run as often as the gates ask for."""
    before, tried, after = _parts(steps)
    state = _through(before, state, progress)
    if state.outcome.status == "skipped":
        return state
    return _through(after, _tried(tried, state, progress), progress)


def _parts(steps: Steps) -> tuple[Steps, Steps, Steps]:
    """The steps before those that run again for each try, these, and those after them."""
    numbers = [number for number, step in enumerate(steps) if step.per_try]
    first, last = numbers[0], numbers[-1] + 1
    return steps[:first], steps[first:last], steps[last:]


def _tried(steps: Steps, state: State, progress: Progress) -> State:
    """The state behind the best of as many tries as its gates ask for. Raises `EnhanceError` where none is good enough,
    and what the first try raises; what stops a later one is told, and the best so far stands."""
    request, outcome = state.request, state.outcome
    options = request.gates
    holds = gates.mode(request) == "hold"
    best = _try(steps, state, progress)
    made, stopped = 1, ""
    state = replace(state, reference=best.state.reference)
    for number in range(2, 2 + options.fidelity_retries if holds else 2):
        if best.passed:
            break
        try:
            new = _try(steps, replace(state, request=tries.changed(request, number), attempt=number), progress)
        except EnhanceError as error:
            stopped = str(error)
            break
        made, best = number, min(best, new, key=lambda each: each.badness)
    if holds and not stopped and best.lost_text and request.retouch.engine == "inpaint":
        made += 1
        best = min(best, _with_text_restored(steps, best, made, state, progress), key=lambda each: each.badness)
    best.restore(outcome)
    if holds and not best.passed and options.on_failure == "refuse":
        # what stopped the tries may not come again
        kind = EnhanceError if stopped else ProductChanged
        raise kind(tries.refusal(best, made, stopped))
    outcome.notes += tuple(tries.notes_on(request, best, made, stopped))
    return replace(best.state, request=request)


def _try(steps: Steps, state: State, progress: Progress) -> tries.Try:
    """One try; its notes come after those that stood before any."""
    outcome = state.outcome
    notes = outcome.notes
    done = tries.Try.of(state.attempt, _through(steps, state, progress))
    outcome.notes = notes
    return done


def _with_text_restored(steps: Steps, best: tries.Try, number: int, state: State, progress: Progress) -> tries.Try:
    """The last resort: the best try once more, with the input's own detail where lines of its text were lost."""
    outcome, enhanced = state.outcome, best.state.enhanced
    notes = outcome.notes
    best.restore(outcome)
    outcome.notes = (*notes, *(enhanced.notes if enhanced else ()))
    again = replace(best.state, attempt=number, lost_text=best.lost_text)
    done = _try([step for step in steps if not isinstance(step, EnhanceStep)], again, progress)
    outcome.notes = notes
    return done


def _through(steps: Sequence[Step[Any]], state: State, progress: Progress) -> State:
    """The state behind these steps, or behind the one that skipped the picture."""
    outcome = state.outcome
    for step in steps:
        if not step.applies(state):
            continue
        stage = step.stage or step.id
        progress(stage)
        start = perf_counter()
        try:
            state = step.run(replace(state, figures={}))
        finally:
            outcome.seconds[stage] = outcome.seconds.get(stage, 0.0) + perf_counter() - start
        outcome.steps.append(StepRecord(step.id, step.version, state.figures))
        if outcome.status == "skipped":
            break
    return state


def unforeseen(error: Exception) -> str:
    """The reason of a failure that nobody foresaw: one picture must never stop the others, whatever library stumbled
    over it."""
    text = " ".join(str(error).split())
    return f"unexpected {type(error).__name__}: {text}" if text else f"unexpected {type(error).__name__}"


_OUT_OF_MEMORY = ("out of memory", "insufficient memory", "failed to allocate", "bad allocation", "bad_alloc")
"""How torch, ONNX Runtime and OpenCV say it, each in words of its own."""


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _OUT_OF_MEMORY)
