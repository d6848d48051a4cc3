"""Automatic ControlNet unit: selects preprocessor and model for the checkpoint; the unit is a plain dict.

Hosts do not report an invalid unit (the pass runs without it), so it is validated against their lists before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lib_prodshot.errors import EnhanceError
from lib_prodshot.inpainting import ControlLists, Family

if TYPE_CHECKING:
    from lib_prodshot.request import Request

_MODELS: dict[tuple[str, Family], tuple[str, ...]] = {
    # the seed author's model first, then what the ControlNet wikis list for the same use
    ("depth", "sd15"): ("control_v11f1p_sd15_depth", "control_sd15_depth", "t2iadapter_depth_sd15v2"),
    ("depth", "sd2"): ("control_v11p_sd21_depth", "control_v11p_sd21_zoedepth"),
    ("depth", "sdxl"): ("diffusers_xl_depth_full", "controlnet-depth-sdxl-1.0", "sai_xl_depth_256lora"),
}
"""Preferred models by kind of preprocessor and the checkpoint's family; any other matching one comes after."""

_KINDS = {
    "softedge": ("softedge", "hed"),
    "lineart_anime": ("lineart_anime", "anime"),
    "mlsd": ("mlsd",),
    "normal": ("normal",),
    "seg": ("seg",),
    "scribble": ("scribble", "sketch"),
    "openpose": ("openpose", "pose"),
    "inpaint": ("inpaint",),
}
"""Words in the names of models of a kind, if the kind's own name is not the only one."""

AUTOMATIC = "auto"
"""A preprocessor setting that leaves the choice to what is installed."""

_FALLBACKS = {
    "depth": ("depth_midas", "depth_anything", "depth_anything_v2", "depth_leres", "depth_zoe"),
    "softedge": ("softedge_pidinet", "softedge_hed", "softedge_teed"),
    "inpaint": ("inpaint_only", "inpaint_global_harmonious"),
}
"""Preprocessors by kind, in the order in which an automatic choice tries them; names as ControlNet lists them."""

_FAMILY_NAMES: dict[Family, str] = {"sd15": "SD1.5", "sd2": "SD2", "sdxl": "SDXL", "other": "this checkpoint's kind"}


@dataclass(frozen=True)
class ControlChoice:
    """The unit (None: without ControlNet) and notes for the user."""

    unit: Mapping[str, Any] | None
    notes: tuple[str, ...] = ()


def choose_unit(request: Request, family: Family, lists: ControlLists | None) -> ControlChoice:
    """Build the unit for `request` on a host that offers `lists` (None: it has no ControlNet).

    Raises `EnhanceError` where control is 'required' and cannot be had; with 'preferred' the reason becomes a note.
    """
    if request.control == "off":
        return ControlChoice(None)
    try:
        return ControlChoice(_build_unit(request, family, lists))
    except EnhanceError as error:
        return without_control(request, str(error))


def without_control(request: Request, reason: str) -> ControlChoice:
    """Continue without ControlNet for this reason. Raises `EnhanceError` if the request requires it."""
    if request.control == "required":
        raise EnhanceError(f"ControlNet is required, but {reason}")
    return ControlChoice(None, (f"without ControlNet: {reason}",))


def _build_unit(request: Request, family: Family, lists: ControlLists | None) -> dict[str, Any]:
    if lists is None:
        raise EnhanceError("it is not installed; install sd-webui-controlnet, or set control to off")
    if lists.slots < 1:
        raise EnhanceError("the WebUI's settings give it no unit; raise its unit number")
    if request.control_module == AUTOMATIC:
        module, model = _installed_pair(request.control_model, family, lists)
        return _unit(request, module, model)
    module = find_module(request.control_module, lists)
    if request.control_model:
        model = find_model(request.control_model, family, lists.models)
    else:
        model = _fitting_model(kind_of(module), family, lists.models)
    return _unit(request, module, model)


def _installed_pair(wanted: str, family: Family, lists: ControlLists) -> tuple[str, str]:
    """A preprocessor and a model of one kind that are both installed: depth, else soft edges, else inpaint. Raises
    `EnhanceError` with what to install."""
    named = find_model(wanted, family, lists.models) if wanted else ""
    for kind, modules in _FALLBACKS.items():
        module = next((known for name in modules for known in lists.modules if known.lower() == name), "")
        with suppress(EnhanceError):
            model = named or _fitting_model(kind, family, lists.models)
            if module and (not named or any(word in _stem(named) for word in _KINDS.get(kind, (kind,)))):
                return module, model
    advice = _MODELS.get(("depth", family), ("",))[0]
    raise EnhanceError(
        f"no depth, soft edge or inpaint model for {_FAMILY_NAMES[family]} is installed with its preprocessor"
        + (f"; install {advice}" if advice else "")
    )


