"""Edit models (Kontext, Qwen-Image-Edit, Flux.2 Klein), which repaint a whole picture by an instruction and heed no
mask: told by what the host says of the model that it has loaded, and not by a name."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_EDITS = {"kontext": "Kontext", "edit": "Qwen-Image-Edit", "klein": "Flux.2 Klein"}
"""What neo's `backend.args.dynamic_args` says of a loaded model."""

_KLEIN_OFF = {"klein_no_reference": True, "klein_do_reference": False}
"""Options, by version of neo, and the value with which Klein takes no picture as reference and is no edit model."""


def warning() -> str:
    """What is to be said of a pass that an edit model has painted, as a sentence; empty for any other model."""
    model = _loaded()
    if not model:
        return ""
    return (
        f"the checkpoint is an edit model ({model}): it follows an instruction and not the mask, and may have moved or "
        "recoloured what it painted; look at the product, or load a checkpoint that inpaints"
    )


def _loaded() -> str:
    """The kind of edit model that is loaded; empty for none."""
    try:
        known: Any = import_module("backend.args").dynamic_args
    except (ImportError, AttributeError):
        return ""
    kind = next((name for name in _EDITS if getattr(known, name, False) is True), "")
    if kind == "klein" and _is_switched_off():
        return ""
    return _EDITS.get(kind, "")


def _is_switched_off() -> bool:
    options = import_module("modules.shared").opts.data
    return any(options.get(name) is value for name, value in _KLEIN_OFF.items())
