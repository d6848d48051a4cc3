"""What a diffusion pass was made with, for what the result's file says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from lib_prodshot.enhancing.prompts import lora_names
from lib_prodshot.inpainting import UsedModels
from lib_prodshot.provenance import Model, Painted


def painted_with(used: UsedModels, prompt: str, checkpoint: str = "", is_whole: bool = False) -> Painted:
    """The checkpoint (where the host did not tell, the one that was asked for) and the LoRAs of a prompt."""
    name = used.checkpoint or PurePath(checkpoint.partition(" [")[0]).stem
    models = [Model("checkpoint", name, used.checkpoint_hash)] if name else []
    models += [Model("LoRA", lora, _hash_of(lora, used)) for lora in dict.fromkeys(lora_names(prompt))]
    return Painted(tuple(models), (prompt,), is_whole)


def _hash_of(lora: str, used: UsedModels) -> str:
    # hosts write names without the signs that end one in an infotext
    return used.lora_hashes.get(lora.translate(str.maketrans("", "", ":,")), "")


def joined(passes: Sequence[Painted]) -> Painted:
    """The passes of one picture as one."""
    models = dict.fromkeys(model for each in passes for model in each.models)
    prompts = dict.fromkeys(text for each in passes for text in each.prompts)
    return Painted(tuple(models), tuple(prompts))
