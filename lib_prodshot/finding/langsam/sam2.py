"""SAM 2 and 2.1 (Ravi et al. 2024, arXiv:2408.00714) for single pictures by Hugging Face's transformers, from 4.56 on.

Meta's own files (`.pt`) and those in transformers' layout serve alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from lib_prodshot.errors import WeightsError
from lib_prodshot.finding.langsam.huggingface import from_folder, prompts_of, with_weights
from lib_prodshot.finding.langsam.huggingface_names import PROMPT_AND_MASK_RULES, layer_name, rename_all
from lib_prodshot.finding.models.architecture import State, count_layers
from lib_prodshot.finding.models.box_segmenter import BoxSegmenter, PromptedModel
from lib_prodshot.finding.models.recognition import Shapes, read_recognised, shapes_of, untied_positions
from lib_prodshot.finding.models.runtime import ModelHandle, building

SIDE = 1024
"""The square that every published SAM 2 reads; no shape tells it."""

_PATCH = 16
_BACKBONE = "vision_encoder.backbone."


@dataclass(frozen=True)
class Hiera:
    """What no shape tells of a Hiera backbone (`embed_dim` channels, `blocks` by stage), as SAM 2's own configurations
    have it: attention heads of the first stage, sides of the windows by stage, blocks that attend to the whole."""

    name: str
    embed_dim: int
    blocks: tuple[int, ...]
    heads: int
    windows: tuple[int, ...]
    global_blocks: tuple[int, ...]


HIERAS = (
    Hiera("tiny", 96, (1, 2, 7, 2), 1, (8, 4, 14, 7), (5, 7, 9)),
    Hiera("small", 96, (1, 2, 11, 2), 1, (8, 4, 14, 7), (7, 10, 13)),
    Hiera("base plus", 112, (2, 3, 16, 3), 2, (8, 4, 14, 7), (12, 16, 20)),
    Hiera("large", 144, (2, 6, 36, 4), 2, (8, 4, 16, 8), (23, 33, 43)),
)


def segmenter(
    weights: Path, *, multimask: bool = False, reference: bool = False, device: str | None = None
) -> BoxSegmenter:
    """A segmenter that loads at its first use; there are no faster layers, so `reference` changes nothing."""
    return BoxSegmenter("sam2", ModelHandle(lambda: load(weights), device), multimask)


def load(weights: Path) -> PromptedModel:
    """Build `Sam2Model` from a file, or a folder in transformers' layout, and load its weights.

    Raises `FinderUnavailable` where transformers is too old, `WeightsError` for a file that is missing, damaged or of
    another model.
    """
    state = read_recognised(weights, "segmenter")
    with building():
        kind = import_module("transformers").Sam2Model
        if not state:
            module = from_folder(kind, weights)
        else:
            renamed = renamed_state(state)
            module = with_weights(kind, _config(shapes_of(renamed), weights.name), renamed, weights.name)
        module.eval().requires_grad_(False)
    side = int(module.config.prompt_encoder_config.image_size)
    return PromptedModel(module, side, module.get_image_embeddings, partial(_decode, module), stretch=True)


def _config(shapes: Shapes, name: str) -> Any:
    """The configuration of a SAM 2 of these shapes. Raises `WeightsError` for other models."""
    try:
        dims = [
            shapes[f"{_BACKBONE}blocks.{block}.attn.qkv.weight"][0] // 3
            for block in range(count_layers(shapes, re.escape(_BACKBONE) + r"blocks\.(\d+)\."))
        ]
        stages = sorted(set(dims))
        blocks = tuple(dims.count(channels) for channels in stages)
        known = next((one for one in HIERAS if (one.embed_dim, one.blocks) == (stages[0], blocks)), None)
        if known is None:
            raise WeightsError(
                f"{name} is a SAM 2 whose backbone is not known here ({stages[0]} channels, blocks {blocks});"
                f" known: {', '.join(one.name for one in HIERAS)}; or take a folder with its config.json"
            )
        mlp = shapes[f"{_BACKBONE}blocks.0.mlp.proj_in.weight"]
        channels = shapes["vision_encoder.neck.convs.0.weight"][0]
        head = "mask_decoder.iou_prediction_head."
        return import_module("transformers").Sam2Config(
            vision_config={
                "backbone_config": {
                    "model_type": "sam2_hiera_det_model",
                    "hidden_size": stages[0],
                    "num_attention_heads": known.heads,
                    "image_size": [SIDE, SIDE],
                    "window_positional_embedding_background_size": list(shapes[f"{_BACKBONE}pos_embed"][2:]),
                    "num_query_pool_stages": len(stages) - 1,
                    "blocks_per_stage": list(blocks),
                    "embed_dim_per_stage": stages,
                    "num_attention_heads_per_stage": [known.heads * 2**stage for stage in range(len(stages))],
                    "window_size_per_stage": list(known.windows),
                    "global_attention_blocks": list(known.global_blocks),
                    "mlp_ratio": mlp[0] / mlp[1],
                },
                "backbone_channel_list": stages[::-1],
                "backbone_feature_sizes": [[SIDE // stride, SIDE // stride] for stride in (4, 8, 16)],
                "fpn_hidden_size": channels,
            },
            prompt_encoder_config={
                "hidden_size": channels,
                "image_size": SIDE,
                "patch_size": _PATCH,
                "mask_input_channels": shapes["prompt_encoder.mask_embed.conv2.weight"][0],
            },
            mask_decoder_config={
                "hidden_size": channels,
                "mlp_dim": shapes["mask_decoder.transformer.layers.0.mlp.proj_in.weight"][0],
                "num_hidden_layers": count_layers(shapes, r"mask_decoder\.transformer\.layers\.(\d+)\."),
                "num_multimask_outputs": shapes["mask_decoder.mask_tokens.weight"][0] - 1,
                "iou_head_depth": count_layers(shapes, re.escape(head) + r"layers\.(\d+)\.") + 2,
                "iou_head_hidden_dim": shapes[f"{head}proj_in.weight"][0],
            },
        )
    except (KeyError, ValueError, IndexError) as error:
        raise WeightsError(f"{name} does not hold a SAM 2 (there is no {error})") from error


_RULES: tuple[tuple[str, str], ...] = (
    (r"^image_encoder\.trunk\.", _BACKBONE),
    (r"^image_encoder\.neck\.convs\.(\d+)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"^sam_prompt_encoder\.", "prompt_encoder."),
    (r"^sam_mask_decoder\.", "mask_decoder."),
    (r"^no_mem_embed$", "no_memory_embedding"),
    (r"patch_embed\.proj\.", "patch_embed.projection."),
    (r"\.out_proj\.", ".o_proj."),
    *PROMPT_AND_MASK_RULES,
)
"""Meta's names to those of transformers; its perceptrons and prompt embeddings are renamed below."""

