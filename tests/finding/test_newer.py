"""Newer finders through transformers: recognised by keys and shapes, loaded by the real loaders, chosen by reason."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from lib_prodshot.errors import FinderUnavailable, WeightsError
from lib_prodshot.finding.langsam import backend as langsam
from lib_prodshot.finding.langsam import mm_grounding_dino, own_files, sam2, sam_hq
from lib_prodshot.finding.models import recognition

MM_KEYS, SAM2_KEYS, META_KEYS, HQ_KEYS = (known.keys for known in recognition.ARCHITECTURES[:4])


def install(monkeypatch: pytest.MonkeyPatch, transformers: str) -> None:
    """Another version of transformers alone: torch asks for those of other packages when it is imported."""
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: transformers if name == "transformers" else real(name))


def header_only(path: Path, keys: tuple[str, ...]) -> Path:
    """A `.safetensors` file of empty tensors of these names."""
    head = json.dumps({key: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for key in keys}).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head)
    return path


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of models that is looked in, and nothing of this machine; transformers is new."""
    for variable in ("PRODSHOT_LANGSAM", "PRODSHOT_DETECTOR", "PRODSHOT_SAM", "PRODSHOT_MODELS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    monkeypatch.setattr(recognition, "find_spec", lambda name: name)
    install(monkeypatch, "4.57.6")
    folder = tmp_path / "models"
    (folder / "sam").mkdir(parents=True)
    return folder


def test_a_file_says_what_it_is_whatever_it_is_called(models: Path) -> None:
    header_only(models / "sam_vit_b.safetensors", MM_KEYS)
    header_only(models / "sam" / "dino.safetensors", SAM2_KEYS)
    header_only(models / "sam" / "meta.safetensors", META_KEYS)
    header_only(models / "sam" / "fine.safetensors", HQ_KEYS)
    found = {file.path.name: file.architecture.name for file in own_files.own_files(models) if file.architecture}
    assert found.pop("sam_vit_b.safetensors") == "mm-grounding-dino"
    assert found == {"dino.safetensors": "sam2", "meta.safetensors": "sam2", "fine.safetensors": "sam-hq"}


def test_an_unknown_file_is_left_alone_and_told_when_asked_for(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header_only(models / "vae.safetensors", ("decoder.conv_in.weight",))
    (models / "cut.safetensors").write_bytes(b"\x09")
    assert langsam.plan(models).detector != "unknown"
    monkeypatch.setenv("PRODSHOT_DETECTOR", "vae.safetensors")
    told = " ".join(langsam.plan(models).missing)
    assert "vae.safetensors is of an unknown architecture: looked for model.encoder_output_class_embed.bias" in told
    assert "(MM-Grounding-DINO)" in told and "it begins with decoder.conv_in.weight" in told
    monkeypatch.setenv("PRODSHOT_DETECTOR", "cut.safetensors")
    assert "cut.safetensors is no whole .safetensors file" in " ".join(langsam.plan(models).missing)


def test_a_newer_model_comes_first_where_it_can_run_and_says_why_where_it_cannot(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header_only(models / "mm.safetensors", MM_KEYS)
    small = header_only(models / "sam" / "small.safetensors", SAM2_KEYS)
    large = header_only(models / "sam" / "large.safetensors", (*SAM2_KEYS, "more"))
    plan = langsam.plan(models)
    assert (plan.detector, plan.segmenter, plan.segmenter_weights) == ("mm-grounding-dino", "sam2", small)
    assert langsam.plan(models, on_gpu=True).segmenter_weights == large
    reason = replace(plan, missing=()).reason
    assert reason == "mm-grounding-dino finds with mm.safetensors, sam2 masks with small.safetensors"
    install(monkeypatch, "4.55.4")
    plan = langsam.plan(models)
    assert plan.detector == "mm-grounding-dino" and plan.segmenter != "sam2"
    assert langsam.plan(models).detector == "mm-grounding-dino"
    told = "small.safetensors is SAM 2, which needs transformers 4.56 or newer; this is 4.55.4."
    assert told in plan.notes
    monkeypatch.setenv("PRODSHOT_SAM", "small.safetensors")
    assert told in langsam.plan(models).missing
    monkeypatch.delenv("PRODSHOT_SAM")
    install(monkeypatch, "5.0.0")
    plan = langsam.plan(models)
    assert plan.detector != "mm-grounding-dino" and plan.segmenter == "sam2"
    assert "mm.safetensors is MM-Grounding-DINO, which transformers builds wrongly from 5.0 on" in plan.notes[0]
    install(monkeypatch, "4.57.6")
    monkeypatch.setenv("PRODSHOT_LANGSAM", "groundingdino-py")
    assert langsam.plan(models).detector == "groundingdino-py"


def test_what_a_user_brought_is_not_fetched_again(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = {"groundingdino-swint", "sam-vit-b", "bert-vocab"}
    assert set(langsam.to_fetch(models)) == fetched
    header_only(models / "mine.safetensors", MM_KEYS)
    assert set(langsam.to_fetch(models)) == fetched - {"groundingdino-swint"}
    monkeypatch.setenv("PRODSHOT_SAM", "sam-hq")  # which is in no catalogue
    assert set(langsam.to_fetch(models)) == {"bert-vocab"}
    assert list(langsam.own_models()) == ["MM-Grounding-DINO", "SAM 2", "HQ-SAM"]
    install(monkeypatch, "5.0.0")
    assert list(langsam.own_models()) == ["SAM 2", "HQ-SAM"]
    install(monkeypatch, "4.30.2")
    assert not langsam.own_models()


def test_sam3_is_recognised_and_the_doctor_says_what_it_would_take(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header_only(models / "new.safetensors", ("detector_model.dot_product_scoring.query_proj.weight",))
    told = "new.safetensors is SAM 3: no finder here runs it; that would take transformers 5.0 or newer"
    assert langsam.plan(models).segmenter != "sam3" and f"Not used: {told}" in langsam.describe(models)
    monkeypatch.setenv("PRODSHOT_SAM", "new.safetensors")
    assert told in " ".join(langsam.plan(models).missing)


@pytest.mark.parametrize(("variable", "name"), [("PRODSHOT_DETECTOR", "mm-grounding-dino"), ("PRODSHOT_SAM", "sam2")])
def test_asked_for_without_a_file_it_says_what_to_do(
    models: Path, monkeypatch: pytest.MonkeyPatch, variable: str, name: str
) -> None:
    monkeypatch.setenv(variable, name)
    told = " ".join(langsam.plan(models).missing)
    assert ("docs/finders.md says which" if name == "mm-grounding-dino" else "weights fetch sam2.1-hiera-tiny") in told


@pytest.fixture(scope="module")
def torch() -> Any:
    """torch, where a transformers is installed that has the segmenters."""
    torch = pytest.importorskip("torch")
    skip_unless_met("sam2")
    return torch


def skip_unless_met(architecture: str) -> None:
    if lacking := recognition.unmet_requirement(recognition.architecture(architecture), "it"):
        pytest.skip(lacking)


@pytest.fixture(scope="module")
def detector_folder(torch: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.finding import tiny_newer

    skip_unless_met("mm-grounding-dino")
    return tiny_newer.mm_grounding_dino(tmp_path_factory.mktemp("mm"))


@pytest.fixture(scope="module")
def segmenter_folder(torch: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.finding import tiny_newer

    return tiny_newer.sam2(tmp_path_factory.mktemp("sam2"))


def bare_file(folder: Path, target: Path) -> Path:
    shutil.copy(folder / "model.safetensors", target)
    return target


def test_the_fast_layers_and_the_file_alone_give_what_transformers_gives(
    torch: Any, detector_folder: Path, vocabulary: Path, tmp_path: Path
) -> None:
    from lib_prodshot.finding.fast.swap import Wrapper
    from tests.finding.tiny_files import look

    plain = mm_grounding_dino.load(detector_folder, vocabulary, reference=True)
    fast = mm_grounding_dino.load(bare_file(detector_folder, tmp_path / "x.safetensors"), vocabulary)
    assert sum(isinstance(module, Wrapper) for module in fast.module.modules()) == 2 * 2 + 2
    assert not any(isinstance(module, Wrapper) for module in plain.module.modules())
    expected, found = look(plain), look(fast)
    assert expected[0].std() > 0.01
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=1e-3)
    torch.testing.assert_close(found[1], expected[1], rtol=0, atol=1e-4)


def test_a_sam2_file_alone_gives_what_its_folder_gives(
    torch: Any, segmenter_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lib_prodshot.finding.models.preprocessing import segmenter_pixels
    from lib_prodshot.finding.models.runtime import inference
    from tests.finding import tiny, tiny_newer

    file = bare_file(segmenter_folder, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match=r"backbone is not known here \(8 channels, blocks \(1, 1, 2, 1"):
        sam2.load(file)
    monkeypatch.setattr(sam2, "SIDE", tiny_newer.SIDE)
    monkeypatch.setattr(sam2, "HIERAS", (sam2.Hiera("nano", 8, (1, 1, 2, 1), 1, (8, 4, 4, 2), (3,)),))
    models = sam2.load(segmenter_folder), sam2.load(file)
    prompts = torch.tensor([[10.0, 20.0, 80.0, 90.0], [0.0, 0.0, 128.0, 96.0]])
    kept = prompts.clone()
    with inference():
        pixels = segmenter_pixels(tiny.picture(), tiny_newer.SIDE, stretch=True)
        answers = [model.decode(model.encode(pixels), prompts, True) for model in models]
    assert torch.equal(prompts, kept)
    assert answers[0][0].shape == (2, 3, 32, 32) and answers[0][0].std() > 0.01
    for one, other in zip(*answers, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_an_hq_sam_file_alone_with_fast_layers_gives_what_its_folder_gives(torch: Any, tmp_path: Path) -> None:
    from lib_prodshot.finding.fast.swap import Wrapper
    from lib_prodshot.finding.models.preprocessing import segmenter_pixels
    from lib_prodshot.finding.models.runtime import inference
    from tests.finding import tiny, tiny_newer

    folder = tiny_newer.sam_hq(tmp_path / "hq")
    models = sam_hq.load(folder, reference=True), sam_hq.load(bare_file(folder, tmp_path / "x.safetensors"))
    assert [sum(isinstance(part, Wrapper) for part in model.module.modules()) for model in models] == [0, 2 * 2]
    prompts = torch.tensor([[10.0, 20.0, 80.0, 90.0], [0.0, 0.0, 128.0, 96.0]])
    points = torch.tensor([[[30.0, 40.0]], [[20.0, 50.0]]]), torch.tensor([[1], [0]], dtype=torch.int32)
    with inference():
        pixels = segmenter_pixels(tiny.picture(), 128)
        embeddings = [model.encode(pixels) for model in models]
        for given in (None, points):
            answers = [
                model.decode(embedding, prompts, True, given)
                for model, embedding in zip(models, embeddings, strict=True)
            ]
            assert answers[0][0].shape == (2, 3, 32, 32) and answers[0][0].std() > 0.01
            for one, other in zip(*answers, strict=True):
                torch.testing.assert_close(one, other, rtol=0, atol=1e-3)
        alone = models[0].decode(embeddings[0], prompts[1:], True)
    torch.testing.assert_close(alone[0], models[0].decode(embeddings[0], prompts, True)[0][1:], rtol=0, atol=1e-3)


def test_what_lacks_tensors_or_is_something_else_is_refused(
    torch: Any, detector_folder: Path, segmenter_folder: Path, vocabulary: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(str(detector_folder / "model.safetensors"))
    del state["model.enc_output.weight"]
    save_file(state, str(tmp_path / "lacking.safetensors"))
    with pytest.raises(WeightsError, match=r"lacking\.safetensors is of another architecture"):
        mm_grounding_dino.load(tmp_path / "lacking.safetensors", vocabulary)
    with pytest.raises(WeightsError, match=r"mask\.safetensors is of an unknown architecture: looked for model\.enc"):
        mm_grounding_dino.load(bare_file(segmenter_folder, tmp_path / "mask.safetensors"), vocabulary)


def test_an_old_transformers_is_told_before_anything_is_built(
    torch: Any, segmenter_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, "4.46.1")
    file = bare_file(segmenter_folder, tmp_path / "x.safetensors")
    with pytest.raises(FinderUnavailable, match=r"needs transformers 4\.56 or newer; this is 4\.46\.1"):
        sam2.load(file)


def test_loaded_it_finds_masks_and_names_its_files(
    torch: Any,
    detector_folder: Path,
    segmenter_folder: Path,
    vocabulary: Path,
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(detector_folder, models / "mm")
    shutil.copytree(segmenter_folder, models / "sam" / "sam2.1")
    shutil.copy(vocabulary, models)
    monkeypatch.setattr(langsam, "find_spec", lambda name: name)
    finder = langsam.load(models, device="cpu")
    assert [model.name for model in finder.weights] == ["mm-grounding-dino (mm)", "sam2 (sam2.1)"]
    assert (finder.detector.name, finder.segmenter.name) == ("mm-grounding-dino", "sam2")


def test_metas_own_names_become_those_of_transformers(torch: Any) -> None:
    published = {
        "image_encoder.trunk.patch_embed.proj.weight": "vision_encoder.backbone.patch_embed.projection.weight",
        "image_encoder.trunk.blocks.5.norm1.weight": "vision_encoder.backbone.blocks.5.layer_norm1.weight",
        "image_encoder.trunk.blocks.5.mlp.layers.0.bias": "vision_encoder.backbone.blocks.5.mlp.proj_in.bias",
        "image_encoder.trunk.blocks.5.mlp.layers.1.bias": "vision_encoder.backbone.blocks.5.mlp.proj_out.bias",
        "image_encoder.neck.convs.3.conv.weight": "vision_encoder.neck.convs.3.weight",
        "sam_mask_decoder.transformer.norm_final_attn.bias": "mask_decoder.transformer.layer_norm_final_attn.bias",
        "sam_mask_decoder.transformer.layers.1.self_attn.out_proj.bias": (
            "mask_decoder.transformer.layers.1.self_attn.o_proj.bias"
        ),
        "sam_mask_decoder.iou_prediction_head.layers.0.bias": "mask_decoder.iou_prediction_head.proj_in.bias",
        "sam_mask_decoder.iou_prediction_head.layers.1.bias": "mask_decoder.iou_prediction_head.layers.0.bias",
        "sam_mask_decoder.iou_prediction_head.layers.2.bias": "mask_decoder.iou_prediction_head.proj_out.bias",
        "sam_mask_decoder.output_upscaling.3.weight": "mask_decoder.upscale_conv2.weight",
        "sam_mask_decoder.conv_s0.weight": "mask_decoder.conv_s0.weight",
        "sam_prompt_encoder.mask_downscaling.4.weight": "prompt_encoder.mask_embed.layer_norm2.weight",
        "sam_prompt_encoder.not_a_point_embed.weight": "prompt_encoder.not_a_point_embed.weight",
        "no_mem_embed": "no_memory_embedding",
    }
    state = {name: torch.full((1,), number) for number, name in enumerate(published)}
    points = {f"sam_prompt_encoder.point_embeddings.{number}.weight": torch.full((1, 2), number) for number in range(4)}
    renamed = sam2.renamed_state({**state, **points, "memory_encoder.fuser.layers.0.gamma": torch.zeros(1)})
    assert renamed.pop("prompt_encoder.point_embed.weight").tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert {name: int(tensor) for name, tensor in renamed.items()} == {
        name: number for number, name in enumerate(published.values())
    }
