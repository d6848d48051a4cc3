"""GroundingDINO and Segment Anything implemented by Hugging Face's transformers (4.40 to 5.x), from published files.

For hosts with transformers 5, where groundingdino-py cannot run. No model hub is contacted: configuration and weights
come from the file, the tokenizer from the vocabulary. A folder in transformers' own layout (config.json and
model.safetensors) serves as well.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lib_prodshot.errors import FinderUnavailable, WeightsError
from lib_prodshot.finding.langsam.groundingdino import read_vocabulary
from lib_prodshot.finding.langsam.huggingface_names import detector_state, segmenter_state
from lib_prodshot.finding.models.architecture import (
    Bert,
    DetectorShape,
    SegmenterShape,
    State,
    detector_shape,
    segmenter_shape,
)
from lib_prodshot.finding.models.box_segmenter import BoxSegmenter, PromptedModel
from lib_prodshot.finding.models.checkpoint import load_state, read_weights
from lib_prodshot.finding.models.grounded_detector import GroundedDetector, GroundingModel
from lib_prodshot.finding.models.runtime import ModelHandle, building

OLDEST = (4, 40)


def missing_requirement() -> str:
    """The missing requirement as one sentence; empty when transformers can run both models."""
    if find_spec("transformers") is None:
        return "The package transformers is missing."
    from importlib.metadata import version

    installed = version("transformers")
    if tuple(int(part) for part in installed.split(".")[:2]) < OLDEST:
        return f"GroundingDINO came to transformers with 4.40; this is {installed}."
    return ""


def detector(
    weights: Path, vocabulary: Path, *, reference: bool = False, device: str | None = None
) -> GroundedDetector:
    """A detector that loads at its first use; `reference` keeps transformers' own layers."""
    return GroundedDetector(
        "hf-groundingdino", ModelHandle(lambda: load_detector(weights, vocabulary, reference), device)
    )


def segmenter(
    weights: Path, *, multimask: bool = False, reference: bool = False, device: str | None = None
) -> BoxSegmenter:
    """A segmenter that loads at its first use; `reference` keeps transformers' own layers."""
    return BoxSegmenter("hf-sam", ModelHandle(lambda: load_segmenter(weights, reference), device), multimask)


def load_detector(weights: Path, vocabulary: Path, reference: bool = False) -> GroundingModel:
    """Build `GroundingDinoForObjectDetection` from a published file, or from a folder in transformers' layout.

    `vocabulary` is bert-base-uncased's vocab.txt. Raises `FinderUnavailable` without transformers, `WeightsError` for
    files that are missing, damaged or of another model.
    """
    _require()
    with building():
        kind = _transformers().GroundingDinoForObjectDetection
        if weights.is_dir():
            module = from_folder(kind, weights)
        else:
            state = read_weights(weights)
            config = _detector_config(detector_shape(state, weights.name))
            module = with_weights(kind, config, detector_state(state), weights.name)
        module.eval().requires_grad_(False)
        tokenizer = make_tokenizer(vocabulary, module.config.text_config.vocab_size)
        if not reference:
            from lib_prodshot.finding.fast.huggingface import accelerate_detector

            accelerate_detector(module)
    return GroundingModel(module, tokenizer, partial(forward, module, tokenizer))


def load_segmenter(weights: Path, reference: bool = False) -> PromptedModel:
    """Build `SamModel` from a published file, or from a folder in transformers' layout. Raises as `load_detector`."""
    _require()
    with building():
        kind = _transformers().SamModel
        if weights.is_dir():
            module = from_folder(kind, weights)
        else:
            state = read_weights(weights)
            config = _transformers().SamConfig(**segmenter_settings(segmenter_shape(state, weights.name)))
            module = with_weights(kind, config, segmenter_state(state), weights.name)
        module.eval().requires_grad_(False)
        if not reference:
            from lib_prodshot.finding.fast.huggingface import accelerate_segmenter

            accelerate_segmenter(module)
    side = int(module.config.vision_config.image_size)
    return PromptedModel(
        module,
        side,
        module.get_image_embeddings,
        partial(_decode, module),
        halve=None if reference else partial(_halve, module),
    )


def _halve(module: Any, dtype: Any, device: Any) -> int:
    count: int = import_module("lib_prodshot.finding.fast.huggingface").halve_segmenter(module, dtype, device)
    return count


def _transformers() -> Any:
    return import_module("transformers")


def _major() -> int:
    return int(_transformers().__version__.partition(".")[0])


def _require() -> None:
    missing = missing_requirement()
    if missing:
        raise FinderUnavailable(f"transformers' GroundingDINO and SAM cannot run here. {missing}")


def make_tokenizer(vocabulary: Path, count: int) -> Any:
    """A fast BERT tokenizer of the `count` words of a vocab.txt, lower-casing. Raises `WeightsError`."""
    kind = _transformers().BertTokenizerFast
    words = read_vocabulary(vocabulary, count)
    if _major() < 5:
        return kind(vocab_file=str(vocabulary), do_lower_case=True)
    return kind(vocab={word: number for number, word in enumerate(words)}, do_lower_case=True)


