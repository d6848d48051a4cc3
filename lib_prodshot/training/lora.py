"""Reads and validates LoRA files without torch: complete, finite, and changed from their initial weights.

Format: https://github.com/huggingface/safetensors (8 bytes length, a JSON header, the tensors one after another).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MAX_HEADER = 100_000_000
_MALFORMED = (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError)
"""Exceptions that a malformed header causes."""

_DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": "<u2"}


class LoraError(Exception):
    """A file is not a complete LoRA. The text is a clause: 'it is cut off'."""


@dataclass(frozen=True)
class Lora:
    """The content of a LoRA file. `modules` have three keys each (down, up, alpha); `ranks` and `alphas` are all that
    occur; `learned` is how many up matrices are not all zero, as they are before the first step."""

    keys: int
    modules: int
    ranks: frozenset[int]
    alphas: frozenset[float]
    finite: bool
    learned: int
    metadata: dict[str, str]

    @property
    def epoch(self) -> int:
        """The epoch that sd-scripts wrote into it, 0 where it did not."""
        text = self.metadata.get("ss_epoch", "")
        return int(text) if text.isdigit() else 0


def read_header(path: Path) -> dict[str, Any]:
    """Read the header of a safetensors file and check that all its tensors are present. Raises `LoraError`."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or not 2 <= length <= min(size - 8, MAX_HEADER):
                raise LoraError("it is cut off, or not a safetensors file")
            header = json.loads(file.read(length))
            ends = [_span(entry)[1] for name, entry in header.items() if name != "__metadata__"]
    except OSError as error:
        raise LoraError(f"it cannot be read: {error.strerror}") from error
    except _MALFORMED as error:
        raise LoraError("its header is damaged") from error
    if size != 8 + length + max(ends, default=0):
        raise LoraError("it is cut off")
    return header


def inspect(path: Path) -> Lora:
    """Read every tensor of a LoRA file. Raises `LoraError` for one that is not complete."""
    try:
        return _inspect(path)
    except _MALFORMED as error:
        raise LoraError("its header is damaged") from error


def _span(entry: Any) -> tuple[int, int]:
    """Where a tensor lies behind the header. Raises ValueError."""
    begin, end = entry["data_offsets"]
    if not (isinstance(begin, int) and isinstance(end, int) and 0 <= begin <= end):
        raise ValueError
    return begin, end


def _inspect(path: Path) -> Lora:
    import numpy as np

    header = read_header(path)
    metadata = header.pop("__metadata__", {})
    start = path.stat().st_size - max((_span(entry)[1] for entry in header.values()), default=0)
    data = np.memmap(path, mode="r")
    ranks, alphas, modules, learned, finite = set(), set(), set(), 0, True
    for name, entry in header.items():
        begin, end = _span(entry)
        values = _numbers(data[start + begin : start + end], entry["dtype"])
        finite = finite and bool(np.isfinite(values).all())
        module, _, part = name.partition(".")
        modules.add(module)
        if part == "alpha":
            alphas.add(float(values[0]))
        elif part.startswith("lora_down"):
            ranks.add(int(entry["shape"][0]))
        elif part.startswith("lora_up"):
            learned += bool(values.any())
    return Lora(len(header), len(modules), frozenset(ranks), frozenset(alphas), finite, learned, metadata)


def header_problem(path: Path) -> str:
    """Why the file is not complete, empty when all its tensors are present."""
    try:
        read_header(path)
    except LoraError as error:
        return str(error)
    return ""


def is_finite(path: Path) -> bool:
    """Whether the file is complete and holds no NaN or infinite number."""
    try:
        return inspect(path).finite
    except LoraError:
        return False


def _numbers(raw: npt.NDArray[np.uint8], dtype: str) -> npt.NDArray[Any]:
    import numpy as np

    if dtype not in _DTYPES:
        raise LoraError(f"it holds numbers of the kind {dtype}")
    values = np.frombuffer(raw.tobytes(), dtype=_DTYPES[dtype])
    # bfloat16 is the upper half of a float32
    return (values.astype(np.uint32) << 16).view(np.float32) if dtype == "BF16" else values
