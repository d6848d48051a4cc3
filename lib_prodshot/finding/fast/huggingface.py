"""Fast layers for the GroundingDINO and SAM models of Hugging Face's transformers (4.40 to 5.x)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lib_prodshot.finding.fast.attention import decomposed_attention
from lib_prodshot.finding.fast.fusion import Fusion
from lib_prodshot.finding.fast.half import cast_linear
from lib_prodshot.finding.fast.layers import EncoderParts, RowMlp, Sampler
from lib_prodshot.finding.fast.probe import attention_works, bag_works
from lib_prodshot.finding.fast.sam import fits, right_size
from lib_prodshot.finding.fast.swap import Wrapper, swap_named


def accelerate_detector(model: Any) -> int:
    """Swap the fast layers into a `GroundingDinoForObjectDetection`; returns how many."""
    count = 0
    for layer in model.model.encoder.layers:
        count += swap_named(layer, "fusion_layer", FusionLayer)
        count += swap_named(layer, "deformable_layer", DeformableLayer)
    for layer in model.model.decoder.layers:
        count += swap_named(layer, "encoder_attn", CrossAttention)
    return count


def accelerate_segmenter(model: Any) -> int:
    """Swap the fast attention into a `SamModel`'s image encoder; returns how many layers."""
    count = 0
    for layer in model.vision_encoder.layers:
        if fits(layer.attn):
            count += swap_named(layer, "attn", VisionAttention) + swap_named(layer, "mlp", RowMlp)
    return count


def halve_segmenter(model: Any, dtype: torch.dtype, device: torch.device) -> int:
    """Cast the image encoder's linear layers to half precision, as `sam.halve` does; returns how many."""
    if not attention_works(device, dtype):
        return 0
    vision, count = model.vision_encoder, 0
    size = vision.pos_embed.shape[1:3]
    for layer in vision.layers:
        if isinstance(layer.attn, VisionAttention) and layer.attn.takes(layer.window_size, *size):
            attention, mlp = layer.attn.plain, layer.mlp.plain
            count += cast_linear((attention.qkv, attention.proj, mlp.lin1, mlp.lin2), dtype)
    if device.type == "cuda":
        vision.neck.to(memory_format=torch.channels_last)
    return count


def _padding(keep: Tensor | None) -> Tensor | None:
    """transformers marks the tokens to keep; the layers here the ones to leave out."""
    return None if keep is None else ~keep.bool()


class DeformableLayer(Wrapper):
    """`GroundingDinoDeformableLayer`: bag sum and feed-forward over chunks of rows."""

    def __init__(self, plain: Any) -> None:
        super().__init__(plain)
        activation = torch.relu_ if isinstance(plain.activation_fn, nn.ReLU) else plain.activation_fn
        self.parts = EncoderParts(
            Sampler.of(plain.self_attn),
            plain.self_attn_layer_norm,
            plain.fc1,
            activation,
            plain.fc2,
            plain.final_layer_norm,
        )

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_embeddings: Tensor | None = None,
        reference_points: Tensor | None = None,
        spatial_shapes: Tensor | None = None,
        **others: Any,
    ) -> Any:
        """`hidden_states`: b × n × channels. Returns them with None for the attention weights."""
        if position_embeddings is None or not bag_works(hidden_states.device, hidden_states.dtype):
            return self.plain(
                hidden_states=hidden_states,
                attention_mask=attention_mask,
                position_embeddings=position_embeddings,
                reference_points=reference_points,
                spatial_shapes=spatial_shapes,
                **others,
            )
        assert reference_points is not None and spatial_shapes is not None
        padding = _padding(attention_mask)
        return self.parts.run(hidden_states, position_embeddings, reference_points, spatial_shapes, padding), None


class CrossAttention(Wrapper):
    """`GroundingDinoMultiscaleDeformableAttention` of the decoder as a bag sum."""

    def __init__(self, plain: Any) -> None:
        super().__init__(plain)
        self.sampler = Sampler.of(plain)

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        position_embeddings: Tensor | None = None,
        reference_points: Tensor | None = None,
        spatial_shapes: Tensor | None = None,
        **others: Any,
    ) -> Any:
        """`hidden_states`: b × n × channels. Returns the attention with None for its weights."""
        if not bag_works(hidden_states.device, hidden_states.dtype):
            return self.plain(
                hidden_states=hidden_states,
                attention_mask=attention_mask,
                encoder_hidden_states=encoder_hidden_states,
                position_embeddings=position_embeddings,
                reference_points=reference_points,
                spatial_shapes=spatial_shapes,
                **others,
            )
        assert encoder_hidden_states is not None and reference_points is not None and spatial_shapes is not None
        query = hidden_states if position_embeddings is None else hidden_states + position_embeddings
        padding = _padding(attention_mask)
        return self.sampler.whole(query, encoder_hidden_states, reference_points, spatial_shapes, padding), None


class FusionLayer(Wrapper):
    """`GroundingDinoFusionLayer` with the image projections folded into the text side."""

    def forward(
        self,
        vision_features: Tensor,
        text_features: Tensor,
        attention_mask_vision: Tensor | None = None,
        attention_mask_text: Tensor | None = None,
    ) -> Any:
        """Image tokens b × n × channels, text tokens b × t × channels; True in a mask is padding."""
        layer, attention = self.plain, self.plain.attn
        fusion = Fusion(
            image_norm=layer.layer_norm_vision,
            text_norm=layer.layer_norm_text,
            query=attention.vision_proj,
            key=attention.text_proj,
            image_value=attention.values_vision_proj,
            text_value=attention.values_text_proj,
            image_out=attention.out_vision_proj,
            text_out=attention.out_text_proj,
            heads=attention.num_heads,
            scale=attention.scale,
            image_gain=layer.vision_param,
            text_gain=layer.text_param,
        )
        image, text = fusion.run(vision_features, text_features, attention_mask_vision, attention_mask_text)
        return (image, None), (text, None)


class VisionAttention(Wrapper):
    """`SamVisionAttention` (eager or SDPA) in chunks."""

    def forward(self, hidden_states: Tensor, output_attentions: bool = False) -> Any:
        """`hidden_states`: windows × height × width × channels. Returns the attention with None for its weights."""
        plain = self.plain
        _, height, width, _ = hidden_states.shape
        fitting = right_size(plain, height, width) and attention_works(hidden_states.device, plain.qkv.weight.dtype)
        if output_attentions or not fitting:
            return plain(hidden_states=hidden_states, output_attentions=output_attentions)
        qkv = plain.qkv(hidden_states)
        attended = decomposed_attention(qkv, plain.num_attention_heads, plain.rel_pos_h, plain.rel_pos_w)
        return plain.proj(attended), None

    def takes(self, window: int, height: int, width: int) -> bool:
        """Whether the position tables fit windows of this side (0: the whole input of height × width tokens)."""
        return right_size(self.plain, *((window, window) if window else (height, width)))
