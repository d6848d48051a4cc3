"""Model architectures inferred from their weights: no size is assumed, and files of other models are rejected."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lib_prodshot.errors import WeightsError

State = Mapping[str, Any]
"""Tensors by name."""


@dataclass(frozen=True)
class Swin:
    """A Swin backbone of GroundingDINO: `name` as the package knows it, the rest as its configuration."""

    name: str
    embed_dim: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: int
    pretrained_side: int


SWINS = (
    Swin("swin_T_224_1k", 96, (2, 2, 6, 2), (3, 6, 12, 24), 7, 224),
    Swin("swin_B_384_22k", 128, (2, 2, 18, 2), (4, 8, 16, 32), 12, 384),
)
"""The two that GroundingDINO was published with."""


@dataclass(frozen=True)
class Bert:
    """The text encoder's sizes. BERT's heads are 64 channels wide (Devlin et al. 2019)."""

    vocabulary: int
    hidden: int
    layers: int
    intermediate: int
    positions: int
    types: int

    def to_config(self) -> dict[str, Any]:
        """The keys of transformers' `BertConfig`."""
        return {
            "model_type": "bert",
            "vocab_size": self.vocabulary,
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.hidden // 64,
            "intermediate_size": self.intermediate,
            "max_position_embeddings": self.positions,
            "type_vocab_size": self.types,
        }


@dataclass(frozen=True)
class DetectorShape:
    """A GroundingDINO's sizes."""

    swin: Swin
    bert: Bert
    channels: int
    encoder_layers: int
    decoder_layers: int
    feed_forward: int
    queries: int


def detector_shape(state: State, name: str) -> DetectorShape:
    """Infer a GroundingDINO's sizes from its weights; `name` is the file's, for messages.

    Raises `WeightsError` for other models.
    """
    try:
        embed_dim = state["backbone.0.patch_embed.proj.weight"].shape[0]
        words = state["bert.embeddings.word_embeddings.weight"].shape
        bert = Bert(
            vocabulary=words[0],
            hidden=words[1],
            layers=count_layers(state, r"bert\.encoder\.layer\.(\d+)\."),
            intermediate=state["bert.encoder.layer.0.intermediate.dense.weight"].shape[0],
            positions=state["bert.embeddings.position_embeddings.weight"].shape[0],
            types=state["bert.embeddings.token_type_embeddings.weight"].shape[0],
        )
        feed_forward, channels = state["transformer.encoder.layers.0.linear1.weight"].shape
        queries = state["transformer.tgt_embed.weight"].shape[0]
    except (KeyError, ValueError, IndexError) as error:
        raise WeightsError(f"{name} does not hold a GroundingDINO (there is no {error})") from error
    swin = next((known for known in SWINS if known.embed_dim == embed_dim), None)
    if swin is None:
        raise WeightsError(f"{name} is a GroundingDINO with a backbone that is not known here; take SwinT or SwinB")
    encoders = count_layers(state, r"transformer\.encoder\.layers\.(\d+)\.")
    decoders = count_layers(state, r"transformer\.decoder\.layers\.(\d+)\.")
    return DetectorShape(swin, bert, channels, encoders, decoders, feed_forward, queries)


@dataclass(frozen=True)
class SegmenterShape:
    """A Segment Anything model's sizes; `side` is that of the square picture it reads."""

    side: int
    patch: int
    embed_dim: int
    depth: int
    heads: int
    feed_forward: int
    window: int
    global_blocks: tuple[int, ...]
    channels: int
    mask_channels: int
    masks: int
    decoder_depth: int
    decoder_feed_forward: int
    quality_depth: int
    quality_hidden: int

    @property
    def name(self) -> str:
        """The name Meta gave it: vit_b, vit_l or vit_h; 'vit' for other sizes."""
        return {(768, 12): "vit_b", (1024, 24): "vit_l", (1280, 32): "vit_h"}.get((self.embed_dim, self.depth), "vit")


def is_mobile_sam(state: State) -> bool:
    """Whether these are MobileSAM's weights (a TinyViT encoder with SAM's decoder)."""
    return any(key.startswith("image_encoder.patch_embed.seq.") for key in state)


def segmenter_shape(state: State, name: str) -> SegmenterShape:
    """Infer a SAM's sizes from its weights; `name` is the file's, for messages.

    Raises `WeightsError` for other models.
    """
    try:
        embed_dim, _, patch, _ = state["image_encoder.patch_embed.proj.weight"].shape
        grid = state["image_encoder.pos_embed"].shape[1]
        depth = count_layers(state, r"image_encoder\.blocks\.(\d+)\.")
        spans = [_span(state, block) for block in range(depth)]
        windows = [span for span in spans if span < grid]
        lasts = count_layers(state, r"mask_decoder\.iou_prediction_head\.layers\.(\d+)\.")
        return SegmenterShape(
            side=grid * patch,
            patch=patch,
            embed_dim=embed_dim,
            depth=depth,
            heads=embed_dim // state["image_encoder.blocks.0.attn.rel_pos_h"].shape[1],
            feed_forward=state["image_encoder.blocks.0.mlp.lin1.weight"].shape[0],
            window=windows[0] if windows else 0,
            global_blocks=tuple(block for block, span in enumerate(spans) if span >= grid),
            channels=state["image_encoder.neck.0.weight"].shape[0],
            mask_channels=state["prompt_encoder.mask_downscaling.3.weight"].shape[0],
            masks=state["mask_decoder.mask_tokens.weight"].shape[0] - 1,
            decoder_depth=count_layers(state, r"mask_decoder\.transformer\.layers\.(\d+)\."),
            decoder_feed_forward=state["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0],
            quality_depth=lasts,
            quality_hidden=state["mask_decoder.iou_prediction_head.layers.0.weight"].shape[0],
        )
    except (KeyError, ValueError, IndexError) as error:
        raise WeightsError(f"{name} does not hold a Segment Anything model (there is no {error})") from error


def _span(state: State, block: int) -> int:
    """The side of the square over which a block of SAM's encoder attends, in tokens."""
    return int((state[f"image_encoder.blocks.{block}.attn.rel_pos_h"].shape[0] + 1) // 2)


def count_layers(state: State, pattern: str) -> int:
    """Number of layers: one more than the highest index that the pattern matches. Raises KeyError where none does."""
    numbers = {int(found.group(1)) for key in state if (found := re.match(pattern, key))}
    if not numbers:
        raise KeyError(pattern.replace("\\", "").replace("(d+)", "0"))
    return max(numbers) + 1
