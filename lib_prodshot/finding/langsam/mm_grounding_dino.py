"""MM-Grounding-DINO (Zhao et al. 2024, arXiv:2401.02361) by Hugging Face's transformers, from 4.55 on.

It is GroundingDINO with a bias in its class head and without shared heads in its decoder. Captions, scores and fast
layers are GroundingDINO's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from lib_prodshot.errors import WeightsError
from lib_prodshot.finding.langsam.huggingface import forward, from_folder, make_tokenizer, text_settings, with_weights
from lib_prodshot.finding.models.architecture import Bert, State, count_layers
from lib_prodshot.finding.models.grounded_detector import GroundedDetector, GroundingModel
from lib_prodshot.finding.models.recognition import Shapes, read_recognised, shapes_of
from lib_prodshot.finding.models.runtime import ModelHandle, building

HEADS = 8
"""Attention heads of encoder and decoder: no shape tells them, and every published size has 8."""

_SWIN = "model.backbone.conv_encoder.model."


@dataclass(frozen=True)
class MMShape:
    """An MM-Grounding-DINO's sizes; `depths` and `swin_heads` are those of its Swin backbone, by stage, and `outputs`
    the stages whose features it reads (1 to 4)."""

    embed_dim: int
    depths: tuple[int, ...]
    swin_heads: tuple[int, ...]
    window: int
    outputs: tuple[int, ...]
    bert: Bert
    channels: int
    levels: int
    encoder_layers: int
    decoder_layers: int
    encoder_feed_forward: int
    decoder_feed_forward: int
    encoder_points: int
    decoder_points: int
    queries: int


def detector(
    weights: Path, vocabulary: Path, *, reference: bool = False, device: str | None = None
) -> GroundedDetector:
    """A detector that loads at its first use; `reference` keeps transformers' own layers."""
    return GroundedDetector("mm-grounding-dino", ModelHandle(lambda: load(weights, vocabulary, reference), device))


def load(weights: Path, vocabulary: Path, reference: bool = False) -> GroundingModel:
    """Build `MMGroundingDinoForObjectDetection` from a file, or a folder in transformers' layout, and load its weights.

    `vocabulary` is bert-base-uncased's vocab.txt. Raises `FinderUnavailable` where transformers is too old,
    `WeightsError` for files that are missing, damaged or of another model.
    """
    state = read_recognised(weights, "detector")
    with building():
        kind = import_module("transformers").MMGroundingDinoForObjectDetection
        if not state:
            module = from_folder(kind, weights)
        else:
            shape = detector_shape(shapes_of(state), weights.name)
            module = with_weights(kind, _config(shape), _untied(state), weights.name)
        module.eval().requires_grad_(False)
        if not reference:
            from lib_prodshot.finding.fast.huggingface import accelerate_detector

            accelerate_detector(module)
    tokenizer = make_tokenizer(vocabulary, int(module.config.text_config.vocab_size))
    return GroundingModel(module, tokenizer, partial(forward, module, tokenizer))


def detector_shape(shapes: Shapes, name: str) -> MMShape:
    """Infer an MM-Grounding-DINO's sizes from its weights' shapes; `name` is the file's, for messages.

    Raises `WeightsError` for other models.
    """
    try:
        tables = _bias_tables(shapes)
        words = shapes["model.text_backbone.embeddings.word_embeddings.weight"]
        layer = "model.text_backbone.encoder.layer."
        bert = Bert(
            vocabulary=words[0],
            hidden=words[1],
            layers=count_layers(shapes, re.escape(layer) + r"(\d+)\."),
            intermediate=shapes[f"{layer}0.intermediate.dense.weight"][0],
            positions=shapes["model.text_backbone.embeddings.position_embeddings.weight"][0],
            types=shapes["model.text_backbone.embeddings.token_type_embeddings.weight"][0],
        )
        levels, channels = shapes["model.level_embed"]
        encoder, decoder = "model.encoder.layers.0.deformable_layer.", "model.decoder.layers.0."
        return MMShape(
            embed_dim=shapes[f"{_SWIN}embeddings.patch_embeddings.projection.weight"][0],
            depths=tuple(len(stage) for stage in tables),
            swin_heads=tuple(stage[0][1] for stage in tables),
            window=(round(tables[0][0][0] ** 0.5) + 1) // 2,
            outputs=_outputs(shapes),
            bert=bert,
            channels=channels,
            levels=levels,
            encoder_layers=count_layers(shapes, r"model\.encoder\.layers\.(\d+)\."),
            decoder_layers=count_layers(shapes, r"model\.decoder\.layers\.(\d+)\."),
            encoder_feed_forward=shapes[f"{encoder}fc1.weight"][0],
            decoder_feed_forward=shapes[f"{decoder}fc1.weight"][0],
            encoder_points=shapes[f"{encoder}self_attn.sampling_offsets.weight"][0] // (2 * HEADS * levels),
            decoder_points=shapes[f"{decoder}encoder_attn.sampling_offsets.weight"][0] // (2 * HEADS * levels),
            queries=shapes["model.query_position_embeddings.weight"][0],
        )
    except (KeyError, ValueError, IndexError) as error:
        raise WeightsError(f"{name} does not hold an MM-Grounding-DINO (there is no {error})") from error


def _bias_tables(shapes: Shapes) -> list[list[tuple[int, ...]]]:
    """Shapes of the Swin blocks' tables of position biases by stage: (2 × window - 1)² × heads."""
    layers = f"{_SWIN}encoder.layers."
    stages = count_layers(shapes, re.escape(layers) + r"(\d+)\.")
    depths = [count_layers(shapes, re.escape(f"{layers}{stage}.blocks.") + r"(\d+)\.") for stage in range(stages)]
    table = "attention.self.relative_position_bias_table"
    return [
        [shapes[f"{layers}{stage}.blocks.{block}.{table}"] for block in range(depth)]
        for stage, depth in enumerate(depths)
    ]


def _outputs(shapes: Shapes) -> tuple[int, ...]:
    pattern = re.compile(re.escape(f"{_SWIN}hidden_states_norms.stage") + r"(\d+)\.weight")
    return tuple(sorted(int(found.group(1)) for key in shapes if (found := pattern.match(key))))


def _config(shape: MMShape) -> Any:
    library = import_module("transformers")
    swin = library.SwinConfig(
        embed_dim=shape.embed_dim,
        depths=list(shape.depths),
        num_heads=list(shape.swin_heads),
        window_size=shape.window,
        out_indices=list(shape.outputs),
    )
    return library.MMGroundingDinoConfig(
        backbone_config=swin,
        text_config=text_settings(shape.bert),
        d_model=shape.channels,
        num_feature_levels=shape.levels,
        encoder_layers=shape.encoder_layers,
        decoder_layers=shape.decoder_layers,
        encoder_ffn_dim=shape.encoder_feed_forward,
        decoder_ffn_dim=shape.decoder_feed_forward,
        encoder_n_points=shape.encoder_points,
        decoder_n_points=shape.decoder_points,
        num_queries=shape.queries,
    )


_HEADS = re.compile(r"^(model\.decoder\.)?((?:bbox|class)_embed\..*)$")


def _untied(state: State) -> dict[str, Any]:
    """The model names its heads twice, a file once: under the names of the decoder or of the whole."""
    whole = dict(state)
    for key, tensor in state.items():
        if found := _HEADS.match(key):
            whole.setdefault(found.group(2), tensor)
            whole.setdefault(f"model.decoder.{found.group(2)}", tensor)
    return whole
