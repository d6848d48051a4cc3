"""Mapping of the published checkpoints' weight names to those of Hugging Face's transformers (4.x).

So the same files serve both implementations. The mapping is that of transformers' own conversion scripts; the
tests compare the outputs of both implementations filled from one file.
"""

from __future__ import annotations

import re
from typing import Any

from lib_prodshot.finding.models.architecture import State

_SWIN = "model.backbone.conv_encoder.model."
_ENCODER = r"^transformer\.encoder\.layers\.(\d+)\."
_TEXT = r"^transformer\.encoder\.text_layers\.(\d+)\."
_FUSION = r"^transformer\.encoder\.fusion_layers\.(\d+)\."
_DECODER = r"^transformer\.decoder\.layers\.(\d+)\."
_TO_ENCODER = r"model.encoder.layers.\1.deformable_layer."
_TO_TEXT = r"model.encoder.layers.\1.text_enhancer_layer."
_TO_FUSION = r"model.encoder.layers.\1.fusion_layer."
_TO_DECODER = r"model.decoder.layers.\1."

DETECTOR_RULES: tuple[tuple[str, str], ...] = (
    (r"^backbone\.0\.patch_embed\.proj\.", _SWIN + "embeddings.patch_embeddings.projection."),
    (r"^backbone\.0\.patch_embed\.norm\.", _SWIN + "embeddings.norm."),
    (r"^backbone\.0\.(layers\.\d+\.blocks\.\d+\.)norm1\.", _SWIN + r"encoder.\1layernorm_before."),
    (r"^backbone\.0\.(layers\.\d+\.blocks\.\d+\.)norm2\.", _SWIN + r"encoder.\1layernorm_after."),
    (r"^backbone\.0\.(layers\.\d+\.blocks\.\d+\.)attn\.proj\.", _SWIN + r"encoder.\1attention.output.dense."),
    (r"^backbone\.0\.(layers\.\d+\.blocks\.\d+\.)attn\.", _SWIN + r"encoder.\1attention.self."),
    (r"^backbone\.0\.(layers\.\d+\.blocks\.\d+\.)mlp\.fc1\.", _SWIN + r"encoder.\1intermediate.dense."),
    (r"^backbone\.0\.(layers\.\d+\.blocks\.\d+\.)mlp\.fc2\.", _SWIN + r"encoder.\1output.dense."),
    (r"^backbone\.0\.(layers\.\d+\.downsample\.)", _SWIN + r"encoder.\1"),
    (r"^backbone\.0\.norm1\.", _SWIN + "hidden_states_norms.stage2."),
    (r"^backbone\.0\.norm2\.", _SWIN + "hidden_states_norms.stage3."),
    (r"^backbone\.0\.norm3\.", _SWIN + "hidden_states_norms.stage4."),
    (r"^input_proj\.", "model.input_proj_vision."),
    (r"^bert\.", "model.text_backbone."),
    (r"^feat_map\.", "model.text_projection."),
    (r"^transformer\.level_embed$", "model.level_embed"),
    (r"^transformer\.tgt_embed\.", "model.query_position_embeddings."),
    (r"^transformer\.enc_output\.", "model.enc_output."),
    (r"^transformer\.enc_output_norm\.", "model.enc_output_norm."),
    (r"^transformer\.enc_out_bbox_embed\.", "model.encoder_output_bbox_embed."),
    (_ENCODER + r"self_attn\.", _TO_ENCODER + "self_attn."),
    (_ENCODER + r"norm1\.", _TO_ENCODER + "self_attn_layer_norm."),
    (_ENCODER + r"norm2\.", _TO_ENCODER + "final_layer_norm."),
    (_ENCODER + r"linear(\d)\.", _TO_ENCODER + r"fc\2."),
    (_TEXT + r"self_attn\.", _TO_TEXT + "self_attn."),
    (_TEXT + r"linear(\d)\.", _TO_TEXT + r"fc\2."),
    (_TEXT + r"norm1\.", _TO_TEXT + "layer_norm_before."),
    (_TEXT + r"norm2\.", _TO_TEXT + "layer_norm_after."),
    (_FUSION + r"gamma_v$", _TO_FUSION + "vision_param"),
    (_FUSION + r"gamma_l$", _TO_FUSION + "text_param"),
    (_FUSION + r"layer_norm_v\.", _TO_FUSION + "layer_norm_vision."),
    (_FUSION + r"layer_norm_l\.", _TO_FUSION + "layer_norm_text."),
    (_FUSION + r"attn\.(values_|out_|)v_proj\.", _TO_FUSION + r"attn.\2vision_proj."),
    (_FUSION + r"attn\.(values_|out_|)l_proj\.", _TO_FUSION + r"attn.\2text_proj."),
    (_DECODER + r"cross_attn\.", _TO_DECODER + "encoder_attn."),
    (_DECODER + r"norm1\.", _TO_DECODER + "encoder_attn_layer_norm."),
    (_DECODER + r"ca_text\.", _TO_DECODER + "encoder_attn_text."),
    (_DECODER + r"catext_norm\.", _TO_DECODER + "encoder_attn_text_layer_norm."),
    (_DECODER + r"self_attn\.", _TO_DECODER + "self_attn."),
    (_DECODER + r"norm2\.", _TO_DECODER + "self_attn_layer_norm."),
    (_DECODER + r"linear(\d)\.", _TO_DECODER + r"fc\2."),
    (_DECODER + r"norm3\.", _TO_DECODER + "final_layer_norm."),
    (r"^transformer\.decoder\.norm\.", "model.decoder.layer_norm."),
    (r"^transformer\.decoder\.ref_point_head\.", "model.decoder.reference_points_head."),
    (r"^transformer\.decoder\.bbox_embed\.", "model.decoder.bbox_embed."),
)

