"""Sample pictures of a run by epoch and prompt: those that sd-scripts made as it trained, and those that a WebUI makes
of the published epochs."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lib_prodshot.errors import as_typed
from lib_prodshot.jobs.files.reading import Stamp
from lib_prodshot.jobs.files.staging import Staging
from lib_prodshot.training.errors import ComparisonError
from lib_prodshot.training.publishing.prompts import lora_tag
from lib_prodshot.training.publishing.publish import lora_name
from lib_prodshot.training.recipe.recipe import Recipe
from lib_prodshot.training.trainer import results

if TYPE_CHECKING:
    from lib_prodshot.hosts.remote import RemoteWebUI

SCENES = (
    "{what} on a white background, studio photography, product photography",
    "{what} on a wooden table, natural light from a window",
    "a woman with {what} on a street, city in the background",
)
"""Prompts where neither the user nor the recipe has any: near to photographs of products, and further from them."""

_OPTIONS = {"w": "width", "h": "height", "d": "seed", "s": "steps", "l": "cfg_scale", "n": "negative_prompt"}
"""kohya's options at the end of a prompt (`line_to_prompt_dict` in sd-scripts v0.10.1), by txt2img's names for them."""

CFG_SCALE = 7.5
"""sd-scripts' own scale of a sample whose prompt names none."""

_OWN = re.compile(r"_e(?P<epoch>\d{6})_(?P<prompt>\d{2,})_\d{14}(?:_(?P<seed>\d+))?\.png$")


class PictureMaker(Protocol):
    """A WebUI that makes pictures of prompts."""

    def has_lora(self, name: str) -> bool:
        """Whether it can use a LoRA of this name. Raises `ProdshotError`."""

    def txt2img(self, settings: Mapping[str, Any]) -> bytes:
        """The file of one picture, with the settings of A1111's route of that name. Raises `ProdshotError`."""


@dataclass(frozen=True)
class Sample:
    """One sample picture: `prompt` counts from 0, `seed` is -1 where the file's name does not say it."""

    epoch: int
    prompt: int
    seed: int
    file: Path

    @property
    def column(self) -> tuple[int, int]:
        """What pictures of several epochs have in common."""
        return self.prompt, self.seed


def plain_prompt(prompt: str) -> str:
    """A prompt without kohya's options.

    >>> plain_prompt("bag on a table --w 512 --d 42")
    'bag on a table'
    """
    return prompt.split(" --")[0].strip()


def prompt_options(prompt: str) -> dict[str, Any]:
    """kohya's options of a prompt by txt2img's names; what is no number where one belongs is left out.

    >>> prompt_options("bag --w 512 --h 768 --l 7.5 --n low quality, worst")
    {'width': 512, 'height': 768, 'cfg_scale': 7.5, 'negative_prompt': 'low quality, worst'}
    """
    found: dict[str, Any] = {}
    for part in prompt.split(" --")[1:]:
        letter, _, value = part.strip().partition(" ")
        name = _OPTIONS.get(letter)
        if name == "negative_prompt":
            found[name] = value.strip()
        elif name and re.fullmatch(r"\d+(\.\d+)?", value.strip()):
            found[name] = float(value) if name == "cfg_scale" else int(float(value))
    return found


def own_samples(output: Path, recipe: Recipe) -> list[Sample]:
    """The newest picture of each epoch and prompt that sd-scripts made in a run's folder of LoRAs."""
    newest: dict[tuple[int, int], Sample] = {}
    for path in results.samples(output):
        match = _OWN.search(path.name)
        if match and path.name.startswith(f"{recipe.output_name}_e"):
            epoch, prompt = int(match["epoch"]), int(match["prompt"])
            # without --d each picture has another seed: its column is the prompt alone
            seed = prompt_options(_at(recipe.sample_prompts, prompt)).get("seed", -1)
            newest[epoch, prompt] = Sample(epoch, prompt, int(seed), path)
    return sorted(newest.values(), key=lambda one: (one.epoch, one.column))


def _at(prompts: Sequence[str], index: int) -> str:
    return prompts[index] if index < len(prompts) else ""


