"""The setting `precision`: which number format is taken where, what it changes, and how far outputs may move."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("segment_anything")
pytest.importorskip("transformers")
pytest.importorskip("groundingdino")

from benchmarks.equality import distance, observe  # noqa: E402 - the packages may be missing
from lib_prodshot.finding.finder import Finder  # noqa: E402
from lib_prodshot.finding.interface import Box, Boxes, Findings  # noqa: E402
from lib_prodshot.finding.langsam import groundingdino, segment_anything  # noqa: E402
from lib_prodshot.finding.models import grounded_detector  # noqa: E402
from lib_prodshot.finding.models.box_segmenter import BoxSegmenter  # noqa: E402
from lib_prodshot.finding.models.captions import class_scores, make_captions  # noqa: E402
from lib_prodshot.finding.models.grounded_detector import GroundedDetector  # noqa: E402
from lib_prodshot.finding.models.precision import half_dtype  # noqa: E402
from lib_prodshot.finding.models.preprocessing import detector_pixels  # noqa: E402
from lib_prodshot.finding.models.runtime import ModelHandle, inference  # noqa: E402
from lib_prodshot.products import ProductClass  # noqa: E402
from tests.finding import tiny  # noqa: E402

if groundingdino.missing_requirement():
    pytest.skip(groundingdino.missing_requirement(), allow_module_level=True)

BOXES = [Box(0, 0.9, (20.0, 30.0, 200.0, 250.0)), Box(1, 0.8, (150.0, 10.0, 390.0, 290.0))]
CLASSES = (ProductClass("hand bag", ("hand bag", "tote"), threshold=0.5), ProductClass("car", ("car",), threshold=0.5))
HALF_DETECTOR = (
    r"backbone\.0\.layers\.\d\.blocks\.\d\.(attn\.plain\.(qkv|proj)|mlp\.plain\.fc[12])\.|"
    r"transformer\.encoder\.layers\.\d\.plain\.(linear[12]|self_attn\.(value_proj|output_proj))\."
)
HALF_SEGMENTER = r"image_encoder\.blocks\.\d\.plain\.(attn\.(qkv|proj)|mlp\.lin[12])\."


class Loads:
    """Loads a model and keeps what was loaded."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load
        self.models: list[Any] = []

    def __call__(self) -> Any:
        self.models.append(self._load())
        return self.models[-1]


@pytest.fixture
def segmenter_loads(segmenter_file: Path) -> Loads:
    return Loads(lambda: segment_anything.load(segmenter_file))


@pytest.fixture
def detector_loads(detector_file: Path, vocabulary: Path, monkeypatch: Any) -> Loads:
    monkeypatch.setattr(grounded_detector, "SHORT_SIDE", 160)
    return Loads(lambda: groundingdino.load(detector_file, vocabulary))


