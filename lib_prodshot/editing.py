"""Interface of editing backends: whatever runs a pass of an edit model (Flux.2 Klein, Qwen-Image-Edit, Kontext), which
repaints a whole picture by an instruction and knows no mask.

Implementations: `hosts.nested_pass.backend` (in this process) and `hosts.remote.inpainting` (over HTTP). What the
WebUIs call such models, their options and their presets stands here once, for both.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from lib_prodshot.inpainting import InpaintingBackend, PassDefaults, PassResult

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

GRID = 64
"""Sizes of a pass are multiples of so many pixels: what neo rounds every pass to, and more than each of the models
asks for (16 to 32)."""

REFERENCES = 3
"""Most further references of a pass: beyond them the models mix pictures up, and memory grows with each."""

SUPPORT = ("klein_do_reference", "klein_no_reference", "qwen21_do_reference", "qwen_vae_resize")
"""Options of which every WebUI that runs edit models has at least one, whatever its version."""

QWEN21 = "Qwen-Image 2.1"

_SWITCHES: Mapping[str, Mapping[str, bool]] = {
    "Flux.2 Klein": {"klein_do_reference": True, "klein_no_reference": False},
    QWEN21: {"qwen21_do_reference": True},
}
"""Kinds of edit models that take the input as reference only with an option, whose name goes by the WebUI's version,
and the value with which they do."""

_PRESETS = {"Kontext": "flux", "Qwen-Image-Edit": "qwen", "Flux.2 Klein": "klein"}
"""Kinds of edit models, and the WebUI's preset of sampling for each: its options are called after it. Qwen-Image 2.1
has none."""

UNSUPPORTED = (
    "this WebUI runs no edit models (Flux.2 Klein, Qwen-Image-Edit, Kontext); neo does. Here choose the engine "
    "inpaint or retouch"
)


@dataclass(frozen=True)
class Sampling:
    """How a pass samples; 0 and empty: as the host has it."""

    steps: int = 0
    cfg_scale: float = 0.0
    sampler: str = ""
    scheduler: str = ""
    distilled_cfg_scale: float = 0.0
    """The guidance that Kontext is told as a number of its own; the other kinds have none."""

    def filled(self, other: Sampling) -> Sampling:
        """This one, with the other's values where it has none."""
        own = {name: value for name, value in vars(self).items() if value}
        return replace(other, **own)

    @classmethod
    def of(cls, defaults: PassDefaults) -> Sampling:
        """That of the generation around a pass."""
        return cls(defaults.steps, defaults.cfg_scale, defaults.sampler, defaults.scheduler)

    @classmethod
    def preset(cls, kind: str, options: Mapping[str, Any]) -> Sampling:
        """The WebUI's own for a kind of edit model, from the options of its settings page."""
        name = _PRESETS.get(kind, "")
        told = {field: options.get(f"{name}_i2i_{key}") for field, key in _PRESET_FIELDS.items()} if name else {}
        return cls(
            int(told.get("steps") or 0),
            float(told.get("cfg_scale") or 0.0),
            str(told.get("sampler") or ""),
            str(told.get("scheduler") or ""),
            float(told.get("distilled_cfg_scale") or 0.0),
        )


_PRESET_FIELDS = {
    "steps": "step",
    "cfg_scale": "cfg",
    "sampler": "sampler",
    "scheduler": "scheduler",
    "distilled_cfg_scale": "dcfg",
}


@dataclass(frozen=True)
class EditPass:
    """One pass of an edit model over a picture (H×W×3 uint8 RGB, both sides multiples of `GRID`), which is its first
    reference; `references` are further ones (H×W×3 of any size)."""

    picture: npt.NDArray[np.uint8]
    prompt: str
    negative_prompt: str
    seed: int
    sampling: Sampling = Sampling()
    checkpoint: str = ""
    references: tuple[npt.NDArray[np.uint8], ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.picture.shape[0], self.picture.shape[1]


@dataclass(frozen=True)
class EditResult(PassResult):
    """A pass's answer, and how it really sampled."""

    sampling: Sampling = Sampling()


class EditingBackend(Protocol):
    """Runs passes of an edit model: in a generation of this WebUI, or on a remote one."""

    defaults: PassDefaults

    def missing_loras(self, names: Collection[str]) -> frozenset[str]:
        """Those of these names (as in `<lora:NAME:1>`) that no installed LoRA has."""

    def check(self, sampler: str, scheduler: str, checkpoint: str) -> None:
        """Raise `EnhanceError` for a sampler, scheduler or checkpoint (each may be empty) that is not there."""

    def edit(self, plan: EditPass) -> EditResult:
        """Run the pass. Raises `PassInterrupted`, and `EnhanceError` where the WebUI runs no edit models, where the
        checkpoint is none, and for whatever else stops it; in either case the host is as it was before."""


@dataclass(frozen=True)
class EditSupport:
    """What a WebUI tells of edit models: whether it runs any; the kind of the loaded one ("": it is none, None: nothing
    is loaded yet, so nobody knows); and the title of the script that takes further references."""

    supported: bool = False
    model: str | None = None
    stitch: str = ""


class PaintingBackend(InpaintingBackend, EditingBackend, Protocol):
    """A backend of both kinds, as every WebUI is."""


def kind_by_name(checkpoint: str) -> str:
    """The kind of edit model that a checkpoint's name lets expect, for the preset of its sampling alone; whether it is
    an edit model is not told by a name."""
    name = checkpoint.lower()
    if "qwen" in name and "edit" in name:
        return "Qwen-Image-Edit"
    return next((kind for kind in ("Kontext", "Flux.2 Klein") if kind.split()[-1].lower() in name), "")


def switched_on(known: Collection[str]) -> dict[str, bool]:
    """Of the options that a WebUI knows, those that a pass sets so that its model takes the input as reference."""
    return {name: value for names in _SWITCHES.values() for name, value in names.items() if name in known}


def is_switched_off(kind: str, options: Mapping[str, Any]) -> bool:
    """Whether a WebUI's options keep this kind of edit model from taking the input as reference."""
    return any(options.get(name) is (not value) for name, value in _SWITCHES.get(kind, {}).items())


def switched_off_and_frozen(kind: str) -> str:
    """Why a pass was not made, where the options keep the model from taking references and cannot be changed."""
    return (
        f"the WebUI's settings keep {kind} from taking the picture as reference ({', '.join(_SWITCHES[kind])}), and "
        "they are frozen; change them there"
    )


def no_edit_model(checkpoint: str) -> str:
    """Why a pass was not made, where the checkpoint is no edit model."""
    named = f"the checkpoint {checkpoint}" if checkpoint else "the checkpoint in use"
    return (
        f"the engine edit needs an edit model, and {named} is none that the WebUI knows; choose one as edit_checkpoint "
        "(Flux.2 Klein, Qwen-Image-Edit, Kontext), or the engine inpaint"
    )


NO_STITCH = "the WebUI has no image stitch, through which further references go: the edit was made without them"
