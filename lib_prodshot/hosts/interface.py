"""Interface of the WebUI that this process runs in (`Host`) and of its training services (`TrainingHost`).

Nothing here imports the WebUI. `hosts.active.host()` returns the `Host` of this process; a remote WebUI is only an
inpainting backend (`lib_prodshot.inpainting`).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lib_prodshot.errors import ProdshotError
from lib_prodshot.inpainting import ControlLists, InpaintingBackend

if TYPE_CHECKING:
    from PIL import Image

    from lib_prodshot.finding.finder import Finder


class HostUnavailable(ProdshotError):
    """No WebUI runs in this process, or one whose interface has moved. Says what was missing."""


@dataclass(frozen=True)
class Names:
    """What the host can offer in drop-downs, each as it names it."""

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
    """What training asks of the WebUI around it."""

    def is_generating(self) -> bool:
        """Whether the WebUI is at a generation, or at anything else that it uses the GPU for."""

    def leave_gpu(self) -> None:
        """Have the WebUI's models leave the GPU, once what is being generated is done. They come back by themselves
        for the next generation."""

    def checkpoint_file(self, name: str) -> Path:
        """The file of a checkpoint by its name in `Host.names`. Raises `EnhanceError` for an unknown one."""

    def lora_folder(self) -> Path:
        """Where the WebUI keeps its LoRAs."""

    def refresh_loras(self) -> None:
        """Have the WebUI look at that folder again."""

    def describe(self, picture: Image.Image) -> str:
        """What the WebUI's interrogator says of a picture; holds '<error>' where it failed."""


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
        """What is installed, for drop-downs. Cheap; never loads a model."""

    def missing_features(self) -> tuple[str, ...]:
        """What cannot be done on this host, one sentence each, with the cure; empty where all works."""

    def queue_lock(self) -> AbstractContextManager[Any]:
        """The lock that lets one generation run at a time. Not reentrant."""

    def job(self, title: str) -> AbstractContextManager[None]:
        """A job of our own, outside of any generation: takes the queue lock, shows progress, can be interrupted."""

    def say(self, text: str) -> None:
        """Show what is being done in the WebUI's progress bar."""

    def warn(self, text: str) -> None:
        """Tell the user of a failure: on the console, and as a toast where the host and the moment have one."""

    def interrupted(self) -> bool:
        """Whether the user asked to interrupt, skip or stop."""

    def interrupt(self) -> None:
        """Have what is being sampled now end; only for what runs for us."""

    def use_finder(self, name: str = "auto") -> AbstractContextManager[Finder]:
        """A finder, loaded once and kept; memory is freed for it before, and it leaves the GPU after.

        Raises `FinderUnavailable` and `WeightsError`.
        """

    def inpainting_backend(self, parent: Any = None, index: int = 0) -> InpaintingBackend:
        """What runs inpaint passes within the generation `parent` (the host's processing object), for its picture
        number `index`; without a parent from the defaults of `PassDefaults`."""

    def save(self, picture: Image.Image, parent: Any, index: int, infotext: str, suffix: str = "") -> Saved:
        """Write a picture next to the host's own, with its naming and format. Raises `OutputError`."""

    def lossy_format(self) -> str:
        """The format of the WebUI's files and answers where it changes pixels ('jpg'); empty where it does not."""

    def training(self) -> TrainingHost:
        """The WebUI as training sees it."""
