"""onnxruntime sessions: loaded lazily, on the CPU, deterministic."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lib_prodshot.errors import FinderError, FinderUnavailable, ProdshotError, as_typed, pip_install
from lib_prodshot.finding.models.runtime import is_out_of_memory

Floats = npt.NDArray[np.float32]

Batch = Floats
"""N×3×H×W, scaled as the model was trained."""


def default_threads() -> int:
    """Threads for each model: PRODSHOT_THREADS, else OMP_NUM_THREADS, else the machine's cores (at most 8)."""
    for name in ("PRODSHOT_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdigit() and int(value) > 0:
            return int(value)
    return min(os.cpu_count() or 1, 8)


class OnnxModel:
    """One ONNX file; loaded at the first call, kept until `unload`.

    `returns_memory`: what a call takes beside the weights is given back after it, and not kept for the next. Where
    batches differ in size, what the largest took would stay.
    """

    def __init__(self, path: Path, threads: int | None = None, returns_memory: bool = False) -> None:
        self._path = path
        self._threads = threads or default_threads()
        self._returns_memory = returns_memory
        self._run: Callable[[Batch], list[Any]] | None = None

    def __call__(self, batch: Batch) -> list[Floats]:
        """Run the model on a batch and return its outputs.

        On out-of-memory the model is unloaded, loaded again and run once more. Raises
        `FinderUnavailable` without onnxruntime, `FinderError` when the file is damaged, the model fails, memory runs
        out twice, or an output is not finite.
        """
        outputs = self._infer(batch)
        if outputs is None:
            self.unload()
            outputs = self._infer(batch)
        if outputs is None:
            self.unload()
            raise FinderError(
                f"the model {self._path.name} ran out of memory twice; close other programs and try again"
            )
        if not all(np.isfinite(output).all() for output in outputs):
            raise FinderError(f"the model {self._path.name} gave numbers that are not finite")
        return outputs

    def _infer(self, batch: Batch) -> list[Floats] | None:
        """The outputs, or None when memory ran out."""
        try:
            if self._run is None:
                self._run = self._load()
            return self._run(batch)
        except ProdshotError:
            raise
        except Exception as error:  # onnxruntime's own exceptions share no base class
            if is_out_of_memory(error):
                return None
            raise FinderError(f"the model {self._path.name} failed: {error}") from error

    def unload(self) -> None:
        """Free the model's memory; the next call loads it again."""
        self._run = None

    def _load(self) -> Callable[[Batch], list[Any]]:
        try:
            import onnxruntime
        except ImportError as error:
            raise FinderUnavailable(f"the lite finder needs onnxruntime: {pip_install('onnxruntime')}") from error
        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        # a pattern plans a run in one block, beside all those of the first: memory for it twice, and no time won
        options.enable_mem_pattern = False
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(str(self._path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise FinderError(
                f"the model file {self._path} cannot be loaded ({error}); run '{as_typed('weights verify')}'"
            ) from error
        name = session.get_inputs()[0].name
        how = onnxruntime.RunOptions()
        if self._returns_memory:
            how.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        return lambda batch: list(session.run(None, {name: batch}, how))
