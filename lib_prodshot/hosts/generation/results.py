"""Output besides the picture: infotext parameters, gallery, additional files and machine-readable outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from PIL import Image

from lib_prodshot import __version__
from lib_prodshot.enhancing.painted import painted_with
from lib_prodshot.hosts.generation.saved_files import shown
from lib_prodshot.infotext import joined, written
from lib_prodshot.inpainting import UsedModels
from lib_prodshot.outcome import AUDIT, NOTES, OUTCOMES, RAN, VERDICT, VERSION, Audit
from lib_prodshot.request import WEBUI_BASE, Request, settings

if TYPE_CHECKING:
    from lib_prodshot.outcome import Outcome
    from lib_prodshot.pictures import LoadedPicture
    from lib_prodshot.provenance import Painted

SCRIPT = "Script"
"""The WebUI's own key of the selectable script that made a picture."""

_ALWAYS = {
    "": ("products", "engine"),
    "retouch": ("strength",),
    "inpaint": ("prompt", "denoising_strength", "control"),
    "edit": ("edit_instruction", "edit_scope"),
}
"""Settings that every infotext tells, and those that it tells with an engine: another version may have other
defaults."""


def request_parameters(request: Request) -> dict[str, Any]:
    """Format a request as infotext parameters: settings that differ from the WebUI's defaults, and `_ALWAYS`."""
    told = {*request.to_dict(only_changed=True, base=WEBUI_BASE), *_ALWAYS[""], *_ALWAYS.get(request.engine, ())}
    keys = {known.name: known.infotext for known in settings()}
    wanted = {key: getattr(request, name) for name, key in keys.items() if name in told}
    return {key: written(key, value) for key, value in wanted.items()}


def outcome_parameters(outcome: Outcome, ran: Sequence[str]) -> dict[str, Any]:
    """Format an outcome as infotext parameters."""
    parameters: dict[str, Any] = {VERDICT: outcome.to_infotext(), VERSION: __version__}
    if ran:
        parameters[RAN] = "; ".join(ran)
    if isinstance(outcome.audit, Audit):
        parameters[AUDIT] = outcome.audit.describe()
    if outcome.notes:
        parameters[NOTES] = "; ".join(outcome.notes)
    return parameters


def verdict_line(outcome: Outcome) -> str:
    """The verdict with the audit's figures, for the line under a gallery."""
    verdict = outcome.to_infotext()
    return f"{verdict} ({outcome.audit.describe()})" if isinstance(outcome.audit, Audit) else verdict


def without_ours(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Infotext parameters without ours, which an earlier picture of the generation may have set."""
    return {key: value for key, value in parameters.items() if not key.startswith(VERDICT)}


@dataclass(frozen=True)
class Extra:
    """An additional picture of a result; its kind ('before', 'mask', 'overlay', a marketplace) is part of the file
    name."""

    kind: str
    image: Image.Image


def extras_of(request: Request, before: Image.Image, loaded: LoadedPicture, outcome: Outcome) -> Iterator[Extra]:
    """The packshots but the last, which is the result itself, and the originals, masks and overlays that the request
    wants kept, of a picture in which something was found."""
    if outcome.status != "found":
        return
    from lib_prodshot.overlay import draw_overlay

    for made in outcome.packshots[:-1]:
        if made.result is not None:
            yield Extra(made.marketplace, shown(made.result, {}, made.digital_source_type))
    if request.save_originals:
        yield Extra("before", before)
    if request.save_masks and outcome.mask is not None:
        yield Extra("mask", Image.fromarray(outcome.mask))
    if request.save_overlays:
        yield Extra("overlay", Image.fromarray(draw_overlay(loaded.seen(), outcome.alpha, outcome.detections)))


def painted_by(parent: Any) -> Painted:
    """What a generation painted of the picture that a per-picture hook is shown: all of it, or with a mask drawn on the
    Inpaint tab a part."""
    used = UsedModels.told(
        *(getattr(parent, name, None) for name in ("sd_model_name", "sd_model_hash", "extra_generation_params"))
    )
    prompts = getattr(parent, "prompts", None) or [parent.prompt]
    prompt = str(prompts[min(getattr(parent, "batch_index", 0), len(prompts) - 1)])
    return painted_with(used, prompt, is_whole=getattr(parent, "image_mask", None) is None)


def infotext_now(parent: Any) -> str:
    """The infotext of a per-picture hook's picture, as the WebUI is about to write it."""
    create = import_module("modules.processing").create_infotext
    text: str = create(
        parent,
        parent.prompts,
        parent.seeds,
        parent.subseeds,
        index=getattr(parent, "batch_index", 0),
        all_negative_prompts=parent.negative_prompts,
    )
    return text


def infotext_of(parent: Any, number: int) -> str:
    """The infotext of a generation's picture `number` that we and not the WebUI processed."""
    create = import_module("modules.processing").create_infotext
    text: str = create(parent, parent.all_prompts, parent.all_seeds, parent.all_subseeds, index=number)
    return text


def infotext_unsampled(parent: Any, number: int) -> str:
    """The infotext of picture `number` for which nothing was sampled: the prompts and what is ours, and no steps,
    sampler, seed, size or checkpoint, for none was used."""
    parameters = parent.extra_generation_params.items()
    told = {key: value for key, value in parameters if key == SCRIPT or key.startswith(VERDICT)}
    values = {key: value(p=parent, index=number) if callable(value) else value for key, value in told.items()}
    negative = parent.all_negative_prompts[number]
    lines = [parent.all_prompts[number], f"Negative prompt: {negative}" if negative else "", joined(values)]
    return "\n".join(line for line in lines if line)


UNSAMPLED: Mapping[str, Any] = {
    **dict.fromkeys(("sampler_name", "cfg_scale", "denoising_strength", "clip_skip", "sd_model_name", "sd_model_hash")),
    **dict.fromkeys(("sd_vae_name", "sd_vae_hash")),
    "steps": 0,
}
"""What a response (`Processed.js`) says of the sampling where there was none."""


def claim_no_sampling(processed: Any) -> None:
    """Let the response of a generation in which nothing was sampled say so: no steps, sampler, strength or checkpoint,
    and the size of the picture that comes back. Seeds stay: the WebUI counts its pictures by them."""
    for name, value in UNSAMPLED.items():
        if hasattr(processed, name):
            setattr(processed, name, value)
    processed.width, processed.height = processed.images[0].size


def add_to_gallery(processed: Any, extras: Sequence[tuple[Image.Image, str]]) -> None:
    """Append pictures with their infotexts to a result; earlier ones without an infotext get the first."""
    if not extras:
        return
    first = processed.infotexts[0] if processed.infotexts else processed.info
    missing = len(processed.images) - len(processed.infotexts)
    processed.infotexts = [*processed.infotexts, *[first] * max(0, missing), *[text for _, text in extras]]
    processed.images.extend(image for image, _ in extras)


def report_outcomes(processed: Any, outcomes: Sequence[Outcome]) -> None:
    """Add the outcomes to the response's parameters, as a copy: the generation's own become infotext. What is worked
    out for each picture is null there: classic cannot write it, and the other hosts write null themselves."""
    lines = [outcome.to_json() for outcome in outcomes]
    told = {key: None if callable(value) else value for key, value in processed.extra_generation_params.items()}
    processed.extra_generation_params = {**told, OUTCOMES: lines}


def put_first_comment(processed: Any, text: str) -> None:
    """Insert a line above the existing comments under the page's gallery."""
    processed.comments = f"{text}\n{getattr(processed, 'comments', None) or ''}"
