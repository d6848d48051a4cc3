"""Conversion of EfficientNet-Lite weights saved by torch < 1.6 to ONNX, without torch.

The file is four pickles (magic number, version, system, tensors), the list of storage keys, then every storage as
an element count and raw values. The unpickler knows the five names that tensors need and refuses everything else,
so that nothing in a file can run code.

Architecture: Tan and Le, "EfficientNet" (2019), in the Lite form (TensorFlow TPU models, efficientnet/lite): no
squeeze-and-excite, ReLU6, stem and head not widened, first and last stage not repeated.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from lib_prodshot.finding.lite.conversion.onnx_writer import INPUT, Array, OnnxGraph

_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES: dict[str, np.dtype[Any]] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
_STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))  # repeats before the depth factor, first stride
_EPSILON = 1e-3


class _Tensor:
    """A tensor whose storage has not been read yet."""

    def __init__(self, storage: tuple[str, str], offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def array(self, storages: dict[str, Array]) -> Array:
        values = storages[self.storage[1]]
        last = self.offset + sum((size - 1) * step for size, step in zip(self.shape, self.strides, strict=True))
        if min(self.offset, *self.strides, 0) < 0 or last >= len(values):
            raise ValueError("a tensor that reaches beyond its storage")
        steps = [step * values.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(values[self.offset :], self.shape, steps, writeable=False)


def _rebuild(
    storage: tuple[str, str], offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


class _Unpickler(pickle.Unpickler):
    """Resolves the names of plain tensors and nothing else."""

    _KNOWN: ClassVar[dict[tuple[str, str], Callable[..., Any] | str]] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
        ("torch", "FloatStorage"): "FloatStorage",
        ("torch", "LongStorage"): "LongStorage",
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._KNOWN:
            raise pickle.UnpicklingError(f"the weights name {module}.{name}, which no plain tensor needs")
        return self._KNOWN[module, name]

    def persistent_load(self, pid: Any) -> tuple[str, str]:
        kind, storage, key = pid[0], pid[1], pid[2]
        if kind != "storage" or storage not in _STORAGES:
            raise pickle.UnpicklingError(f"the weights refer to {kind!r} of type {storage!r}")
        return str(storage), str(key)


def read_tensors(data: bytes) -> dict[str, Array]:
    """The tensors of a file that torch wrote in its format before version 1.6, by name.

    Raises `ValueError` when it is another format, `pickle.UnpicklingError` when it names anything but tensors.
    """
    stream = io.BytesIO(data)
    if _load(stream) != _MAGIC:
        raise ValueError("not a file of torch's format before 1.6")
    _load(stream), _load(stream)  # protocol version, byte order and sizes
    tensors: dict[str, _Tensor] = _load(stream)
    kinds = {tensor.storage[1]: _STORAGES[tensor.storage[0]] for tensor in tensors.values()}
    storages = {key: _read_storage(stream, kinds[key]) for key in _load(stream)}
    return {name: tensor.array(storages) for name, tensor in tensors.items()}


def _load(stream: BinaryIO) -> Any:
    return _Unpickler(stream).load()


def _read_storage(stream: BinaryIO, kind: np.dtype[Any]) -> Array:
    (count,) = struct.unpack("<q", stream.read(8))
    values = np.frombuffer(stream.read(count * kind.itemsize), kind)
    if len(values) != count:
        raise ValueError("the weight file is cut short")
    return values


def convert(data: bytes, destination: Path, *, side: int, depth: float) -> None:
    """Write an EfficientNet-Lite (N×3×side×side to N×1000 logits) with the depth factor `depth` as ONNX."""
    tensors = read_tensors(data)
    network = _Network(tensors)
    value = network.layer(INPUT, "_conv_stem", "_bn0", stride=2)
    block = 0
    for stage, (repeats, first_stride) in enumerate(_STAGES):
        count = repeats if stage in (0, len(_STAGES) - 1) else ceil(repeats * depth)
        for repeat in range(count):
            value = network.block(value, f"_blocks.{block}", first_stride if repeat == 0 else 1)
            block += 1
    if f"_blocks.{block}._project_conv.weight" in tensors or f"_blocks.{block - 1}._project_conv.weight" not in tensors:
        raise ValueError(f"the weights do not fit the depth factor {depth}")
    value = network.layer(value, "_conv_head", "_bn1")
    pooled = network.graph.reshape(network.graph.add("GlobalAveragePool", [value]), (0, -1))
    names = [network.graph.weight(name, tensors[name]) for name in ("_fc.weight", "_fc.bias")]
    logits = network.graph.add("Gemm", [pooled, *names], output="logits", transB=1)
    network.graph.save(destination, side, [(logits, (len(tensors["_fc.bias"]),))])


class _Network:
    def __init__(self, tensors: dict[str, Array]) -> None:
        self.graph = OnnxGraph("efficientnet-lite")
        self._tensors = tensors

    def layer(self, value: str, kernel: str, norm: str, *, stride: int = 1, activated: bool = True) -> str:
        """A convolution with its batch normalisation folded in."""
        weight = self._tensors[f"{kernel}.weight"]
        mean, variance, gain, shift = (
            self._tensors[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        scale = gain / np.sqrt(variance + np.float32(_EPSILON))
        names = [
            self.graph.weight(f"{kernel}.folded", weight * scale[:, None, None, None]),
            self.graph.weight(f"{norm}.folded", shift - mean * scale),
        ]
        group = len(weight) if weight.shape[1] == 1 else 1
        total = self.graph.convolution([value, *names], group=group, strides=[stride] * 2)
        return self.graph.relu6(total) if activated else total

    def block(self, value: str, name: str, stride: int) -> str:
        """An inverted residual block; the shortcut stands where size and channels stay."""
        expanded = value
        if f"{name}._expand_conv.weight" in self._tensors:
            expanded = self.layer(value, f"{name}._expand_conv", f"{name}._bn0")
        filtered = self.layer(expanded, f"{name}._depthwise_conv", f"{name}._bn1", stride=stride)
        projected = self.layer(filtered, f"{name}._project_conv", f"{name}._bn2", activated=False)
        channels_in = self._channels_in(name)
        if stride == 1 and channels_in == len(self._tensors[f"{name}._project_conv.weight"]):
            return self.graph.add("Add", [projected, value])
        return projected

    def _channels_in(self, name: str) -> int:
        expand = self._tensors.get(f"{name}._expand_conv.weight")
        return len(self._tensors[f"{name}._depthwise_conv.weight"]) if expand is None else int(expand.shape[1])
