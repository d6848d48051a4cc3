"""The families of models that a recipe trains: each one's program of sd-scripts, files, defaults, and what it fits.

Sources, all of sd-scripts v0.10.1: what a program reads of the options is from the program itself (`train_network.py`,
`sdxl_train_network.py`, `flux_train_network.py` and what they import), the defaults of SDXL are from
`docs/sdxl_train_network.md`, `docs/train_SDXL-en.md` ("Tips for SDXL training") and `docs/train_network_advanced.md`,
those of Flux from `docs/flux_train_network.md`. Bucket sides of 512 to 2048 pixels are SDXL's own (Podell et al. 2023,
"SDXL", appendix I). The defaults of Stable Diffusion 1.x are the seed's, as the recipe has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib_prodshot.training import checkpoint
from lib_prodshot.training.checkpoint import FLUX, SD1, SD2, SDXL, NoCheckpoint

AUTO = "auto"
"""Read the family from the checkpoint's file."""

FLUX_ONLY = (
    *("clip_l", "t5xxl", "ae", "guidance_scale", "timestep_sampling", "discrete_flow_shift"),
    *("model_prediction_type", "blocks_to_swap"),
)
"""Settings that only Flux's program reads."""


@dataclass(frozen=True)
class Family:
    """One family of models.

    `kinds` are the checkpoints of it (`checkpoint.kind_of`), `script` is its training program, `network` its LoRA
    module and `base` how a LoRA's metadata begins to name the model (`ss_base_model_version`); `files` are settings
    that name the files it needs besides the checkpoint, each with a tensor by which the right file is told; `unused`
    are settings that its program does not read; `tokenizers` are the folders that `tokenizer_cache_dir` must hold;
    `defaults` differ from the seed's recipe. `fits` says where its LoRAs work; `caption_tokens` are those of a caption
    that count, where `max_token_length` does not say.
    """

    name: str
    title: str
    kinds: tuple[str, ...]
    script: str
    network: str
    base: str
    fits: str
    tokenizers: tuple[str, ...]
    files: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    unused: frozenset[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    caption_tokens: int = 0


_CLIP_L, _CLIP_G, _T5 = (
    "openai_clip-vit-large-patch14",
    "laion_CLIP-ViT-bigG-14-laion2B-39B-b160k",
    "google_t5-v1_1-xxl",
)
_LARGE_BUCKETS = {"resolution": 1024, "min_bucket_reso": 512, "max_bucket_reso": 2048}

FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family(
            name="sd15",
            title="Stable Diffusion 1.x (with v2: 2.x)",
            kinds=(SD1, SD2),
            script="train_network.py",
            network="networks.lora",
            base="sd_",
            fits="Stable Diffusion 1.x checkpoints in every WebUI (trained with v2: 2.x checkpoints, not in neo)",
            tokenizers=(_CLIP_L,),
            unused=frozenset((*FLUX_ONLY, "cache_text_encoder_outputs")),
        ),
        Family(
            name="sdxl",
            title=SDXL,
            kinds=(SDXL,),
            script="sdxl_train_network.py",
            network="networks.lora",
            base="sdxl_",
            fits="SDXL checkpoints in AUTOMATIC1111 1.5 or newer, Forge, reForge, classic and neo",
            tokenizers=(_CLIP_L, _CLIP_G),
            # clip_skip: "clip_skip will be unexpected", it says; v2: it asserts that it is off
            unused=frozenset((*FLUX_ONLY, "clip_skip", "v2")),
            defaults={
                **_LARGE_BUCKETS,
                "network_dim": 32,
                "network_alpha": 16.0,
                "unet_lr": 1e-4,
                # "network_train_unet_only option is highly recommended for SDXL LoRA"
                "text_encoder_lr": 0.0,
                "gradient_checkpointing": True,
                # SDXL's own VAE gives NaN in fp16
                "no_half_vae": True,
            },
        ),
        Family(
            name="flux",
            title="FLUX.1",
            kinds=(FLUX,),
            script="flux_train_network.py",
            network="networks.lora_flux",
            base="flux",
            fits="FLUX.1 checkpoints in Forge and neo; AUTOMATIC1111, reForge and classic have no Flux",
            tokenizers=(_CLIP_L, _T5),
            files={
                "clip_l": ("text_model.encoder.layers.0.self_attn.q_proj.weight", "CLIP-L (clip_l.safetensors)"),
                "t5xxl": ("encoder.block.0.layer.0.SelfAttention.q.weight", "T5-XXL (t5xxl_fp16.safetensors)"),
                "ae": ("encoder.down.0.block.0.norm1.weight", "FLUX.1's autoencoder (ae.safetensors)"),
            },
            # it has no weighted tokens, and neither noise offset nor Min-SNR: its loss is flow matching's
            unused=frozenset(
                (
                    *("clip_skip", "v2", "v_parameterization", "max_token_length", "weighted_captions"),
                    *("min_snr_gamma", "noise_offset", "vae", "no_half_vae"),
                )
            ),
            defaults={
                **_LARGE_BUCKETS,
                "network_dim": 16,
                "network_alpha": 1.0,
                "unet_lr": 1e-4,
                "text_encoder_lr": 0.0,
                "cache_text_encoder_outputs": True,
                # what is cached once cannot change from step to step
                "shuffle_caption": False,
                "gradient_checkpointing": True,
                # the number format that its weights are published in
                "mixed_precision": "bf16",
            },
            # T5-XXL's for FLUX.1 dev (schnell: 256)
            caption_tokens=512,
        ),
    )
}


def family_of(recipe_family: str) -> Family:
    """The family of a recipe's setting; one that is not read yet, or not known, stands for Stable Diffusion 1.x."""
    return FAMILIES.get(recipe_family, FAMILIES["sd15"])


def read_family(name: str) -> str:
    """The family of a checkpoint's file or folder. Where it cannot be told (a name on the hub, a pickle, what is not
    there or is no checkpoint) it is Stable Diffusion 1.x, as ever; what is wrong with it is told elsewhere."""
    try:
        kind = checkpoint.kind_of(Path(name)) if name and Path(name).exists() else ""
    except (NoCheckpoint, OSError):
        kind = ""
    return next((family.name for family in FAMILIES.values() if kind in family.kinds), "sd15")


def is_unread(name: str) -> bool:
    """Whether a checkpoint may be there and its family cannot be read from it: a name on the hub, a pickle."""
    if not name:
        return False
    try:
        return not checkpoint.kind_of(Path(name)) if Path(name).exists() else checkpoint.may_be_hub_name(name)
    except (NoCheckpoint, OSError):
        return False


def resolved(values: Mapping[str, Any]) -> str:
    """The family that a recipe's values mean: the one they name, else their checkpoint's."""
    named = values.get("family", AUTO)
    if named in FAMILIES:
        return str(named)
    path = values.get("pretrained_model_name_or_path", "")
    return read_family(path) if isinstance(path, str) else "sd15"
