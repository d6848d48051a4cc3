"""HQ-SAM (Ke et al. 2023, arXiv:2306.01567) by Hugging Face's transformers, from 4.52 on: SAM with finer edges.

Its image encoder is SAM's, so SAM's faster layers serve.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lib_prodshot.finding.langsam.huggingface import from_folder, prompts_of, segmenter_settings, with_weights
from lib_prodshot.finding.langsam.huggingface_names import rename_all
from lib_prodshot.finding.models.architecture import segmenter_shape
from lib_prodshot.finding.models.box_segmenter import BoxSegmenter, PromptedModel
from lib_prodshot.finding.models.recognition import Shapes, read_recognised, shapes_of, untied_positions
from lib_prodshot.finding.models.runtime import ModelHandle, building


def segmenter(
    weights: Path, *, multimask: bool = False, reference: bool = False, device: str | None = None
) -> BoxSegmenter:
    """A segmenter that loads at its first use; `reference` keeps transformers' own layers."""
    return BoxSegmenter("sam-hq", ModelHandle(lambda: load(weights, reference), device), multimask)


def load(weights: Path, reference: bool = False) -> PromptedModel:
    """Build `SamHQModel` from a file in transformers' layout, or a folder with its configuration, and load its weights.

    Raises `FinderUnavailable` where transformers is too old, `WeightsError` for a file that is missing, damaged or of
    another model.
    """
    state = read_recognised(weights, "segmenter")
    with building():
        kind = import_module("transformers").SamHQModel
        if not state:
            module = from_folder(kind, weights)
        else:
            module = with_weights(kind, _config(shapes_of(state), weights.name), untied_positions(state), weights.name)
        module.eval().requires_grad_(False)
        if not reference:
            from lib_prodshot.finding.fast.huggingface import accelerate_segmenter

            accelerate_segmenter(module)
    side = int(module.config.vision_config.image_size)
    return PromptedModel(module, side, module.get_image_embeddings, partial(_decode, module))


_PUBLISHED: tuple[tuple[str, str], ...] = (
    (r"^vision_encoder\.layers\.", "image_encoder.blocks."),
    (r"^vision_encoder\.patch_embed\.projection\.", "image_encoder.patch_embed.proj."),
    (r"^vision_encoder\.neck\.conv1\.", "image_encoder.neck.0."),
    (r"^vision_encoder\.", "image_encoder."),
    (r"^prompt_encoder\.mask_embed\.conv2\.", "prompt_encoder.mask_downscaling.3."),
    (r"^mask_decoder\.iou_prediction_head\.proj_in\.", "mask_decoder.iou_prediction_head.layers.0."),
)
"""transformers' names to SAM's own, of the tensors that tell its sizes."""


def _config(shapes: Shapes, name: str) -> Any:
    """The configuration of an HQ-SAM of these shapes. Raises `WeightsError` for other models."""
    published: dict[str, Any] = {}
    head = "mask_decoder.iou_prediction_head."
    hidden = sum(key.startswith(f"{head}layers.") and key.endswith(".weight") for key in shapes)
    for key, sides in shapes.items():
        target = key.replace(f"{head}proj_out.", f"{head}layers.{hidden + 1}.")
        published.setdefault(rename_all(target, _PUBLISHED), SimpleNamespace(shape=sides))
    shape = segmenter_shape(published, name)
    settings = segmenter_settings(shape)
    settings["mask_decoder_config"]["vit_dim"] = shape.embed_dim
    return import_module("transformers").SamHQConfig(**settings)


def _decode(module: Any, embedding: Any, boxes: Any, multimask: bool, points: Any = None) -> tuple[Any, Any]:
    asked = prompts_of(None if boxes is None else boxes.clone(), points)
    image, layers = embedding
    answer = module(image_embeddings=image, intermediate_embeddings=layers, **asked, multimask_output=multimask)
    return answer.pred_masks[0], answer.iou_scores[0]
