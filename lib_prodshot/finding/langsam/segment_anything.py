"""Segment Anything by the package segment-anything 1.0 (Kirillov et al. 2023, arXiv:2304.02643), and MobileSAM."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lib_prodshot.errors import FinderUnavailable, pip_install
from lib_prodshot.finding.models.architecture import SegmenterShape, State, is_mobile_sam, segmenter_shape
from lib_prodshot.finding.models.box_segmenter import BoxSegmenter, PromptedModel
from lib_prodshot.finding.models.checkpoint import load_state, read_weights
from lib_prodshot.finding.models.runtime import ModelHandle, building

INSTALL = pip_install("--no-deps segment-anything==1.0")


def missing_requirement() -> str:
    """The missing requirement as one sentence; empty when the package can run."""
    return "" if find_spec("segment_anything") else f"The package segment-anything is missing ({INSTALL})."


def segmenter(
    weights: Path, *, multimask: bool = False, reference: bool = False, device: str | None = None
) -> BoxSegmenter:
    """A segmenter that loads at its first use; `reference` keeps the package's own layers."""
    handle = ModelHandle(lambda: load(weights, reference=reference), device)
    return BoxSegmenter("segment-anything", handle, multimask)


def load(weights: Path, *, reference: bool = False) -> PromptedModel:
    """Build the model of the weights' architecture (vit_b, vit_l, vit_h, MobileSAM, other ViT sizes) and load them.

    Raises `FinderUnavailable` without the package, `WeightsError` for a file that is missing, damaged or of another
    model.
    """
    state = read_weights(weights)
    with building():
        module = _mobile(weights.name) if is_mobile_sam(state) else _build(state, weights.name)
        load_state(module, state, weights.name)
        module.eval().requires_grad_(False)
        if not reference:
            from lib_prodshot.finding.fast.sam import accelerate

            accelerate(module)
    model = prompted_model(module)
    return model if reference else replace(model, halve=partial(_halve, module))


def _halve(module: Any, dtype: Any, device: Any) -> int:
    from lib_prodshot.finding.fast.sam import halve

    return halve(module, dtype, device)


def prompted_model(module: Any) -> PromptedModel:
    """Adapter for a `Sam` of the package, or of MobileSAM's."""
    return PromptedModel(
        module,
        int(module.image_encoder.img_size),
        module.image_encoder,
        partial(_decode, module),
    )


def _mobile(name: str) -> Any:
    if find_spec("mobile_sam") is None:
        raise FinderUnavailable(f"{name} is MobileSAM, and the package mobile_sam is missing; or take SAM ViT-B")
    from mobile_sam import sam_model_registry

    return sam_model_registry["vit_t"]()


def _build(state: State, name: str) -> Any:
    if missing_requirement():
        raise FinderUnavailable(f"Segment Anything cannot run here. {missing_requirement()}")
    shape = segmenter_shape(state, name)
    from segment_anything import sam_model_registry

    if shape.name in sam_model_registry:
        return sam_model_registry[shape.name]()
    return build(shape)


def build(shape: SegmenterShape) -> Any:
    """Build a SAM of any size from the package's modules, as its own builder does for its three sizes."""
    import torch
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    grid = shape.side // shape.patch
    encoder = ImageEncoderViT(
        img_size=shape.side,
        patch_size=shape.patch,
        embed_dim=shape.embed_dim,
        depth=shape.depth,
        num_heads=shape.heads,
        mlp_ratio=shape.feed_forward / shape.embed_dim,
        out_chans=shape.channels,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=shape.window,
        global_attn_indexes=shape.global_blocks,
    )
    prompts = PromptEncoder(
        embed_dim=shape.channels,
        image_embedding_size=(grid, grid),
        input_image_size=(shape.side, shape.side),
        mask_in_chans=shape.mask_channels,
    )
    transformer = TwoWayTransformer(
        depth=shape.decoder_depth, embedding_dim=shape.channels, num_heads=8, mlp_dim=shape.decoder_feed_forward
    )
    decoder = MaskDecoder(
        transformer_dim=shape.channels,
        transformer=transformer,
        num_multimask_outputs=shape.masks,
        iou_head_depth=shape.quality_depth,
        iou_head_hidden_dim=shape.quality_hidden,
    )
    return Sam(encoder, prompts, decoder)


def _decode(module: Any, embedding: Any, boxes: Any, multimask: bool, points: Any = None) -> tuple[Any, Any]:
    sparse, dense = module.prompt_encoder(points=points, boxes=boxes, masks=None)
    logits, qualities = module.mask_decoder(
        image_embeddings=embedding,
        image_pe=module.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=multimask,
    )
    return logits, qualities