def _unit(request: Request, module: str, model: str) -> dict[str, Any]:
    return {
        "enabled": True,
        "module": module,
        "model": model,
        "weight": request.control_weight,
        "guidance_start": request.control_guidance_start,
        "guidance_end": request.control_guidance_end,
        "control_mode": request.control_mode,
        "resize_mode": request.control_resize_mode,
        "processor_res": request.control_processor_res,
        "pixel_perfect": request.control_pixel_perfect,
        "save_detected_map": False,
    }


def find_module(wanted: str, lists: ControlLists) -> str:
    """Find the preprocessor in the host's spelling; 'none' and the empty text mean none.

    Raises `EnhanceError` naming those of the same kind.
    """
    if wanted.strip().lower() in ("", "none"):
        return lists.none_module
    known = {module.lower(): module for module in lists.modules}
    if wanted.strip().lower() in known:
        return known[wanted.strip().lower()]
    alike = [module for module in lists.modules if kind_of(module) == kind_of(wanted)]
    near = f" (there are: {', '.join(alike)})" if alike else ""
    raise EnhanceError(f"the preprocessor {wanted!r} is not installed{near}")


def find_model(wanted: str, family: Family, models: Sequence[str]) -> str:
    """Find the model in the host's spelling, given with or without its hash, in any case of letters.

    Raises `EnhanceError` for a model that is not there, or that is made for another family than the checkpoint's.
    """
    stem = _stem(wanted)
    found = next((model for model in models if model == wanted), None)
    found = found or next((model for model in models if _stem(model) == stem), None)
    if found is None:
        raise EnhanceError(f"the model {wanted!r} is not installed{_installed(models)}")
    made_for = family_of(found)
    if made_for and family != "other" and made_for != family:
        raise EnhanceError(f"the model {found} is for {_FAMILY_NAMES[made_for]}, not {_FAMILY_NAMES[family]}")
    return found


def _fitting_model(kind: str, family: Family, models: Sequence[str]) -> str:
    """Select an installed model of a kind for a family: preferred ones first, then any matching both by name."""
    if not kind:
        raise EnhanceError("no preprocessor is set, so no model can be chosen for it; name a ControlNet model")
    for preferred in _MODELS.get((kind, family), ()):
        found = next((model for model in models if _stem(model).startswith(preferred)), None)
        if found is not None:
            return found
    words = _KINDS.get(kind, (kind,))
    fits = [model for model in models if family_of(model) == family and any(word in _stem(model) for word in words)]
    if not fits:
        wanted = next(iter(_MODELS.get((kind, family), ())), "")
        advice = f"; install {wanted}" if wanted else ""
        raise EnhanceError(f"no {kind} model for {_FAMILY_NAMES[family]} is installed{advice}")
    return fits[0]


def kind_of(module: str) -> str:
    """Kind of a preprocessor: 'depth' for depth_midas, 'lineart_anime' for lineart_anime_denoise, '' for none."""
    name = module.strip().lower()
    if name in ("", "none"):
        return ""
    special = next((kind for kind in _KINDS if name.startswith(kind)), None)
    if special:
        return special
    return re.split(r"[_ (]", name)[0]


def family_of(model: str) -> Family | None:
    """The family in a ControlNet model's name, or None.

    Names follow the ControlNet 1.1 rule ('control_v11p_sd15_…', 'control_v11p_sd21_…'); SDXL models carry 'xl'.
    """
    name = _stem(model)
    if re.search(r"sdxl|(^|[_\-.])xl([_\-.]|$)", name):
        return "sdxl"
    if re.search(r"sd[-_ ]?v?2", name):
        return "sd2"
    if re.search(r"sd[-_ ]?v?1", name):
        return "sd15"
    return None


def _stem(model: str) -> str:
    return re.sub(r"\s*\[[0-9a-f]+\]$", "", model.strip().lower()).removesuffix(".safetensors").removesuffix(".pth")


def _installed(models: Sequence[str]) -> str:
    named = [model for model in models if model.lower() != "none"]
    if not named:
        return " (none is)"
    shown = ", ".join(named[:5]) + (", …" if len(named) > 5 else "")
    return f" (there are: {shown})"