_PERCEPTRON = re.compile(
    r"^(.*\.mlp|mask_decoder\.(?:iou_prediction_head|pred_obj_score_head|output_hypernetworks_mlps\.\d+))"
    r"\.layers\.(\d+)\.(.*)$"
)
_POINTS = re.compile(r"^prompt_encoder\.point_embeddings\.(\d+)\.weight$")


def renamed_state(state: State) -> dict[str, Any]:
    """The tensors that a single picture needs by transformers' names, from either layout."""
    import torch

    renamed: dict[str, Any] = {}
    points: dict[int, Any] = {}
    for key, tensor in state.items():
        target = key
        if not key.startswith(("vision_encoder.", "prompt_encoder.", "mask_decoder.")):
            target = rename_all(target, _RULES)
            if number := _POINTS.match(target):
                points[int(number.group(1))] = tensor
                continue
            target = _perceptron_name(target, state, key)
        if target.startswith(("vision_encoder.", "prompt_encoder.", "mask_decoder.", "no_memory", "shared_image")):
            renamed[target] = tensor
    if points:
        renamed["prompt_encoder.point_embed.weight"] = torch.cat([points[number] for number in sorted(points)])
    return untied_positions(renamed)


def _perceptron_name(target: str, state: State, key: str) -> str:
    """Meta numbers a perceptron's layers; transformers calls the first proj_in and the last proj_out."""
    found = _PERCEPTRON.match(target)
    if found is None:
        return target
    stem = key[: key.rindex(".layers.") + len(".layers.")]
    last = max(int(name[len(stem) :].partition(".")[0]) for name in state if name.startswith(stem))
    number = int(found.group(2))
    return f"{found.group(1)}.{layer_name(number, last)}.{found.group(3)}"


def _decode(module: Any, embedding: Any, boxes: Any, multimask: bool, points: Any = None) -> tuple[Any, Any]:
    # the model moves the boxes that it is given, in place, by half a pixel
    asked = prompts_of(None if boxes is None else boxes.clone(), points)
    answer = module(image_embeddings=list(embedding), **asked, multimask_output=multimask)
    return answer.pred_masks[0], answer.iou_scores[0]
