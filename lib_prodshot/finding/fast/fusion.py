"""The image-text fusion attention with its image projections folded into the text side.

`BiMultiHeadAttention` (Li et al. 2022, GLIP, arXiv:2112.03857) attends both ways between some 13,000 image tokens and
about 10 text tokens, and projects the image three times between 256 and 1,024 channels. All three are linear, so
they can be applied to the few text tokens instead, by plain algebra:

- scores: (W_q v + b_q)·k = v·(W_qᵀ k) + b_q·k;
- image output: W_o (softmax · values) + b_o = softmax · (values · W_oᵀ) + b_o, head by head;
- text output: softmax · (W_v v + b_v) = W_v (softmax · v) + b_v, since a softmax row sums to 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lib_prodshot.finding.fast.layers import rows_at_once

SCORE_LIMIT = 50_000.0
"""The reference clamps shifted scores to ±50,000, for half precision."""


@dataclass(frozen=True)
class Fusion:
    """The layers and sizes of one image-text fusion block: norms, projections, and the gains of the residuals."""

    image_norm: nn.Module
    text_norm: nn.Module
    query: nn.Linear
    key: nn.Linear
    image_value: nn.Linear
    text_value: nn.Linear
    image_out: nn.Linear
    text_out: nn.Linear
    heads: int
    scale: float
    image_gain: Tensor
    text_gain: Tensor

    def run(
        self, image: Tensor, text: Tensor, image_padding: Tensor | None, text_padding: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Fuse a batch: image tokens b × n × channels, text tokens b × t × channels; True in a padding leaves out."""
        step = max(1, rows_at_once(image) // image.shape[1])
        pairs = [
            self.fuse(
                self.image_norm(image[group]),
                self.text_norm(text[group]),
                None if image_padding is None else image_padding[group],
                None if text_padding is None else text_padding[group],
            )
            for group in (slice(begin, begin + step) for begin in range(0, image.shape[0], step))
        ]
        if len(pairs) == 1:
            return pairs[0]
        return torch.cat([fused for fused, _ in pairs]), torch.cat([fused for _, fused in pairs])

    def fuse(
        self, image: Tensor, text: Tensor, image_padding: Tensor | None, text_padding: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Fuse normalised `image` (b×n×d) and `text` (b×t×d) tokens; returns both with the gained attention added.

        The paddings are bool masks (b×n and b×t), True for a token to leave out. `image` is overwritten with its
        result.
        """
        batch, count, heads = text.shape[0], text.shape[1], self.heads
        width = self.key.out_features // heads
        keys = by_head(self.key(text) * self.scale, heads)
        values = by_head(self.text_value(text), heads)
        query = self.query.weight.view(heads, width, -1)
        to_scores = torch.einsum("bhtk,hkd->bhtd", keys, query).reshape(batch, heads * count, -1)
        score_bias = torch.einsum("bhtk,hk->bht", keys, self.query.bias.view(heads, width)).reshape(batch, 1, -1)
        from_values = torch.einsum("bhtk,dhk->bhtd", values, self.image_out.weight.view(-1, heads, width))

        scores = torch.baddbmm(score_bias, image, to_scores.transpose(1, 2))
        scores -= scores.amax((1, 2), keepdim=True)
        scores.clamp_(min=-SCORE_LIMIT)
        shares = text_shares(scores, image_padding)
        attended = by_head_sum(shares, image, heads, self.image_value)
        text_result = torch.addcmul(text, self.text_gain, self.text_out(attended))

        by_token = scores.view(batch, -1, heads, count)
        if text_padding is not None:
            by_token.masked_fill_(text_padding[:, None, None], float("-inf"))
        weights = by_token.softmax(-1).view(batch, -1, heads * count)
        gained = from_values.reshape(batch, heads * count, -1) * self.image_gain
        image.baddbmm_(weights, gained).add_(self.image_out.bias * self.image_gain)
        return image, text_result


def by_head(tokens: Tensor, heads: int) -> Tensor:
    """b × tokens × channels → b × heads × tokens × head channels."""
    return tokens.view(*tokens.shape[:2], heads, -1).transpose(1, 2)


def text_shares(scores: Tensor, image_padding: Tensor | None) -> Tensor:
    """How much each text token of each head looks at each image token: b × (heads · t) × n, rows sum to 1.

    The image tokens come last in memory: CUDA's softmax over another dimension took an eighth of the GPU's time.
    """
    shifted = scores.transpose(1, 2).contiguous()
    shifted -= shifted.amax(-1, keepdim=True)
    shifted.clamp_(min=-SCORE_LIMIT)
    if image_padding is not None:
        shifted.masked_fill_(image_padding[:, None], float("-inf"))
    return shifted.softmax(-1)


def by_head_sum(shares: Tensor, image: Tensor, heads: int, value: nn.Linear) -> Tensor:
    """The image values that the text tokens gather: b × t × (heads · head channels)."""
    gathered = (shares @ image).view(image.shape[0], heads, -1, image.shape[-1])
    by_heads = torch.einsum("bhtd,hkd->bthk", gathered, value.weight.view(heads, -1, image.shape[-1]))
    return by_heads.flatten(2) + value.bias
