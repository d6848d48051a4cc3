"""One suite for every finder: the same cases, the same promises, whatever is behind the interface.

Lite runs with its real weights, the others with tiny random ones through their packages' own loaders; which of them can
run depends on the environment (`tests/test_pins.py` starts the rest).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib_prodshot.errors import FinderError, PictureError, RequestError
from lib_prodshot.finding.finder import Finder
from lib_prodshot.finding.interface import Box, Boxes, Picture, SoftMask
from lib_prodshot.finding.lite import segmenter
from lib_prodshot.products import ProductClass, parse_products
from tests.finding import lang_sam_double, tiny, tiny_newer

ALL = (ProductClass("handbag", ("handbag",), 0.0), ProductClass("car", ("car",), 0.0))
"""Threshold 0: everything a model looks at is a find."""

NOTHING = tuple(ProductClass(item.name, item.phrases, 1.0) for item in ALL)


Spoil = Callable[[Any], Any]
"""Takes what a model gives out and gives out something else, or raises."""


@dataclass(frozen=True)
class Backend:
    """How to make a finder, and how to spoil what its detector's and its segmenter's models give out."""

    make: Callable[[pytest.FixtureRequest, pytest.MonkeyPatch], Finder]
    spoil_detector: Callable[[Finder, pytest.MonkeyPatch, Spoil], None]
    spoil_segmenter: Callable[[Finder, pytest.MonkeyPatch, Spoil], None]


def _lite(request: pytest.FixtureRequest, _patch: pytest.MonkeyPatch) -> Finder:
    finder: Finder = request.getfixturevalue("lite_finder")
    return finder


def _package(request: pytest.FixtureRequest, _patch: pytest.MonkeyPatch) -> Finder:
    from lib_prodshot.finding.langsam import groundingdino, segment_anything

    if groundingdino.missing_requirement():
        pytest.skip(groundingdino.missing_requirement())
    detector_file, vocabulary, segmenter_file = _files(request)
    detector = groundingdino.detector(detector_file, vocabulary, device="cpu")
    return Finder("langsam", detector, segment_anything.segmenter(segmenter_file, device="cpu"))


def _transformers(request: pytest.FixtureRequest, _patch: pytest.MonkeyPatch) -> Finder:
    from lib_prodshot.finding.langsam import huggingface

    if huggingface.missing_requirement():
        pytest.skip(huggingface.missing_requirement())
    detector_file, vocabulary, segmenter_file = _files(request)
    detector = huggingface.detector(detector_file, vocabulary, device="cpu")
    return Finder("langsam", detector, huggingface.segmenter(segmenter_file, device="cpu"))


def _newer(request: pytest.FixtureRequest, _patch: pytest.MonkeyPatch) -> Finder:
    from lib_prodshot.finding.langsam import mm_grounding_dino, sam2
    from lib_prodshot.finding.models.recognition import ARCHITECTURES, unmet_requirement

    for known in ARCHITECTURES:
        if not known.lacks and (lacking := unmet_requirement(known, "it")):
            pytest.skip(lacking)
    factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
    folders = tiny_newer.mm_grounding_dino(factory.mktemp("mm")), tiny_newer.sam2(factory.mktemp("sam2"))
    detector = mm_grounding_dino.detector(folders[0], request.getfixturevalue("vocabulary"), device="cpu")
    return Finder("langsam", detector, sam2.segmenter(folders[1], device="cpu"))


def _lang_sam_01(request: pytest.FixtureRequest, patch: pytest.MonkeyPatch) -> Finder:
    from lib_prodshot.finding.langsam import groundingdino

    return _lang_sam(request, patch, "0.1", groundingdino.missing_requirement())


def _lang_sam_02(request: pytest.FixtureRequest, patch: pytest.MonkeyPatch) -> Finder:
    from lib_prodshot.finding.langsam import huggingface

    return _lang_sam(request, patch, "0.2", huggingface.missing_requirement())


def _lang_sam(request: pytest.FixtureRequest, patch: pytest.MonkeyPatch, generation: str, lacks: str) -> Finder:
    from lib_prodshot.finding.langsam import lang_sam_package

    if lacks:
        pytest.skip(lacks)
    lang_sam_double.put_in_place(patch, generation, *_files(request))
    return Finder("langsam", *lang_sam_package.pair(device="cpu"))


def _lang_sam_itself(_request: pytest.FixtureRequest, _patch: pytest.MonkeyPatch) -> Finder:
    from lib_prodshot.finding.langsam import lang_sam_package

    return Finder("langsam", *lang_sam_package.pair(device="cpu"))


def _files(request: pytest.FixtureRequest) -> list[Path]:
    return [request.getfixturevalue(name) for name in ("detector_file", "vocabulary", "segmenter_file")]


def _spoil_torch(field: str) -> Callable[[Any, pytest.MonkeyPatch, Spoil], None]:
    """Spoil the function `field` of the model in a detector's or a segmenter's handle."""

    def spoil_model(half: Any, patch: pytest.MonkeyPatch, spoil: Spoil) -> None:
        handle = half._handle
        model = handle._model or handle._load()
        good = getattr(model, field)
        patch.setattr(handle, "_model", replace(model, **{field: lambda *given: spoil(good(*given))}))

    return spoil_model


def _spoil_lite(model_name: str) -> Callable[[Any, pytest.MonkeyPatch, Spoil], None]:
    """Spoil one of the lite finder's models, also when it is loaded again."""

    def spoil_model(half: Any, patch: pytest.MonkeyPatch, spoil: Spoil) -> None:
        model = getattr(half._extractor, model_name)
        good = model._load
        model.unload()
        half._extractor._cached_saliency = None

        def load() -> Any:
            run = good()
            return lambda batch: spoil(run(batch))

        patch.setattr(model, "_load", load)
        patch.setattr(model, "_run", None)

    return spoil_model


