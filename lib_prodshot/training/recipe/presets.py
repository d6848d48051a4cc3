"""Named presets of recipe values by GPU memory, for each family. They change the cost of a run, and as little as
possible else.

The batch that one step learns from is two photographs in each of them, so an epoch has as many steps. Sources (of
sd-scripts v0.10.1): SDXL's are the tips of `docs/train_SDXL-en.md` ("LoRA training can be done with 8GB GPU memory …
train U-Net only, gradient checkpointing, cache_text_encoder_outputs and caching latents, an 8bit optimizer, lower dim")
and the order of savings in `docs/train_network_advanced.md`; Flux's are the table "Recommended Settings by GPU Memory"
of `docs/flux_train_network.md`, which counts on `fp8_base`, and has no figure of blocks for 16 GB: 8 lies between its
neighbours'.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.training.recipe.families import family_of

_ONE_BY_ONE = {"train_batch_size": 1, "gradient_accumulation_steps": 2}
_FULL_PRECISION = {"optimizer_type": "AdamW", "lowram": False}
"""Room for the optimizer's full-precision states, and no bitsandbytes."""

_CPU = {
    **_FULL_PRECISION,
    # the CPU knows neither half precision nor bitsandbytes
    "mixed_precision": "no",
    "resolution": 512,
    "max_data_loader_n_workers": 2,
}
_SMALL_BUCKETS = {"min_bucket_reso": 256, "max_bucket_reso": 1024}
_CACHED_TEXT = {"cache_text_encoder_outputs": True, "shuffle_caption": False}

FAMILY_PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "sd15": {
        "24gb": _FULL_PRECISION,
        "16gb": {},
        "12gb": {},
        "8gb": {"gradient_checkpointing": True},
        "6gb": {**_ONE_BY_ONE, "gradient_checkpointing": True, "resolution": 512},
        "cpu": _CPU,
    },
    "sdxl": {
        "24gb": _FULL_PRECISION,
        "16gb": _CACHED_TEXT,
        "12gb": {**_CACHED_TEXT, **_ONE_BY_ONE},
        "8gb": {**_CACHED_TEXT, **_ONE_BY_ONE, "network_dim": 8, "network_alpha": 4.0},
        "cpu": {**_CPU, **_SMALL_BUCKETS},
    },
    "flux": {
        "24gb": {"fp8_base": True},
        "16gb": {**_ONE_BY_ONE, "fp8_base": True, "blocks_to_swap": 8},
        "12gb": {**_ONE_BY_ONE, "fp8_base": True, "blocks_to_swap": 16},
        "8gb": {**_ONE_BY_ONE, "fp8_base": True, "blocks_to_swap": 28},
        "cpu": {**_CPU, **_SMALL_BUCKETS},
    },
}

NAMES = tuple(FAMILY_PRESETS["sd15"])
"""Every preset's name."""


def preset(name: str, family: str = "sd15") -> Mapping[str, Any]:
    """The values of one preset for a family, with that family's defaults beneath; without a name these alone.

    Raises `RequestError` for an unknown name.
    """
    known = family_of(family)
    if not name:
        return known.defaults
    of_family = FAMILY_PRESETS[known.name]
    if name not in of_family:
        what = f"is not known for {known.title}" if name in NAMES else "is not known"
        raise RequestError([FieldProblem("preset", f"{name!r} {what}", " | ".join(of_family))])
    return {**known.defaults, **of_family[name]}
