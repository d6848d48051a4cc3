"""Multi-scale deformable attention as one weighted bag sum.

Deformable attention (Zhu et al. 2021, arXiv:2010.04159) samples 4 levels × 4 points for each query and head, each
bilinearly from 4 neighbours. The output is therefore a sum of 64 value rows, weighted by attention weight × corner
weight: exactly `torch.nn.functional.embedding_bag` with `per_sample_weights`. Nothing that was sampled is ever
stored, which is what makes the usual `grid_sample` formulation slow and hungry.

The value rows live in a table with a border of zero rows round every level, so a corner outside the picture needs
no test: coordinates are clamped to the border, where they read zeros, as `padding_mode="zeros"` would.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

Shapes = tuple[tuple[int, int], ...]
"""Height and width of each feature level."""


@dataclass(frozen=True)
class Levels:
    """Where each feature level lies in the value table.

    `sizes` is levels × (width, height); the index tensors have one column for each head × level × point.

    A position (y, x) of a level with width W stands at row `start + y * (W + 1) + x`, times the number of heads, plus
    the head: the column of zeros right of one row is the one left of the next.
    """

    shapes: Shapes
    heads: int
    positions: int
    starts: tuple[int, ...]
    sizes: Tensor
    start: Tensor
    stride: Tensor
    right: Tensor
    bottom: Tensor
    corners: tuple[Tensor, Tensor, Tensor]

    def table(self, value: Tensor, bias: Tensor | None = None) -> Tensor:
        """Lay the values (b × positions × channels), with `bias` added to each, out with their border of zeros.

        The result is (b · table positions · heads) × head channels, one picture's table after the other.
        """
        pictures = value.shape[0]
        table = value.new_empty(pictures, self.positions, value.shape[-1])
        begin = end = 0
        for (height, width), start in zip(self.shapes, self.starts, strict=True):
            table[:, end : start - 1] = 0
            level = value[:, begin : begin + height * width].view(pictures, height, width, -1)
            begin += height * width
            end = start - 1 + height * (width + 1)
            rows = table[:, start - 1 : end].view(pictures, height, width + 1, -1)
            rows[:, :, 0] = 0
            if bias is None:
                rows[:, :, 1:] = level
            else:
                torch.add(level, bias, out=rows[:, :, 1:])
        table[:, end:] = 0
        return table.view(pictures * self.positions * self.heads, -1)


@lru_cache(maxsize=16)
def levels_for(shapes: Shapes, heads: int, points: int, device: torch.device) -> Levels:
    """The table's layout for these feature levels. Raises ValueError when it would not fit exact indices."""
    starts: list[int] = []
    end = 0
    for height, width in shapes:
        starts.append(end + width + 2)
        end += (height + 2) * (width + 1) + 1
    positions = end + max(width for _, width in shapes) + 3
    if positions * heads >= 2**24:  # row numbers are made in float32, exact up to here
        raise ValueError("the feature map is too large for a bag sum")

    def columns(by_level: list[float]) -> Tensor:
        column = torch.tensor(by_level, dtype=torch.float32, device=device)
        return column.repeat_interleave(points).repeat(heads, 1)

    head = torch.arange(heads, dtype=torch.float32, device=device)[:, None]
    stride = columns([(width + 1) * heads for _, width in shapes])
    below = stride.to(torch.int32)
    beside = torch.full_like(below, heads)
    return Levels(
        shapes=shapes,
        heads=heads,
        positions=positions,
        starts=tuple(starts),
        sizes=torch.tensor([(w, h) for h, w in shapes], dtype=torch.float32, device=device),
        start=columns([start * heads for start in starts]) + head,
        stride=stride,
        right=columns([width for _, width in shapes]),
        bottom=columns([height for height, _ in shapes]),
        corners=(beside, below, below + beside),
    )


def bag_attention(table: Tensor, levels: Levels, x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """Sum the value rows round each sampling point, weighted.

    `table` comes from `Levels.table`. `x`, `y` (float32, in pixels of their level, 0 the centre of its first pixel)
    and `weights` are queries × heads × (levels · points), as many queries for each of the table's pictures, in their
    order; `x` and `y` are overwritten. Returns queries × channels.
    Not-finite coordinates give not-finite outputs, never an index outside the table.
    """
    queries, heads, samples = x.shape
    torch.minimum(x, levels.right, out=x).clamp_(min=-1)
    torch.minimum(y, levels.bottom, out=y).clamp_(min=-1)
    left, top = x.floor(), y.floor()
    x -= left
    y -= top

    rows = torch.empty((queries, heads, 4, samples), dtype=torch.int32, device=x.device)
    first = rows[:, :, 0]
    first.copy_(torch.addcmul(levels.start, top, levels.stride).add_(left, alpha=heads))
    of_picture = levels.positions * heads
    first.clamp_(0, of_picture - 1 - int(heads * (max(width for _, width in levels.shapes) + 2)))
    pictures = table.shape[0] // of_picture
    if pictures > 1:
        picture = torch.arange(pictures, dtype=torch.int32, device=x.device).repeat_interleave(queries // pictures)
        first.add_(of_picture * picture[:, None, None])
    for corner, step in enumerate(levels.corners, start=1):
        torch.add(first, step, out=rows[:, :, corner])

    shares = torch.empty((queries, heads, 4, samples), dtype=weights.dtype, device=x.device)
    on_right = weights * x
    on_left = weights - on_right
    torch.mul(on_right, y, out=shares[:, :, 3])
    torch.sub(on_right, shares[:, :, 3], out=shares[:, :, 1])
    torch.mul(on_left, y, out=shares[:, :, 2])
    torch.sub(on_left, shares[:, :, 2], out=shares[:, :, 0])

    bags = functional.embedding_bag(
        rows.view(queries * heads, 4 * samples),
        table,
        mode="sum",
        per_sample_weights=shares.view(queries * heads, 4 * samples).to(table.dtype),
    )
    return bags.view(queries, -1)