_JOINED = re.compile(r"^(.*?)(?:qkv\.|in_proj_)(weight|bias)$")

PROMPT_AND_MASK_RULES: tuple[tuple[str, str], ...] = (
    (r"\.norm(\d|_final_attn)\.", r".layer_norm\1."),
    (r"mask_decoder\.output_upscaling\.0\.", "mask_decoder.upscale_conv1."),
    (r"mask_decoder\.output_upscaling\.1\.", "mask_decoder.upscale_layer_norm."),
    (r"mask_decoder\.output_upscaling\.3\.", "mask_decoder.upscale_conv2."),
    (r"mask_downscaling\.0\.", "mask_embed.conv1."),
    (r"mask_downscaling\.1\.", "mask_embed.layer_norm1."),
    (r"mask_downscaling\.3\.", "mask_embed.conv2."),
    (r"mask_downscaling\.4\.", "mask_embed.layer_norm2."),
    (r"mask_downscaling\.6\.", "mask_embed.conv3."),
    (r"pe_layer\.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"),
)
"""Of what SAM and SAM 2 have alike: prompts, masks as prompts, and the mask's upscaling."""

SEGMENTER_RULES: tuple[tuple[str, str], ...] = (
    (r"^image_encoder\.blocks\.", "vision_encoder.layers."),
    (r"^image_encoder\.neck\.0\.", "vision_encoder.neck.conv1."),
    (r"^image_encoder\.neck\.1\.", "vision_encoder.neck.layer_norm1."),
    (r"^image_encoder\.neck\.2\.", "vision_encoder.neck.conv2."),
    (r"^image_encoder\.neck\.3\.", "vision_encoder.neck.layer_norm2."),
    (r"^image_encoder\.patch_embed\.proj\.", "vision_encoder.patch_embed.projection."),
    (r"^image_encoder\.", "vision_encoder."),
    (r"iou_prediction_head\.layers\.", "iou_prediction_head."),
    (r"(output_hypernetworks_mlps\.\d+)\.layers\.", r"\1."),
    (r"point_embeddings\.", "point_embed."),
    *PROMPT_AND_MASK_RULES,
)


def detector_state(state: State) -> dict[str, Any]:
    """Rename a published GroundingDINO's tensors for transformers; joined projections are split into three."""
    renamed: dict[str, Any] = {}
    for name, tensor in state.items():
        if name.startswith("bert.pooler."):
            continue  # never used, and not there in transformers
        target = _rename(name, DETECTOR_RULES)
        joined = _JOINED.match(target)
        if joined is None:
            renamed[target] = tensor
            continue
        for part, third in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
            renamed[f"{joined.group(1)}{part}.{joined.group(2)}"] = third.clone()
    return renamed


def segmenter_state(state: State) -> dict[str, Any]:
    """Rename a published SAM's tensors for transformers."""
    renamed: dict[str, Any] = {}
    for name, tensor in state.items():
        target = rename_all(name, SEGMENTER_RULES)
        renamed[_head_name(target, state)] = tensor
    shared = renamed["prompt_encoder.shared_embedding.positional_embedding"]
    renamed["shared_image_embedding.positional_embedding"] = shared
    return renamed


def _rename(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    """Apply the first matching rule."""
    for pattern, target in rules:
        if re.search(pattern, name):
            return re.sub(pattern, target, name)
    return name


def rename_all(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    """Apply every matching rule in order."""
    for pattern, target in rules:
        name = re.sub(pattern, target, name)
    return name


def _head_name(name: str, state: State) -> str:
    """SAM's small heads number their layers; transformers calls the first proj_in and the last proj_out."""
    found = re.match(r"^(mask_decoder\.(?:iou_prediction_head|output_hypernetworks_mlps\.\d+))\.(\d+)\.(.*)$", name)
    if found is None:
        return name
    head, number, rest = found.group(1), int(found.group(2)), found.group(3)
    last = max(int(key[len(head) + 8 :].partition(".")[0]) for key in state if key.startswith(f"{head}.layers."))
    return f"{head}.{layer_name(number, last)}.{rest}"


def layer_name(number: int, last: int) -> str:
    """What transformers calls the layer of this number in a small perceptron whose `last` one has that number."""
    return "proj_in" if number == 0 else "proj_out" if number == last else f"layers.{number - 1}"
