"""Fast layers for a GroundingDINO that the package groundingdino-py (0.4.0) built."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lib_prodshot.finding.fast.fusion import Fusion
from lib_prodshot.finding.fast.layers import EncoderParts, Sampler, rows_at_once
from lib_prodshot.finding.fast.probe import attention_works, bag_works
from lib_prodshot.finding.fast.swap import Wrapper, swap_items, swap_named
from lib_prodshot.finding.fast.windows import Part, parts_of


def accelerate(model: Any) -> int:
    """Swap the fast layers in; returns how many. `swap.restore` takes them out again. For inference only."""
    encoder, decoder = model.transformer.encoder, model.transformer.decoder
    count = swap_items(encoder.layers, EncoderLayer) + swap_items(encoder.fusion_layers, FusionLayer)
    for layer in decoder.layers:
        count += swap_named(layer, "cross_attn", CrossAttention)
        count += swap_named(layer, "self_attn", QuietAttention) + swap_named(layer, "ca_text", QuietAttention)
    for stage in getattr(model.backbone[0], "layers", ()):  # a Swin backbone; a ResNet stays as it is
        count += swap_items(stage.blocks, SwinBlock)
    return count + swap_named(model, "bert", TextEncoder)


class TextEncoder(Wrapper):
    """BERT: of the same text as the last one, which pictures in a row have, the same answer, computed once.

    Off the CPU it computes each time: comparing there would wait for the device.
    """

    def __init__(self, plain: Any) -> None:
        super().__init__(plain)
        self._last: tuple[dict[str, Any], Any] | None = None

    def forward(self, **inputs: Any) -> Any:
        """As the wrapped module; its answer is not to be overwritten."""
        if self._last is None or not _same(inputs, self._last[0]):
            self._last = None
            answer = self.plain(**inputs)
            if any(isinstance(value, Tensor) and value.device.type != "cpu" for value in inputs.values()):
                return answer
            kept = {name: value.clone() if isinstance(value, Tensor) else value for name, value in inputs.items()}
            self._last = kept, answer
        return self._last[1]


def _same(inputs: dict[str, Any], others: dict[str, Any]) -> bool:
    """Whether a module's inputs are the same, on the same device."""
    if inputs.keys() != others.keys():
        return False
    for name, value in inputs.items():
        other = others[name]
        if not isinstance(value, Tensor) or not isinstance(other, Tensor):
            if value is not other:
                return False
        elif value.device != other.device or value.dtype != other.dtype or not torch.equal(value, other):
            return False
    return True


class EncoderLayer(Wrapper):
    """`DeformableTransformerEncoderLayer`: bag sum and feed-forward over chunks of rows."""

    def __init__(self, plain: Any) -> None:
        super().__init__(plain)
        activation = torch.relu_ if plain.activation is functional.relu else plain.activation
        self.parts = EncoderParts(
            Sampler.of(plain.self_attn), plain.norm1, plain.linear1, activation, plain.linear2, plain.norm2
        )

    def forward(
        self,
        src: Tensor,
        pos: Tensor,
        reference_points: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
        key_padding_mask: Tensor | None = None,
    ) -> Any:
        """`src`, `pos`: b × n × channels; `reference_points`: b × n × levels × 2; True in the mask is padding."""
        if not bag_works(src.device, src.dtype):
            return self.plain(src, pos, reference_points, spatial_shapes, level_start_index, key_padding_mask)
        return self.parts.run(src, pos, reference_points, spatial_shapes, key_padding_mask)


class CrossAttention(Wrapper):
    """`MultiScaleDeformableAttention` of the decoder (batch first) as a bag sum."""

    def __init__(self, plain: Any) -> None:
        super().__init__(plain)
        self.sampler = Sampler.of(plain)

    def forward(
        self,
        query: Tensor,
        value: Tensor,
        reference_points: Tensor,
        spatial_shapes: Tensor,
        key_padding_mask: Tensor | None = None,
        **others: Any,
    ) -> Any:
        """`query`: b × n × channels; `value`: b × positions × channels; reference points: b × n × levels × 2 or 4."""
        if not bag_works(value.device, value.dtype):
            return self.plain(
                query=query,
                value=value,
                reference_points=reference_points,
                spatial_shapes=spatial_shapes,
                key_padding_mask=key_padding_mask,
                **others,
            )
        return self.sampler.whole(query, value, reference_points, spatial_shapes, key_padding_mask)


