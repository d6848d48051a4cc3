"""Full-size GroundingDINO and SAM with random weights, built by the packages' own loaders: cost and equality do not
depend on what a model has learnt, as long as no gate or offset is zero, as they are before training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lib_prodshot.finding.langsam import groundingdino, segment_anything
from lib_prodshot.finding.models.architecture import SWINS, Bert, DetectorShape, SegmenterShape
from lib_prodshot.finding.models.runtime import building

BERT_BASE = Bert(vocabulary=30522, hidden=768, layers=12, intermediate=3072, positions=512, types=2)
SWIN_T = DetectorShape(
    SWINS[0], BERT_BASE, channels=256, encoder_layers=6, decoder_layers=6, feed_forward=2048, queries=900
)
VIT_B = SegmenterShape(
    side=1024,
    patch=16,
    embed_dim=768,
    depth=12,
    heads=12,
    feed_forward=3072,
    window=14,
    global_blocks=(2, 5, 8, 11),
    channels=256,
    mask_channels=16,
    masks=3,
    decoder_depth=2,
    decoder_feed_forward=2048,
    quality_depth=3,
    quality_hidden=256,
)
SPREAD = {
    "sampling_offsets.weight": 0.05,
    "sampling_offsets.bias": 1.0,
    "attention_weights": 0.1,
    "gamma_": 0.3,
    "relative_position_bias_table": 0.3,
    "rel_pos_": 0.2,
    "pos_embed": 0.1,
    "bbox_embed": 0.03,
    "bias": 0.05,
}
"""Standard deviations of the parameters that are not projections, by a part of their name."""


def write_detector(shape: DetectorShape, vocabulary: Path, path: Path, seed: int = 0) -> Path:
    """A checkpoint of this shape as the authors publish theirs."""
    import torch

    with building(), groundingdino.text_encoder(shape.bert, vocabulary) as folder:
        module = groundingdino.build(shape, folder)
    redraw(module, seed)
    with torch.no_grad():  # scores all over 0 to 1, not at its ends
        module.transformer.encoder.text_layers[-1].norm2.weight.mul_(0.1)
        module.transformer.encoder.text_layers[-1].norm2.bias.mul_(0.1)
    torch.save({"model": module.state_dict()}, path)
    return path


def write_segmenter(shape: SegmenterShape, path: Path, seed: int = 0) -> Path:
    """A checkpoint of this shape as Meta publishes its."""
    import torch

    with building():
        module = segment_anything.build(shape)
    redraw(module, seed)
    # the random projection of prompt positions is a buffer, no parameter
    projection = module.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix
    projection.normal_(generator=torch.Generator().manual_seed(seed))
    torch.save(module.state_dict(), path)
    return path


def redraw(module: Any, seed: int) -> None:
    """Draw every parameter anew, whatever a version of a package starts it with: projections with a variance of one
    over their inputs, norms round 1, the rest by `SPREAD`."""
    import torch

    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(module.named_parameters()):
            noise = torch.randn(parameter.shape, generator=draw)
            spread = next((value for part, value in SPREAD.items() if part in name), None)
            if spread is not None:
                parameter.copy_(noise * spread)
            elif parameter.dim() > 1:
                parameter.copy_(noise * parameter[0].numel() ** -0.5)
            else:
                parameter.copy_(1 + 0.1 * noise)