def prompts_for(recipe: Recipe, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The prompts that a WebUI is asked for: the user's, the recipe's, or our own of tag and first product."""
    given = tuple(line.strip() for line in str(settings["prompts"]).splitlines() if line.strip())
    if given or recipe.sample_prompts:
        return given or recipe.sample_prompts
    product = re.split(r"[,:|]", str(settings["products"]))[0].strip()
    what = ", ".join((*recipe.tags, product))
    return tuple(scene.format(what=what) for scene in SCENES)


@dataclass(frozen=True)
class Planned:
    """A picture that a WebUI is to make, or has made: `body` is what its txt2img gets."""

    sample: Sample
    body: Mapping[str, Any]

    @property
    def is_made(self) -> bool:
        """Whether the file is there: its name holds all that the picture depends on."""
        return self.sample.file.is_file()


def plan(
    folder: Path, recipe: Recipe, settings: Mapping[str, Any], epochs: Mapping[int, Stamp], maker: PictureMaker
) -> list[Planned]:
    """The pictures of each epoch, prompt and seed, in `folder`. `epochs` are the run's LoRAs with their files' stamps;
    those that the maker lacks are left out.

    Raises `ComparisonError` where it has none of them, and what the maker raises.
    """
    name = str(settings["name"]) or recipe.output_name
    there = [epoch for epoch in sorted(epochs) if maker.has_lora(lora_name(name, epoch))]
    if not there:
        first = lora_name(name, min(epochs, default=1))
        raise ComparisonError(
            f"the WebUI has no LoRA {first} or another epoch of {name}: publish them first "
            f"({as_typed('train publish RUN --to DIR')}), or say by which name they were published (--name)"
        )
    return [
        _planned(folder, recipe, settings, epoch, epochs[epoch], index, prompt, offset, name)
        for epoch in there
        for index, prompt in enumerate(prompts_for(recipe, settings))
        for offset in range(int(settings["seeds"]))
    ]


def _planned(
    folder: Path,
    recipe: Recipe,
    settings: Mapping[str, Any],
    epoch: int,
    stamp: Stamp,
    index: int,
    prompt: str,
    offset: int,
    name: str,
) -> Planned:
    options = prompt_options(prompt)
    body = {
        "width": recipe.resolution,
        "height": recipe.resolution,
        "steps": settings["steps"],
        "cfg_scale": CFG_SCALE,
        **options,
        "seed": int(options.get("seed", settings["seed"])) + offset,
        "prompt": f"{plain_prompt(prompt)}, {lora_tag(lora_name(name, epoch), float(settings['weight']))}",
        "batch_size": 1,
        "n_iter": 1,
        "save_images": False,
    }
    told = hashlib.sha256(json.dumps([body, stamp], sort_keys=True).encode()).hexdigest()[:10]
    file = folder / f"e{epoch:06d}_{index:02d}_{body['seed']}_{told}.png"
    return Planned(Sample(epoch, index, body["seed"], file), body)


def make(maker: PictureMaker, planned: Planned) -> None:
    """Have one picture made, and keep it under its name. Raises `ProdshotError`."""
    data = maker.txt2img(planned.body)
    with Staging(planned.sample.file.parent) as staging:
        staging.path(planned.sample.file.name).write_bytes(data)


class RemoteMaker:
    """A running WebUI, spoken to over its API."""

    def __init__(self, webui: RemoteWebUI) -> None:
        self._webui = webui
        self._loras: set[str] | None = None

    def has_lora(self, name: str) -> bool:
        """See `PictureMaker`; it is asked once. Raises `RemoteError`, `ComparisonError`."""
        if self._loras is None:
            answer = self._webui.get("/sdapi/v1/loras")
            self._loras = set(_names(answer))
            if not self._loras and answer:
                raise ComparisonError(f"{self._webui.address} answered something else than a list of LoRAs")
        return name in self._loras

    def txt2img(self, settings: Mapping[str, Any]) -> bytes:
        """See `PictureMaker`. Raises `RemoteError`, `ComparisonError`."""
        answer = self._webui.post("/sdapi/v1/txt2img", settings)
        try:
            return base64.b64decode(answer["images"][0].rpartition(",")[2], validate=True)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ComparisonError(f"{self._webui.address} answered something else than a picture") from error


def _names(answer: Any) -> Iterator[str]:
    for one in answer if isinstance(answer, list) else ():
        if isinstance(one, Mapping) and isinstance(one.get("name"), str):
            yield one["name"]
