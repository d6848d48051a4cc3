"""GroundingDINO through groundingdino-py's own loader: a tiny random model, fixed sums, bad files, bad hosts."""

from __future__ import annotations

import pickle
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("groundingdino", reason="tested where LangSAM is: under the WebUIs' pins, on the same torch")
torch = pytest.importorskip("torch")

from benchmarks.equality import distance, observe  # noqa: E402 - torch may be missing
from lib_prodshot.errors import FinderError, PictureError, UnknownProducts, WeightsError  # noqa: E402
from lib_prodshot.finding.finder import Finder  # noqa: E402
from lib_prodshot.finding.interface import Boxes  # noqa: E402
from lib_prodshot.finding.langsam import groundingdino  # noqa: E402
from lib_prodshot.finding.models.captions import class_scores, make_captions  # noqa: E402
from lib_prodshot.finding.models.checkpoint import read_weights  # noqa: E402
from lib_prodshot.finding.models.grounded_detector import GroundedDetector, GroundingModel  # noqa: E402
from lib_prodshot.finding.models.preprocessing import detector_pixels, detector_size  # noqa: E402
from lib_prodshot.finding.models.runtime import ModelHandle, inference  # noqa: E402
from lib_prodshot.products import ProductClass, parse_products  # noqa: E402
from tests.finding import tiny  # noqa: E402

CLASSES = (ProductClass("hand bag", ("hand bag", "tote"), 0.5), ProductClass("car", ("car",), 0.5))
SIDE = 160

LOGIT_SUM, BOX_SUM = 191.135, 68.5034
"""Sums of the tiny model's first 9 logits and of its boxes; the same under transformers 4.30.2, 4.57.6 and in hf.py."""


@pytest.fixture(scope="module")
def fast(detector_file: Path, vocabulary: Path) -> GroundingModel:
    """The tiny model with the fast layers."""
    return groundingdino.load(detector_file, vocabulary)


