"""The setting `precision`: which number format is taken where, what it changes, and how far outputs may move."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("segment_anything")
torch = pytest.importorskip("torch")

from lib_prodshot.errors import FinderError  # noqa: E402 - the packages may be missing
from lib_prodshot.finding.finder import Finder  # noqa: E402
from lib_prodshot.finding.interface import Box, Boxes, Findings  # noqa: E402
from lib_prodshot.finding.langsam import segment_anything  # noqa: E402
from lib_prodshot.finding.models.box_segmenter import BoxSegmenter  # noqa: E402
from lib_prodshot.finding.models.precision import half_dtype  # noqa: E402
from lib_prodshot.finding.models.runtime import ModelHandle  # noqa: E402
from tests.finding import tiny  # noqa: E402

pytestmark = pytest.mark.any_host

BOXES = [Box(0, 0.9, (20.0, 30.0, 200.0, 250.0)), Box(1, 0.8, (150.0, 10.0, 390.0, 290.0))]
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


@pytest.mark.parametrize(
    ("precision", "device", "capability", "expected"),
    [
        ("full", "cpu", None, None),
        ("full", "cuda", (9, 0), None),
        ("auto", "cpu", None, None),
        ("half", "cpu", None, torch.bfloat16),
        ("auto", "cuda", (9, 0), torch.float16),
        ("half", "cuda", (8, 6), torch.float16),
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


def test_full_precision_after_half_is_what_it_was(segmenter_loads: Loads) -> None:
    segmenter = BoxSegmenter("sam", ModelHandle(segmenter_loads, "cpu"))
    first = segmenter.segment(tiny.picture(), BOXES)
    segmenter.with_precision("half").segment(tiny.picture(), BOXES)
    again = segmenter.segment(tiny.picture(), BOXES)
    assert len(segmenter_loads.models) == 2, "rounded weights cannot be made exact again"
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_auto_changes_nothing_on_a_cpu(segmenter_loads: Loads) -> None:
    segmenter = BoxSegmenter("sam", ModelHandle(segmenter_loads, "cpu"))
    for one, other in zip(
        segmenter.segment(tiny.picture(), BOXES),
        segmenter.with_precision("auto").segment(tiny.picture(), BOXES),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    assert not cast(segmenter_loads.models[0])


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
    assert seen == [("cuda", torch.float16), ("cpu", None)]
    assert len(loads.models) == 2


def test_an_overflow_is_computed_anew_in_full_and_told_once(segmenter_file: Path, caplog: Any) -> None:
    """A weight that float16 cannot hold, and that no output of float32 needs to."""

    def load() -> Any:
        model = segment_anything.load(segmenter_file)
        block = model.module.image_encoder.blocks[0].plain
        with torch.no_grad():
            block.attn.proj.weight[0, 0] = 1e5
        return replace(model, halve=lambda _dtype, device: model.halve(torch.float16, device))

    loads = Loads(load)
    segmenter = BoxSegmenter("sam", ModelHandle(loads, "cpu"))
    expected = segmenter.segment(tiny.picture(), BOXES)
    half = segmenter.with_precision("half")
    for _ in range(2):
        for one, other in zip(half.segment(tiny.picture(), BOXES), expected, strict=True):
            np.testing.assert_array_equal(one, other)
    assert len(loads.models) == 2, "the second picture is not tried in half precision again"
    assert [record.name for record in caplog.records] == ["prodshot"]
    assert "the segmenter overflows in half precision" in caplog.text


def test_damaged_weights_are_no_overflow(segmenter_file: Path) -> None:
    def load() -> Any:
        model = segment_anything.load(segmenter_file)
        with torch.no_grad():
            model.module.image_encoder.patch_embed.proj.bias[0] = float("nan")
        return model

    with pytest.raises(FinderError, match="weights may be damaged"):
        BoxSegmenter("sam", ModelHandle(load, "cpu"), precision="half").segment(tiny.picture(), BOXES)


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
