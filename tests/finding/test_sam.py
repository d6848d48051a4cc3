"""Segment Anything through the package's own parts: a tiny random model, odd pictures, bad files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("segment_anything")
torch = pytest.importorskip("torch")

from benchmarks.random_models import VIT_B  # noqa: E402 - the packages may be missing
from lib_prodshot import pipeline  # noqa: E402
from lib_prodshot.corrections import Prompt  # noqa: E402
from lib_prodshot.errors import FinderError, FinderUnavailable, WeightsError  # noqa: E402
from lib_prodshot.finding.finder import Finder  # noqa: E402
from lib_prodshot.finding.interface import Box  # noqa: E402
from lib_prodshot.finding.langsam import segment_anything  # noqa: E402
from lib_prodshot.finding.models.architecture import segmenter_shape  # noqa: E402
from lib_prodshot.finding.models.box_segmenter import BoxSegmenter, PromptedModel  # noqa: E402
from lib_prodshot.finding.models.checkpoint import read_weights  # noqa: E402
from lib_prodshot.finding.models.runtime import ModelHandle  # noqa: E402
from lib_prodshot.pictures import LoadedPicture  # noqa: E402
from lib_prodshot.products import parse_products  # noqa: E402
from lib_prodshot.request import Request  # noqa: E402
from tests.finders import FixedDetector  # noqa: E402
from tests.finding import tiny  # noqa: E402

pytestmark = pytest.mark.any_host

BOXES = [Box(0, 0.9, (20.0, 30.0, 200.0, 250.0)), Box(1, 0.8, (150.0, 10.0, 390.0, 290.0))]


def test_torchvisions_operators_fit_this_torch() -> None:
    from torchvision.ops import nms

    assert nms(torch.tensor([[0.0, 0.0, 9.0, 9.0], [0.0, 0.0, 9.0, 8.0]]), torch.ones(2), 0.5).tolist() == [0]


@pytest.fixture(scope="module")
def plain(segmenter_file: Path) -> PromptedModel:
    """The tiny model as the package built it."""
    return segment_anything.load(segmenter_file, reference=True)


@pytest.fixture(scope="module")
def fast(segmenter_file: Path) -> PromptedModel:
    """The tiny model with the fast layers."""
    return segment_anything.load(segmenter_file)


def segmenter_of(model: PromptedModel, multimask: bool = False) -> BoxSegmenter:
    return BoxSegmenter("sam", ModelHandle(lambda: model, "cpu"), multimask)


def counting(model: PromptedModel, error: Exception | None = None, times: int = 0) -> Any:
    """The model with its encodings and decodings counted; the first `times` encodings raise `error`."""
    calls = {"encode": 0, "decode": 0}

    def encode(pixels: Any) -> Any:
        calls["encode"] += 1
        if error is not None and calls["encode"] <= times:
            raise error
        return model.encode(pixels)

    def decode(*asked: Any) -> Any:
        calls["decode"] += 1
        return model.decode(*asked)

    return PromptedModel(model.module, model.side, encode, decode), calls


@pytest.mark.parametrize("multimask", [False, True])
@pytest.mark.parametrize("reference", [False, True])
def test_equal_to_the_packages_own_predictor(
    plain: PromptedModel, fast: PromptedModel, reference: bool, multimask: bool
) -> None:
    from segment_anything import SamPredictor

    predictor = SamPredictor(plain.module)
    picture = tiny.picture()
    predictor.set_image(picture)
    masks = segmenter_of(plain if reference else fast, multimask).segment(picture, BOXES)
    for box, soft in zip(BOXES, masks, strict=True):
        answers, qualities, _ = predictor.predict(box=np.array(box.corners), multimask_output=multimask)
        expected, found = answers[qualities.argmax()], soft >= 128
        assert soft.shape == picture.shape[:2] and soft.dtype == np.uint8
        assert 0.02 < expected.mean() < 0.98, "a mask that says something"
        assert (found & expected).sum() / (found | expected).sum() >= 0.999


@pytest.mark.parametrize("box", [BOXES[0], None])
def test_points_are_those_of_the_packages_own_predictor(plain: PromptedModel, box: Box | None) -> None:
    from segment_anything import SamPredictor

    predictor = SamPredictor(plain.module)
    picture = tiny.picture()
    predictor.set_image(picture)
    prompts = [Prompt((60, 80), True), Prompt((150, 200), False)]
    (soft,) = segmenter_of(plain).segment_points(picture, [(box, prompts)])
    answers, _, _ = predictor.predict(
        point_coords=np.array([prompt.point for prompt in prompts], np.float32),
        point_labels=np.array([1, 0]),
        box=None if box is None else np.array(box.corners),
        multimask_output=False,
    )
    assert ((soft >= 128) == answers[0]).mean() >= 0.999
    (without,) = segmenter_of(plain).segment_points(picture, [(box, prompts[:1])])
    assert not np.array_equal(soft, without), "an excluded point says something"


def test_the_panels_points_reach_the_predictor(plain: PromptedModel) -> None:
    from segment_anything import SamPredictor

    predictor = SamPredictor(plain.module)
    picture = tiny.picture()
    predictor.set_image(picture)
    (box,) = FixedDetector().detect(picture, parse_products("bag"), 0.25).boxes
    x0, y0, x1, y1 = map(round, box.corners)
    points = [(x0 + 10, y0 + 10), (x1 - 10, y1 - 10)]
    edits = "; ".join(f"{kind}: {x} {y}" for kind, (x, y) in zip(("include", "exclude"), points))
    request = Request(products="bag", mask_edits=edits, drop_specks=0.0)
    finder = Finder("langsam", FixedDetector(), segmenter_of(plain))
    outcome = pipeline.run(LoadedPicture.from_rgb(picture), request, finder, None)
    answers, _, _ = predictor.predict(
        np.array(points, np.float32), np.array([1, 0]), box=np.array(box.corners), multimask_output=False
    )
    assert outcome.mask is not None and ((outcome.mask > 0) == answers[0]).mean() >= 0.999


def test_points_after_boxes_encode_nothing_again(fast: PromptedModel) -> None:
    model, calls = counting(fast)
    segmenter = segmenter_of(model)
    segmenter.segment(tiny.picture(), BOXES)
    segmenter.segment_points(tiny.picture(), [(BOXES[0], [Prompt((60, 80), True)])])
    assert calls["encode"] == 1
    segmenter.segment_points(tiny.picture()[::-1].copy(), [(None, [Prompt((60, 80), True)])])
    assert calls["encode"] == 2


def test_a_picture_is_encoded_once_and_its_boxes_decoded_singly(fast: PromptedModel) -> None:
    model, calls = counting(fast)
    assert len(segmenter_of(model).segment(tiny.picture(), BOXES * 3)) == 6
    assert calls == {"encode": 1, "decode": 6}


def test_without_boxes_the_model_is_not_even_loaded() -> None:
    def never() -> PromptedModel:
        raise AssertionError("loaded for nothing")

    assert BoxSegmenter("sam", ModelHandle(never, "cpu")).segment(tiny.picture(), []) == []


def test_decoding_several_boxes_at_once_gives_the_same(fast: PromptedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    singly = segmenter_of(fast).segment(tiny.picture(), BOXES * 2)
    monkeypatch.setitem(__import__("lib_prodshot.finding.models.box_segmenter", fromlist=["x"]).BOXES_AT_ONCE, "cpu", 3)
    together = segmenter_of(fast).segment(tiny.picture(), BOXES * 2)
    for one, other in zip(singly, together, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 700, 3), (900, 2, 3), (40, 50), (40, 50, 4), (3000, 2000, 3)])
def test_odd_pictures(fast: PromptedModel, shape: tuple[int, ...]) -> None:
    picture = np.full(shape, 90, np.uint8)
    (mask,) = segmenter_of(fast).segment(picture, [Box(0, 0.5, (0.0, 0.0, float(shape[1]), float(shape[0])))])
    assert mask.shape == shape[:2]


def test_out_of_memory_is_tried_once_more_then_told(fast: PromptedModel) -> None:
    full = RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
    model, calls = counting(fast, full, times=1)
    assert len(segmenter_of(model).segment(tiny.picture(), BOXES)) == 2
    assert calls["encode"] == 2
    model, calls = counting(fast, full, times=9)
    with pytest.raises(FinderError, match="segmenter ran out of memory twice"):
        segmenter_of(model).segment(tiny.picture(), BOXES)
    assert calls["encode"] == 2


def test_masks_that_are_not_numbers_are_a_failure(segmenter_file: Path, tmp_path: Path) -> None:
    state = read_weights(segmenter_file)
    state["image_encoder.pos_embed"][0, 0, 0, 0] = float("nan")
    torch.save(state, tmp_path / "nan.pth")
    with pytest.raises(FinderError, match="not finite"):
        segment_anything.segmenter(tmp_path / "nan.pth", device="cpu").segment(tiny.picture(), BOXES)


def test_bad_files_are_named(segmenter_file: Path, tmp_path: Path) -> None:
    whole = segmenter_file.read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=r"cut\.pth is damaged or cut short"):
        segment_anything.load(tmp_path / "cut.pth")
    state = read_weights(segmenter_file)
    state.pop("mask_decoder.iou_token.weight")
    torch.save(state, tmp_path / "lacking.pth")
    with pytest.raises(WeightsError, match=r"lacking\.pth is of another architecture.*iou_token"):
        segment_anything.load(tmp_path / "lacking.pth")
    torch.save({"transformer.level_embed": torch.zeros(2)}, tmp_path / "dino.pth")
    with pytest.raises(WeightsError, match=r"dino\.pth does not hold a Segment Anything model"):
        segment_anything.load(tmp_path / "dino.pth")


def test_mobile_sam_without_its_package_says_so(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    if __import__("importlib.util", fromlist=["x"]).find_spec("mobile_sam"):
        pytest.skip("mobile_sam is installed")
    torch.save({"image_encoder.patch_embed.seq.0.c.weight": torch.zeros(2)}, tmp_path / "mobile_sam.pt")
    with pytest.raises(FinderUnavailable, match="mobile_sam is missing"):
        segment_anything.load(tmp_path / "mobile_sam.pt")


@pytest.mark.parametrize("name", ["vit_b", "vit_l", "vit_h"])
def test_the_published_models_are_recognised_by_their_weights(name: str) -> None:
    from segment_anything import sam_model_registry

    with torch.device("meta"):
        published = sam_model_registry[name]().state_dict()
        shape = segmenter_shape(published, name)
        rebuilt = segment_anything.build(shape).state_dict()
    assert shape.name == name
    assert {key: tensor.shape for key, tensor in rebuilt.items()} == {key: t.shape for key, t in published.items()}
    if name == "vit_b":
        assert shape == VIT_B
