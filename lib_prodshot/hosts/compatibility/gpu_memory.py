"""Making room for a finder beside a loaded checkpoint: each host family keeps its models by other means.

Adapters are chosen by what can be imported: Forge and neo have `backend.memory_management`, reForge and classic
`ldm_patched.modules.model_management`, AUTOMATIC1111 neither.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Protocol

FINDER_BYTES = 4 << 30
"""Room for GroundingDINO and SAM ViT-H with their activations at 1024 pixels."""


class Memory(Protocol):
    """Room on the GPU, lent to something that is not the checkpoint."""

    def reserve(self, wanted: int) -> Any:
        """A context in which at least `wanted` bytes are free if they can be; afterwards all is as sampling needs
        it."""

    def release(self) -> None:
        """Take every model of the host's off the GPU; each comes back by itself when it is next wanted."""


class ManagedMemory:
    """The Forge family: the host moves models by itself; we ask for room, and it loads them again when it samples."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    @contextmanager
    def reserve(self, wanted: int) -> Iterator[None]:
        """Have the host free `wanted` bytes; nothing needs to be given back."""
        if on_gpu():
            self._manager.free_memory(wanted, self._manager.get_torch_device())
        try:
            yield
        finally:
            if on_gpu():
                self._manager.soft_empty_cache()

    def release(self) -> None:
        """Have the host unload all it has loaded, as its own "unload all models" does."""
        self._manager.unload_all_models()
        self._manager.soft_empty_cache()


class PlainMemory:
    """AUTOMATIC1111: the checkpoint is moved to the CPU only where room is short, for the way there and back costs
    seconds."""

    @contextmanager
    def reserve(self, wanted: int) -> Iterator[None]:
        """Send the checkpoint to the CPU while room is short, and bring it back."""
        sd_models, shared = import_module("modules.sd_models"), import_module("modules.shared")
        checkpoint = sd_models.model_data.sd_model
        moved = checkpoint is not None and _is_short(wanted)
        if moved:
            sd_models.send_model_to_cpu(checkpoint)
        try:
            yield
        finally:
            if moved and checkpoint is shared.sd_model:
                sd_models.send_model_to_device(checkpoint)
            import_module("modules.devices").torch_gc()

    def release(self) -> None:
        """Send the checkpoint to the CPU, and let the WebUI take it for one that is loaded but not in use.

        A checkpoint that is in use and not on the GPU would end the next generation; one that only is loaded is
        looked up and brought back by it (`sd_models.reuse_model_from_already_loaded`).
        """
        sd_models = import_module("modules.sd_models")
        checkpoint = sd_models.model_data.sd_model
        if checkpoint is None:
            return
        sd_models.send_model_to_cpu(checkpoint)
        sd_models.model_data.sd_model = None


def pick_memory() -> Memory:
    """The memory adapter of this process."""
    for name in ("backend.memory_management", "ldm_patched.modules.model_management"):
        try:
            return ManagedMemory(import_module(name))
        except ImportError:
            continue
    return PlainMemory()


def on_gpu() -> bool:
    """Whether there is a GPU that models may be on; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    return bool(torch is not None and torch.cuda.is_available())


def _is_short(wanted: int) -> bool:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return False
    free, _total = torch.cuda.mem_get_info()
    return bool(free < wanted)
