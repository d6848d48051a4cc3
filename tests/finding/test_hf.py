"""transformers' GroundingDINO and SAM, filled from the very files that the other packages read: the same outputs."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="tested where LangSAM is: under the WebUIs' pins")
torch = pytest.importorskip("torch")

from lib_prodshot.errors import WeightsError  # noqa: E402 - torch may be missing
from lib_prodshot.finding.interface import Box  # noqa: E402
from lib_prodshot.finding.langsam import huggingface, segment_anything  # noqa: E402
from lib_prodshot.finding.models.captions import assign, make_captions  # noqa: E402
from lib_prodshot.finding.models.checkpoint import read_weights  # noqa: E402
from lib_prodshot.finding.models.grounded_detector import to_boxes  # noqa: E402
from lib_prodshot.finding.models.preprocessing import segmenter_pixels  # noqa: E402
from lib_prodshot.finding.models.runtime import inference  # noqa: E402
from lib_prodshot.products import ProductClass  # noqa: E402
from tests.finding import tiny  # noqa: E402
from tests.finding.tiny_files import look  # noqa: E402

if huggingface.missing_requirement():
    pytest.skip(huggingface.missing_requirement(), allow_module_level=True)

CLASSES = (ProductClass("hand bag", ("hand bag", "tote"), 0.5), ProductClass("car", ("car",), 0.5))
PROMPTS = [[10.0, 20.0, 80.0, 90.0], [0.0, 0.0, 128.0, 96.0]]


@pytest.mark.parametrize("reference", [True, False])
def test_the_detector_gives_what_the_package_gives(
    detector_file: Path, vocabulary: Path, package_outputs: Any, reference: bool
) -> None:
    logits, boxes = look(huggingface.load_detector(detector_file, vocabulary, reference))
    torch.testing.assert_close(logits, package_outputs[0], rtol=0, atol=1e-3)
    torch.testing.assert_close(boxes, package_outputs[1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("reference", [True, False])
def test_the_segmenter_gives_what_the_package_gives(segmenter_file: Path, reference: bool) -> None:
    ours, theirs = (
        huggingface.load_segmenter(segmenter_file, reference),
        segment_anything.load(segmenter_file, reference=True),
    )
    assert ours.side == theirs.side == 128
    pixels, prompts = segmenter_pixels(tiny.picture(), 128), torch.tensor(PROMPTS)
    with inference():
        embeddings = ours.encode(pixels), theirs.encode(pixels)
        answers = ours.decode(embeddings[0], prompts, True), theirs.decode(embeddings[1], prompts, True)
    torch.testing.assert_close(embeddings[0], embeddings[1], rtol=0, atol=1e-4)
    for found, other in zip(*answers, strict=True):
        assert found.shape == other.shape
        torch.testing.assert_close(found, other, rtol=0, atol=1e-3)


def test_the_fast_layers_are_in(detector_file: Path, vocabulary: Path, segmenter_file: Path) -> None:
    from lib_prodshot.finding.fast.swap import Wrapper

    counts = [
        sum(isinstance(module, Wrapper) for module in model.module.modules())
        for model in (huggingface.load_detector(detector_file, vocabulary), huggingface.load_segmenter(segmenter_file))
    ]
    assert counts == [2 * 2 + 2, 2 * 2]


def test_a_folder_in_transformers_layout_serves_as_well(
    detector_file: Path, vocabulary: Path, segmenter_file: Path, package_outputs: Any, tmp_path: Path
) -> None:
    huggingface.load_detector(detector_file, vocabulary, True).module.save_pretrained(tmp_path / "dino")
    huggingface.load_segmenter(segmenter_file, True).module.save_pretrained(tmp_path / "sam")
    logits, _ = look(huggingface.load_detector(tmp_path / "dino", vocabulary))
    torch.testing.assert_close(logits, package_outputs[0], rtol=0, atol=1e-3)
    assert huggingface.load_segmenter(tmp_path / "sam").side == 128
    weights = tmp_path / "sam" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="sam is damaged, cut short or of another model"):
        huggingface.load_segmenter(tmp_path / "sam")
    weights.unlink()
    with pytest.raises(WeightsError, match=r"lacks config\.json or model\.safetensors"):
        huggingface.load_segmenter(tmp_path / "sam")


def test_detector_and_segmenter_behind_the_interface(
    detector_file: Path,
    vocabulary: Path,
    segmenter_file: Path,
    package_outputs: Any,
    monkeypatch: pytest.MonkeyPatch,
    capfd: Any,
) -> None:
    def refuse(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("loading asked the network")

    monkeypatch.setattr("lib_prodshot.finding.models.grounded_detector.SHORT_SIDE", 160)
    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    picture = tiny.picture()
    answer = huggingface.detector(detector_file, vocabulary, device="cpu").detect(picture, CLASSES, 0.25)
    (caption,) = make_captions(CLASSES, huggingface.make_tokenizer(vocabulary, 30522), "test").captions
    logits, boxes = (tensor.numpy() for tensor in package_outputs)
    expected = assign(boxes, logits, caption, CLASSES, 0.25)
    assert answer.boxes and answer.best_scores == pytest.approx(expected.best.tolist(), abs=1e-3)
    others, _ = to_boxes(expected, *picture.shape[:2])
    assert [box.class_index for box in answer.boxes] == [box.class_index for box in others]
    for box, other in zip(answer.boxes, others, strict=True):
        assert box.corners == pytest.approx(other.corners, abs=0.5)
        assert box.score == pytest.approx(other.score, abs=1e-3)
    masks = huggingface.segmenter(segmenter_file, device="cpu").segment(picture, [Box(0, 0.9, answer.boxes[0].corners)])
    assert masks[0].shape == picture.shape[:2]
    assert capfd.readouterr().out == ""


def test_weights_of_another_architecture_are_named(detector_file: Path, vocabulary: Path, tmp_path: Path) -> None:
    state = read_weights(detector_file)
    state.pop("transformer.decoder.layers.1.norm3.weight")
    torch.save({"model": state}, tmp_path / "lacking.pth")
    with pytest.raises(WeightsError, match=r"lacking\.pth is of another architecture"):
        huggingface.load_detector(tmp_path / "lacking.pth", vocabulary)
