"""Deformable layers of GroundingDINO on the bag sum: the same weights, a chunk of rows at a time.

A chunk of image tokens goes through a whole encoder layer while it is in the processor's cache, so nothing of the
size 13,000 × 2,048 is ever stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn

from lib_prodshot.finding.fast.deformable import Levels, Shapes, bag_attention, levels_for
from lib_prodshot.finding.fast.swap import Wrapper

ROWS = 1024
"""Image tokens worked on at a time; their widest temporary (rows × 2,048 floats) is 8 MB."""

ROWS_GPU = 65_536
"""The same on a GPU, where every further step costs the time to launch it: 512 MB at most. A picture is one step (its
tokens are 22,000 at most), and pictures of a batch are worked on together while they fit."""


def rows_at_once(tokens: Tensor) -> int:
    """How many tokens are worked on at a time where these are."""
    return ROWS if tokens.device.type == "cpu" else ROWS_GPU


class _LevelSizes:
    """The sizes in the tensor that was read last: all layers of a model get the same one, and reading stalls a GPU."""

    def __init__(self) -> None:
        self._last: tuple[ref[Tensor], Shapes] | None = None

    def of(self, shapes: Tensor) -> Shapes:
        """Height and width of each level; `shapes` is levels × 2, integers."""
        last = self._last
        if last is not None and last[0]() is shapes:
            return last[1]
        sizes = tuple((int(height), int(width)) for height, width in shapes.tolist())
        self._last = (ref(shapes), sizes)
        return sizes


_SIZES = _LevelSizes()


@dataclass(frozen=True)
class Sampler:
    """The projections of one multi-scale deformable attention, and its sizes."""

    offsets: nn.Module
    weights: nn.Module
    value: nn.Module
    out: nn.Module
    heads: int
    levels: int
    points: int

    @classmethod
    def of(cls, attention: Any) -> Sampler:
        """Take projections and sizes from an attention module: sizes are `num_heads` in the authors' code, `n_heads`
        in transformers; the projections have the same names in both."""
        prefix = "num" if hasattr(attention, "num_heads") else "n"
        sizes = (getattr(attention, f"{prefix}_{name}") for name in ("heads", "levels", "points"))
        projections = attention.sampling_offsets, attention.attention_weights, attention.value_proj
        return cls(*projections, attention.output_proj, *sizes)

    def table(self, value: Tensor, shapes: Tensor, padding: Tensor | None) -> tuple[Tensor, Levels]:
        """Project `value` (b × positions × channels), zero it where `padding` is True, and lay it out for the bag.

        `shapes` is levels × (height, width), integers.
        """
        layout = levels_for(_SIZES.of(shapes), self.heads, self.points, value.device)
        projected = self.value(value)
        if padding is not None and (value.device.type != "cpu" or bool(padding.any())):  # asking a GPU stalls it
            projected = projected.masked_fill(padding[..., None], 0.0)
        return layout.table(projected), layout

    def attend(self, query: Tensor, reference: Tensor, table: Tensor, layout: Levels) -> Tensor:
        """Attend from `query` (b × n × channels) round `reference`, shares of the picture's width and height.

        `reference` is b × n × levels × 2 (x, y) or × 4 (x, y, width, height: offsets are in shares of half the box).
        """
        flat = query.shape[0] * query.shape[1], self.heads, self.levels * self.points
        offsets = self.offsets(query).float().view(*query.shape[:2], self.heads, self.levels, self.points, 2)
        centre = reference[..., :2].float() * layout.sizes - 0.5
        if reference.shape[-1] == 4:
            spread = reference[..., 2:].float() * layout.sizes * (0.5 / self.points)
            offsets = offsets * spread[:, :, None, :, None, :]
        x, y = ((offsets[..., axis] + centre[:, :, None, :, None, axis]).view(flat) for axis in (0, 1))
        weights = self.weights(query).float().view(flat).softmax(-1)
        attended: Tensor = self.out(bag_attention(table, layout, x, y, weights).view(query.shape))
        return attended

    def whole(self, query: Tensor, value: Tensor, reference: Tensor, shapes: Tensor, padding: Tensor | None) -> Tensor:
        """The attention for a batch: `query` b × n × channels, `value` b × positions × channels."""
        return self.attend(query, reference, *self.table(value, shapes, padding))


@dataclass(frozen=True)
class EncoderParts:
    """One deformable encoder layer: attention, add and norm, feed-forward, add and norm."""

    sampler: Sampler
    norm1: nn.Module
    linear1: nn.Module
    activation: Callable[[Tensor], Tensor]
    linear2: nn.Module
    norm2: nn.Module

    def run(
        self, tokens: Tensor, positions: Tensor, reference: Tensor, shapes: Tensor, padding: Tensor | None
    ) -> Tensor:
        """The layer for `tokens` (b × n × channels) with their position embeddings (added to the queries)."""
        result = torch.empty_like(tokens)
        step = rows_at_once(tokens)
        pictures = max(1, step // tokens.shape[1])
        for number in range(0, tokens.shape[0], pictures):
            group = slice(number, number + pictures)
            table, layout = self.sampler.table(tokens[group], shapes, None if padding is None else padding[group])
            for begin in range(0, tokens.shape[1], step):
                rows = (group, slice(begin, begin + step))
                query = tokens[rows] + positions[rows]
                attended = self.sampler.attend(query, reference[rows], table, layout)
                result[rows] = self._feed_forward(self.norm1(attended.add_(tokens[rows])))
        return result

    def _feed_forward(self, tokens: Tensor) -> Tensor:
        hidden = self.linear2(self.activation(self.linear1(tokens)))
        normal: Tensor = self.norm2(hidden.add_(tokens))
        return normal


def in_rows(function: Callable[[Tensor], Tensor], tokens: Tensor) -> Tensor:
    """Apply a function that works token by token (… × channels → … × channels) to `ROWS` tokens at a time."""
    flat = tokens.reshape(-1, tokens.shape[-1])
    result = torch.empty_like(flat)
    step = rows_at_once(flat)
    for begin in range(0, flat.shape[0], step):
        result[begin : begin + step] = function(flat[begin : begin + step])
    return result.view(tokens.shape)


class RowMlp(Wrapper):
    """A feed-forward block over chunks of rows."""

    def forward(self, tokens: Tensor) -> Tensor:
        """`tokens`: … × channels."""
        return in_rows(self.plain, tokens)