class FusionLayer(Wrapper):
    """`BiAttentionBlock` with the image projections folded into the text side."""

    def forward(
        self,
        v: Tensor,
        l: Tensor,  # noqa: E741 (the package calls it by this name)
        attention_mask_v: Tensor | None = None,
        attention_mask_l: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Image tokens `v` (b × n × channels) and text tokens `l` (b × t × channels); True in a mask is padding."""
        block, attention = self.plain, self.plain.attn
        fusion = Fusion(
            image_norm=block.layer_norm_v,
            text_norm=block.layer_norm_l,
            query=attention.v_proj,
            key=attention.l_proj,
            image_value=attention.values_v_proj,
            text_value=attention.values_l_proj,
            image_out=attention.out_v_proj,
            text_out=attention.out_l_proj,
            heads=attention.num_heads,
            scale=attention.scale,
            image_gain=block.gamma_v,
            text_gain=block.gamma_l,
        )
        return fusion.run(v, l, attention_mask_v, attention_mask_l)


class QuietAttention(Wrapper):
    """`nn.MultiheadAttention` without the averaged weights, which its caller does not use."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, **others: Any) -> Any:
        """As the wrapped module, with None for the weights."""
        return self.plain(query, key, value, need_weights=False, **others)


class SwinBlock(Wrapper):
    """`SwinTransformerBlock`, some windows at a time: their tokens are gathered, go through the block and are put back.

    That takes the place of padding, rolling, cutting and their reverse, each a copy of the whole feature map. A padding
    token is zero, so its query, key and value are the projection's bias: nothing else is computed for it.
    """

    H: int
    W: int

    def forward(self, x: Tensor, mask_matrix: Tensor | None) -> Any:
        """`x`: b × (H · W) × channels; `mask_matrix`: windows × tokens × tokens, 0 or a large negative number, for
        shifted windows. `H` and `W` are set by the caller."""
        block = self.plain
        if not attention_works(x.device, x.dtype):
            block.H, block.W = self.H, self.W
            return block(x, mask_matrix)
        at_once = max(1, rows_at_once(x) // (block.window_size**2 * x.shape[0]))
        bias = position_bias(block.attn).to(x.dtype)
        result = torch.empty_like(x)
        for part in parts_of(self.H, self.W, block.window_size, block.shift_size, at_once, x.device):
            of_part = bias
            if block.shift_size and mask_matrix is not None and part.windows is not None:
                of_part = (bias + mask_matrix[part.windows, None].to(x.dtype)).repeat(x.shape[0], 1, 1, 1)
            tokens = x.index_select(1, part.tokens)
            tokens += self._attend(block.norm1(tokens), part, of_part)
            result.index_copy_(1, part.tokens, block.mlp(block.norm2(tokens)).add_(tokens))
        return result

    def _attend(self, tokens: Tensor, part: Part, bias: Tensor) -> Tensor:
        """Attention of a part's tokens (b × n × channels) within their windows."""
        attention, pictures, channels = self.plain.attn, tokens.shape[0], tokens.shape[2]
        qkv = attention.qkv(tokens)
        if part.places is not None:
            filled = attention.qkv.bias.expand(pictures, part.size, -1).clone()
            qkv = filled.index_copy_(1, part.places, qkv)
        by_window = qkv.view(-1, bias.shape[-1], 3, attention.num_heads, channels // attention.num_heads)
        q, k, v = by_window.permute(2, 0, 3, 1, 4).unbind(0)
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=attention.scale)
        joined = attended.transpose(1, 2).reshape(pictures, part.size, channels)
        projected: Tensor = attention.proj(joined if part.places is None else joined.index_select(1, part.places))
        return projected


def position_bias(attention: Any) -> Tensor:
    """What Swin's attention adds to its scores within a window: 1 × heads × tokens × tokens."""
    index = attention.relative_position_index
    return attention.relative_position_bias_table[index.view(-1)].view(*index.shape, -1).permute(2, 0, 1)[None]
