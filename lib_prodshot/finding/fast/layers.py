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
from torch.nn import functional

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

    offsets: nn.Linear
    weights: nn.Linear
    value: nn.Linear
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
        bias: Tensor | None = self.value.bias
        projected = functional.linear(value, self.value.weight)
        if padding is not None and (value.device.type != "cpu" or bool(padding.any())):  # asking a GPU stalls it
            projected.add_(self.value.bias).masked_fill_(padding[..., None], 0.0)
            bias = None
        return layout.table(projected, bias), layout

    def where(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of one projection that says where a query looks: x of all its samples, y, and their weights.

        The packages project x and y of a sample next to each other, which no vector instruction likes.
        """
        weight = torch.cat((by_axis(self.offsets.weight), self.weights.weight))
        bias = torch.cat((by_axis(self.offsets.bias), self.weights.bias))
        return weight, bias

    def attend(
        self, query: Tensor, where: tuple[Tensor, Tensor], reference: Tensor, table: Tensor, layout: Levels
    ) -> Tensor:
        """Attend from `query` (b × n × channels) round `reference`, shares of the picture's width and height.

        `where` is that projection. `reference` is b × n × levels × 2 (x, y) or × 4 (x, y, width, height: offsets are in
        shares of half the box).
        """
        queries, samples = query.shape[0] * query.shape[1], self.levels * self.points
        x, y, weights = functional.linear(query, *where).float().view(queries, 3, self.heads, samples).unbind(1)
        centre = self._of_samples(reference[..., :2].float() * layout.sizes - 0.5)
        if reference.shape[-1] == 4:
            spread = self._of_samples(reference[..., 2:].float() * layout.sizes * (0.5 / self.points))
            x, y = torch.addcmul(centre[0], x, spread[0]), torch.addcmul(centre[1], y, spread[1])
        else:
            x, y = x + centre[0], y + centre[1]
        attended: Tensor = self.out(bag_attention(table, layout, x, y, weights.softmax(-1)).view(query.shape))
        return attended

    def _of_samples(self, by_level: Tensor) -> Tensor:
        """Two figures (x and y) of each level, for each sample: b × n × levels × 2 → 2 × (b · n) × 1 × samples."""
        by_axis = by_level.flatten(0, 1).permute(2, 0, 1)
        return by_axis.repeat_interleave(self.points, dim=-1)[:, :, None]

    def whole(self, query: Tensor, value: Tensor, reference: Tensor, shapes: Tensor, padding: Tensor | None) -> Tensor:
        """The attention for a batch: `query` b × n × channels, `value` b × positions × channels."""
        return self.attend(query, self.where(), reference, *self.table(value, shapes, padding))


def by_axis(offsets: Tensor) -> Tensor:
    """Rows that are x and y in turn (weights or biases of a projection to offsets): all of x first, then all of y."""
    return offsets.view(-1, 2, *offsets.shape[1:]).transpose(0, 1).flatten(0, 1)


@dataclass(frozen=True)
class EncoderParts:
    """One deformable encoder layer: attention, add and norm, feed-forward, add and norm."""

    sampler: Sampler
    norm1: nn.Module
    linear1: nn.Linear
    activation: Callable[[Tensor], Tensor]
    linear2: nn.Linear
    norm2: nn.Module

    def run(
        self, tokens: Tensor, positions: Tensor, reference: Tensor, shapes: Tensor, padding: Tensor | None
    ) -> Tensor:
        """The layer for `tokens` (b × n × channels) with their position embeddings (added to the queries)."""
        result = torch.empty_like(tokens)
        step = rows_at_once(tokens)
        pictures = max(1, step // tokens.shape[1])
        where = self.sampler.where()
        for number in range(0, tokens.shape[0], pictures):
            group = slice(number, number + pictures)
            table, layout = self.sampler.table(tokens[group], shapes, None if padding is None else padding[group])
            for begin in range(0, tokens.shape[1], step):
                rows = (group, slice(begin, begin + step))
                query = tokens[rows] + positions[rows]
                attended = self.sampler.attend(query, where, reference[rows], table, layout)
                result[rows] = self._feed_forward(self.norm1(attended.add_(tokens[rows])))
        return result

    def _feed_forward(self, tokens: Tensor) -> Tensor:
        """Feed-forward, add and norm; `tokens` (b × n × channels, contiguous) are overwritten.

        A bias costs a layer one more pass over its output. With ReLU the first one's goes into ReLU's own pass, as
        relu(h + b) = max(h, -b) + b, and that + b into the second's bias.
        """
        flat = tokens.view(-1, tokens.shape[-1])
        bias: Tensor = self.linear2.bias
        if self.activation is torch.relu_:
            hidden = functional.linear(flat, self.linear1.weight)
            torch.maximum(hidden, -self.linear1.bias, out=hidden)
            bias = torch.addmv(bias, self.linear2.weight, self.linear1.bias)
        else:
            hidden = self.activation(self.linear1(flat))
        flat.add_(bias).addmm_(hidden, self.linear2.weight.t())
        normal: Tensor = self.norm2(tokens)
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
