"""Deterministic writer of ONNX files, shared by the three converters (TensorFlow.js, TFLite, PyTorch).

Not by the onnx package, for two reasons: the same weights give the same bytes under every version of every library, so
that a converted file can be verified by its SHA-256; and the lite finder needs one package less. Field numbers are
those of onnx.proto3 (ONNX 1.10, IR version 8).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

INPUT = "picture"
OPSET = 13  # old enough for every onnxruntime that the WebUIs bring
IR_VERSION = 8

Array = npt.NDArray[Any]

_VARINT, _BYTES, _FIXED32 = 0, 2, 5
_TENSOR_TYPES = {np.dtype(np.float32): 1, np.dtype(np.int64): 7}
_FLOAT, _INT, _STRING, _INTS = 1, 2, 3, 7


class OnnxGraph:
    """Graph under construction: nodes and initialisers; tensors are N×C×H×W float32, a weight is stored once.

    The input is N×3×side×side and named `INPUT`.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[bytes] = []
        self._weights: dict[str, bytes] = {}
        self._count = 0

    def add(self, operator: str, inputs: Sequence[str], *, output: str | None = None, **attributes: Any) -> str:
        """Append one node with a single output; returns that output's name."""
        self._count += 1
        output = output or f"{operator}_{self._count}"
        parts = [_text(1, name) for name in inputs]
        parts += [_text(2, output), _text(3, f"node_{self._count}"), _text(4, operator)]
        parts += [_field(5, _attribute(key, value)) for key, value in attributes.items()]
        self._nodes.append(b"".join(parts))
        return output

    def weight(self, name: str, value: Array) -> str:
        """Store a float32 or int64 constant under `name`; returns the name."""
        if name not in self._weights:
            kind = _TENSOR_TYPES[value.dtype]
            raw = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<"), copy=False).tobytes()
            dims = b"".join(_number(1, size) for size in value.shape)
            self._weights[name] = dims + _number(2, kind) + _text(8, name) + _field(9, raw)
        return name

    def convolution(self, inputs: Sequence[str], *, group: int, strides: Sequence[int], same: bool = True) -> str:
        """Append a 2D convolution of (value, kernel, bias if any), with TensorFlow's padding SAME or VALID."""
        padding = "SAME_UPPER" if same else "VALID"
        return self.add("Conv", inputs, group=group, strides=strides, auto_pad=padding)

    def relu6(self, value: str) -> str:
        """Append ReLU6 (Clip between 0 and 6)."""
        bounds = [self.weight(name, np.asarray(bound, np.float32)) for name, bound in (("zero", 0), ("six", 6))]
        return self.add("Clip", [value, *bounds])

    def reshape(self, value: str, shape: Sequence[int]) -> str:
        """Append a Reshape: 0 keeps a dimension, -1 takes what is left."""
        target = self.weight("shape" + "_".join(map(str, shape)), np.asarray(shape, np.int64))
        return self.add("Reshape", [value, target])

    def save_detector(self, path: Path, side: int, outputs: Iterable[tuple[str, str, int]]) -> None:
        """Write the file of a detector. `outputs`: a value, its name as N×count×depth, and its depth."""
        named = []
        for value, name, depth in outputs:
            flat = self.reshape(value, (0, -1, depth))
            named.append((self.add("Identity", [flat], output=name), (f"{name}_count", depth)))
        self.save(path, side, named)

    def save(self, path: Path, side: int, outputs: Sequence[tuple[str, Sequence[int | str]]]) -> None:
        """Write the file. `outputs`: the name of each output and its sizes after the batch's."""
        parts = [_field(1, node) for node in self._nodes]
        parts.append(_text(2, self._name))
        parts += [_field(5, weight) for weight in self._weights.values()]
        parts.append(_field(11, _value_info(INPUT, (3, side, side))))
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
