"""The prompts that call published LoRAs. Standard library only: the panel offers them too."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

SCENE = "[class], stylish, studio photography, product photography, ultra realistic"
"""The seed author's prompt after the activation tag; [class] is replaced by the product."""

NOTES_PREFIX = "Trained with Prodshot"
"""Prefix of the notes in a side-car that Prodshot wrote."""


def lora_tag(name: str, weight: float = 1.0) -> str:
    """The prompt tag of a LoRA: `<lora:ppzocketv2-10:1>`.

    The file's name, for all epochs of a run share the name that sd-scripts wrote into them.
    """
    return f"<lora:{name}:{weight:g}>"


def epochs_pattern(name: str) -> str:
    """A regular expression of the prompt tags, up to their weight, of a LoRA and of the other epochs of its run:
    `<lora:ppzocketv2-05:` for ppzocketv2-10.

    >>> re.sub(epochs_pattern("bag-10"), "<lora:bag-10:", "a bag <lora:bag-2-05:1>, <lora:bag-05:0.8>")
    'a bag <lora:bag-2-05:1>, <lora:bag-10:0.8>'
    """
    run, _, epoch = name.rpartition("-")
    known = rf"{re.escape(run)}-\d+" if run and epoch.isdigit() else re.escape(name)
    return rf"<lora:{known}:"


def prompt_template(tags: Sequence[str], name: str, weight: float = 1.0) -> str:
    """The seed author's prompt for a LoRA, for the panel's prompt or a class prompt."""
    return ", ".join((*tags, SCENE, lora_tag(name, weight)))


def published_prompts(folder: Path) -> dict[str, str]:
    """The prompt of every LoRA in a WebUI's folder that was published by Prodshot, by the LoRA's name."""
    found = {}
    for side_car in sorted(folder.glob("*.json")):
        try:
            side_car_values = json.loads(side_car.read_text(encoding="utf-8"))
            ours = side_car_values["notes"].startswith(NOTES_PREFIX) and side_car.with_suffix(".safetensors").is_file()
            tags = [tag.strip() for tag in side_car_values["activation text"].split(",") if tag.strip()]
            prompt = prompt_template(tags, side_car.stem, float(side_car_values["preferred weight"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # another's side-car
        if ours:
            found[side_car.stem] = prompt
    return found
