"""Looking inside a detector, to compare the packages' own layers with the fast ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class Seen:
    """What one forward of the detector gave, inside and out."""

    image: Any
    text: Any
    proposals: Any
    boxes: Any
    logits: Any


def observe(model: Any, pixels: Any, caption: str, proposals: Any = None) -> Seen:
    """Run a detector and keep its encoder's outputs; with `proposals`, rank the proposals by those scores.

    The two-stage selection gives the k-th best proposal the k-th learnt query, so that two that are all but equal may
    change places, and with them their boxes, by a rounding error.
    """
    kept: dict[str, Any] = {}
    transformer = model.module.transformer

    def proposed(module: Any, inputs: Any, output: Any) -> Any:
        kept["proposals"] = output
        return proposals

    hooks = [
        transformer.encoder.register_forward_hook(lambda module, inputs, output: kept.update(encoder=output)),
        transformer.enc_out_class_embed.register_forward_hook(proposed),
    ]
    try:
        logits, found = model.forward(pixels, caption)
    finally:
        for hook in hooks:
            hook.remove()
    image, text = kept["encoder"]
    return Seen(image, text, kept["proposals"], found, logits)


def distance(one: Any, other: Any) -> float:
    """The largest difference; two infinities of one sign (padding tokens) are equal."""
    import torch

    return float(torch.nan_to_num(one.float() - other.float(), nan=0.0).abs().max())
