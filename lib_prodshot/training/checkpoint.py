"""What a checkpoint is, read from the file itself without torch: its kind, or why it is no checkpoint.

A safetensors file is told by its tensors' names and shapes (the width of the text embedding that cross-attention reads:
768 in Stable Diffusion 1.x, 1024 in 2.x, 2048 in SDXL, 1280 in its refiner; Flux, Chroma and SD 3 have blocks of their
own), a diffusers folder by its configuration. A .ckpt file is a pickle, which only the trainer opens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib_prodshot.training import lora

SD1, SD2, SDXL, FLUX = "Stable Diffusion 1.x", "Stable Diffusion 2.x", "SDXL", "Flux"
SD3, CHROMA, REFINER = "Stable Diffusion 3", "Chroma", "the SDXL refiner"

_WIDTHS = {768: SD1, 1024: SD2, 2048: SDXL, 1280: REFINER}
"""Width of the text embedding that cross-attention reads."""

SAFETENSORS_SUFFIXES = (".safetensors", ".sft")
"""The second is how FLUX.1's first files were named."""

PICKLE_SUFFIXES = (".ckpt", ".pt", ".pth", ".bin")
_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")
_PICKLES = (b"PK\x03\x04", b"\x80\x02")
"""How torch's files begin: a ZIP archive, before PyTorch 1.6 a bare pickle."""

_CROSS_ATTENTION = "attn2.to_k.weight"
_FIRST_LAYER = "input_blocks.0.0.weight"
LATENT_CHANNELS = 4
"""What a U-Net that sd-scripts trains takes; one for inpainting takes 9."""

_FLUX_FIRST_LAYER = "img_in.weight"
FLUX_CHANNELS = 64
"""What a FLUX.1 takes: 16 latent channels of 2×2 pixels; one for inpainting or control takes more, FLUX.2 takes 128."""

_LORA = re.compile(r"(?:^|[._])(?:lora|lycoris)[._]|[._](?:hada_w|lokr_w|dora_scale)", re.IGNORECASE)
"""How a LoRA's tensors are named, by kohya, diffusers, PEFT and LyCORIS alike; besides they have the model's names."""

_UNET = ("model.diffusion_model.", "down_blocks.")
_BLOCKS_OF = (
    # Chroma has Flux's blocks, so it comes first
    ("distilled_guidance_layer.", CHROMA),
    ("double_blocks.", FLUX),
    ("single_transformer_blocks.", FLUX),
    ("joint_blocks.", SD3),
)


class NoCheckpoint(Exception):
    """A file or folder is no checkpoint. The text is a clause: 'is cut off'."""


def may_be_hub_name(name: str) -> bool:
    """Whether a text can be a model's name on the hub, which only the trainer can look up."""
    is_file = Path(name).suffix.lower() in (*SAFETENSORS_SUFFIXES, *PICKLE_SUFFIXES)
    return bool(_HUB_NAME.fullmatch(name)) and not is_file


def kind_of(path: Path) -> str:
    """The kind of a checkpoint (`SD1` to `REFINER`), empty where only the trainer can tell. Raises `NoCheckpoint`."""
    if path.is_dir():
        return _kind_of_folder(path)
    if path.suffix.lower() in SAFETENSORS_SUFFIXES:
        return _kind_of_tensors(tensors(path))
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise NoCheckpoint(f"cannot be read: {error.strerror}") from error
    if not start.startswith(_PICKLES):
        raise NoCheckpoint("is no checkpoint: it begins as none does (is it a .safetensors file under another name?)")
    return ""


def tensors(path: Path) -> dict[str, list[int]]:
    """The shapes of a whole safetensors file's tensors by their names. Raises `NoCheckpoint`."""
    try:
        header = lora.read_header(path)
        return {name: _shape_of(entry) for name, entry in header.items() if name != "__metadata__"}
    except lora.LoraError as error:
        raise NoCheckpoint(f"is no whole checkpoint: {error}") from error
    except (KeyError, TypeError) as error:
        raise NoCheckpoint("is no whole checkpoint: its header is damaged") from error


def _shape_of(entry: Mapping[str, Any]) -> list[int]:
    shape = list(entry["shape"])
    if not all(isinstance(side, int) for side in shape):
        raise TypeError("a side is no number")
    return shape


def _kind_of_tensors(shapes: Mapping[str, list[int]]) -> str:
    if any(_LORA.search(name) for name in shapes):
        raise NoCheckpoint("is a LoRA and no checkpoint: name the model that it was made for")
    _refuse_other_inputs(shapes)
    for mark, kind in _BLOCKS_OF:
        if any(mark in name for name in shapes):
            return kind
    for name, shape in shapes.items():
        if name.endswith(_CROSS_ATTENTION) and any(part in name for part in _UNET):
            return _WIDTHS.get(_inputs(name, shape), "")
    if not any(name.startswith(_UNET) for name in shapes):
        raise NoCheckpoint("is no checkpoint of Stable Diffusion: it has no U-Net (a part of a model?)")
    return ""


def _refuse_other_inputs(shapes: Mapping[str, list[int]]) -> None:
    """Refuse models for inpainting or control: they take more than the latents that sd-scripts gives them."""
    for name, shape in shapes.items():
        if name.endswith(_FIRST_LAYER) and (taken := _inputs(name, shape)) != LATENT_CHANNELS:
            raise NoCheckpoint(f"is of another kind: its U-Net takes {taken} channels (an inpainting checkpoint?)")
        if name.endswith(_FLUX_FIRST_LAYER) and (taken := _inputs(name, shape)) != FLUX_CHANNELS:
            raise NoCheckpoint(f"is of another kind: it takes {taken} channels and FLUX.1 takes {FLUX_CHANNELS}")


def _inputs(name: str, shape: list[int]) -> int:
    """The channels that a layer takes, the second side of its weight. Raises `NoCheckpoint` where there is none."""
    if len(shape) < 2:
        raise NoCheckpoint(f"is no whole checkpoint: {name} has not the shape of a layer")
    return shape[1]


def _kind_of_folder(folder: Path) -> str:
    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
        kind = str(index["_class_name"])
        if "Flux" in kind or "Diffusion3" in kind:
            return FLUX if "Flux" in kind else SD3
        unet = json.loads((folder / "unet" / "config.json").read_text(encoding="utf-8"))
        return _WIDTHS.get(unet["cross_attention_dim"], "")
    except FileNotFoundError as error:
        missing = Path(str(error.filename)).relative_to(folder)
        raise NoCheckpoint(f"is no diffusers folder: it has no {missing.as_posix()}") from error
    except OSError as error:
        raise NoCheckpoint(f"cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise NoCheckpoint("is no diffusers folder: its configuration is damaged") from error
