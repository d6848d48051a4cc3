"""GroundingDINO implemented by the package groundingdino-py 0.4.0 (Liu et al. 2023, arXiv:2303.05499)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lib_prodshot.errors import FinderUnavailable, WeightsError, pip_install
from lib_prodshot.finding.models.architecture import Bert, DetectorShape, detector_shape
from lib_prodshot.finding.models.checkpoint import load_state, read_weights
from lib_prodshot.finding.models.grounded_detector import GroundedDetector, GroundingModel
from lib_prodshot.finding.models.runtime import ModelHandle, building

CONFIGURATIONS = {"swin_T_224_1k": "GroundingDINO_SwinT_OGC.py", "swin_B_384_22k": "GroundingDINO_SwinB_cfg.py"}


def missing_requirement() -> str:
    """The missing requirement as one sentence; empty when the package can run.

    Its text encoder calls a function of BERT that transformers 5.0 removed.
    """
    if find_spec("groundingdino") is None:
        return f"The package groundingdino-py is missing ({pip_install('--no-deps groundingdino-py==0.4.0')})."
    if find_spec("transformers") is None:
        return "The package transformers is missing."
    from importlib.metadata import version

    installed = version("transformers")
    if int(installed.partition(".")[0]) >= 5:
        return f"groundingdino-py does not run with transformers {installed} (it needs one below 5)."
    return ""


def detector(
    weights: Path, vocabulary: Path, *, reference: bool = False, device: str | None = None
) -> GroundedDetector:
    """A detector that loads at its first use; `reference` keeps the package's own layers."""
    handle = ModelHandle(lambda: load(weights, vocabulary, reference=reference), device)
    return GroundedDetector("groundingdino", handle)


def load(weights: Path, vocabulary: Path, *, reference: bool = False) -> GroundingModel:
    """Build the model by the package's own loader and load its weights.

    `vocabulary` is bert-base-uncased's vocab.txt; BERT's weights are in the checkpoint, and nothing is fetched.
    Raises `FinderUnavailable` without the package, `WeightsError` for files that are missing, damaged or of another
    model.
    """
    missing = missing_requirement()
    if missing:
        raise FinderUnavailable(f"GroundingDINO cannot run here. {missing}")
    state = read_weights(weights)
    shape = detector_shape(state, weights.name)
    with building(), text_encoder(shape.bert, vocabulary) as folder:
        module = build(shape, folder)
        load_state(module, state, weights.name, optional=("position_ids",))
        module.eval().requires_grad_(False)
        if not reference:
            from lib_prodshot.finding.fast.groundingdino import accelerate

            accelerate(module)
    return GroundingModel(module, module.tokenizer, partial(forward, module))


def build(shape: DetectorShape, text_encoder_folder: Path) -> Any:
    """Build the package's model of this shape by its own builder; `text_encoder` creates the folder."""
    from groundingdino.models import build_model
    from groundingdino.util.slconfig import SLConfig

    config = SLConfig.fromfile(str(files("groundingdino") / "config" / CONFIGURATIONS[shape.swin.name]))
    config.use_checkpoint = config.use_transformer_ckpt = False  # they save memory in training only
    config.device = "cpu"
    config.text_encoder_type = str(text_encoder_folder)
    config.hidden_dim = shape.channels
    config.enc_layers, config.dec_layers = shape.encoder_layers, shape.decoder_layers
    config.dim_feedforward = shape.feed_forward
    config.num_queries = shape.queries
    return build_model(config)


def forward(module: Any, pixels: Any, caption: str) -> tuple[Any, Any]:
    """Run the package's model once: raw logits (queries × 256) and boxes (queries × 4, centre and size)."""
    answer = module(pixels, captions=[caption])
    return answer["pred_logits"][0], answer["pred_boxes"][0]


@contextmanager
def text_encoder(bert: Bert, vocabulary: Path) -> Iterator[Path]:
    """Temporary folder from which the package's loader builds tokenizer and BERT without weights and without the hub.

    The loader calls `BertModel.from_pretrained`, which requires a file of weights: it gets one with a single tensor.
    Its warning about the missing ones is suppressed (`building`): the checkpoint contains them all.
    """
    import torch
    from safetensors.torch import save_file

    words = read_vocabulary(vocabulary, bert.vocabulary)
    config = {**bert.to_config(), "architectures": ["BertModel"]}
    with TemporaryDirectory(prefix="prodshot-") as name:
        folder = Path(name)
        (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8", newline="\n")
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        tokenizer = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": bert.positions}
        (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer), encoding="utf-8")
        bias = {"embeddings.LayerNorm.bias": torch.zeros(bert.hidden)}
        save_file(bias, str(folder / "model.safetensors"), metadata={"format": "pt"})
        yield folder


def read_vocabulary(vocabulary: Path, count: int) -> list[str]:
    """The words of a BERT vocabulary, one a line. Raises `WeightsError` unless there are `count`."""
    try:
        words = vocabulary.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"the vocabulary {vocabulary.name} cannot be read ({error}); fetch bert-vocab") from error
    if len(words) != count or "[UNK]" not in words:
        raise WeightsError(f"{vocabulary.name} is not the vocabulary of these weights: {len(words)} words, not {count}")
    return words
