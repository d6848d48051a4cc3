"""Colour profiles for the tests, made of numbers alone: an RGB matrix profile of any primaries, gamma 2.2.

Source: ICC.1:2001-04 (version 2), sections 6.1 (header), 6.3.1.2 (three-component matrix-based profiles).
"""

from __future__ import annotations

import struct

import numpy as np

DISPLAY_P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
ADOBE_RGB = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
PROPHOTO = ((0.7977, 0.2880, 0.0), (0.1352, 0.7119, 0.0), (0.0313, 0.0001, 0.8249))
SRGB = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
"""XYZ (D50) of red, green and blue."""

_D50 = (0.9642, 1.0, 0.8249)


def rgb_profile(name: str, colours: tuple[tuple[float, ...], ...]) -> bytes:
    """A display profile of these primaries, with sRGB's curve."""
    curve = _srgb_curve()
    tags = {b"desc": _text(name), b"cprt": b"text\0\0\0\0none\0", b"wtpt": _xyz(_D50)}
    for kind, value in zip((b"r", b"g", b"b"), colours):
        tags[kind + b"XYZ"], tags[kind + b"TRC"] = _xyz(value), curve
    return _file(b"RGB ", tags)


def grey_profile(name: str, gamma: float) -> bytes:
    """A grey profile of a plain power."""
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    return _file(b"GRAY", {b"desc": _text(name), b"cprt": b"text\0\0\0\0none\0", b"wtpt": _xyz(_D50), b"kTRC": curve})


def _srgb_curve() -> bytes:
    code = np.arange(1024) / 1023
    light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    return b"curv\0\0\0\0" + struct.pack(">I", 1024) + np.rint(light * 65535).astype(">u2").tobytes()


def _text(name: str) -> bytes:
    data = name.encode("ascii") + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(data)) + data + bytes(12 + 67)


def _xyz(value: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(part * 65536)) for part in value)


def _file(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, data, place = b"", b"", 128 + 4 + 12 * len(tags)
    for kind, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += kind + struct.pack(">II", place + len(data), len(content))
        data += padded
    size = place + len(data)
    header = struct.pack(">I", size) + bytes(4) + struct.pack(">I", 0x02400000) + b"mntr" + space + b"XYZ "
    header += bytes(12) + b"acsp" + bytes(28) + b"".join(struct.pack(">i", round(part * 65536)) for part in _D50)
    return header + bytes(128 - len(header)) + struct.pack(">I", len(tags)) + table + data
