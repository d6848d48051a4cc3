"""The two TOML configuration files of sd-scripts, as the seed's notebook wrote them.

What belongs to one start of the program and not to the training (states, resume, sample pictures) goes on its command
line instead, so that the files are the same at every start.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib_prodshot.training.recipe.recipe import CAPTION_DROPOUTS, Recipe, Subset

OUTPUT_FOLDER = "output"
"""LoRAs, states and samples within the run's folder."""

LOG_FOLDER = "logs"
"""TensorBoard's files within the run's folder."""

_ATTENTION = {"sdpa": {"sdpa": True}, "xformers": {"xformers": True}, "plain": {}}


def dataset_config(recipe: Recipe) -> dict[str, Any]:
    """The dataset configuration: folders, repeats, resolution and buckets. With `masked_loss` the recipe's photographs
    are the copies whose opacity is the mask."""
    shortest, longest = recipe.bucket_limits
    return {
        "general": {
            "resolution": recipe.resolution,
            "shuffle_caption": recipe.shuffle_caption,
            "keep_tokens": recipe.keep_tokens,
            **_caption_options(recipe),
            "flip_aug": recipe.flip_aug,
            "caption_extension": recipe.caption_extension,
            "enable_bucket": recipe.enable_bucket,
            "bucket_reso_steps": recipe.bucket_reso_steps,
            "bucket_no_upscale": recipe.bucket_no_upscale,
            "min_bucket_reso": shortest,
            "max_bucket_reso": longest,
        },
        "datasets": [{"subsets": [_subset(one, recipe.masked_loss) for one in recipe.all_subsets]}],
    }


def training_config(recipe: Recipe, steps: int) -> dict[str, Any]:
    """The training configuration; `steps` are those of the complete run, of which the warm-up is a share."""
    run = recipe.run_dir
    sections: dict[str, dict[str, Any]] = {
        "additional_network_arguments": {
            "unet_lr": recipe.unet_lr,
            "text_encoder_lr": recipe.text_encoder_lr,
            "network_dim": recipe.network_dim,
            "network_alpha": recipe.network_alpha,
            "network_module": recipe.model.network,
            "network_args": list(recipe.network_args) or None,
            "network_train_unet_only": True if recipe.text_encoder_lr == 0 else None,
            "network_train_text_encoder_only": True if recipe.unet_lr == 0 else None,
            "network_weights": _path(recipe.network_weights),
        },
        "optimizer_arguments": {
            "learning_rate": recipe.unet_lr or recipe.text_encoder_lr,
            "lr_scheduler": recipe.lr_scheduler,
            "lr_scheduler_num_cycles": recipe.lr_scheduler_num_cycles
            if recipe.lr_scheduler == "cosine_with_restarts"
            else None,
            "lr_scheduler_power": recipe.lr_scheduler_power if recipe.lr_scheduler == "polynomial" else None,
            "lr_warmup_steps": int(steps * recipe.lr_warmup_ratio) if recipe.lr_scheduler != "constant" else None,
            "optimizer_type": recipe.optimizer_type,
            "optimizer_args": list(recipe.optimizer_args) or None,
        },
        "training_arguments": {
            "max_train_epochs": recipe.max_train_epochs,
            "save_every_n_epochs": recipe.save_every_n_epochs,
            "save_last_n_epochs": recipe.save_last_n_epochs,
            "train_batch_size": recipe.train_batch_size,
            "noise_offset": recipe.noise_offset or None,
            "clip_skip": recipe.clip_skip or None,
            "min_snr_gamma": recipe.min_snr_gamma or None,
            "weighted_captions": recipe.weighted_captions,
            **_flux_options(recipe),
            "fp8_base": True if recipe.fp8_base else None,
            "seed": recipe.seed,
            "max_token_length": recipe.max_token_length if recipe.max_token_length > 75 else None,
            **_ATTENTION[recipe.attention],
            "lowram": recipe.lowram,
            "gradient_checkpointing": True if recipe.gradient_checkpointing else None,
            "gradient_accumulation_steps": recipe.gradient_accumulation_steps
            if recipe.gradient_accumulation_steps > 1
            else None,
            "max_data_loader_n_workers": recipe.max_data_loader_n_workers,
            "persistent_data_loader_workers": recipe.persistent_data_loader_workers,
            "save_precision": recipe.save_precision,
            "mixed_precision": recipe.mixed_precision,
            "output_dir": (run / OUTPUT_FOLDER).as_posix(),
            "logging_dir": (run / LOG_FOLDER).as_posix(),
            "output_name": recipe.output_name,
            "log_prefix": recipe.output_name,
        },
        "model_arguments": {
            "pretrained_model_name_or_path": _path(recipe.pretrained_model_name_or_path),
            "vae": _path(recipe.vae),
            "no_half_vae": True if recipe.no_half_vae else None,
            **{name: _path(getattr(recipe, name)) for name in recipe.model.files},
            "v2": recipe.v2,
            "v_parameterization": True if recipe.v_parameterization else None,
            "tokenizer_cache_dir": _path(recipe.tokenizer_cache_dir),
        },
        "saving_arguments": {"save_model_as": "safetensors"},
        "dreambooth_arguments": {"prior_loss_weight": recipe.prior_loss_weight},
        "dataset_arguments": {
            "cache_latents": recipe.cache_latents,
            "masked_loss": True if recipe.masked_loss else None,
            "cache_text_encoder_outputs": True if recipe.cache_text_encoder_outputs else None,
        },
        "extra_arguments": dict(recipe.extra),
    }
    # what the family's program does not read is at its default here, and is not written
    unused = recipe.model.unused
    tables = {
        name: {key: value for key, value in table.items() if value is not None and key not in unused}
        for name, table in sections.items()
    }
    return {name: table for name, table in tables.items() if table}


def _caption_options(recipe: Recipe) -> dict[str, Any]:
    """What is done to captions beyond shuffling, where something is."""
    values = {name: getattr(recipe, name) for name in ("keep_tokens_separator", *CAPTION_DROPOUTS)}
    return {name: value for name, value in values.items() if value}


def _flux_options(recipe: Recipe) -> dict[str, Any]:
    return {
        "guidance_scale": recipe.guidance_scale,
        "timestep_sampling": recipe.timestep_sampling,
        "discrete_flow_shift": recipe.discrete_flow_shift if recipe.timestep_sampling == "shift" else None,
        "model_prediction_type": recipe.model_prediction_type,
        "blocks_to_swap": recipe.blocks_to_swap or None,
    }


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """All keys of a training configuration in one table, as sd-scripts joins its sections."""
    return {key: value for table in config.values() for key, value in table.items()}


def _subset(subset: Subset, masked: bool) -> dict[str, Any]:
    tables: dict[str, Any] = {"num_repeats": subset.num_repeats, "image_dir": Path(subset.image_dir).as_posix()}
    if subset.is_reg:
        tables["is_reg"] = True
    elif masked:
        tables["alpha_mask"] = True
    if subset.class_tokens:
        tables["class_tokens"] = subset.class_tokens
    return tables


def _path(text: str) -> str | None:
    """A path with slashes that need no escape; a hub's name as it is."""
    return Path(text).as_posix() if text else None
