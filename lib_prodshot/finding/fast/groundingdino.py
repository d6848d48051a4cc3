"""Fast layers for a GroundingDINO that the package groundingdino-py (0.4.0) built."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lib_prodshot.finding.fast.fusion import Fusion
from lib_prodshot.finding.fast.layers import EncoderParts, RowMlp, Sampler
from lib_prodshot.finding.fast.probe import attention_works, bag_works
from lib_prodshot.finding.fast.swap import Wrapper, swap_items, swap_named


def accelerate(model: Any) -> int:
    """Swap the fast layers in; returns how many. `swap.restore` takes them out again. For inference only."""
    encoder, decoder = model.transformer.encoder, model.transformer.decoder
    count = swap_items(encoder.layers, EncoderLayer) + swap_items(encoder.fusion_layers, FusionLayer)
    for layer in decoder.layers:
        count += swap_named(layer, "cross_attn", CrossAttention)
        count += swap_named(layer, "self_attn", QuietAttention) + swap_named(layer, "ca_text", QuietAttention)
    for stage in getattr(model.backbone[0], "layers", ()):  # a Swin backbone; a ResNet stays as it is
        for block in stage.blocks:
            count += swap_named(block, "attn", WindowAttention) + swap_named(block, "mlp", RowMlp)
    return count


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


class WindowAttention(Wrapper):
    """Swin's window attention through `scaled_dot_product_attention`."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Any:
        """`x`: windows × tokens × channels; `mask`: windows × tokens × tokens, 0 or a large negative number."""
        plain = self.plain
        if not attention_works(x.device, x.dtype):
            return plain(x, mask)
        windows, tokens, channels = x.shape
        q, k, v = plain.qkv(x).view(windows, tokens, 3, plain.num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        bias = plain.relative_position_bias_table[plain.relative_position_index.view(-1)]
        bias = bias.view(tokens, tokens, -1).permute(2, 0, 1)[None].to(x.dtype)
        if mask is not None:
            bias = (bias + mask[:, None].to(x.dtype)).repeat(windows // mask.shape[0], 1, 1, 1)
        standard = (channels // plain.num_heads) ** -0.5
        attended = functional.scaled_dot_product_attention(q * (plain.scale / standard), k, v, attn_mask=bias)
        return plain.proj(attended.transpose(1, 2).reshape(windows, tokens, channels))
