"""Interface of the WebUI that this process runs in (`Host`) and of its training services (`TrainingHost`).

Nothing here imports the WebUI. `hosts.active.host()` returns the `Host` of this process; a remote WebUI is only an
inpainting backend (`lib_prodshot.inpainting`).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lib_prodshot.editing import EditSupport, PaintingBackend
from lib_prodshot.errors import ProdshotError
from lib_prodshot.inpainting import ControlLists

if TYPE_CHECKING:
    from PIL import Image

    from lib_prodshot.finding.finder import Finder
    from lib_prodshot.packshot.upscaling import Upscaler


class HostUnavailable(ProdshotError):
    """No WebUI runs in this process, or one whose interface has changed. Says what was missing."""


@dataclass(frozen=True)
class Names:
    """Names for drop-downs, in the host's spelling."""

    checkpoints: tuple[str, ...] = ()
    samplers: tuple[str, ...] = ()
    schedulers: tuple[str, ...] = ()
    control: ControlLists | None = None


@dataclass(frozen=True)
class Saved:
    """Where `Host.save` put a picture. `infotext` was written into it."""

    path: Path
    infotext: str = field(repr=False, default="")


class TrainingHost(Protocol):
    """Services of the WebUI that training uses."""

    def is_generating(self) -> bool:
        """Whether the WebUI runs a generation or another job on the GPU."""

    def leave_gpu(self) -> None:
        """Move the WebUI's models off the GPU after the running generation; the next one reloads them."""

    def checkpoint_file(self, name: str) -> Path:
        """The file of a checkpoint by its name in `Host.names`. Raises `EnhanceError` for an unknown one."""

    def lora_folder(self) -> Path:
        """The WebUI's LoRA folder."""

    def refresh_loras(self) -> None:
        """Make the WebUI rescan that folder."""

    def no_interrogator(self) -> str:
        """Why this WebUI describes no pictures, as a clause; empty when it does."""

    def describe(self, picture: Image.Image) -> str:
        """Caption a picture by the WebUI's interrogator; contains '<error>' if that failed."""


class Host(Protocol):
    """The WebUI that this process runs in."""

    @property
    def name(self) -> str:
        """'AUTOMATIC1111', 'Forge', …: for messages only, never to decide anything by."""

    @property
    def version(self) -> str:
        """The host's own version, for messages and reports."""

    def models_path(self) -> Path:
        """The WebUI's models folder (as its command line redirects it); ours is `models/prodshot` under it unless the
        settings page says otherwise."""

    def data_path(self) -> Path:
        """The WebUI's data folder."""

    def option(self, key: str, default: Any = None) -> Any:
        """A value of the settings page; `default` where there is no such option."""

    def flag(self, name: str, default: Any = None) -> Any:
        """A value of the command line, such as 'freeze_settings' or 'lowvram'."""

    def api_credentials(self) -> dict[str, str]:
        """Passwords by user, from --api-auth; empty: the API is open."""

    def names(self) -> Names:
        """Installed checkpoints, samplers, schedulers and ControlNet models; never loads a model."""

    def no_inpainting(self) -> str:
        """Why this WebUI has nothing to inpaint with yet, as a clause; empty when it has. Never loads a model."""

    def edit_support(self) -> EditSupport:
        """What there is for the engine edit; never loads a model."""

    def has_lora(self, name: str) -> bool:
        """Whether a LoRA of this name is installed, as the WebUI listed them last; the folder is not read again."""

    def missing_features(self) -> tuple[str, ...]:
        """Features missing on this host, one sentence each with the remedy; empty if there are none."""

    def queue_lock(self) -> AbstractContextManager[Any]:
        """The lock that lets one generation run at a time. Not reentrant."""

    def job(self, title: str) -> AbstractContextManager[None]:
        """Context for a job outside of any generation: holds the queue lock, shows progress, can be interrupted."""

    def say(self, text: str) -> None:
        """Set the text of the WebUI's progress bar."""

    def warn(self, text: str) -> None:
        """Report a failure to the user: on the console, and as a toast if the host has one."""

    def interrupted(self) -> bool:
        """Whether the user asked to interrupt, skip or stop."""

    def interrupt(self) -> None:
        """Interrupt sampling; only for passes that we started."""

    def use_finder(self, name: str = "auto") -> AbstractContextManager[Finder]:
        """Context with a cached finder; GPU memory is reserved around each call and its models are offloaded after it.

        Raises `FinderUnavailable` and `WeightsError`.
        """

    def inpainting_backend(self, parent: Any = None, index: int = 0) -> PaintingBackend:
        """The inpainting backend for picture `index` of the generation `parent` (the host's processing object); without
        a parent it uses the defaults of `PassDefaults`."""

    def save(self, picture: Image.Image, parent: Any, index: int, infotext: str, suffix: str = "") -> Saved:
        """Save a picture beside the host's own, with its naming and format. Raises `OutputError`."""

    def lossy_format(self) -> str:
        """The WebUI's file format if it is lossy ('jpg'); empty if lossless."""

    def upscaler(self, name: str) -> Upscaler:
        """The WebUI's upscaler of that name, its first that is a model for ''. Raises `RequestError` (field upscaler)
        for one that it does not have."""

    def training(self) -> TrainingHost:
        """The WebUI's training services."""
