"""The one way through the house, with finders and enhancers of known answers."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_prodshot.enhancing.interface import Enhanced, Task
from lib_prodshot.errors import EnhanceError, FinderError, UnknownProducts
from lib_prodshot.finding.finder import Finder
from lib_prodshot.hosts.finder_cache import restricted_to
from lib_prodshot.pictures import LoadedPicture, read
from lib_prodshot.pipeline import run
from lib_prodshot.request import Request
from tests.finders import BoxSegmenter, FixedDetector, fixed_finder

REQUEST = Request(products="car, shoe", fidelity="off")


class Negative:
    """Turns the whole picture into its negative, also where it must not."""

    name = "negative"

    def __init__(self) -> None:
        self.calls = 0

    def enhance(self, task: Task) -> Enhanced:
        self.calls += 1
        return Enhanced(255 - task.picture, ("turned",))


class Raising:
    name = "raising"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def enhance(self, task: Task) -> Enhanced:
        raise self.error


@pytest.fixture
def loaded() -> LoadedPicture:
    pixels = np.random.default_rng(5).integers(0, 255, (80, 120, 3), np.uint8)
    return LoadedPicture.from_rgb(pixels)


def test_found_changes_the_product_and_nothing_else(loaded: LoadedPicture) -> None:
    outcome = run(loaded, REQUEST, fixed_finder(), Negative())
    assert outcome.verdict.status == "found"
    assert outcome.verdict.reason == "car 0.80"
    assert outcome.picture is not None and outcome.alpha is not None and outcome.audit is not None
    outside = outcome.alpha == 0
    assert outside.any()
    assert np.array_equal(outcome.picture[outside], loaded.rgb[outside])
    assert np.array_equal(outcome.picture[outcome.alpha == 255], 255 - loaded.rgb[outcome.alpha == 255])
    assert outcome.audit.changed_outside == 0
    assert outcome.audit.delta_e_mean > 1
    warning = f"ΔE2000 {outcome.audit.delta_e_mean:.1f} on average"
    assert outcome.audit.delta_e_mean > 20 and outcome.audit.changed_inside_share > 0.9
    assert outcome.notes[0] == "turned" and warning in outcome.notes[1] and len(outcome.notes) == 2
    assert {"find", "mask", "enhance", "preserve"} <= set(outcome.seconds)


def test_absent_stops_before_the_segmenter_and_the_enhancer(loaded: LoadedPicture) -> None:
    segmenter, enhancer = BoxSegmenter(), Negative()
    finder = Finder("fixed", FixedDetector(score=0.21), segmenter)
    outcome = run(loaded, REQUEST, finder, enhancer)
    assert outcome.verdict.status == "skipped"
    assert outcome.verdict.reason == "none of car, shoe found (best score 0.21 for car, threshold 0.30)"
    assert (segmenter.calls, enhancer.calls) == (0, 0)
    assert outcome.result is None and outcome.picture is None and outcome.mask is None


def test_without_an_enhancer_it_stops_at_the_mask(loaded: LoadedPicture) -> None:
    outcome = run(loaded, REQUEST, fixed_finder(), None)
    assert outcome.status == "found" and outcome.result is None and outcome.audit is None
    assert outcome.detections[0].area == np.count_nonzero(outcome.mask) == 60 * 40
    assert outcome.detections[0].box == (30, 20, 90, 60)


@pytest.mark.parametrize(
    ("error", "words"),
    [(EnhanceError("the brush broke"), "the brush broke"), (MemoryError(), "out of memory")],
)
def test_a_failing_enhancer_gives_no_result(loaded: LoadedPicture, error: Exception, words: str) -> None:
    outcome = run(loaded, REQUEST, fixed_finder(), Raising(error))
    assert outcome.status == "failed" and words in outcome.verdict.reason
    assert outcome.result is None and outcome.picture is None
    assert outcome.detections, "what was learnt stays"


def test_a_failing_finder_is_failed_and_never_absent(loaded: LoadedPicture) -> None:
    detector = FixedDetector()
    detector.detect = _raise(FinderError("scores are not finite"))  # type: ignore[method-assign]
    outcome = run(loaded, REQUEST, Finder("fixed", detector, BoxSegmenter()), Negative())
    assert outcome.verdict.status == "failed" and outcome.verdict.reason == "scores are not finite"


def test_an_unknown_product_is_the_request_s_fault(loaded: LoadedPicture) -> None:
    detector = FixedDetector()
    detector.detect = _raise(UnknownProducts({"qx": ["car"]}, "fixed", "install LangSAM"))  # type: ignore[method-assign]
    with pytest.raises(UnknownProducts, match=r"'qx'.*car.*LangSAM"):
        run(loaded, REQUEST, Finder("fixed", detector, BoxSegmenter()), Negative())


class Picky(FixedDetector):
    """Knows no 'qx' and no 'zx'."""

    def detect(self, picture: Any, classes: Any, text_threshold: float) -> Any:
        unknown = {item.name: ["car"] for item in classes if item.name in ("qx", "zx")}
        if unknown:
            raise UnknownProducts(unknown, "picky", "name others")
        return super().detect(picture, classes, text_threshold)


def test_unknown_products_are_left_out_if_the_user_says_so(loaded: LoadedPicture) -> None:
    finder = Finder("picky", Picky(), BoxSegmenter())
    request = Request(
        products="qx, car: auto, zx",
        unknown="leave out",
        class_thresholds="qx: 0.5, car: 0.2",
        class_prompts="zx: x\ncar: red",
    )
    outcome = run(loaded, request, finder, Negative())
    assert [found.label for found in outcome.detections] == ["car"]
    assert outcome.products == ("qx", "car", "zx")
    (note,) = [note for note in outcome.notes if note.startswith("left out")]
    assert "'qx' (nearest known names: car), 'zx'" in note
    for refused in (request.replace(unknown="refuse"), Request(products="qx, zx", unknown="leave out")):
        with pytest.raises(UnknownProducts, match="'qx'.*'zx'"):
            run(loaded, refused, finder, Negative())


def test_what_lies_outside_the_drawn_mask_is_not_absent(loaded: LoadedPicture) -> None:
    corner = np.zeros(loaded.rgb.shape[:2], np.uint8)
    corner[:2, :2] = 255
    outcome = run(loaded, REQUEST, restricted_to(corner, fixed_finder()), Negative())
    assert outcome.status == "skipped"
    assert re.match(r"found outside the drawn mask only: \w+ 0\.80; ", outcome.verdict.reason)


def test_an_instance_number_that_no_product_has_skips(loaded: LoadedPicture) -> None:
    request = REQUEST.replace(instances="index", instance_index=3)
    outcome = run(loaded, request, fixed_finder(), Negative())
    assert outcome.status == "skipped" and "instance number 3" in outcome.verdict.reason


def test_a_mask_shrunk_to_nothing_fails_and_says_so(loaded: LoadedPicture) -> None:
    outcome = run(loaded, REQUEST.replace(grow=-500), fixed_finder(), Negative())
    assert outcome.status == "failed" and "shrink" in outcome.verdict.reason


def test_the_same_picture_and_request_give_the_same_bytes(loaded: LoadedPicture) -> None:
    first, second = (run(loaded, REQUEST, fixed_finder(), Negative()) for _ in range(2))
    assert first.picture is not None and second.picture is not None
    assert first.picture.tobytes() == second.picture.tobytes()


def _raise(error: Exception):  # type: ignore[no-untyped-def]
    def detect(*arguments: object) -> None:
        raise error

    return detect


def test_the_finder_sees_what_a_viewer_shows_not_what_lies_under_transparency() -> None:
    pixels = np.zeros((40, 40, 4), np.uint8)  # black, and wholly transparent: a viewer shows white
    loaded = read(_png(Image.fromarray(pixels)))
    seen: list[float] = []
    detector = FixedDetector()
    original = detector.detect

    def detect(picture, classes, text_threshold):  # type: ignore[no-untyped-def]
        seen.append(float(picture.mean()))
        return original(picture, classes, text_threshold)

    detector.detect = detect  # type: ignore[method-assign]
    run(loaded, REQUEST, Finder("fixed", detector, BoxSegmenter()), None)
    assert seen == [255.0]


def test_the_outcome_shows_and_measures_what_the_mode_can_hold() -> None:
    grey = np.random.default_rng(2).integers(0, 255, (40, 60), np.uint8)
    loaded = read(_png(Image.fromarray(grey)))

    class Red:
        name = "red"

        def enhance(self, task: Task) -> Enhanced:
            return Enhanced(np.full_like(task.picture, (200, 20, 20)))

    outcome = run(loaded, REQUEST, fixed_finder(), Red())
    assert outcome.picture is not None and outcome.result is not None
    assert np.array_equal(outcome.picture, outcome.result.rgb)
    assert (outcome.picture.max(axis=2) == outcome.picture.min(axis=2)).all(), "a grey picture stays grey"


def _png(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()
