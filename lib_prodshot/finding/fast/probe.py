"""Self-test of the fast formulations for a device and dtype: once, on a tiny example, against plain torch."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from lib_prodshot.finding.fast.attention import decomposed_attention, relative_table
from lib_prodshot.finding.fast.deformable import bag_attention, levels_for

SHAPES = ((4, 6), (2, 3))
HEADS, POINTS, CHANNELS = 2, 2, 8
TOLERANCE = {torch.float16: 2e-2, torch.bfloat16: 1e-1}
TOLERANCE_GPU = 5e-3
"""For float32 on a GPU, where the WebUIs let matrix products round to TF32; values here are about 1."""


@cache
def bag_works(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the bag sum runs here and equals bilinear sampling."""
    draw = torch.Generator().manual_seed(0)
    samples = len(SHAPES) * POINTS
    value = torch.rand(sum(height * width for height, width in SHAPES), HEADS * CHANNELS, generator=draw)
    x, y = (torch.rand(5, HEADS, samples, generator=draw) * 8 - 2 for _ in range(2))
    weights = torch.rand(5, HEADS, samples, generator=draw)
    expected = _sampled(value, x, y, weights)
    try:
        levels = levels_for(SHAPES, HEADS, POINTS, device)
        moved = x.to(device), y.to(device), weights.to(device)
        found = bag_attention(levels.table(value.to(device, dtype)[None]), levels, *moved)
        return _close(found, expected, dtype)
    except (RuntimeError, TypeError):  # NotImplementedError is a RuntimeError
        return False


def _sampled(value: Tensor, x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """Bilinear sampling and weighting, one head and level at a time, by `grid_sample` on the CPU."""
    result = torch.zeros(x.shape[0], HEADS, CHANNELS)
    begin = 0
    for level, (height, width) in enumerate(SHAPES):
        picture = value[begin : begin + height * width].view(height, width, HEADS, CHANNELS)
        begin += height * width
        of_level = slice(level * POINTS, (level + 1) * POINTS)
        for head in range(HEADS):
            grid = torch.stack(
                ((2 * x[:, head, of_level] + 1) / width - 1, (2 * y[:, head, of_level] + 1) / height - 1), -1
            )
            sampled = functional.grid_sample(
                picture[:, :, head].permute(2, 0, 1)[None], grid[None], align_corners=False
            )[0]
            result[:, head] += (sampled * weights[:, head, of_level]).sum(-1).t()
    return result.flatten(1)


@cache
def attention_works(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether biased `scaled_dot_product_attention` runs here and equals the written-out softmax."""
    draw = torch.Generator().manual_seed(0)
    qkv = torch.rand(2, 3, 4, 3 * HEADS * CHANNELS, generator=draw)
    rel_pos_h, rel_pos_w = torch.rand(5, CHANNELS, generator=draw), torch.rand(7, CHANNELS, generator=draw)
    expected = _written_out(qkv, rel_pos_h, rel_pos_w)
    try:
        moved = (tensor.to(device, dtype) for tensor in (rel_pos_h, rel_pos_w))
        return _close(decomposed_attention(qkv.to(device, dtype), HEADS, *moved), expected, dtype)
    except (RuntimeError, TypeError, AttributeError):  # torch before 2.0 lacks the function
        return False


def _written_out(qkv: Tensor, rel_pos_h: Tensor, rel_pos_w: Tensor) -> Tensor:
    q, k, v = qkv.view(2, 12, 3, HEADS, CHANNELS).permute(2, 0, 3, 1, 4).unbind(0)
    grid = q.reshape(2, HEADS, 3, 4, CHANNELS)
    scores = (q @ k.transpose(-2, -1) * CHANNELS**-0.5).view(2, HEADS, 3, 4, 3, 4)
    scores = scores + torch.einsum("nahwc,hkc->nahwk", grid, relative_table(rel_pos_h, 3))[..., None]
    scores = scores + torch.einsum("nahwc,wkc->nahwk", grid, relative_table(rel_pos_w, 4))[..., None, :]
    attended = scores.view(2, HEADS, 12, 12).softmax(-1) @ v
    joined: Tensor = attended.transpose(1, 2).reshape(2, 3, 4, HEADS * CHANNELS)
    return joined


def _close(found: Tensor, expected: Tensor, dtype: torch.dtype) -> bool:
    tolerance = TOLERANCE.get(dtype, 1e-4 if found.device.type == "cpu" else TOLERANCE_GPU)
    return bool(torch.allclose(found.float().cpu(), expected, rtol=tolerance, atol=tolerance))
