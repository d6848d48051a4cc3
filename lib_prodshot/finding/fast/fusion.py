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
from torch.nn import functional

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
        pairs = [
            self.fuse(
                self.image_norm(image[number]),
                self.text_norm(text[number]),
                None if image_padding is None else image_padding[number],
                None if text_padding is None else text_padding[number],
            )
            for number in range(image.shape[0])
        ]
        return torch.stack([fused for fused, _ in pairs]), torch.stack([fused for _, fused in pairs])

    def fuse(
        self, image: Tensor, text: Tensor, image_padding: Tensor | None, text_padding: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Fuse normalised `image` (n×d) and `text` (t×d) tokens; returns both with the gained attention added.

        The paddings are bool masks (n and t), True for a token to leave out. `image` is overwritten with its result.
        """
        count, heads = text.shape[0], self.heads
        width = self.key.out_features // heads
        keys = by_head(self.key(text) * self.scale, heads)
        values = by_head(self.text_value(text), heads)
        query = self.query.weight.view(heads, width, -1)
        to_scores = torch.einsum("htk,hkd->htd", keys, query).reshape(heads * count, -1)
        score_bias = torch.einsum("htk,hk->ht", keys, self.query.bias.view(heads, width)).reshape(-1)
        from_values = torch.einsum("htk,dhk->htd", values, self.image_out.weight.view(-1, heads, width))

        scores = functional.linear(image, to_scores, score_bias)
        scores -= scores.max()
        scores.clamp_(min=-SCORE_LIMIT)
        shares = text_shares(scores, image_padding)
        attended = by_head_sum(shares, image, heads, self.image_value)
        text_result = torch.addcmul(text, self.text_gain, self.text_out(attended))

        by_token = scores.view(-1, heads, count)
        if text_padding is not None:
            by_token.masked_fill_(text_padding, float("-inf"))
        weights = by_token.softmax(-1).view(-1, heads * count)
        gained = from_values.reshape(heads * count, -1) * self.image_gain
        image.addmm_(weights, gained).add_(self.image_out.bias * self.image_gain)
        return image, text_result


def by_head(tokens: Tensor, heads: int) -> Tensor:
    """tokens × channels → heads × tokens × head channels."""
    return tokens.view(tokens.shape[0], heads, -1).transpose(0, 1)


def text_shares(scores: Tensor, image_padding: Tensor | None) -> Tensor:
    """How much each text token of each head looks at each image token: n × (heads · t), columns sum to 1."""
    shifted = (scores - scores.max(dim=0).values).clamp_(min=-SCORE_LIMIT)
    if image_padding is not None:
        shifted.masked_fill_(image_padding[:, None], float("-inf"))
    return shifted.softmax(0)


def by_head_sum(shares: Tensor, image: Tensor, heads: int, value: nn.Linear) -> Tensor:
    """The image values that the text tokens gather: t × (heads · head channels)."""
    gathered = (shares.t() @ image).view(heads, -1, image.shape[-1])
    by_heads = torch.einsum("htd,hkd->thk", gathered, value.weight.view(heads, -1, image.shape[-1]))
    return by_heads.reshape(gathered.shape[1], -1) + value.bias
