"""Softmax attention by `scaled_dot_product_attention`, in chunks: the full score matrix is never stored."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

BIAS_ELEMENTS = 2**21
"""Elements of the bias made at a time on a CPU: 8 MB, which stay in the cache."""

BIAS_ELEMENTS_GPU = 2**26
"""The same on a GPU, where few large steps are quicker than many small ones: 256 MB in float32."""


def relative_table(rel_pos: Tensor, size: int) -> Tensor:
    """The relative-position embeddings of every pair along one axis: size × size × channels.

    `rel_pos` has one row for each distance, (2 · size - 1) × channels (ViTDet, Li et al. 2022, arXiv:2203.16527).
    """
    line = torch.arange(size, device=rel_pos.device)
    return rel_pos[line[:, None] - line[None, :] + size - 1]


def decomposed_attention(qkv: Tensor, heads: int, rel_pos_h: Tensor, rel_pos_w: Tensor) -> Tensor:
    """Self-attention over windows with decomposed relative positions, as in SAM's image encoder.

    `qkv` is windows × height × width × (3 · channels); the result is windows × height × width × channels. The bias of
    a query and a key is the query's product with the embedding of their distance in y, plus the same in x.
    """
    windows, height, width, channels = qkv.shape[0], qkv.shape[1], qkv.shape[2], qkv.shape[3] // 3
    count = height * width
    q, k, v = qkv.reshape(windows, count, 3, heads, channels // heads).permute(2, 0, 3, 1, 4).unbind(0)
    along_h = relative_table(rel_pos_h.to(q.dtype), height)
    along_w = relative_table(rel_pos_w.to(q.dtype), width)
    grid = q.reshape(windows, heads, height, width, -1)
    bias_h = torch.einsum("nahwc,hkc->nahwk", grid, along_h).reshape(windows, heads, count, height, 1)
    bias_w = torch.einsum("nahwc,wkc->nahwk", grid, along_w).reshape(windows, heads, count, 1, width)
    result = qkv.new_empty(windows, count, heads, channels // heads)
    for window, head, row in _chunks(windows, heads, count, qkv.device.type == "cpu"):
        bias = (bias_h[window, head, row] + bias_w[window, head, row]).flatten(-2)
        attended = functional.scaled_dot_product_attention(
            q[window, head, row], k[window, head], v[window, head], attn_mask=bias
        )
        result[window, row, head] = attended.transpose(1, 2)
    return result.view(windows, height, width, channels)


def _chunks(windows: int, heads: int, count: int, on_cpu: bool) -> list[tuple[slice, slice, slice]]:
    """Slices of windows, heads and queries whose bias fits the budget: several windows, or heads, or rows at once."""
    budget = BIAS_ELEMENTS if on_cpu else BIAS_ELEMENTS_GPU
    matrices = max(1, budget // (count * count))
    window_step = max(1, matrices // heads)
    head_step = min(heads, matrices)
    row_step = count if matrices > 1 else max(1, min(count, budget // count))
    return [
        (slice(window, window + window_step), slice(head, head + head_step), slice(row, row + row_step))
        for window in range(0, windows, window_step)
        for head in range(0, heads, head_step)
        for row in range(0, count, row_step)
    ]
