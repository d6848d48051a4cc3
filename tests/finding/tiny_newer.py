"""Tiny random models of the newer architectures, built by transformers' own classes and saved as it saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.random_models import redraw
from lib_prodshot.finding.langsam.huggingface import segmenter_settings
from tests.finding import tiny

SIDE = 128
WORDS = 30522
"""Of BERT's real vocabulary."""


def mm_grounding_dino(folder: Path) -> Path:
    """A folder with an MM-Grounding-DINO of 2 + 2 layers over a narrow Swin."""
    library = pytest.importorskip("transformers")
    swin = library.SwinConfig(
        embed_dim=8, depths=[1, 1, 2, 1], num_heads=[1, 1, 2, 4], window_size=7, out_indices=[2, 3, 4]
    )
    text = library.BertConfig(
        vocab_size=WORDS, hidden_size=64, num_hidden_layers=1, num_attention_heads=1, intermediate_size=64
    )
    config = library.MMGroundingDinoConfig(
        backbone_config=swin,
        text_config=text.to_dict(),
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=96,
        num_queries=60,
    )
    return _save(library.MMGroundingDinoForObjectDetection(config), folder)


def sam2(folder: Path) -> Path:
    """A folder with a SAM 2 of five blocks that reads squares of 128 pixels."""
    library = pytest.importorskip("transformers")
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "num_attention_heads": 1,
        "image_size": [SIDE, SIDE],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 2, 4, 8],
        "window_size_per_stage": [8, 4, 4, 2],
        "global_attention_blocks": [3],
    }
    config = library.Sam2Config(
        vision_config={
            "backbone_config": backbone,
            "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
            "fpn_hidden_size": 32,
        },
        prompt_encoder_config={"hidden_size": 32, "image_size": SIDE, "mask_input_channels": 4},
        mask_decoder_config={"hidden_size": 32, "mlp_dim": 64, "iou_head_hidden_dim": 32},
    )
    return _save(library.Sam2Model(config), folder)


def _save(module: Any, folder: Path) -> Path:
    redraw(module.eval(), 0)
    module.save_pretrained(folder)
    return folder


def sam_hq(folder: Path) -> Path:
    """A folder with an HQ-SAM of two blocks that reads squares of 128 pixels."""
    library = pytest.importorskip("transformers")
    settings = segmenter_settings(tiny.SEGMENTER)
    settings["mask_decoder_config"]["vit_dim"] = tiny.SEGMENTER.embed_dim
    return _save(library.SamHQModel(library.SamHQConfig(**settings)), folder)