def _torch(make: Any) -> Backend:
    look, encode = _spoil_torch("forward"), _spoil_torch("encode")
    return Backend(
        make,
        lambda finder, patch, spoil: look(finder.detector, patch, spoil),
        lambda finder, patch, spoil: encode(finder.segmenter, patch, spoil),
    )


_CLASSIFIER, _SALIENCY = _spoil_lite("_classifier"), _spoil_lite("_saliency")
BACKENDS: dict[str, Backend] = {
    "lite": Backend(
        _lite,
        lambda finder, patch, spoil: _CLASSIFIER(finder.detector, patch, spoil),
        lambda finder, patch, spoil: _SALIENCY(finder.segmenter, patch, spoil),
    ),
    "groundingdino-py": _torch(_package),
    "transformers": _torch(_transformers),
    "mm-grounding-dino, sam2": _torch(_newer),
    "lang-sam 0.1": _torch(_lang_sam_01),
    "lang-sam 0.2": _torch(_lang_sam_02),
}
if find_spec("lang_sam"):  # it stands in no registry
    BACKENDS["lang-sam itself"] = _torch(_lang_sam_itself)


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    return BACKENDS[request.param]


@pytest.fixture(scope="module")
def finder(request: pytest.FixtureRequest, backend: Backend) -> Iterator[Finder]:
    if backend is not BACKENDS["lite"]:
        pytest.importorskip("torch")
    with pytest.MonkeyPatch.context() as patch:
        finder = backend.make(request, patch)
        yield finder
        finder.unload()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Grounding models look at pictures in small, the lite finder at fewer regions and once at each, for speed."""
    monkeypatch.setattr("lib_prodshot.finding.lite.features._MAX_PROPOSALS", 1)
    monkeypatch.setattr("lib_prodshot.finding.lite.segmenter._PASSES", segmenter._PASSES[:1])
    monkeypatch.setattr("lib_prodshot.finding.models.grounded_detector.SHORT_SIDE", 160)
    monkeypatch.setattr("lib_prodshot.finding.models.grounded_detector.SMALLER_SIDE", 96)


def photograph() -> Picture:
    """A car-sized blob on a plain ground: something for every model to look at."""
    picture = np.full((120, 160, 3), 235, np.uint8)
    picture[40:90, 30:130] = tiny.picture(50, 100)
    return picture


def assert_sound(answer: Boxes, picture: Picture, classes: Sequence[ProductClass]) -> None:
    height, width = picture.shape[:2]
    assert len(answer.best_scores) == len(classes)
    assert all(0 <= score <= 1 for score in answer.best_scores)
    assert [box.score for box in answer.boxes] == sorted((box.score for box in answer.boxes), reverse=True)
    for box in answer.boxes:
        x0, y0, x1, y1 = box.corners
        assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
        assert 0 <= box.class_index < len(classes) and box.score >= classes[box.class_index].threshold
        assert box.score <= answer.best_scores[box.class_index] + 1e-6


def assert_masks(masks: Sequence[SoftMask], boxes: Sequence[Box], picture: Picture) -> None:
    assert len(masks) == len(boxes)
    assert all(mask.shape == picture.shape[:2] and mask.dtype == np.uint8 for mask in masks)


def test_boxes_and_masks(finder: Finder) -> None:
    picture = photograph()
    findings = finder.find(picture, ALL)
    assert findings.finds
    assert_sound(Boxes(tuple(find.box for find in findings.finds), findings.best_scores), picture, ALL)
    boxes = [find.box for find in findings.finds]
    assert_masks([find.soft_mask for find in findings.finds], boxes, picture)
    assert {"detect", "segment"} <= set(findings.seconds)


def test_zero_boxes_never_reach_the_segmenter(finder: Finder) -> None:
    class Untouchable:
        name = "untouchable"

        def segment(self, picture: Picture, boxes: Sequence[Box]) -> list[SoftMask]:
            raise AssertionError("called without boxes")

        def unload(self) -> None:
            raise AssertionError("not asked to")

    findings = Finder(finder.name, finder.detector, Untouchable()).find(photograph(), NOTHING)
    assert findings.finds == () and len(findings.best_scores) == 2 and max(findings.best_scores) < 1


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 300, 3), (300, 2, 3), (60, 80), (60, 80, 1), (60, 80, 4)])
def test_odd_pictures_get_an_answer(finder: Finder, shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(1).integers(0, 255, shape, np.uint8)
    answer = finder.detector.detect(picture, ALL, 0.25)
    assert_sound(answer, picture, ALL)
    box = Box(0, 1.0, (0.0, 0.0, float(shape[1]), float(shape[0])))
    assert_masks(finder.segmenter.segment(picture, [box]), [box], picture)


def test_a_huge_picture(finder: Finder) -> None:
    picture = np.kron(photograph(), np.ones((25, 25, 1), np.uint8))
    answer = finder.detector.detect(picture, ALL, 0.25)
    assert_sound(answer, picture, ALL)
    box = Box(0, 1.0, (700.0, 900.0, 3300.0, 2300.0))
    assert_masks(finder.segmenter.segment(picture, [box]), [box], picture)


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_picture_is_refused(finder: Finder, bad: Any) -> None:
    with pytest.raises(PictureError):
        finder.detector.detect(bad, ALL, 0.25)


def test_no_class_is_wrong_usage(finder: Finder) -> None:
    with pytest.raises(RequestError) as caught:
        finder.detector.detect(photograph(), (), 0.25)
    assert caught.value.problems[0].field == "products"


def test_a_word_that_the_finder_cannot_know_is_refused_by_name(finder: Finder) -> None:
    with pytest.raises(RequestError, match="鞋") as caught:
        finder.detector.detect(photograph(), parse_products("鞋"), 0.25)
    assert caught.value.problems[0].field == "products"


def test_the_same_picture_gives_the_same_answer(finder: Finder) -> None:
    picture = photograph()
    first, second = (finder.find(picture, ALL) for _ in range(2))
    assert [find.box for find in first.finds] == [find.box for find in second.finds]
    assert all(np.array_equal(a.soft_mask, b.soft_mask) for a, b in zip(first.finds, second.finds))


def test_each_class_has_its_own_threshold(finder: Finder) -> None:
    closed = (ALL[0], NOTHING[1])
    answer = finder.detector.detect(photograph(), closed, 0.25)
    assert {box.class_index for box in answer.boxes} <= {0}


def test_after_unloading_the_answers_are_the_same(finder: Finder) -> None:
    picture = photograph()
    before = finder.detector.detect(picture, ALL, 0.25)
    finder.unload()
    after = finder.detector.detect(picture, ALL, 0.25)
    assert len(before.boxes) == len(after.boxes)
    assert after.best_scores == pytest.approx(before.best_scores, abs=1e-5)


def test_the_picture_is_not_changed(finder: Finder) -> None:
    picture = photograph()
    kept = picture.copy()
    finder.find(picture, ALL)
    assert np.array_equal(picture, kept)


BOX = Box(0, 1.0, (30.0, 40.0, 130.0, 90.0))


@pytest.fixture
def unseen(request: pytest.FixtureRequest) -> Any:
    """A photograph that no model has looked at: of its last picture a finder keeps what it has computed."""
    picture = photograph().copy()
    picture[0, 0] = len(request.node.name)
    return picture


def not_numbers(answer: Any) -> Any:
    """The same answer, every number in it NaN."""
    if isinstance(answer, (tuple, list)):
        return type(answer)(not_numbers(part) for part in answer)
    return answer * float("nan")


def test_numbers_that_are_none_are_a_failure_and_never_absence(
    finder: Finder, backend: Backend, unseen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.spoil_detector(finder, monkeypatch, not_numbers)
    with pytest.raises(FinderError, match="not finite"):
        finder.detector.detect(unseen, ALL, 0.25)
    monkeypatch.undo()
    backend.spoil_segmenter(finder, monkeypatch, not_numbers)
    with pytest.raises(FinderError, match="not finite"):
        finder.segmenter.segment(unseen, [BOX])


class Full:
    """A memory that is too small for the first `times` runs."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.runs = 0

    def __call__(self, answer: Any) -> Any:
        self.runs += 1
        if self.runs <= self.times:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return answer


