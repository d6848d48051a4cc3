"""Half precision for the linear layers that do most of the work; everything else stays float32.

A layer's weights are cast in place and its input when it is called, so that what stands between the layers (norms,
residual sums, softmax over samples, coordinates) keeps the caller's float32. The module's own instance is changed,
never the package.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def cast_linear(layers: Iterable[Any], dtype: torch.dtype) -> int:
    """Cast linear layers' weights to `dtype`; their inputs follow at each call. Returns how many were cast."""
    count = 0
    for layer in layers:
        if isinstance(layer, nn.Linear) and layer.weight.dtype != dtype:
            layer.to(dtype)
            layer.register_forward_pre_hook(_cast_input)
            count += 1
    return count


def _cast_input(layer: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.to(layer.weight.dtype) for tensor in inputs)


def added(update: Tensor, base: Tensor) -> Tensor:
    """The sum, in the wider dtype of both; in `update`'s own memory where they have the same."""
    return update.add_(base) if update.dtype == base.dtype else update + base
