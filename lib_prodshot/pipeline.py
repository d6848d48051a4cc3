"""The one way through the house: find, verdict, mask, enhance, preserve. Host-neutral; a picture in, an outcome out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

from lib_prodshot import masks, pictures, preserve
from lib_prodshot.enhancing.interface import Enhanced, Enhancer, Task
from lib_prodshot.errors import EnhanceError, ProdshotError, RequestError
from lib_prodshot.finding.interface import Finder, Findings
from lib_prodshot.masks import BuiltMask
from lib_prodshot.outcome import Audit, Detection, Outcome, Verdict
from lib_prodshot.pictures import LoadedPicture
from lib_prodshot.request import ProductClass, Request

Progress = Callable[[str], None]
"""Told the name of each stage as it begins: find, mask, enhance, preserve."""


def run(
    loaded: LoadedPicture,
    request: Request,
    finder: Finder,
    enhancer: Enhancer | None,
    progress: Progress = lambda stage: None,
) -> Outcome:
    """Take one picture through the house. Without an `enhancer` it stops at the mask (a dry run).

    Absent products give a 'skipped' outcome and no later stage runs. Anything that goes wrong gives 'failed' with
    the reason, and no result: the caller keeps the picture it has.

    Raises `RequestError` (`UnknownProduct` among them): a request that fits no picture is not the picture's fault; and
    whatever nobody foresaw, for only the caller knows where its traceback belongs (`unforeseen` has the words).
    """
    classes = request.classes
    walk = _Walk(progress, Outcome(Verdict("failed", ""), tuple(item.name for item in classes), finder.name))
    walk.outcome.notes = loaded.notes
    try:
        _go(walk, loaded, request, classes, finder, enhancer)
    except RequestError:
        raise
    except ProdshotError as error:
        walk.outcome.fail(str(error))
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        walk.outcome.fail("out of memory; use a smaller picture or fewer instances")
    return walk.outcome


def unforeseen(error: Exception) -> str:
    """The reason of a failure that nobody foresaw: one picture must never stop the others, whatever library stumbled
    over it."""
    text = " ".join(str(error).split())
    return f"unexpected {type(error).__name__}: {text}" if text else f"unexpected {type(error).__name__}"


def _is_out_of_memory(error: Exception) -> bool:
    """Torch, ONNX Runtime and OpenCV say it in words of their own."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _OUT_OF_MEMORY)


_OUT_OF_MEMORY = ("out of memory", "insufficient memory", "failed to allocate", "bad allocation", "bad_alloc")


@dataclass
class _Walk:
    """The outcome in the making and the clock of its stages."""

    progress: Progress
    outcome: Outcome

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.progress(name)
        start = perf_counter()
        try:
            yield
        finally:
            self.outcome.seconds[name] = perf_counter() - start


def _go(
    walk: _Walk,
    loaded: LoadedPicture,
    request: Request,
    classes: Sequence[ProductClass],
    finder: Finder,
    enhancer: Enhancer | None,
) -> None:
    outcome = walk.outcome
    with walk.stage("find"):
        findings = finder.find(loaded.seen(), classes, request.text_threshold)
    outcome.seconds.update(findings.seconds)
    outcome.notes += findings.notes
    if not findings.finds:
        outcome.verdict = Verdict("skipped", absence(classes, findings))
        return
    with walk.stage("mask"):
        built = masks.build_mask(findings.finds, request)
    outcome.detections = detections_of(classes, findings, built)
    outcome.mask, outcome.alpha = built.mask, built.alpha
    if not outcome.detections:
        number = request.instance_index
        outcome.verdict = Verdict("skipped", f"no product has an instance number {number}; {len(findings.finds)} found")
        outcome.mask = outcome.alpha = None
        return
    if enhancer is not None:
        _enhance(walk, loaded, request, built, enhancer)
    outcome.verdict = Verdict("found", outcome.describe_detections())


def _enhance(walk: _Walk, loaded: LoadedPicture, request: Request, built: BuiltMask, enhancer: Enhancer) -> None:
    outcome = walk.outcome
    task = Task(loaded.rgb, built.mask, built.alpha, outcome.detections, request, pieces=built.pieces)
    with walk.stage("enhance"):
        enhanced = enhancer.enhance(task)
        _refuse_misfit(enhancer.name, enhanced, task)
    outcome.notes += enhanced.notes
    with walk.stage("preserve"):
        composed = preserve.composite(loaded.rgb, enhanced.rgb, built.alpha)
        outcome.result = pictures.restore(loaded, composed, built.alpha)
        # what a palette or a grey mode made of the colours, for that is what will be seen and measured
        outcome.picture = outcome.result.rgb
        outcome.audit = preserve.audit(loaded, outcome.result, outcome.picture, built.alpha)
    _refuse_leak(outcome.audit)


def _refuse_misfit(engine: str, enhanced: Enhanced, task: Task) -> None:
    """An engine's answer that cannot be laid over the picture, such as one of floats, is no result."""
    rgb = getattr(enhanced, "rgb", None)
    if rgb is None or rgb.shape != task.picture.shape or rgb.dtype != task.picture.dtype:
        told = "nothing" if rgb is None else f"{rgb.dtype} values of shape {rgb.shape}"
        raise EnhanceError(f"the engine {engine} gave {told} for a picture of shape {task.picture.shape}")


def _refuse_leak(audit: Audit) -> None:
    if audit.changed_outside:
        raise EnhanceError(f"{audit.changed_outside} pixels outside the mask would have changed; nothing was written")


def absence(classes: Sequence[ProductClass], findings: Findings) -> str:
    """Why the picture is skipped: which products were looked for, and how near the nearest one came."""
    names = ", ".join(item.name for item in classes)
    scored = list(zip(findings.best_scores, classes, strict=True))
    score, nearest = max(scored, key=lambda pair: pair[0] - pair[1].threshold)
    opening = f"no {names}" if len(classes) == 1 else f"none of {names}"
    return f"{opening} found (best score {score:.2f} for {nearest.name}, threshold {nearest.threshold:.2f})"


def detections_of(classes: Sequence[ProductClass], findings: Findings, built: BuiltMask) -> tuple[Detection, ...]:
    """The chosen finds as detections: labels as the user wrote them, boxes in whole pixels, areas of their masks."""
    chosen = [findings.finds[index].box for index in built.chosen]
    return tuple(
        Detection(classes[box.class_index].name, box.score, _whole_pixels(box.corners), area)
        for box, area in zip(chosen, built.areas, strict=True)
    )


def _whole_pixels(corners: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = (round(corner) for corner in corners)
    return x0, y0, x1, y1
