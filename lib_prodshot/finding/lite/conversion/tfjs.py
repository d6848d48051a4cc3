"""Conversion of a TensorFlow.js graph model (model.json and its shards) to ONNX: SSDLite-MobileNetV2's operators.

Only the network between the scaled picture and the raw box encodings and class logits is converted; the graph's own
preprocessing loop and box decoding, which are slow, are left out (`networks/ssd.py` decodes).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lib_prodshot.finding.lite.conversion.onnx_writer import INPUT, Array, OnnxGraph

_PASS_THROUGH = ("Identity", "CheckNumerics")


def convert(
    model: Mapping[str, Any],
    shards: bytes,
    destination: Path,
    *,
    source: str,
    side: int,
    outputs: Mapping[str, tuple[str, int]],
) -> None:
    """Write the part of `model` between node `source` (N×3×side×side afterwards) and `outputs` as ONNX.

    `shards` are the weight files joined; `outputs` maps a node to its ONNX name and its last dimension. Raises
    `ValueError` for an operator that is not supported.
    """
    converter = _Converter(model, shards, source)
    # lazily: each output's nodes are written in front of it
    values = ((converter.value(node), name, depth) for node, (name, depth) in outputs.items())
    converter.graph.save_detector(destination, side, values)


class _Converter:
    def __init__(self, model: Mapping[str, Any], shards: bytes, source: str) -> None:
        self.graph = OnnxGraph("tfjs")
        self._nodes = {node["name"]: node for node in model["modelTopology"]["node"]}
        self._weights = _read_weights(model["weightsManifest"], shards)
        self._values = {source: INPUT}

    def value(self, name: str) -> str:
        """The ONNX name of a node's output, converted on first use."""
        if name not in self._values:
            # a deep chain of small layers: recursion stays under 200 levels for these networks
            self._values[name] = self._convert(self._nodes[name])
        return self._values[name]

    def _convert(self, node: Mapping[str, Any]) -> str:
        operator, inputs = node["op"], [name for name in node.get("input", []) if not name.startswith("^")]
        if operator in _PASS_THROUGH:
            return self.value(inputs[0])
        if operator in ("Conv2D", "DepthwiseConv2dNative"):
            return self._convolution(node, inputs, depthwise=operator.startswith("Depthwise"))
        if operator in ("Add", "AddV2", "BiasAdd", "Mul"):
            names = [self._operand(name) for name in inputs]
            return self.graph.add("Mul" if operator == "Mul" else "Add", names)
        if operator == "AddN":
            return self.graph.add("Sum", [self.value(name) for name in inputs])
        if operator == "Relu6":
            return self.graph.relu6(self.value(inputs[0]))
        if operator == "FusedBatchNorm":
            names = [self.graph.weight(name, self._weights[name]) for name in inputs[1:]]
            epsilon = float(node["attr"].get("epsilon", {}).get("f", 1e-3))
            return self.graph.add("BatchNormalization", [self.value(inputs[0]), *names], epsilon=epsilon)
        if operator == "Reshape":
            last = self.graph.add("Transpose", [self.value(inputs[0])], perm=(0, 2, 3, 1))
            return self.graph.reshape(last, self._shape(inputs[1]))
        if operator == "ConcatV2":
            return self.graph.add("Concat", [self.value(name) for name in inputs[:-1]], axis=1)
        raise ValueError(f"the operator {operator} of {node['name']} is not known to the converter")

    def _convolution(self, node: Mapping[str, Any], inputs: Sequence[str], *, depthwise: bool) -> str:
        kernel = self._weights[inputs[1]]  # height, width, in, out
        group = kernel.shape[2] if depthwise else 1
        axes = (2, 3, 0, 1) if depthwise else (3, 2, 0, 1)
        weight = self.graph.weight(inputs[1], kernel.transpose(axes))
        strides = [int(step) for step in node["attr"]["strides"]["list"]["i"]][1:3]
        same = _text(node["attr"]["padding"]["s"]) == "SAME"
        return self.graph.convolution([self.value(inputs[0]), weight], group=group, strides=strides, same=same)

    def _operand(self, name: str) -> str:
        if name not in self._weights:
            return self.value(name)
        return self.graph.weight(f"{name}/channels", self._weights[name].reshape(1, -1, 1, 1))

    def _shape(self, name: str) -> list[int]:
        """The target of a Reshape; the part computed from the picture's own shape is the batch: 0 keeps it."""
        if name in self._weights:
            return [int(size) for size in self._weights[name]]
        parts = self._nodes[name]["input"]
        return [int(self._weights[part]) if part in self._weights else 0 for part in parts]


def _text(value: Any) -> str:
    """A string attribute: written as byte numbers by old converters, as base64 by newer ones."""
    return bytes(value).decode() if isinstance(value, list) else base64.b64decode(value).decode()


def _read_weights(manifest: Sequence[Mapping[str, Any]], shards: bytes) -> dict[str, Array]:
    weights: dict[str, Array] = {}
    position = 0
    for group in manifest:
        for entry in group["weights"]:
            kind = np.dtype(entry["dtype"])
            count = int(np.prod(entry["shape"], dtype=np.int64))
            values = np.frombuffer(shards, kind, count, position)
            weights[entry["name"]] = values.reshape(entry["shape"])
            position += values.nbytes
    if position != len(shards):
        raise ValueError(f"the weight files hold {len(shards)} bytes, the model needs {position}")
    return weights
