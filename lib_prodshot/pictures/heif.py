"""HEIC/HEIF through pillow-heif, where it is installed; its opener is not registered with Pillow, whose state belongs
to the host."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import PIL

from lib_prodshot.errors import PictureError
from lib_prodshot.pictures import formats
from lib_prodshot.pictures.blocks import exif_upright
from lib_prodshot.pictures.loaded import Native

_LAST_FOR_PILLOW_9 = "0.13.1"


@dataclass(frozen=True)
class Decoded:
    """Samples in display orientation (H×W×3 or ×4, uint8 or uint16 with the file's own levels), and its blocks; the
    decoder has turned the picture, so its EXIF no longer asks for that."""

    samples: Native
    exif: bytes | None
    xmp: bytes | None
    frames: int


def refuse_without_decoder() -> None:
    """Raises `PictureError` with the command that brings the decoder."""
    if find_spec("pillow_heif") is None:
        raise PictureError(formats.TABLE["HEIF", "no decoder"].says.format(install_command()))


def install_command() -> str:
    """What to run; newer decoders would move the Pillow 9 that a WebUI pins."""
    if int(PIL.__version__.split(".")[0]) < 10:
        return f"pip install pillow-heif=={_LAST_FOR_PILLOW_9}"
    return "pip install pillow-heif"


def read(data: bytes, bits: int, refuse_large: Callable[[int, int], None]) -> Decoded:
    """Decode the primary picture; `refuse_large` is called before, with its size. Raises what pillow-heif does."""
    import pillow_heif

    opened = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False, hdr_to_16bit=False)
    refuse_large(*opened.size)
    image = opened[opened.primary_index]
    samples = np.asarray(image)
    wanted = np.uint16 if bits > 8 else np.uint8
    if samples.dtype != wanted:
        raise ValueError(f"its decoder gave {samples.dtype} samples for {bits} bits")
    info: dict[str, Any] = dict(image.info)
    exif = info.get("exif")
    return Decoded(
        np.ascontiguousarray(samples),
        exif_upright(exif.removeprefix(b"Exif\0\0")) if exif else None,
        info.get("xmp") or None,
        len(opened),
    )
