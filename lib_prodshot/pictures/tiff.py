"""TIFF below Pillow's level: descriptive tags with their sub-directories kept, and 16-bit colour.

Pillow's own writer drops the EXIF directory where it compresses and knows no 16-bit colour; its tag directory
(`ImageFileDirectory_v2`) does the work here. Source of the format: Adobe, "TIFF Revision 6.0".
"""

from __future__ import annotations

import zlib
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from lib_prodshot.pictures.loaded import Metadata, Native

_DESCRIPTIVE = (270, 271, 272, 274, 282, 283, 296, 305, 306, 315, 316, 700, 33432, 33723, 34377)
_DIRECTORIES = {34665: "EXIF", 34853: "GPS"}
_ICC = 34675
_POINTERS = (40965,)
"""Tags inside the EXIF directory that point elsewhere in the old file."""

_PHOTOMETRIC = {"1": 1, "L": 1, "LA": 1, "P": 3, "RGB": 2, "RGBA": 2, "CMYK": 5}
COMPRESSION = 2
"""zlib level, as in PNG."""


def read_tags(image: Image.Image) -> dict[int, Any]:
    """The descriptive tags of an opened TIFF; sub-directories (EXIF, GPS) as dicts."""
    directory = image.tag_v2  # type: ignore[attr-defined]
    tags: dict[int, Any] = {tag: directory[tag] for tag in _DESCRIPTIVE if tag in directory}
    exif = image.getexif()
    tags.update(_directories(exif))
    return tags


def tags_from(metadata: Metadata) -> dict[int, Any]:
    """The tags that say in a TIFF what the metadata of another format says."""
    parsed = Image.Exif()
    parsed.load(metadata.exif or b"")
    tags = {**{tag: parsed[tag] for tag in _DESCRIPTIVE if tag in parsed}, **_directories(parsed)}
    if metadata.dpi:
        tags.update({282: metadata.dpi[0], 283: metadata.dpi[1], 296: 2})
    if metadata.xmp:
        tags[700] = metadata.xmp
    return tags


def _directories(exif: Image.Exif) -> dict[int, Any]:
    found = {tag: dict(exif.get_ifd(tag)) for tag in _DIRECTORIES}
    kept = {tag: {key: value for key, value in inner.items() if key not in _POINTERS} for tag, inner in found.items()}
    return {tag: inner for tag, inner in kept.items() if inner}


def write(
    file: BinaryIO,
    samples: Native,
    mode: str,
    *,
    palette: npt.NDArray[np.uint8] | None = None,
    icc: bytes | None = None,
    tags: dict[int, Any] | None = None,
    compressed: bool = True,
) -> None:
    """Write samples (H×W or H×W×channels; bool, uint8 or uint16) as one little-endian strip, deflated or plain."""
    base = mode.replace("I;16", "L").replace(";16", "")
    height, width = samples.shape[:2]
    channels = samples.shape[2] if samples.ndim == 3 else 1
    predicted = compressed and samples.dtype != bool and base != "P"
    data = _pack(samples, compressed, predicted)
    directory = ImageFileDirectory_v2(b"II\x2a\x00\x08\x00\x00\x00")
    for tag, value in (tags or {}).items():
        directory[tag] = value
    directory[256], directory[257] = width, height
    directory[258] = (1 if samples.dtype == bool else 8 * samples.dtype.itemsize,) * channels
    directory[259] = 8 if compressed else 1
    directory[262] = _PHOTOMETRIC[base]
    directory[273], directory[278], directory[279] = 0, height, len(data)
    directory[277], directory[284] = channels, 1
    if predicted:
        directory[317] = 2
    if base == "P" and palette is not None:
        directory[320] = _colour_map(palette)
    if base in ("LA", "RGBA"):
        directory[338] = 2
    if base == "CMYK":
        directory[332] = 1
    if icc:
        directory[_ICC] = icc
    directory.save(file)
    file.write(data)


def _colour_map(palette: npt.NDArray[np.uint8]) -> tuple[int, ...]:
    table = np.zeros((256, 3), np.uint16)
    table[: len(palette)] = palette[:, :3].astype(np.uint16) * 257
    return tuple(int(level) for level in table.T.ravel())


def _pack(samples: Native, compressed: bool, predicted: bool) -> bytes:
    """All rows as one strip; `predicted` stores differences to the left neighbour (TIFF's predictor 2)."""
    packer = zlib.compressobj(COMPRESSION)
    packed: list[bytes] = []
    for top in range(0, len(samples), 256):
        rows = samples[top : top + 256]
        if rows.dtype == bool:
            rows = np.packbits(rows, axis=1)
        if predicted:
            rows = rows.copy()
            rows[:, 1:] -= samples[top : top + 256, :-1]
        data = rows.astype(rows.dtype.newbyteorder("<"), copy=False).tobytes()
        packed.append(packer.compress(data) if compressed else data)
    if compressed:
        packed.append(packer.flush())
    return b"".join(packed)
