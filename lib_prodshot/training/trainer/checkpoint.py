"""What a checkpoint is, read from the file itself without torch: its family, or why it is no checkpoint.

A safetensors file is told by its tensors' names and shapes (the width of the text embedding that cross-attention reads:
768 in Stable Diffusion 1.x, 1024 in 2.x, 2048 in SDXL; Flux and SD 3 have blocks of their own), a diffusers folder by
its configuration. A .ckpt file is a pickle, which only the trainer opens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lib_prodshot.errors import FieldProblem
from lib_prodshot.training import lora
from lib_prodshot.training.recipe.recipe import Recipe

FIELD = "pretrained_model_name_or_path"

SD1, SD2, SDXL, SD3, FLUX = "Stable Diffusion 1.x", "Stable Diffusion 2.x", "SDXL", "Stable Diffusion 3", "Flux"

_WIDTHS = {768: SD1, 1024: SD2, 2048: SDXL}
"""Width of the text embedding that cross-attention reads."""

_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")
_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
_PICKLES = (b"PK\x03\x04", b"\x80\x02")
"""How torch's files begin: a ZIP archive, before PyTorch 1.6 a bare pickle."""

_CROSS_ATTENTION = "attn2.to_k.weight"
_FIRST_LAYER = "input_blocks.0.0.weight"
LATENT_CHANNELS = 4
"""What a U-Net that sd-scripts trains takes; one for inpainting takes 9."""

_UNET = ("model.diffusion_model.", "down_blocks.")
_BLOCKS_OF = (("double_blocks.", FLUX), ("joint_blocks.", SD3))


class NoCheckpoint(Exception):
    """A file or folder is no checkpoint. The text is a clause: 'is cut off'."""


def problems(recipe: Recipe) -> Iterator[FieldProblem]:
    """What is wrong with the recipe's checkpoint: there is none, it is damaged, or of another family than the recipe
    says. A name on the model hub is the trainer's business."""
    name = recipe.pretrained_model_name_or_path
    path = Path(name)
    if not path.exists():
        if not _HUB_NAME.fullmatch(name) or path.suffix.lower() in _SUFFIXES:
            yield FieldProblem(
                FIELD, f"there is no file or folder {name}", "a checkpoint of Stable Diffusion 1.x or 2.x"
            )
        return
    try:
        family = family_of(path)
    except NoCheckpoint as error:
        yield FieldProblem(FIELD, f"{path.name} {error}", "a checkpoint of Stable Diffusion 1.x or 2.x")
        return
    if family not in ("", SD1, SD2):
        yield FieldProblem(FIELD, f"{path.name} is {family}, and this recipe trains Stable Diffusion 1.x or 2.x")
    elif family and (family == SD2) != recipe.v2:
        wanted = "true" if family == SD2 else "false"
        yield FieldProblem("v2", f"{path.name} is {family}: set v2 to {wanted}", wanted)


def family_of(path: Path) -> str:
    """The family of a checkpoint (`SD1` to `FLUX`), empty where only the trainer can tell. Raises `NoCheckpoint`."""
    if path.is_dir():
        return _family_of_folder(path)
    if path.suffix.lower() == ".safetensors":
        try:
            return _family_of_tensors(lora.read_header(path))
        except lora.LoraError as error:
            raise NoCheckpoint(f"is no whole checkpoint: {error}") from error
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise NoCheckpoint(f"cannot be read: {error.strerror}") from error
    if not start.startswith(_PICKLES):
        raise NoCheckpoint("is no checkpoint: it begins as none does (is it a .safetensors file under another name?)")
    return ""


def _family_of_tensors(header: Mapping[str, Any]) -> str:
    for name, entry in header.items():
        if name.endswith(_FIRST_LAYER) and entry["shape"][1] != LATENT_CHANNELS:
            channels = entry["shape"][1]
            raise NoCheckpoint(f"is of another kind: its U-Net takes {channels} channels (an inpainting checkpoint?)")
    for name, entry in header.items():
        blocks = next((family for mark, family in _BLOCKS_OF if mark in name), "")
        if blocks:
            return blocks
        if name.endswith(_CROSS_ATTENTION) and any(part in name for part in _UNET):
            return _WIDTHS.get(entry["shape"][-1], "")
    if not any(name.startswith(_UNET) for name in header):
        raise NoCheckpoint("is no checkpoint of Stable Diffusion: it has no U-Net (a LoRA, or a part of a model?)")
    return ""


def _family_of_folder(folder: Path) -> str:
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
