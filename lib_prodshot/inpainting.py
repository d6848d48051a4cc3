"""Interface of inpainting backends: whatever runs an img2img pass over a masked crop (this WebUI, or a remote one).

Implementations: `hosts.nested_pass.backend` (in this process) and `hosts.remote.inpainting` (over HTTP).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from lib_prodshot.errors import EnhanceError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

Family = Literal["sd15", "sd2", "sdxl", "other"]
"""Base model of a checkpoint, as far as ControlNet models depend on it."""

FILLS = ("fill", "original", "latent noise", "latent nothing")
"""The WebUI's masked content, in the order of its numbers."""


class PassInterrupted(EnhanceError):
    """The user interrupted or skipped the inpaint pass; the picture stays as it was."""


class ControlUnavailable(EnhanceError):
    """ControlNet is installed and its models cannot be listed. Says why."""


@dataclass(frozen=True)
class ControlLists:
    """The host's ControlNet models and preprocessors in its spelling, and its number of units."""

    models: tuple[str, ...]
    modules: tuple[str, ...]
    none_module: str
    slots: int


@dataclass(frozen=True)
class PassDefaults:
    """Values that an inpaint pass inherits from the generation around it.

    Without one (a route, a folder job) these stand: the seed author's 20 steps, DPM++ 2M Karras, CFG 7, 512×512.
    """

    prompt: str = ""
    negative_prompt: str = ""
    seed: int = 0
    steps: int = 20
    cfg_scale: float = 7.0
    sampler: str = "DPM++ 2M"
    scheduler: str = "Karras"
    width: int = 512
    height: int = 512


@dataclass(frozen=True)
class InpaintPass:
    """One img2img pass over a crop. `picture` (H×W×3 uint8 RGB) and `mask` (H×W uint8, 255 = repaint) have the very
    size of the pass, a multiple of 8; the mask is not empty. `control` is a ControlNet unit as a plain dict without an
    image: ControlNet uses the picture itself."""

    picture: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]
    mask_blur: int
    prompt: str
    negative_prompt: str
    seed: int
    steps: int
    cfg_scale: float
    sampler: str
    scheduler: str
    denoising_strength: float
    inpainting_fill: int
    checkpoint: str = ""
    control: Mapping[str, Any] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.mask.shape[0], self.mask.shape[1]


@dataclass(frozen=True)
class UsedModels:
    """What a pass sampled with: the checkpoint's name and short hash, and the short hashes of LoRAs by their names;
    empty where the host did not tell."""

    checkpoint: str = ""
    checkpoint_hash: str = ""
    lora_hashes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def told(cls, name: Any, short_hash: Any, parameters: Any) -> UsedModels:
        """From what WebUIs tell of a generation: `sd_model_name`, `sd_model_hash`, and the infotext parameters with
        'Lora hashes' (name: hash, name: hash)."""
        loras = str(parameters.get("Lora hashes") or "") if isinstance(parameters, Mapping) else ""
        pairs = (pair.partition(": ") for pair in loras.split(", "))
        hashes = {name: short for name, found, short in pairs if found}
        return cls(str(name or ""), str(short_hash or "")[:10], hashes)


@dataclass(frozen=True)
class PassResult:
    """The inpainted crop (H×W×3 uint8 RGB, the pass's size) and whether ControlNet was applied: None if unknown;
    `control_reason` is what it said when it was not, `used` what it sampled with."""

    picture: npt.NDArray[np.uint8]
    control_ran: bool | None = None
    control_reason: str = ""
    notes: tuple[str, ...] = ()
    used: UsedModels = UsedModels()


class InpaintingBackend(Protocol):
    """Runs inpaint passes: in a generation of this WebUI, or on a remote one."""

    defaults: PassDefaults

    def family(self, checkpoint: str = "") -> Family:
        """The family of the named checkpoint; empty: of the one that is loaded."""

    def control_lists(self) -> ControlLists | None:
        """ControlNet's models and preprocessors; None if not installed. Raises `ControlUnavailable`."""

    def missing_loras(self, names: Collection[str]) -> frozenset[str]:
        """Those of these names (as in `<lora:NAME:1>`) that no installed LoRA has."""

    def check(self, sampler: str, scheduler: str, checkpoint: str) -> None:
        """Raise `EnhanceError` for a sampler, scheduler or checkpoint (each may be empty) that is not there."""

    def inpaint(self, plan: InpaintPass) -> PassResult:
        """Run the pass. Raises `PassInterrupted`, and `EnhanceError` for whatever else stops it; in either case the
        host is as it was before."""


class AnyPass(Protocol):
    """What an inpaint pass and an edit have in common here."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""


def pass_picture(
    image: Image.Image, plan: AnyPass, advice: str = "run the WebUI's VAE in float32, or use another VAE"
) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    """The RGB image that a WebUI gave for `plan`, as H×W×3 uint8 at the plan's size, and a note where it had another.

    Raises `EnhanceError` for an image of one value, which is what a VAE that overflowed gives; `advice` says what to do
    about it on that WebUI.
    """
    import numpy as np
    from PIL import Image

    height, width = plan.size
    notes: tuple[str, ...] = ()
    if image.size != (width, height):
        # a fork may round the size to its own grid; the content is the whole crop all the same
        told = f"{image.width}×{image.height} pixels instead of {width}×{height}"
        notes = (f"the WebUI answered a pass with {told}; it was scaled",)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    picture = np.asarray(image)
    if picture.min() == picture.max():
        raise EnhanceError(f"the pass gave an empty picture (NaN); {advice}")
    return picture, notes
