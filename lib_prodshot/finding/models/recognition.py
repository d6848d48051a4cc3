"""Recognises what a file of weights is by the names and shapes of its tensors, never by the file's name.

Of a `.safetensors` file only the header is read: no torch, no tensor, some milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from lib_prodshot.errors import FinderUnavailable, WeightsError
from lib_prodshot.finding.models.architecture import State
from lib_prodshot.finding.models.checkpoint import read_weights

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of tensors by name."""

Role = Literal["detector", "segmenter", "both"]

_LARGEST_HEADER = 100_000_000
"""What the safetensors library itself allows, in bytes."""


@dataclass(frozen=True)
class Architecture:
    """An architecture that transformers implements: `keys` are tensors that together only its files have, `oldest` the
    first release of transformers that has it, `wrong_from` the first major one that builds it wrongly (0: none);
    `lacks` says why it cannot run here, whatever is installed."""

    name: str
    title: str
    role: Role
    keys: tuple[str, ...]
    oldest: tuple[int, int]
    lacks: str = ""
    wrong_from: int = 0


NO_SAM3 = (
    "no finder here runs it; that would take transformers 5.0 or newer, weights that Meta gives out on request only,"
    " and boxes and masks in one go for each word."
)

ARCHITECTURES = (
    Architecture(
        "mm-grounding-dino",
        "MM-Grounding-DINO",
        "detector",
        ("model.encoder_output_class_embed.bias", "model.text_backbone.embeddings.word_embeddings.weight"),
        (4, 55),
        wrong_from=5,  # it ties the box heads of the decoder's layers, which are not one: boxes would be wrong
    ),
    Architecture(
        "sam2",
        "SAM 2",
        "segmenter",
        ("vision_encoder.backbone.blocks.0.attn.qkv.weight", "mask_decoder.conv_s0.weight"),
        (4, 56),
    ),
    Architecture(
        "sam2",
        "SAM 2",
        "segmenter",
        ("image_encoder.trunk.blocks.0.attn.qkv.weight", "sam_mask_decoder.conv_s0.weight"),
        (4, 56),
    ),
    Architecture(
        "sam-hq",
        "HQ-SAM",
        "segmenter",
        ("vision_encoder.layers.0.attn.qkv.weight", "mask_decoder.hq_token.weight"),
        (4, 52),
    ),
    *(
        Architecture("sam3", "SAM 3", "both", (f"{prefix}dot_product_scoring.query_proj.weight",), (5, 0), NO_SAM3)
        for prefix in ("", "detector_model.")
    ),
)
"""A second entry of a name: its publisher's own layout beside transformers'."""


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Read names and shapes from the header of a `.safetensors` file. Raises `WeightsError` for what is none."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= _LARGEST_HEADER:
                raise ValueError("its header has no length")
            header = json.loads(file.read(length))
        return {
            str(name): tuple(int(side) for side in entry["shape"])
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path.name} is no whole .safetensors file ({error})") from error


def shapes_of(state: State) -> Shapes:
    """The shapes of tensors."""
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def read_recognised(weights: Path, role: Role) -> dict[str, Any]:
    """Read the tensors of a file (none of a folder, which transformers itself reads) that holds such a model.

    Raises `WeightsError` for a file that is missing, damaged or of an unknown architecture, `FinderUnavailable` where
    transformers is too old for it.
    """
    is_folder = weights.is_dir()
    state = {} if is_folder else read_weights(weights)
    shapes = read_shapes(weights / "model.safetensors") if is_folder else shapes_of(state)
    lacking = unmet_requirement(recognise(shapes, weights.name, role), weights.name)
    if lacking:
        raise FinderUnavailable(lacking)
    return state


_POSITIONS = "prompt_encoder.shared_embedding.positional_embedding", "shared_image_embedding.positional_embedding"


def untied_positions(state: State) -> dict[str, Any]:
    """Tensors of a SAM of transformers with the projection of positions, which a file has once, under both names."""
    whole = dict(state)
    for one, other in (_POSITIONS, _POSITIONS[::-1]):
        if one in state:
            whole.setdefault(other, state[one])
    return whole


def recognise(shapes: Shapes, name: str, role: Role | None = None) -> Architecture:
    """The architecture of weights; `name` is the file's, for messages, `role` narrows what is looked for.

    Raises `WeightsError` saying which keys were looked for.
    """
    wanted = [known for known in ARCHITECTURES if role in (None, known.role)]
    for known in wanted:
        if all(key in shapes for key in known.keys):
            return known
    looked = "; ".join(f"{' with '.join(known.keys)} ({known.title})" for known in wanted)
    first = next(iter(sorted(shapes)), "nothing")
    raise WeightsError(f"{name} is of an unknown architecture: looked for {looked}; it begins with {first}")


def architecture(name: str) -> Architecture:
    """The architecture of this name."""
    return next(known for known in ARCHITECTURES if known.name == name)


def unmet_requirement(wanted: Architecture, name: str) -> str:
    """Why transformers cannot run the weights of the file `name` here, as one sentence; empty when it can."""
    if wanted.lacks:
        return f"{name} is {wanted.title}: {wanted.lacks}"
    needed = f"{wanted.oldest[0]}.{wanted.oldest[1]}"
    if find_spec("transformers") is None:
        return f"{name} is {wanted.title}, which needs the package transformers, {needed} or newer."
    from importlib.metadata import version

    installed = version("transformers")
    found = tuple(int(part) for part in installed.split(".")[:2])
    if wanted.wrong_from and found >= (wanted.wrong_from, 0):
        return (
            f"{name} is {wanted.title}, which transformers builds wrongly from {wanted.wrong_from}.0 on; it needs"
            f" {needed} or newer below that, and this is {installed}."
        )
    if found < wanted.oldest:
        return f"{name} is {wanted.title}, which needs transformers {needed} or newer; this is {installed}."
    return ""
