"""Conversion of a TFLite flatbuffer to ONNX, for the operators that SSD-MobileNetV2 uses; needs no TFLite runtime.

The layout of tables is the flatbuffers format's, field numbers are TensorFlow Lite's published schema (version 3).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lib_prodshot.finding.lite.conversion.onnx_writer import INPUT, Array, OnnxGraph

_TYPES: dict[int, np.dtype[Any]] = {0: np.dtype("<f4"), 1: np.dtype("<f2"), 2: np.dtype("<i4")}
_ADD, _CONCATENATION, _CONV_2D, _DEPTHWISE_CONV_2D, _DEQUANTIZE, _RESHAPE = 0, 2, 3, 4, 6, 22
_NONE, _RELU6 = 0, 3


class _Table:
    """One flatbuffer table: fields are looked up through its vtable; an absent field gives the default."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data, self.position = data, position
        self._vtable = position - struct.unpack_from("<i", data, position)[0]
        self._size = struct.unpack_from("<H", data, self._vtable)[0]

    def _offset(self, field: int) -> int:
        slot = 4 + 2 * field
        return int(struct.unpack_from("<H", self.data, self._vtable + slot)[0]) if slot < self._size else 0

    def number(self, field: int, code: str, default: int = 0) -> int:
        offset = self._offset(field)
        return int(struct.unpack_from("<" + code, self.data, self.position + offset)[0]) if offset else default

    def _target(self, field: int) -> int:
        offset = self._offset(field)
        if not offset:
            return 0
        start = self.position + offset
        return start + int(struct.unpack_from("<I", self.data, start)[0])

    def table(self, field: int) -> _Table:
        return _Table(self.data, self._target(field))

    def tables(self, field: int) -> list[_Table]:
        start = self._target(field)
        count = struct.unpack_from("<I", self.data, start)[0] if start else 0
        slots = [start + 4 + 4 * index for index in range(count)]
        return [_Table(self.data, slot + struct.unpack_from("<I", self.data, slot)[0]) for slot in slots]

    def array(self, field: int, kind: str) -> Array:
        start = self._target(field)
        count = struct.unpack_from("<I", self.data, start)[0] if start else 0
        return np.frombuffer(self.data, np.dtype(kind), count, start + 4)


def convert(data: bytes, destination: Path, *, side: int, outputs: Sequence[tuple[str, int]]) -> None:
    """Write a TFLite network with one N×3×side×side picture as ONNX.

    `outputs` are the ONNX names of the network's outputs, in their order, with their last dimension. Raises
    `ValueError` when the file is no TFLite model or uses another operator.
    """
    if data[4:8] != b"TFL3":
        raise ValueError("not a TFLite model")
    converter = _Converter(_Table(data, struct.unpack_from("<I", data)[0]))
    pairs = zip(converter.outputs, outputs, strict=True)
    values = ((converter.values[index], name, depth) for index, (name, depth) in pairs)
    converter.graph.save_detector(destination, side, values)


class _Converter:
    def __init__(self, model: _Table) -> None:
        self.graph = OnnxGraph("tflite")
        self._buffers = model.tables(4)
        codes = [max(code.number(0, "b"), code.number(3, "i")) for code in model.tables(1)]
        subgraph = model.tables(2)[0]
        self._tensors = subgraph.tables(0)
        self.outputs = [int(index) for index in subgraph.array(2, "<i4")]
        self.values = {int(subgraph.array(1, "<i4")[0]): INPUT}
        self._constants: dict[int, Array] = {}
        self._flat: set[int] = set()  # tensors that a Reshape has taken from N×C×H×W to N×boxes×depth
        for operator in subgraph.tables(3):
            self._convert(codes[operator.number(0, "I")], operator)

    def _convert(self, code: int, operator: _Table) -> None:
        inputs = [int(index) for index in operator.array(1, "<i4")]
        output = int(operator.array(2, "<i4")[0])
        if code == _DEQUANTIZE:
            self._constants[output] = self._constant(inputs[0]).astype(np.float32)
        elif code in (_CONV_2D, _DEPTHWISE_CONV_2D):
            self.values[output] = self._convolution(inputs, operator.table(4), depthwise=code == _DEPTHWISE_CONV_2D)
        elif code == _ADD:
            total = self.graph.add("Add", [self.values[index] for index in inputs])
            self.values[output] = self._activated(total, operator.table(4).number(0, "b"))
        elif code == _RESHAPE:
            value = self.values[inputs[0]]
            if inputs[0] not in self._flat:
                value = self.graph.add("Transpose", [value], perm=(0, 2, 3, 1))
            self.values[output] = self.graph.reshape(value, (0, -1, self._shape(output)[-1]))
            self._flat.add(output)
        elif code == _CONCATENATION:
            self.values[output] = self.graph.add("Concat", [self.values[index] for index in inputs], axis=1)
            self._flat.add(output)
        else:
            raise ValueError(f"the TFLite operator {code} is not known to the converter")

    def _shape(self, index: int) -> list[int]:
        return [int(size) for size in self._tensors[index].array(0, "<i4")]

    def _constant(self, index: int) -> Array:
        if index in self._constants:
            return self._constants[index]
        tensor = self._tensors[index]
        kind = _TYPES[tensor.number(1, "b")]
        data = self._buffers[tensor.number(2, "I")].array(0, "u1")
        return np.asarray(data.view(kind).reshape(self._shape(index)))

    def _convolution(self, inputs: Sequence[int], options: _Table, *, depthwise: bool) -> str:
        kernel = self._constant(inputs[1])  # out, height, width, in; depthwise: 1, height, width, channels
        weight = self.graph.weight(f"kernel_{inputs[1]}", kernel.transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2)))
        bias = self.graph.weight(f"bias_{inputs[2]}", self._constant(inputs[2]))
        total = self.graph.convolution(
            [self.values[inputs[0]], weight, bias],
            group=kernel.shape[3] if depthwise else 1,
            strides=[options.number(2, "i", 1), options.number(1, "i", 1)],
            same=options.number(0, "b") == 0,
        )
        return self._activated(total, options.number(4 if depthwise else 3, "b"))

    def _activated(self, value: str, activation: int) -> str:
        if activation not in (_NONE, _RELU6):
            raise ValueError(f"the TFLite activation {activation} is not known to the converter")
        return self.graph.relu6(value) if activation == _RELU6 else value