@pytest.fixture(scope="module")
def plain(detector_file: Path, vocabulary: Path) -> GroundingModel:
    """The tiny model as the package built it."""
    return groundingdino.load(detector_file, vocabulary, reference=True)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are looked at in small, for speed."""
    monkeypatch.setattr("lib_prodshot.finding.models.grounded_detector.SHORT_SIDE", SIDE)
    monkeypatch.setattr("lib_prodshot.finding.models.grounded_detector.SMALLER_SIDE", SIDE // 2)


def detector_of(model: GroundingModel, device: str | None = "cpu") -> GroundedDetector:
    return GroundedDetector("groundingdino", ModelHandle(lambda: model, device))


def look(model: GroundingModel, side: int = SIDE) -> tuple[Any, Any]:
    with inference():
        return model.forward(detector_pixels(tiny.picture(), side), tiny.CAPTION)


def test_the_outputs_do_not_drift(plain: GroundingModel, fast: GroundingModel) -> None:
    for model in (plain, fast):
        logits, boxes = look(model)
        assert logits.shape == (60, 256) and boxes.shape == (60, 4)
        assert float(logits[:, :9].sum()) == pytest.approx(LOGIT_SUM, abs=0.05)
        assert float(boxes.sum()) == pytest.approx(BOX_SUM, abs=0.01)


@pytest.mark.parametrize("side", [96, 160, 237])
def test_the_fast_layers_give_the_packages_outputs(plain: GroundingModel, fast: GroundingModel, side: int) -> None:
    pixels = detector_pixels(tiny.picture(), side)
    caption = make_captions(CLASSES, plain.tokenizer, "test").captions[0]
    with inference():
        expected = observe(plain, pixels, caption.text)
        found = observe(fast, pixels, caption.text)
        ranked = observe(fast, pixels, caption.text, proposals=expected.proposals)
    assert distance(found.image, expected.image) < 1e-4
    assert distance(found.text, expected.text) < 1e-4
    assert distance(ranked.boxes, expected.boxes) < 1e-3
    scores = [class_scores(seen.logits.numpy(), caption, 2) for seen in (expected, ranked)]
    assert np.abs(scores[0] - scores[1]).max() < 1e-3
    assert (scores[0].argmax(1) == scores[1].argmax(1)).all()
    assert scores[0].std() > 0.05 and expected.boxes.std() > 0.05, "a model that says something"


def test_the_same_boxes_come_out_of_the_whole_detector(
    plain: GroundingModel, fast: GroundingModel, small: None
) -> None:
    answers = [detector_of(model).detect(tiny.picture(), CLASSES, 0.25) for model in (plain, fast)]
    assert len(answers[0].boxes) == len(answers[1].boxes) > 3
    assert answers[1].best_scores == pytest.approx(answers[0].best_scores, abs=1e-3)
    left = list(answers[1].boxes)
    for box in answers[0].boxes:
        near = [other for other in left if np.allclose(other.corners, box.corners, atol=0.4)]  # 1e-3 of 400 pixels
        assert near, f"no partner for {box}"
        assert near[0].class_index == box.class_index
        assert near[0].score == pytest.approx(box.score, abs=1e-3)
        left.remove(near[0])


def test_swapping_does_not_touch_the_package(fast: GroundingModel, plain: GroundingModel) -> None:
    from lib_prodshot.finding.fast.swap import Wrapper, restore

    assert not any(isinstance(module, Wrapper) for module in plain.module.modules())
    swapped = sum(isinstance(module, Wrapper) for module in fast.module.modules())
    # 2 encoder and 2 fusion layers, 3 attentions in each of 2 decoder layers, 12 Swin blocks, BERT
    assert swapped == 2 + 2 + 2 * 3 + 12 + 1
    names = set(plain.module.state_dict())
    copy = groundingdino_copy(fast)
    assert restore(copy) == swapped
    assert set(copy.state_dict()) == names


def groundingdino_copy(model: GroundingModel) -> Any:
    import copy

    return copy.deepcopy(model.module)


@pytest.mark.any_host
def test_boxes_are_in_pixels_of_the_picture_and_inside_it(fast: GroundingModel, small: None) -> None:
    answer = detector_of(fast).detect(tiny.picture(300, 400), CLASSES, 0.25)
    scores = [box.score for box in answer.boxes]
    assert scores == sorted(scores, reverse=True) and scores
    for box in answer.boxes:
        x0, y0, x1, y1 = box.corners
        assert 0 <= x0 < x1 <= 400 and 0 <= y0 < y1 <= 300
        assert box.score >= CLASSES[box.class_index].threshold


@pytest.mark.any_host
def test_thresholds_are_per_class_and_absence_has_a_score(fast: GroundingModel, small: None) -> None:
    high = tuple(ProductClass(known.name, known.phrases, 1.0) for known in CLASSES)
    answer = detector_of(fast).detect(tiny.picture(), high, 0.25)
    assert answer.boxes == ()
    assert all(0.3 < score < 1 for score in answer.best_scores)
    only = detector_of(fast).detect(tiny.picture(), (CLASSES[0], high[1]), 0.25)
    assert {box.class_index for box in only.boxes} == {0}


@pytest.mark.any_host
def test_an_absent_picture_costs_one_forward_and_no_segmenter(fast: GroundingModel, small: None) -> None:
    model, calls = counting(fast)

    class Never:
        name = "never"

        def segment(self, picture: Any, boxes: Any) -> Any:
            raise AssertionError("the segmenter was called for an absent picture")

        def unload(self) -> None:
            pass

    high = tuple(ProductClass(name, (name,), 1.0) for name in ("hand bag", "shoe", "car", "watch"))
    findings = Finder("langsam", detector_of(model), Never()).find(tiny.picture(), high)
    assert findings.finds == () and len(findings.best_scores) == 4
    assert [caption for _, caption in calls] == ["hand bag . shoe . car . watch ."]


def counting(model: GroundingModel, fail: Callable[[int], Exception | None] = lambda call: None) -> Any:
    """The model, noting the size and caption of each call; `fail` may give an error to raise instead."""
    calls: list[tuple[tuple[int, ...], str]] = []

    def counted(pixels: Any, caption: str) -> Any:
        calls.append((tuple(pixels.shape[2:]), caption))
        error = fail(len(calls))
        if error is not None:
            raise error
        return model.forward(pixels, caption)

    return GroundingModel(model.module, model.tokenizer, counted), calls


def test_over_256_tokens_runs_several_forwards_and_says_so(fast: GroundingModel, small: None) -> None:
    names = ", ".join(f"leather hand bag number {number} with a strap" for number in range(40))
    model, calls = counting(fast)
    answer = detector_of(model).detect(tiny.picture(), parse_products(names), 0.25)
    assert len(calls) == 2 and len({caption for _, caption in calls}) == 2
    assert len(answer.best_scores) == 40 and min(answer.best_scores) > 0
    assert "2 captions" in answer.notes[0]


@pytest.mark.any_host
def test_an_unknown_class_is_refused_before_any_forward(fast: GroundingModel) -> None:
    model, calls = counting(fast)
    with pytest.raises(UnknownProducts):
        detector_of(model).detect(tiny.picture(), parse_products(chr(0x13080)), 0.25)
    assert calls == []


@pytest.mark.any_host
@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 900, 3), (700, 3, 3), (40, 50), (40, 50, 1), (40, 50, 4)])
def test_odd_pictures(fast: GroundingModel, small: None, shape: tuple[int, ...]) -> None:
    picture = np.full(shape, 90, np.uint8)
    answer = detector_of(fast).detect(picture, CLASSES, 0.25)
    assert all(box.corners[2] <= shape[1] and box.corners[3] <= shape[0] for box in answer.boxes)


@pytest.mark.any_host
def test_alpha_is_left_out_of_account(fast: GroundingModel, small: None) -> None:
    rgb = tiny.picture()
    rgba = np.dstack((rgb, np.arange(rgb[..., 0].size).reshape(rgb.shape[:2]).astype(np.uint8)))
    assert detector_of(fast).detect(rgba, CLASSES, 0.25) == detector_of(fast).detect(rgb, CLASSES, 0.25)


@pytest.mark.any_host
@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_picture_is_refused(fast: GroundingModel, bad: Any) -> None:
    with pytest.raises(PictureError):
        detector_of(fast).detect(bad, CLASSES, 0.25)


@pytest.mark.any_host
@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((800, 800), (800, 800)),
        ((600, 800), (800, 1066)),
        ((800, 600), (1066, 800)),
        ((1000, 3000), (444, 1332)),
        ((8000, 8000), (800, 800)),
        ((1, 1), (800, 800)),
        ((1, 8000), (64, 1333)),
    ],
)
def test_the_size_the_detector_looks_at(size: tuple[int, int], expected: tuple[int, int]) -> None:
    found = detector_size(*size)
    assert abs(found[0] - expected[0]) <= 1 and abs(found[1] - expected[1]) <= 1


@pytest.mark.any_host
def test_numbers_that_are_not_finite_are_a_failure_and_never_absence(
    detector_file: Path, vocabulary: Path, small: None, tmp_path: Path
) -> None:
    state = read_weights(detector_file)
    state["transformer.encoder.layers.0.self_attn.sampling_offsets.bias"][0] = float("nan")
    torch.save({"model": state}, tmp_path / "nan.pth")
    for reference in (True, False):
        broken = groundingdino.load(tmp_path / "nan.pth", vocabulary, reference=reference)
        with pytest.raises(FinderError, match="not finite"):
            detector_of(broken).detect(tiny.picture(), CLASSES, 0.25)


FULL = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")


@pytest.mark.any_host
def test_out_of_memory_is_tried_once_more_in_small(fast: GroundingModel, small: None) -> None:
    model, calls = counting(fast, lambda call: FULL if call == 1 else None)
    answer = detector_of(model).detect(tiny.picture(), CLASSES, 0.25)
    assert answer.boxes
    assert any("memory ran out" in note for note in answer.notes)
    assert calls[1][0][0] < calls[0][0][0]


@pytest.mark.any_host
def test_out_of_memory_twice_is_a_clear_failure(fast: GroundingModel, small: None) -> None:
    model, calls = counting(fast, lambda call: FULL)
    with pytest.raises(FinderError, match="ran out of memory twice.*close other programs"):
        detector_of(model).detect(tiny.picture(), CLASSES, 0.25)
    assert len(calls) == 2


@pytest.mark.any_host
def test_another_error_of_the_model_is_told_and_not_tried_again(fast: GroundingModel, small: None) -> None:
    model, calls = counting(fast, lambda call: RuntimeError("kernel image is not there\nlong trace"))
    with pytest.raises(FinderError, match="the detector failed: kernel image is not there$"):
        detector_of(model).detect(tiny.picture(), CLASSES, 0.25)
    assert len(calls) == 1


@pytest.mark.any_host
def test_loaded_once_unloaded_when_told_and_loaded_again(detector_file: Path, vocabulary: Path, small: None) -> None:
    loads: list[int] = []

    def load() -> GroundingModel:
        loads.append(1)
        return groundingdino.load(detector_file, vocabulary)

    handle = ModelHandle(load, "cpu")
    detector = GroundedDetector("groundingdino", handle)
    assert not handle.loaded, "nothing is loaded before it is used"
    first = detector.detect(tiny.picture(), CLASSES, 0.25)
    assert detector.detect(tiny.picture(), CLASSES, 0.25) == first, "same picture, same answer"
    detector.offload()
    assert detector.detect(tiny.picture(), CLASSES, 0.25) == first
    assert len(loads) == 1
    detector.unload()
    assert not handle.loaded
    assert detector.detect(tiny.picture(), CLASSES, 0.25) == first
    assert len(loads) == 2


@pytest.mark.any_host
def test_threads_share_one_model_without_mixing_answers(detector_file: Path, vocabulary: Path, small: None) -> None:
    detector = groundingdino.detector(detector_file, vocabulary, device="cpu")
    pictures = [tiny.picture(200, 200 + 20 * number) for number in range(3)]
    expected = [detector.detect(picture, CLASSES, 0.25) for picture in pictures]
    found: dict[int, Boxes] = {}

    def work(number: int) -> None:
        found[number] = detector.detect(pictures[number], CLASSES, 0.25)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(3)] == expected


def test_loading_asks_no_hub_and_prints_nothing(
    detector_file: Path, vocabulary: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("loading asked the network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    groundingdino.load(detector_file, vocabulary)
    assert capfd.readouterr().out == "", "stdout may be the command line's JSON"


def test_a_host_in_inference_mode_and_half_precision_gets_an_ordinary_model(
    detector_file: Path, vocabulary: Path, small: None
) -> None:
    expected = groundingdino.detector(detector_file, vocabulary, device="cpu").detect(tiny.picture(), CLASSES, 0.25)
    torch.set_default_dtype(torch.float16)
    try:
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            model = groundingdino.load(detector_file, vocabulary)
            found = detector_of(model).detect(tiny.picture(), CLASSES, 0.25)
            assert torch.is_inference_mode_enabled() and torch.is_autocast_cpu_enabled()
        assert torch.get_default_dtype() is torch.float16
    finally:
        torch.set_default_dtype(torch.float32)
    assert found == expected, "autocast did not reach the model"
    tensors = [*model.module.parameters(), *model.module.buffers()]
    assert not any(tensor.is_inference() for tensor in tensors)
    assert all(tensor.dtype is torch.float32 for tensor in tensors if tensor.is_floating_point())
    assert not torch.is_autocast_cpu_enabled()


class Harmless:
    """What a malicious pickle would hold: something that runs when it is read."""

    ran: list[int] = []  # noqa: RUF012 - shared on purpose

    def __reduce__(self) -> Any:
        return Harmless.ran.append, (1,)


def broken_files(detector_file: Path, folder: Path) -> dict[str, tuple[Path, str]]:
    """A file for each way in which weights can be wrong, and what must be said."""
    whole = detector_file.read_bytes()
    contents = {
        "cut.pth": (whole[: len(whole) // 2], "damaged or cut short"),
        "head.pth": (whole[:200], "damaged or cut short|refused"),
        "empty.pth": (b"", "damaged or cut short"),
        "page.pth": (b"<!DOCTYPE html><html>404</html>", "damaged or cut short"),
        "code.pth": (pickle.dumps({"model": Harmless()}), "refused"),
        "list.pth": (None, "holds no model weights"),
        "page.safetensors": (b"<!DOCTYPE html>", "damaged or cut short"),
    }
    for name, (content, _) in contents.items():
        if content is not None:
            (folder / name).write_bytes(content)
    torch.save([1, 2, 3], folder / "list.pth")
    return {name: (folder / name, message) for name, (_, message) in contents.items()}


@pytest.mark.any_host
@pytest.mark.parametrize(
    "name", ["cut.pth", "head.pth", "empty.pth", "page.pth", "code.pth", "list.pth", "page.safetensors"]
)
def test_a_bad_file_is_named_and_never_run(detector_file: Path, vocabulary: Path, tmp_path: Path, name: str) -> None:
    path, message = broken_files(detector_file, tmp_path)[name]
    with pytest.raises(WeightsError, match=message) as refused:
        groundingdino.load(path, vocabulary)
    assert name in str(refused.value) and "\n" not in str(refused.value)
    assert Harmless.ran == []


@pytest.mark.any_host
def test_code_in_a_new_style_file_is_refused_too(vocabulary: Path, tmp_path: Path) -> None:
    pytest.importorskip("groundingdino")
    torch.save({"model": Harmless()}, tmp_path / "code.pth")
    with pytest.raises(WeightsError, match="code.pth was refused"):
        groundingdino.load(tmp_path / "code.pth", vocabulary)
    assert Harmless.ran == []


@pytest.mark.any_host
def test_weights_of_another_architecture_are_named(detector_file: Path, vocabulary: Path, tmp_path: Path) -> None:
    state = read_weights(detector_file)
    lacking = {name: tensor for name, tensor in state.items() if "decoder.layers.1.norm3" not in name}
    torch.save({"model": lacking}, tmp_path / "lacking.pth")
    with pytest.raises(WeightsError, match="lacking.pth is of another architecture.*norm3"):
        groundingdino.load(tmp_path / "lacking.pth", vocabulary)
    torch.save({"model": {**state, "input_proj.0.0.weight": torch.zeros(3, 3)}}, tmp_path / "size.pth")
    with pytest.raises(WeightsError, match="size.pth is of another architecture.*input_proj"):
        groundingdino.load(tmp_path / "size.pth", vocabulary)
    torch.save({"image_encoder.pos_embed": torch.zeros(1)}, tmp_path / "sam.pth")
    with pytest.raises(WeightsError, match="sam.pth does not hold a GroundingDINO"):
        groundingdino.load(tmp_path / "sam.pth", vocabulary)


@pytest.mark.any_host
def test_extra_tensors_and_a_wrapped_model_are_fine(detector_file: Path, vocabulary: Path, tmp_path: Path) -> None:
    state = {f"module.{name}": tensor for name, tensor in read_weights(detector_file).items()}
    state["module.label_enc.weight"] = torch.zeros(3)
    torch.save({"model": state, "epoch": 3}, tmp_path / "wrapped.pth")
    logits, _ = look(groundingdino.load(tmp_path / "wrapped.pth", vocabulary))
    assert float(logits[:, :9].sum()) == pytest.approx(LOGIT_SUM, abs=0.05)


@pytest.mark.any_host
def test_safetensors_serve_as_well(detector_file: Path, vocabulary: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(
        {name: tensor.clone() for name, tensor in read_weights(detector_file).items()}, tmp_path / "d.safetensors"
    )
    logits, _ = look(groundingdino.load(tmp_path / "d.safetensors", vocabulary))
    assert float(logits[:, :9].sum()) == pytest.approx(LOGIT_SUM, abs=0.05)


@pytest.mark.any_host
def test_a_missing_file_a_missing_vocabulary_and_a_wrong_one(
    detector_file: Path, vocabulary: Path, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match="none.pth is not there"):
        groundingdino.load(tmp_path / "none.pth", vocabulary)
    with pytest.raises(WeightsError, match="vocab.txt cannot be read"):
        groundingdino.load(detector_file, tmp_path / "vocab.txt")
    (tmp_path / "vocab.txt").write_text("[UNK]\nbag\n")
    with pytest.raises(WeightsError, match="2 words, not 30522"):
        groundingdino.load(detector_file, tmp_path / "vocab.txt")


def test_the_webuis_own_torch_load_refusing_a_file(
    detector_file: Path, vocabulary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "load", lambda *arguments, **options: None)
    with pytest.raises(WeightsError, match="the WebUI's safety check refused tiny_dino.pth"):
        groundingdino.load(detector_file, vocabulary)


def test_the_shapes_of_the_published_models_are_those_of_the_packages_configurations(vocabulary: Path) -> None:
    """SwinT and SwinB, built without memory: reading a checkpoint's shape and building it gives its names and sizes."""
    pytest.importorskip("groundingdino")
    from importlib.resources import files

    from groundingdino.util.slconfig import SLConfig

    from benchmarks.random_models import BERT_BASE, SWIN_T
    from lib_prodshot.finding.models.architecture import SWINS, DetectorShape

    swin_b = DetectorShape(SWINS[1], BERT_BASE, 256, 6, 6, 2048, 900)
    for shape in (SWIN_T, swin_b):
        config = SLConfig.fromfile(
            str(files("groundingdino") / "config" / groundingdino.CONFIGURATIONS[shape.swin.name])
        )
        assert config.backbone == shape.swin.name
        read = (config.hidden_dim, config.enc_layers, config.dec_layers, config.dim_feedforward, config.num_queries)
        assert read == (256, 6, 6, 2048, 900)
        assert (shape.channels, shape.encoder_layers, shape.decoder_layers, shape.feed_forward, shape.queries) == read
