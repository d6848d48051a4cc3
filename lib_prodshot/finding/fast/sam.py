"""Fast layers for the image encoder (ViTDet) of a Segment Anything model that segment-anything (1.0) built."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lib_prodshot.finding.fast.attention import decomposed_attention
from lib_prodshot.finding.fast.half import added, cast_linear
from lib_prodshot.finding.fast.layers import in_rows, rows_at_once
from lib_prodshot.finding.fast.probe import attention_works
from lib_prodshot.finding.fast.swap import Wrapper, swap_items


def accelerate(sam: Any) -> int:
    """Swap the fast blocks in; returns how many (0 for encoders of another kind, such as MobileSAM's TinyViT)."""
    blocks = getattr(sam.image_encoder, "blocks", ())
    if not all(fits(getattr(block, "attn", None)) for block in blocks):
        return 0
    return swap_items(blocks, EncoderBlock)


def halve(sam: Any, dtype: torch.dtype, device: torch.device) -> int:
    """Cast the image encoder's linear layers (attention and feed-forward) to half precision; returns how many.

    Float32 stay: the patch embedding, positions, norms, the residual sums, the neck (whose norm squares its input),
    and the prompt encoder and mask decoder, which are small.
    """
    encoder = sam.image_encoder
    if not attention_works(device, dtype):
        return 0
    count = 0
    for wrapper in getattr(encoder, "blocks", ()):
        if isinstance(wrapper, EncoderBlock) and wrapper.takes(*encoder.pos_embed.shape[1:3]):
            block = wrapper.plain
            count += cast_linear((block.attn.qkv, block.attn.proj, block.mlp.lin1, block.mlp.lin2), dtype)
    if device.type == "cuda":
        encoder.neck.to(memory_format=torch.channels_last)
    return count


def fits(attention: Any) -> bool:
    """Whether an attention module has decomposed relative positions and a fused projection with a bias."""
    return bool(getattr(attention, "use_rel_pos", False)) and getattr(attention.qkv, "bias", None) is not None


def right_size(attention: Any, height: int, width: int) -> bool:
    """Whether the position tables fit windows of this size as they are; the plain layer interpolates them else."""
    spans = attention.rel_pos_h.shape[0], attention.rel_pos_w.shape[0]
    return bool(spans == (2 * height - 1, 2 * width - 1))


class EncoderBlock(Wrapper):
    """`Block`: attention in chunks, and no work on the tokens that only pad a window.

    A block with windows is worked a row of windows at a time, so that what it makes of them stays in the processor's
    cache.

    A padding token is zero, so its query, key and value are the projection's bias: it is filled in after projecting.
    """

    def forward(self, x: Tensor) -> Any:
        """`x`: b × height × width × channels."""
        block = self.plain
        attention, window = block.attn, block.window_size
        if not (self.takes(x.shape[1], x.shape[2]) and attention_works(x.device, attention.qkv.weight.dtype)):
            return block(x)
        if not window:
            qkv = attention.qkv(block.norm1(x))
            attended = decomposed_attention(qkv, attention.num_heads, attention.rel_pos_h, attention.rel_pos_w)
            x = added(attention.proj(attended), x)
            return in_rows(self._feed_forward, x)
        result = torch.empty_like(x)
        step = max(1, rows_at_once(x) // (x.shape[2] * window)) * window
        for top in range(0, x.shape[1], step):
            strip = x[:, top : top + step]
            result[:, top : top + step] = self._feed_forward(added(self._attend_in_windows(strip), strip))
        return result

    def _attend_in_windows(self, strip: Tensor) -> Any:
        """Attention within windows for whole rows of windows: `strip` is b × height × width × channels."""
        block = self.plain
        attention, window = block.attn, block.window_size
        parts = windows_of(attention.qkv(block.norm1(strip)), window, attention.qkv.bias)
        attended = decomposed_attention(parts, attention.num_heads, attention.rel_pos_h, attention.rel_pos_w)
        return attention.proj(whole_of(attended, strip.shape[1], strip.shape[2]))

    def _feed_forward(self, tokens: Tensor) -> Tensor:
        block = self.plain
        return added(block.mlp(block.norm2(tokens)), tokens)

    def takes(self, height: int, width: int) -> bool:
        """Whether the position tables fit this block's windows in an input of height × width tokens."""
        window = self.plain.window_size
        return right_size(self.plain.attn, *((window, window) if window else (height, width)))


def windows_of(tokens: Tensor, window: int, filling: Tensor) -> Tensor:
    """Cut b × height × width × channels into windows (n × window × window × channels), padded with `filling`."""
    batch, height, width, channels = tokens.shape
    down, across = -(-height // window), -(-width // window)
    padded = tokens
    if (down * window, across * window) != (height, width):
        padded = filling.expand(batch, down * window, across * window, channels).clone()
        padded[:, :height, :width] = tokens
    cut = padded.view(batch, down, window, across, window, channels).transpose(2, 3)
    return cut.reshape(-1, window, window, channels)


def whole_of(windows: Tensor, height: int, width: int) -> Tensor:
    """Join windows without their padding: b × height × width × channels."""
    window, channels = windows.shape[1], windows.shape[-1]
    down, across = -(-height // window), -(-width // window)
    joined = windows.view(-1, down, across, window, window, channels).transpose(2, 3)
    return torch.flatten(joined, 3, 4).flatten(1, 2)[:, :height, :width].contiguous()
