"""A host for tests of routes and panel that need no WebUI: real pipeline, a finder and a backend with known answers."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from lib_prodshot.editing import UNSUPPORTED, EditPass, EditResult, EditSupport
from lib_prodshot.errors import EnhanceError
from lib_prodshot.finding.finder import Finder
from lib_prodshot.hosts.interface import Names
from lib_prodshot.hosts.upscaling import HostUpscaler
from lib_prodshot.inpainting import ControlLists, InpaintPass, PassDefaults, PassResult
from tests.finders import fixed_finder

CONTROL = ControlLists(
    models=("control_v11f1p_sd15_depth [cfd03158]",),
    modules=("none", "depth_midas", "canny"),
    none_module="none",
    slots=3,
)


class InvertingBackend:
    """Paints the negative of what it is given, so that every painted pixel can be told."""

    defaults = PassDefaults()

    def family(self, checkpoint: str = "") -> str:
        return "sd15"

    def control_lists(self) -> ControlLists:
        return CONTROL

    def missing_loras(self, names: Collection[str]) -> frozenset[str]:
        return frozenset(names)

    def check(self, sampler: str, scheduler: str, checkpoint: str) -> None:
        pass

    def inpaint(self, plan: InpaintPass) -> PassResult:
        return PassResult(255 - plan.picture, control_ran=plan.control is not None)

    def edit(self, plan: EditPass) -> EditResult:
        raise EnhanceError(UNSUPPORTED)


class LocalTraining:
    """Implements `TrainingHost`; what it was asked stands in `told`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[str] = []
        self.generating = False
        self.answer = "arafed handbag on a table, a product photo, by Some Painter"

    def is_generating(self) -> bool:
        return self.generating

    def leave_gpu(self) -> None:
        self.told.append("left the GPU")

    def checkpoint_file(self, name: str) -> Path:
        return self.folder / "models" / "Stable-diffusion" / name

    def lora_folder(self) -> Path:
        return self.folder / "models" / "Lora"

    def refresh_loras(self) -> None:
        self.told.append("looked at its LoRAs")

    def no_interrogator(self) -> str:
        return "" if self.answer else "this WebUI has no interrogator"

    def describe(self, picture: Image.Image) -> str:
        self.told.append(f"described {picture.width}×{picture.height}")
        return self.answer


class LocalHost:
    """Implements `lib_prodshot.hosts.interface.Host`; options, flags and credentials are plain tables to be filled."""

    name = "test host"
    version = "1"

    def __init__(self, folder: Path, finder: Finder | None = None) -> None:
        self.folder = folder
        self.finder = finder or fixed_finder(darkest=20)
        self.options: dict[str, Any] = {}
        self.flags: dict[str, Any] = {"api": True}
        self.credentials: dict[str, str] = {}
        self.loras: set[str] = set()
        self.warnings: list[str] = []
        self.jobs: list[str] = []
        self.interrupts = 0
        self.lock = threading.Lock()
        self.trains = LocalTraining(folder)

    def training(self) -> LocalTraining:
        return self.trains

    def models_path(self) -> Path:
        return self.folder / "models"

    def data_path(self) -> Path:
        return self.folder

    def option(self, key: str, default: Any = None) -> Any:
        return self.options.get(key, default)

    def flag(self, name: str, default: Any = None) -> Any:
        return self.flags.get(name, default)

    def api_credentials(self) -> dict[str, str]:
        return self.credentials

    def names(self) -> Names:
        return Names(("tiny.safetensors",), ("Euler", "DPM++ 2M"), ("Automatic", "Karras"), CONTROL)

    def no_inpainting(self) -> str:
        return ""

    def upscaler(self, name: str) -> HostUpscaler:
        return HostUpscaler(name, [])

    def edit_support(self) -> EditSupport:
        return EditSupport()

    def has_lora(self, name: str) -> bool:
        return name in self.loras

    def missing_features(self) -> tuple[str, ...]:
        return ()

    def queue_lock(self) -> threading.Lock:
        return self.lock

    @contextmanager
    def job(self, title: str) -> Iterator[None]:
        with self.lock:
            self.jobs.append(title)
            yield

    def say(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def lossy_format(self) -> str:
        return ""

    def interrupted(self) -> bool:
        return False

    def interrupt(self) -> None:
        self.interrupts += 1

    @contextmanager
    def use_finder(self, name: str = "auto") -> Iterator[Finder]:
        yield self.finder

    def inpainting_backend(self, parent: Any = None, index: int = 0) -> InvertingBackend:
        return InvertingBackend()
