"""Edit models (Kontext, Qwen-Image-Edit, Flux.2 Klein), which repaint a whole picture by an instruction and heed no
mask: told by what the host says of the model that it has loaded, and not by a name."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from lib_prodshot.editing import QWEN21, EditSupport, is_switched_off
from lib_prodshot.hosts.compatibility.controlnet import script_stem

_EDITS = {"kontext": "Kontext", "edit": "Qwen-Image-Edit", "klein": "Flux.2 Klein"}
"""What neo's `backend.args.dynamic_args` says of a loaded model."""

_QWEN21_ENGINE = "backend.diffusion_engine.qwen21"
"""Newer neo's module of Qwen-Image 2.1, of which `dynamic_args` says nothing."""

_STITCH = "image_stitch"
"""The file of neo's script that takes further references; its title is in the page's language."""


def supported() -> bool:
    """Whether this WebUI runs edit models at all."""
    known = _told()
    return any(isinstance(getattr(known, name, None), bool) for name in _EDITS)


def support(runner: Any) -> EditSupport:
    """What this WebUI tells of edit models; `runner` is its script runner of img2img."""
    if not supported():
        return EditSupport()
    is_loaded = hasattr(import_module("modules.shared").sd_model, "forge_objects")
    script = find_stitch(runner)
    return EditSupport(True, kind_of_loaded() if is_loaded else None, "" if script is None else str(script.title()))


def warning() -> str:
    """What is to be said of an inpaint pass that an edit model has painted; empty for any other model."""
    model = loaded()
    if not model:
        return ""
    return (
        f"the checkpoint is an edit model ({model}): it follows an instruction and not the mask, and may have moved or "
        "recoloured what it painted; look at the product, choose the engine edit, or load a checkpoint that inpaints"
    )


def loaded() -> str:
    """The kind of edit model that is loaded, as it will behave with the WebUI's options; empty for none."""
    kind = kind_of_loaded()
    return "" if is_switched_off(kind, import_module("modules.shared").opts.data) else kind


def kind_of_loaded() -> str:
    """The kind of edit model that is loaded, whether or not an option keeps it from taking references."""
    if _is_qwen21():
        return QWEN21
    known = _told()
    return next((words for name, words in _EDITS.items() if getattr(known, name, False) is True), "")


def _is_qwen21() -> bool:
    """Whether Qwen-Image 2.1 is loaded, by the class that runs it. Its first version in neo took no references; those
    that do have the option."""
    shared = import_module("modules.shared")
    if "qwen21_do_reference" not in shared.opts.data:
        return False
    try:
        engine = import_module(_QWEN21_ENGINE).QwenImage21
    except (ImportError, AttributeError):
        return False
    return isinstance(shared.sd_model, engine)


def _told() -> Any:
    try:
        return import_module("backend.args").dynamic_args
    except (ImportError, AttributeError):
        return None


def find_stitch(runner: Any) -> Any | None:
    """The always-on script of a runner that takes further references, or None."""
    scripts = getattr(runner, "alwayson_scripts", None) or []
    return next((script for script in scripts if script_stem(script) == _STITCH), None)


def own_stitch(script: Any) -> Any:
    """A copy of that script for a pass of ours: what it remembers of the generation's references stays the
    generation's."""
    own = copy.copy(script)
    own.cached_parameters = None
    return own


@contextmanager
def references_apart() -> Iterator[None]:
    """A context whose passes have references of their own: those of the generation around them, which neo keeps beside
    its model and takes for granted as long as the prompt is the same, are put aside and come back."""
    known, model = _told(), import_module("modules.shared").sd_model
    kept = [(owner, name, getattr(owner, name)) for owner, name in _places(known, model)]
    try:
        for owner, name, _ in kept:
            setattr(owner, name, [])
        yield
    finally:
        for owner, name, value in kept:
            setattr(owner, name, value)


def _places(known: Any, model: Any) -> Iterator[tuple[Any, str]]:
    """Where neo keeps references: beside its model those of its image stitch; in `dynamic_args` those of the last
    prompt, and where in it Qwen-Image 2.1 has them (None: nowhere)."""
    for owner in (known, model):
        if isinstance(getattr(owner, "ref_latents", None), list):
            yield owner, "ref_latents"
    if hasattr(known, "image_slots"):
        yield known, "image_slots"
