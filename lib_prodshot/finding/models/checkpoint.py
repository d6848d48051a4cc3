"""Safe checkpoint loading: weights are read from disk without executing anything that a file may contain."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lib_prodshot.errors import WeightsError


def read_weights(path: Path) -> dict[str, Any]:
    """Read the tensors of a `.safetensors`, `.pth` or `.pt` file by name, onto the CPU.

    Pickles are read with `weights_only`, so code in one is rejected, never executed. A state dict under the key
    'model' or 'state_dict' is unpacked, and the prefix 'module.' dropped. Raises `WeightsError` for a file that is
    missing, damaged, rejected or holds no weights.
    """
    if not path.is_file():
        raise WeightsError(f"{path.name} is not there: {path}")
    loaded = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    for key in ("model", "state_dict"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not loaded or not all(hasattr(value, "shape") for value in loaded.values()):
        raise WeightsError(f"{path.name} holds no model weights; delete it and fetch it again")
    return {str(name).removeprefix("module."): tensor for name, tensor in loaded.items()}


def _read_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(str(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path.name} is damaged or cut short ({error}); delete it and fetch it again") from error


def _read_pickle(path: Path) -> Any:
    import torch

    try:
        loaded = torch.load(str(path), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not zipfile.is_zipfile(path) and not _starts_as_pickle(path):
            raise _damaged(path, "it is not a file of weights") from error
        raise WeightsError(
            f"{path.name} was refused: it holds more than weights, and such a file could run any program;"
            " take it from its publisher"
        ) from error
    except (RuntimeError, EOFError, ValueError, OSError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise _damaged(path, str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    if loaded is None:  # AUTOMATIC1111 puts its own function in place of torch.load, which answers so
        raise WeightsError(f"the WebUI's safety check refused {path.name} (its console says why); fetch it again")
    return loaded


def _starts_as_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) == b"\x80"


def _damaged(path: Path, why: str) -> WeightsError:
    return WeightsError(f"{path.name} is damaged or cut short ({why}); delete it and fetch it again")


def load_state(model: Any, state: Mapping[str, Any], name: str, optional: Iterable[str] = ()) -> None:
    """Load `state` into `model`, which must get every one of its parameters and buffers, at their size.

    Unexpected tensors are ignored (checkpoints carry training's). `optional` are name suffixes of buffers that the
    model creates itself. Raises `WeightsError` naming the first that is missing or of another size.
    """
    try:
        result = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if "size mismatch" in line] or [str(error)]
        raise WeightsError(f"{name} is of another architecture: {lines[0]}") from error
    missing = [key for key in result.missing_keys if not key.endswith(tuple(optional))]
    if missing:
        raise WeightsError(f"{name} is of another architecture: it lacks {missing[0]} and {len(missing) - 1} more")