@pytest.mark.parametrize(
    ("precision", "device", "capability", "expected"),
    [
        ("full", "cpu", None, None),
        ("full", "cuda", (9, 0), None),
        ("auto", "cpu", None, None),
        ("half", "cpu", None, torch.bfloat16),
        ("auto", "cuda", (9, 0), torch.bfloat16),
        ("half", "cuda", (8, 6), torch.bfloat16),
        ("auto", "cuda", (7, 5), torch.float16),
        ("auto", "cuda", (6, 1), None),
        ("half", "cuda", (6, 1), None),
        ("half", "mps", None, None),
    ],
)
def test_the_format_goes_by_the_device(
    monkeypatch: Any, precision: str, device: str, capability: Any, expected: Any
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    assert half_dtype(precision, torch.device(device)) is expected


def cast(model: Any) -> set[str]:
    """The parameters that are not float32."""
    return {name for name, value in model.module.named_parameters() if value.dtype != torch.float32}


def test_sam_in_half_precision_masks_alike(segmenter_loads: Loads) -> None:
    segmenter = BoxSegmenter("sam", ModelHandle(segmenter_loads, "cpu"))
    full = segmenter.segment(tiny.picture(), BOXES)
    half = segmenter.with_precision("half").segment(tiny.picture(), BOXES)
    (model,) = segmenter_loads.models
    assert cast(model) and all(re.match(HALF_SEGMENTER, name) for name in cast(model))
    assert len(cast(model)) == 2 * 4 * 2, "weight and bias of 4 layers in each of 2 blocks"
    assert any((one != other).any() for one, other in zip(full, half, strict=True)), "it computed in another format"
    for one, other in zip(full, half, strict=True):
        inside, others = one > 127, other > 127
        assert (inside & others).sum() >= 0.97 * (inside | others).sum() > 0
        assert np.abs(one.astype(int) - other).max() <= 8


def test_a_detector_in_half_precision_finds_alike(detector_loads: Loads) -> None:
    """The proposals are ranked as in float32: a random model's are all but equal, and change places by rounding."""
    model, device = detector_loads(), torch.device("cpu")
    pixels = detector_pixels(tiny.picture(), 160)
    caption = make_captions(CLASSES, model.tokenizer, "test").captions[0]
    with inference():
        full = observe(model, pixels, caption.text)
        model.halve(torch.bfloat16, device)
        half = observe(model, pixels, caption.text, proposals=full.proposals)
    assert cast(model) and all(re.match(HALF_DETECTOR, name) for name in cast(model))
    assert full.boxes.std() > 0.05, "a model that says something"
    assert 0 < distance(half.boxes, full.boxes) < 5e-3, "it computed in another format, and alike"
    scores = [class_scores(seen.logits.float().numpy(), caption, len(CLASSES)) for seen in (full, half)]
    assert 0 < np.abs(scores[0] - scores[1]).max() < 0.02


def test_full_precision_after_half_is_what_it_was(segmenter_loads: Loads) -> None:
    segmenter = BoxSegmenter("sam", ModelHandle(segmenter_loads, "cpu"))
    first = segmenter.segment(tiny.picture(), BOXES)
    segmenter.with_precision("half").segment(tiny.picture(), BOXES)
    again = segmenter.segment(tiny.picture(), BOXES)
    assert len(segmenter_loads.models) == 2, "rounded weights cannot be made exact again"
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_auto_changes_nothing_on_a_cpu(segmenter_loads: Loads, detector_loads: Loads) -> None:
    segmenter = BoxSegmenter("sam", ModelHandle(segmenter_loads, "cpu"))
    detector = GroundedDetector("dino", ModelHandle(detector_loads, "cpu"))
    for one, other in zip(
        segmenter.segment(tiny.picture(), BOXES),
        segmenter.with_precision("auto").segment(tiny.picture(), BOXES),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    expected = detector.detect(tiny.picture(), CLASSES, 0.25)
    assert detector.with_precision("auto").detect(tiny.picture(), CLASSES, 0.25) == expected
    assert not cast(segmenter_loads.models[0]) and not cast(detector_loads.models[0])


def test_the_packages_own_layers_stay_at_full_precision(segmenter_file: Path) -> None:
    loads = Loads(lambda: segment_anything.load(segmenter_file, reference=True))
    segmenter = BoxSegmenter("sam", ModelHandle(loads, "cpu"), precision="half")
    segmenter.segment(tiny.picture(), BOXES)
    assert not cast(loads.models[0])


class Movable:
    """A model that notes where it is moved and what it is cast to."""

    def __init__(self) -> None:
        self.module = self
        self.dtype: Any = None

    def to(self, device: Any) -> None:
        self.device = device

    def halve(self, dtype: Any, device: Any) -> None:
        self.dtype = dtype


def test_the_second_attempt_on_the_cpu_is_at_full_precision(monkeypatch: Any) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (8, 0))
    loads = Loads(Movable)
    seen: list[tuple[str, Any]] = []

    def attempt(model: Movable, device: Any) -> str:
        seen.append((device.type, model.dtype))
        if device.type == "cuda":
            raise RuntimeError("CUDA out of memory")
        return "answer"

    answer, notes = ModelHandle(loads, "cuda:0").run([attempt, attempt], "segmenter", "auto")
    assert answer == "answer" and notes
    assert seen == [("cuda", torch.bfloat16), ("cpu", None)]
    assert len(loads.models) == 2


class Told:
    """A detector and segmenter that answers with the precision it was given."""

    name = "told"

    def __init__(self, precision: str = "full") -> None:
        self.precision = precision

    def with_precision(self, precision: str) -> Told:
        return Told(precision)

    def detect(self, picture: Any, classes: Any, text_threshold: float) -> Boxes:
        return Boxes((), (0.0,), (self.precision,))


@pytest.mark.parametrize("precision", ["auto", "full", "half"])
def test_the_step_hands_the_setting_to_the_models(precision: str) -> None:
    from lib_prodshot import pipeline
    from lib_prodshot.pictures import LoadedPicture
    from lib_prodshot.request import Request

    def middleware(call: Callable[[], Findings], picture: Any, classes: Any) -> Findings:
        return call()

    told: Any = Told()
    for finder in (Finder("told", told, told), Finder("told", told, told).wrapped(middleware)):
        picture = LoadedPicture.from_rgb(tiny.picture())
        outcome = pipeline.run(picture, Request(products="car", precision=precision), finder, None)
        assert precision in outcome.notes


def test_attention_without_a_bias_is_the_same() -> None:
    from lib_prodshot.finding.fast.attention import decomposed_attention, folded_attention, relative_table

    draw = torch.Generator().manual_seed(0)
    heads, height, width, channels = 2, 5, 7, 8
    qkv = torch.randn(3, height, width, 3 * heads * channels, generator=draw)
    along_h, along_w = (torch.randn(2 * size - 1, channels, generator=draw) for size in (height, width))
    expected = decomposed_attention(qkv, heads, along_h, along_w)
    q, k, v = qkv.view(3, height * width, 3, heads, channels).permute(2, 0, 3, 1, 4).unbind(0)
    grid = q.reshape(3, heads, height, width, channels)
    bias_h = torch.einsum("nahwc,hkc->nahwk", grid, relative_table(along_h, height)).flatten(2, 3)
    bias_w = torch.einsum("nahwc,wkc->nahwk", grid, relative_table(along_w, width)).flatten(2, 3)
    for flash in (False, True):
        found = folded_attention(q, k, v, bias_h, bias_w, flash)
        torch.testing.assert_close(found.transpose(1, 2).reshape(expected.shape), expected, rtol=0, atol=2e-5)
