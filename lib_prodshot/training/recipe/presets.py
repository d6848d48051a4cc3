"""Named presets of recipe values by GPU memory. They change the cost of a run, and as little as possible else.

The batch that one step learns from is two photographs in each of them, so an epoch has as many steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib_prodshot.errors import FieldProblem, RequestError

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # the seed's recipe as it stands, with room for the optimizer's full-precision states and no bitsandbytes
    "24gb": {"optimizer_type": "AdamW", "lowram": False},
    "12gb": {},
    "8gb": {"gradient_checkpointing": True},
    "6gb": {
        "gradient_checkpointing": True,
        "train_batch_size": 1,
        "gradient_accumulation_steps": 2,
        "resolution": 512,
    },
    # the CPU knows neither half precision nor bitsandbytes
    "cpu": {
        "mixed_precision": "no",
        "optimizer_type": "AdamW",
        "resolution": 512,
        "lowram": False,
        "max_data_loader_n_workers": 2,
    },
}


def preset(name: str) -> Mapping[str, Any]:
    """The values of one preset. Raises `RequestError` for an unknown name."""
    if name not in PRESETS:
        raise RequestError([FieldProblem("preset", f"{name!r} is not known", " | ".join(PRESETS))])
    return PRESETS[name]
