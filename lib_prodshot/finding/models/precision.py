"""Which number format a model computes in: float32, or half precision where the device has units for it."""

from __future__ import annotations

from typing import Any

FULL, HALF, AUTO = "full", "half", "auto"

FLOAT16_CAPABILITY = (7, 0)
"""CUDA compute capability from which matrix units take float16 (Volta and newer)."""


def half_dtype(precision: str, device: Any) -> Any:
    """The half-precision dtype for the setting `precision` on a `torch.device`; None stands for float32.

    'auto' takes half precision only on a GPU with matrix units for it: a CPU without them needs several times as long.
    'half' on a CPU is bfloat16. On CUDA it is float16, as fast as bfloat16 and nine times nearer to float32
    (docs/performance.md); an overflow of its smaller range is noticed (`ModelHandle.run`). GPUs other than CUDA's
    stay at float32, where nothing was measured.
    """
    if precision == FULL:
        return None
    import torch

    if device.type == "cuda":
        return torch.float16 if torch.cuda.get_device_capability(device) >= FLOAT16_CAPABILITY else None
    return torch.bfloat16 if device.type == "cpu" and precision == HALF else None
