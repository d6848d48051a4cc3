"""The prompts that call published LoRAs. Standard library only: the panel offers them too."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

SCENE = "[class], stylish, studio photography, product photography, ultra realistic"
"""What the seed author asked for beside the activation tag and the LoRA; [class] stands for the product."""

NOTE = "Trained with Prodshot"
"""How the notes of a side-car begin that we wrote."""


def lora_tag(name: str, weight: float = 1.0) -> str:
    """What calls a LoRA in a prompt: `<lora:ppzocketv2-10:1>`.

    The file's name, for all epochs of a run share the name that sd-scripts wrote into them.
    """
    return f"<lora:{name}:{weight:g}>"


def prompt_template(tags: Sequence[str], name: str, weight: float = 1.0) -> str:
    """The seed author's prompt for a LoRA, for the panel's prompt or a class prompt."""
    return ", ".join((*tags, SCENE, lora_tag(name, weight)))


def prompts_in(folder: Path) -> dict[str, str]:
    """The prompt of every LoRA in a WebUI's folder that was published by Prodshot, by the LoRA's name."""
    found = {}
    for side_car in sorted(folder.glob("*.json")):
        try:
            told = json.loads(side_car.read_text(encoding="utf-8"))
            ours = told["notes"].startswith(NOTE) and side_car.with_suffix(".safetensors").is_file()
            tags = [tag.strip() for tag in told["activation text"].split(",") if tag.strip()]
            prompt = prompt_template(tags, side_car.stem, float(told["preferred weight"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # another's side-car
        if ours:
            found[side_car.stem] = prompt
    return found
