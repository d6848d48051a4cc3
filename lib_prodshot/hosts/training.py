"""Implementation of `TrainingHost` for A1111 and its forks."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image

from lib_prodshot.hosts import installed
from lib_prodshot.hosts.compatibility.gpu_memory import Memory


class WebUITraining:
    """Uses modules that every fork has; `queue_lock` is the WebUI's own."""

    def __init__(self, memory: Memory, queue_lock: AbstractContextManager[Any]) -> None:
        self._memory = memory
        self._queue_lock = queue_lock
        self._shared = import_module("modules.shared")

    def is_generating(self) -> bool:
        """Whether a generation is running; the WebUI sets `job` then, and counts jobs from -1 at its start."""
        state = self._shared.state
        return bool(state.job or state.job_count)

    def leave_gpu(self) -> None:
        """Move all of the WebUI's models off the GPU, between two generations; it reloads them itself."""
        with self._queue_lock:
            self._memory.unload_all()

    def checkpoint_file(self, name: str) -> Path:
        """The file of a checkpoint that the WebUI lists. Raises `EnhanceError` for an unknown one."""
        return Path(installed.checkpoint(name).filename)

    def lora_folder(self) -> Path:
        """The WebUI's LoRA folder."""
        chosen = getattr(self._shared.cmd_opts, "lora_dir", None)
        return Path(chosen) if chosen else Path(import_module("modules.paths").models_path) / "Lora"

    def refresh_loras(self) -> None:
        """Make the built-in Lora extension rescan its folder."""
        networks = sys.modules.get("networks")
        if networks is not None and hasattr(networks, "list_available_networks"):
            networks.list_available_networks()

    def no_interrogator(self) -> str:
        """Why this WebUI describes no pictures: neo has no interrogator, and classic only its name."""
        return "" if getattr(self._shared, "interrogator", None) else "this WebUI has no interrogator"

    def describe(self, picture: Image.Image) -> str:
        """Caption a picture by the WebUI's interrogator."""
        with self._queue_lock:
            return str(self._shared.interrogator.interrogate(picture.convert("RGB")))
