"""How a picture came to be, in the words that files say it with: the IPTC's digital source types, and the models.

Sources: IPTC NewsCodes, "Digital Source Type" (cv.iptc.org/newscodes/digitalsourcetype); IPTC Photo Metadata Standard
2025.1, Extension schema: Digital Source Type, AI System Used, AI System Version Used, AI Prompt Information, whose XMP
ids are Iptc4xmpExt:DigitalSourceType, AISystemUsed, AISystemVersionUsed and AIPromptInformation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lib_prodshot import __version__

VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
"""What every digital source type begins with in a file."""

TRAINED = "trainedAlgorithmicMedia"
COMPOSITE = "compositeWithTrainedAlgorithmicMedia"
ENHANCED = "algorithmicallyEnhanced"

NAMESPACE = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
"""Of the properties below; their usual prefix is Iptc4xmpExt."""

SOURCE_TYPE, SYSTEM, VERSION, PROMPT = (
    (NAMESPACE, name) for name in ("DigitalSourceType", "AISystemUsed", "AISystemVersionUsed", "AIPromptInformation")
)
"""The properties: namespace and local name."""


@dataclass(frozen=True)
class Model:
    """One file of weights: what it is ('checkpoint', 'LoRA', 'finder'), its name, and the first ten digits of its
    SHA-256 (empty where nobody told them)."""

    kind: Literal["checkpoint", "LoRA", "finder"]
    name: str
    hash: str = ""


@dataclass(frozen=True)
class Painted:
    """What trained models painted: the whole picture or a part of it, with which models, by which prompts."""

    models: tuple[Model, ...] = ()
    prompts: tuple[str, ...] = ()
    is_whole: bool = False


def source_type(before: str, painted: Sequence[Painted], plain: bool) -> str:
    """The digital source type of a result by what ran: `before` is the input's ('' for none told).

    Where no trained model painted, the input's stays. A picture that is all made by one stays that. `plain` says
    trainedAlgorithmicMedia of composites too.
    """
    if any(each.is_whole for each in painted):
        return TRAINED
    told = (before if before == TRAINED else COMPOSITE) if painted else before or ENHANCED
    return TRAINED if plain and told == COMPOSITE else told


def short_name(value: str) -> str:
    """'digitalCapture' of its address in the vocabulary; another text as it is."""
    text = value.strip()
    _, found, name = text.partition("cv.iptc.org/newscodes/digitalsourcetype/")
    return name if found else text


def address(name: str) -> str:
    """What a file says for a source type of the vocabulary; another text as it is."""
    return VOCABULARY + name if name.isalnum() else name


def statements(
    before: Mapping[tuple[str, str], str], kind: str, painted: Sequence[Painted], finder: Sequence[Model], prompts: bool
) -> dict[tuple[str, str], str]:
    """The properties that a result's XMP is to have beside what it has (`before`), by their names; none where it says
    all of it.

    Systems and prompts are told where a trained model painted: the standard means those that generated the picture.
    What the file tells of others stays in front.
    """
    told = {}
    if short_name(before.get(SOURCE_TYPE, "")) != kind:
        told[SOURCE_TYPE] = address(kind)
    if not painted:
        return told
    models = list(dict.fromkeys(model for each in painted for model in each.models)) + list(finder)
    wanted = {SYSTEM: _names(models), VERSION: _versions(models)}
    if prompts:
        wanted[PROMPT] = "\n".join(dict.fromkeys(text for each in painted for text in each.prompts if text))
    for name, text in wanted.items():
        known = before.get(name, "")
        if text and text not in known:
            told[name] = f"{known}; {text}" if known else text
    return told


def _names(models: Iterable[Model]) -> str:
    """'checkpoint v1-5-pruned-emaonly, LoRA bags, finder lite-coco'."""
    return ", ".join(f"{model.kind} {model.name}" for model in models) or "a diffusion model that was not told"


def _versions(models: Iterable[Model]) -> str:
    """'v1-5-pruned-emaonly 6ce0161689, lite-coco 9f6c4ad221, prodshot 0.9'."""
    return ", ".join([*(f"{model.name} {model.hash}" for model in models if model.hash), f"prodshot {__version__}"])
