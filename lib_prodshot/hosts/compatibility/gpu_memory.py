"""GPU memory management: frees memory for a finder beside a loaded checkpoint, by each host family's own means.

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
"""Memory for GroundingDINO and SAM ViT-H with their activations: 3.7 GiB in float32 (docs/performance.md)."""


class Memory(Protocol):
    """Adapter for a host's management of GPU memory."""

    def reserve(self, wanted: int) -> Any:
        """A context in which `wanted` bytes are free if possible; on exit models are placed as sampling needs them."""

    def unload_all(self) -> None:
        """Move every model of the host off the GPU; the host loads each again when it needs it."""


class ManagedMemory:
    """The Forge family: the host moves models itself, frees memory on request and reloads them when it samples."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    @contextmanager
    def reserve(self, wanted: int) -> Iterator[None]:
        """Request `wanted` bytes from the host; it reloads its models itself."""
        if on_gpu():
            self._manager.free_memory(wanted, self._manager.get_torch_device())
        try:
            yield
        finally:
            if on_gpu():
                self._manager.soft_empty_cache()

    def unload_all(self) -> None:
        """Unload all models, as the host's own "unload all models" does."""
        self._manager.unload_all_models()
        self._manager.soft_empty_cache()


class PlainMemory:
    """AUTOMATIC1111: the checkpoint is moved to the CPU only if memory is short, since moving costs seconds."""

    @contextmanager
    def reserve(self, wanted: int) -> Iterator[None]:
        """Move the checkpoint to the CPU while memory is short, and back on exit."""
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

    def unload_all(self) -> None:
        """Move the checkpoint to the CPU and mark it as loaded but not in use.

        A checkpoint in use that is not on the GPU would make the next generation fail; one that is only loaded is
        found and moved back (`sd_models.reuse_model_from_already_loaded`).
        """
        sd_models = import_module("modules.sd_models")
        checkpoint = sd_models.model_data.sd_model
        if checkpoint is None:
            return
        sd_models.send_model_to_cpu(checkpoint)
        sd_models.model_data.sd_model = None


def pick_memory() -> Memory:
    """Select the memory adapter of this process."""
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