def _detector_config(shape: DetectorShape) -> Any:
    library = _transformers()
    swin = library.SwinConfig(
        embed_dim=shape.swin.embed_dim,
        depths=list(shape.swin.depths),
        num_heads=list(shape.swin.heads),
        window_size=shape.swin.window,
        image_size=shape.swin.pretrained_side,
        out_indices=[2, 3, 4],
    )
    return library.GroundingDinoConfig(
        backbone_config=swin,
        text_config=text_settings(shape.bert),
        d_model=shape.channels,
        encoder_layers=shape.encoder_layers,
        decoder_layers=shape.decoder_layers,
        encoder_ffn_dim=shape.feed_forward,
        decoder_ffn_dim=shape.feed_forward,
        num_queries=shape.queries,
    )


def text_settings(bert: Bert) -> dict[str, Any]:
    """A detector configuration's part for a text encoder of this shape."""
    settings = bert.to_config()
    settings.pop("model_type")
    return dict(_transformers().BertConfig(**settings).to_dict())


def segmenter_settings(shape: SegmenterShape) -> dict[str, dict[str, Any]]:
    """The three parts of a `SamConfig` of this shape."""
    return {
        "vision_config": {
            "hidden_size": shape.embed_dim,
            "output_channels": shape.channels,
            "num_hidden_layers": shape.depth,
            "num_attention_heads": shape.heads,
            "image_size": shape.side,
            "patch_size": shape.patch,
            "mlp_dim": shape.feed_forward,
            "mlp_ratio": shape.feed_forward / shape.embed_dim,
            "window_size": shape.window,
            "global_attn_indexes": list(shape.global_blocks),
            "num_pos_feats": shape.channels // 2,
        },
        "prompt_encoder_config": {
            "hidden_size": shape.channels,
            "image_size": shape.side,
            "patch_size": shape.patch,
            "mask_input_channels": shape.mask_channels,
        },
        "mask_decoder_config": {
            "hidden_size": shape.channels,
            "mlp_dim": shape.decoder_feed_forward,
            "num_hidden_layers": shape.decoder_depth,
            "num_multimask_outputs": shape.masks,
            "iou_head_depth": shape.quality_depth,
            "iou_head_hidden_dim": shape.quality_hidden,
        },
    }


def with_weights(kind: Any, config: Any, state: State, name: str) -> Any:
    """Build a model of `kind` with these weights. transformers 5 renamed some layers; its loader maps both names."""
    if _major() < 5:
        module = kind(config)
        load_state(module, state, name, optional=("position_ids", "relative_position_index"))
        return module
    try:
        loaded = kind.from_pretrained(None, config=config, state_dict=dict(state), output_loading_info=True)
    except RuntimeError as error:
        raise WeightsError(f"{name} is of another architecture: its weights are not of the sizes of its own") from error
    return _complete(loaded, name)


def from_folder(kind: Any, folder: Path) -> Any:
    """Build a model of `kind` from a folder in transformers' layout. Raises `WeightsError`."""
    if not (folder / "config.json").is_file() or not (folder / "model.safetensors").is_file():
        raise WeightsError(f"the folder {folder.name} lacks config.json or model.safetensors")
    try:
        loaded = kind.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except Exception as error:  # transformers raises of every kind for a bad folder
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{folder.name} is damaged, cut short or of another model ({first})") from error
    return _complete(loaded, folder.name)


def _complete(loaded: tuple[Any, dict[str, Any]], name: str) -> Any:
    """The model; raises `WeightsError` unless the file held all of its weights."""
    module, report = loaded
    missing = sorted(key for key in report["missing_keys"] if "relative_position_index" not in key)
    wrong = [str(item[0] if isinstance(item, tuple) else item) for item in report.get("mismatched_keys", ())]
    if missing or wrong:
        first = (missing + wrong)[0]
        raise WeightsError(f"{name} is of another architecture: {first} is missing or of another size")
    return module


def forward(module: Any, tokenizer: Any, pixels: Any, caption: str) -> tuple[Any, Any]:
    """Run transformers' model once: raw logits (queries × 256) and boxes (queries × 4, centre and size)."""
    import torch

    words = tokenizer(caption, return_tensors="pt").to(pixels.device)
    whole = torch.ones(pixels.shape[0], *pixels.shape[2:], dtype=torch.int64, device=pixels.device)
    answer = module(
        pixel_values=pixels,
        pixel_mask=whole,
        input_ids=words["input_ids"],
        attention_mask=words["attention_mask"],
        token_type_ids=words["token_type_ids"],
    )
    return answer.logits[0], answer.pred_boxes[0]


def _decode(module: Any, embedding: Any, boxes: Any, multimask: bool, points: Any = None) -> tuple[Any, Any]:
    answer = module(image_embeddings=embedding, **prompts_of(boxes, points), multimask_output=multimask)
    return answer.pred_masks[0], answer.iou_scores[0]


def prompts_of(boxes: Any, points: Any) -> dict[str, Any]:
    """One picture's boxes (n×4 or None) and points with labels (a pair or None) as transformers' SAM takes them."""
    asked = {} if boxes is None else {"input_boxes": boxes[None]}
    if points is not None:
        asked |= {"input_points": points[0][None], "input_labels": points[1][None]}
    return asked
