"""Lifecycle of torch models: lazy loading, device placement, offloading, out-of-memory retry, isolated inference."""

from __future__ import annotations

import gc
import io
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from importlib import import_module
from typing import Any, Generic, Protocol, TypeVar

from lib_prodshot.errors import FinderError, NotFiniteError, ProdshotError
from lib_prodshot.finding.models.precision import FULL, half_dtype


class Model(Protocol):
    """A loaded model that holds one torch module."""

    @property
    def module(self) -> Any:
        """The `torch.nn.Module` that is moved between devices."""

    @property
    def halve(self) -> Callable[[Any, Any], Any] | None:
        """Casts the module's weights to a half-precision dtype for a device; None where that was never tried."""


M = TypeVar("M", bound=Model)
T = TypeVar("T")


class ModelHandle(Generic[M]):
    """Handle of one model: loaded at its first use, in memory until `unload`, on the GPU until `offload`.

    `device` is a torch device, or None for the GPU if CUDA has one and the CPU else. Thread-safe: calls are
    serialised. Weights that were cast to half precision are loaded anew where float32 is asked for.
    """

    def __init__(self, load: Callable[[], M], device: str | None = None) -> None:
        self._load = load
        self._device = device
        self._model: M | None = None
        self._dtype: Any = None
        self._overflows = False
        self._lock = threading.RLock()

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._model is not None

    def run(
        self, attempts: Sequence[Callable[[M, Any], T]], what: str, precision: str = FULL
    ) -> tuple[T, tuple[str, ...]]:
        """Call the first attempt with the model and its device; on out-of-memory, the next.

        On a GPU the first attempt is made twice, the second time on the CPU, in float32. Returns the answer and notes
        for the user. `what` names the model in messages, `precision` is the setting of that name. A model whose output
        in half precision is not finite runs again in float32, and from then on only so; a warning says it once. Raises
        `FinderError` when no attempt succeeds.
        """
        with self._lock:
            if self._overflows or precision == FULL:
                return self._run(attempts, what, FULL)
            try:
                return self._run(attempts, what, precision)
            except NotFiniteError:
                if self._dtype is None:
                    raise
            self._overflows = True
            logging.getLogger("prodshot").warning(_OVERFLOWED.format(what))
            return self._run(attempts, what, FULL)

    def _run(self, attempts: Sequence[Callable[[M, Any], T]], what: str, precision: str) -> tuple[T, tuple[str, ...]]:
        plan = self._plan(attempts, precision)
        for number, (attempt, device, dtype) in enumerate(plan):
            try:
                with inference():
                    answer = attempt(self._on(device, dtype), device)
                return answer, (_RETRIED.format(what),) if number else ()
            except ProdshotError:
                raise
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise FinderError(f"the {what} failed: {_first_line(error)}") from error
                last = error
            # outside the handler, for its traceback holds on to the tensors that filled the memory
            self.offload()
        raise FinderError(
            f"the {what} ran out of memory twice ({_first_line(last)});"
            " close other programs, or unload the WebUI's checkpoint, and try again"
        )

    def offload(self) -> None:
        """Move the model off the GPU; the next call moves it back."""
        with self._lock:
            if self._model is not None:
                self._model.module.to("cpu")
            _collect()

    def unload(self) -> None:
        """Free the model's memory; the next call loads it again."""
        with self._lock:
            self._model = None
            _collect()

    def _plan(
        self, attempts: Sequence[Callable[[M, Any], T]], precision: str
    ) -> list[tuple[Callable[[M, Any], T], Any, Any]]:
        """The attempts, each with its device and the half-precision dtype (None: float32)."""
        import torch

        device = torch.device(self._device or ("cuda" if torch.cuda.is_available() else "cpu"))
        dtype = half_dtype(precision, device)
        if device.type == "cpu":
            return [(attempt, device, dtype) for attempt in attempts]
        return [(attempts[0], device, dtype), (attempts[0], torch.device("cpu"), None)]

    def _on(self, device: Any, dtype: Any) -> M:
        if self._dtype not in (None, dtype):
            self._model = None
        if self._model is None:
            self._model, self._dtype = self._load(), None
        if dtype is not None and self._dtype is None and self._model.halve is not None:
            self._model.halve(dtype, device)
            self._dtype = dtype
        self._model.module.to(device)
        return self._model


def moved(tensor: Any, device: Any) -> Any:
    """A tensor of the CPU on `device`; to CUDA through page-locked memory, without waiting for the copy."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


_OVERFLOWED = "the {} overflows in half precision, so it computes in full precision from here on"
_RETRIED = "memory ran out, so the {} was run a second time: on the CPU, or there on a smaller picture"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is an out-of-memory error, on any device and system."""
    text = str(error).lower()
    signs = (
        "out of memory",
        "can't allocate memory",
        "not enough memory",
        "failed to allocate memory",  # onnxruntime
        "bad_alloc",
        "alloc_failed",  # cuBLAS and cuDNN
        "could not allocate",  # DirectML
    )
    return isinstance(error, MemoryError) or any(sign in text for sign in signs)


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _collect() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def inference() -> Iterator[None]:
    """Run without gradients and independent of the caller's autocast, default dtype and `inference_mode`.

    The Forge family samples under `inference_mode`; a model or cache created there would hold inference tensors. Under
    a half-precision default dtype the packages' position encodings would be half precision.
    """
    import torch

    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False), torch.no_grad(), torch.autocast("cpu", enabled=False), _no_cuda_autocast():
            yield
    finally:
        torch.set_default_dtype(default)


def _no_cuda_autocast() -> AbstractContextManager[Any]:
    import torch

    return torch.autocast("cuda", enabled=False) if torch.cuda.is_available() else nullcontext()


@contextmanager
def building() -> Iterator[None]:
    """Context for a package's model builder: float32 on the CPU, its output suppressed.

    The package prints to stdout, which may be the command line's JSON; transformers warns of weights that are loaded
    later, and draws progress bars.
    """
    import torch

    with inference(), torch.device("cpu"), redirect_stdout(io.StringIO()), _quiet_transformers():
        yield


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    try:
        log: Any = import_module("transformers.utils.logging")
    except ImportError:
        yield
        return
    level, bars = log.get_verbosity(), getattr(log, "is_progress_bar_enabled", lambda: False)()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()