def test_when_memory_runs_out_it_is_tried_once_more(
    finder: Finder, backend: Backend, unseen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, masked = Full(1), Full(1)
    backend.spoil_detector(finder, monkeypatch, looked)
    assert_sound(finder.detector.detect(unseen, ALL, 0.25), unseen, ALL)
    monkeypatch.undo()
    backend.spoil_segmenter(finder, monkeypatch, masked)
    assert_masks(finder.segmenter.segment(unseen, [BOX]), [BOX], unseen)
    assert looked.runs >= 2 and masked.runs >= 2


def test_when_memory_runs_out_twice_it_is_a_clear_failure_and_the_next_picture_works(
    finder: Finder, backend: Backend, unseen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Full(2)
    backend.spoil_detector(finder, monkeypatch, full)
    with pytest.raises(FinderError, match="ran out of memory twice.*close other programs"):
        finder.detector.detect(unseen, ALL, 0.25)
    assert full.runs == 2
    assert_sound(finder.detector.detect(unseen, ALL, 0.25), unseen, ALL)
    monkeypatch.undo()
    backend.spoil_segmenter(finder, monkeypatch, Full(2))
    with pytest.raises(FinderError, match="ran out of memory twice"):
        finder.segmenter.segment(unseen, [BOX])
    assert_masks(finder.segmenter.segment(unseen, [BOX]), [BOX], unseen)


def test_nothing_of_how_a_finder_computes_is_left_in_the_process(finder: Finder) -> None:
    torch = pytest.importorskip("torch")

    def state() -> tuple[Any, ...]:
        torch.autocast_increment_nesting()
        depth = torch.autocast_decrement_nesting()
        products = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_default_dtype()
        return (torch.is_autocast_enabled(), torch.is_autocast_cpu_enabled(), depth, *products, *modes)

    finder.unload()
    before = state()
    finder.find(photograph(), ALL)
    assert state() == before
