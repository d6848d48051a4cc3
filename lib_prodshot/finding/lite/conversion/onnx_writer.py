"""A small writer of ONNX files, shared by the three converters (TensorFlow.js, TFLite, torch).

Written by hand rather than with the onnx package for two reasons: the same weights give the same bytes under every
version of every library, so that a converted file can be verified by its SHA-256; and the lite finder needs one
package less. Field numbers are those of onnx.proto3 (ONNX 1.10, IR version 8).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

OPSET = 13  # old enough for every onnxruntime that the WebUIs bring
IR_VERSION = 8

Array = npt.NDArray[Any]

_VARINT, _BYTES, _FIXED32 = 0, 2, 5
_TENSOR_TYPES = {np.dtype(np.float32): 1, np.dtype(np.int64): 7}
_FLOAT, _INT, _STRING, _INTS = 1, 2, 3, 7


class Graph:
    """Collects nodes and weights; tensors are N×C×H×W float32. A weight's name is written once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[bytes] = []
        self._weights: dict[str, bytes] = {}
        self._count = 0

    def add(self, operator: str, inputs: Sequence[str], *, output: str | None = None, **attributes: Any) -> str:
        """Append one node with a single output and give that output's name."""
        self._count += 1
        output = output or f"{operator}_{self._count}"
        parts = [_text(1, name) for name in inputs]
        parts += [_text(2, output), _text(3, f"node_{self._count}"), _text(4, operator)]
        parts += [_field(5, _attribute(key, value)) for key, value in attributes.items()]
        self._nodes.append(b"".join(parts))
        return output

    def weight(self, name: str, value: Array) -> str:
        """Store a float32 or int64 constant under `name` and give the name back."""
        if name not in self._weights:
            kind = _TENSOR_TYPES[value.dtype]
            raw = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<"), copy=False).tobytes()
            dims = b"".join(_number(1, size) for size in value.shape)
            self._weights[name] = dims + _number(2, kind) + _text(8, name) + _field(9, raw)
        return name

    def clip6(self, value: str) -> str:
        """ReLU6."""
        bounds = [self.weight(name, np.asarray(bound, np.float32)) for name, bound in (("zero", 0), ("six", 6))]
        return self.add("Clip", [value, *bounds])

    def reshape(self, value: str, shape: Sequence[int]) -> str:
        """Reshape in ONNX's way: 0 keeps a dimension, -1 takes what is left."""
        target = self.weight("shape" + "_".join(map(str, shape)), np.asarray(shape, np.int64))
        return self.add("Reshape", [value, target])

    def save(
        self, path: Path, picture: tuple[str, Sequence[int]], outputs: Sequence[tuple[str, Sequence[int | str]]]
    ) -> None:
        """Write the file. `picture` is the input's name and its channels, height, width; outputs likewise."""
        parts = [_field(1, node) for node in self._nodes]
        parts.append(_text(2, self._name))
        parts += [_field(5, weight) for weight in self._weights.values()]
        parts.append(_field(11, _value_info(*picture)))
        parts += [_field(12, _value_info(*output)) for output in outputs]
        opset = _field(8, _text(1, "") + _number(2, OPSET))
        model = _number(1, IR_VERSION) + _text(2, "prodshot") + _field(7, b"".join(parts)) + opset
        path.write_bytes(model)


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers are written as their 64-bit complement
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _field(field: int, payload: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(payload)) + payload


def _text(field: int, value: str) -> bytes:
    return _field(field, value.encode())


def _attribute(name: str, value: int | float | str | Sequence[int]) -> bytes:
    if isinstance(value, str):
        return _text(1, name) + _text(4, value) + _number(20, _STRING)
    if isinstance(value, float):
        return _text(1, name) + _varint(2 << 3 | _FIXED32) + struct.pack("<f", value) + _number(20, _FLOAT)
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, _INT)
    return _text(1, name) + b"".join(_number(8, item) for item in value) + _number(20, _INTS)


def _value_info(name: str, shape: Sequence[int | str]) -> bytes:
    sizes = [_text(2, size) if isinstance(size, str) else _number(1, size) for size in ("batch", *shape)]
    tensor = _number(1, _TENSOR_TYPES[np.dtype(np.float32)]) + _field(2, b"".join(_field(1, size) for size in sizes))
    return _text(1, name) + _field(2, _field(1, tensor))
