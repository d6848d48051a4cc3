"""HEIC/HEIF through pillow-heif, where it is installed; its opener is not registered with Pillow, whose state belongs
to the host."""

from __future__ import annotations

import io
from importlib.util import find_spec
from typing import Any, BinaryIO

import numpy as np
import PIL

from lib_prodshot.errors import PictureError, pip_install
from lib_prodshot.pictures import boxes, formats, samples
from lib_prodshot.pictures.blocks import exif_upright
from lib_prodshot.pictures.loaded import LoadedPicture, Metadata, RefuseLarge, mode_of, spread

_LAST_FOR_PILLOW_9 = "0.13.1"


def load(file: BinaryIO, suffix: str, refuse_large: RefuseLarge) -> LoadedPicture:
    """Read the primary picture of a file; the decoder has turned it, so its EXIF no longer asks for that.

    Raises `PictureError` with the rest of a sentence (without pillow-heif with the command that brings it), and what
    pillow-heif does.
    """
    if find_spec("pillow_heif") is None:
        raise PictureError(formats.TABLE["HEIF", "no decoder"].says.format(install_command()))
    import pillow_heif

    file.seek(0)
    data = file.read()
    still = boxes.read_still(data)
    row = formats.row_of("HEIF", f"colour {still.bits}")
    opened = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False, hdr_to_16bit=False)
    refuse_large(*opened.size)
    image = opened[opened.primary_index]
    levels = np.ascontiguousarray(image)
    deep = still.bits > 8
    if levels.dtype != (np.uint16 if deep else np.uint8):
        raise ValueError(f"its decoder gave {levels.dtype} samples for {still.bits} bits")
    info: dict[str, Any] = dict(image.info)
    exif = info.get("exif")
    native = spread(levels, still.bits)
    mode = mode_of(native)
    frames = (f"{len(opened)} pictures in one file: first picture only",) if len(opened) > 1 else ()
    return LoadedPicture(
        rgb=samples.to_rgb(native, mode),
        native=native,
        mode=mode,
        format="HEIF",
        suffix=suffix,
        lossless=False,
        frames=len(opened),
        metadata=Metadata(
            icc=still.icc,
            exif=exif_upright(exif.removeprefix(b"Exif\0\0")) if exif else None,
            xmp=info.get("xmp") or None,
            cicp=still.cicp,
            bits=still.bits if deep else None,
            png_chunks=still.light,
            aspect=still.aspect,
        ),
        notes=(*frames, *((row.says,) if row.says else ()), *(f"its {what} was left out" for what in still.beside)),
        space=still.space,
    )


def install_command() -> str:
    """What to run; newer decoders would move the Pillow 9 that a WebUI pins."""
    if int(PIL.__version__.split(".")[0]) < 10:
        return pip_install(f"pillow-heif=={_LAST_FOR_PILLOW_9}")
    return pip_install("pillow-heif")
