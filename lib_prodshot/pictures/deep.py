"""Samples of which Pillow hands out only 8 bits: by OpenCV, held against Pillow's; those of PGM and PPM are plain."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from lib_prodshot.errors import PictureError
from lib_prodshot.pictures import headers, png, quiet
from lib_prodshot.pictures.facts import Facts
from lib_prodshot.pictures.loaded import Native, channels_of, spread, to_8_bits


def read(data: bytes, facts: Facts, image: Image.Image) -> Native:
    """The samples of a file that are the same picture as Pillow's, H×W or H×W×channels uint16 (a PPM of few levels:
    uint8). Raises `PictureError` where they are not, or cannot be read."""
    if image.format == "PPM":
        return headers.ppm_samples(data, image.width * image.height)
    native = spread(_by_opencv(data, facts, image), facts.bits)
    if image.format == "JPEG2000":
        return native  # Pillow's 8 bits of it overflow: white turns black
    shallow = _shallow(image, channels_of(native))
    for top in range(0, len(native), 256):
        rows = slice(top, top + 256)
        difference = cv2.absdiff(to_8_bits(native[rows]), shallow[rows])
        # decoders of lossy formats round differently; another picture differs everywhere
        if float(difference.mean()) > 2 or (image.format == "PNG" and int(difference.max(initial=0)) > 1):
            raise PictureError(
                f"has {facts.bits}-bit samples that its decoders disagree on; save it as plain 16-bit RGB"
            )
    return native


def _by_opencv(data: bytes, facts: Facts, image: Image.Image) -> npt.NDArray[np.uint16]:
    plain = png.pixels_only(data) if image.format == "PNG" else data
    with quiet.opencv():
        decoded = cv2.imdecode(np.frombuffer(plain, np.uint8), cv2.IMREAD_UNCHANGED)
    # in OpenCV grey with alpha comes as four channels
    wanted = [0] if facts.row.kind.startswith("grey") else [2, 1, 0]
    if "alpha" in facts.row.kind or (image.format == "AVIF" and image.mode == "RGBA"):
        wanted = [*wanted, -1]
    size = (image.height, image.width)
    if decoded is None or decoded.dtype != np.uint16 or decoded.shape[:2] != size or channels_of(decoded) < len(wanted):
        raise PictureError(f"has {facts.bits}-bit samples of a kind that cannot be read; save it as plain 16-bit RGB")
    native = decoded.reshape(*decoded.shape[:2], -1)[..., wanted]
    return np.ascontiguousarray(native[..., 0] if len(wanted) == 1 else native)


def _shallow(image: Image.Image, channels: int) -> npt.NDArray[np.uint8]:
    """Pillow's 8 bits of a deep picture, in as many channels."""
    if image.mode.startswith("I"):
        return to_8_bits(np.asarray(image).astype(np.uint16))
    # Pillow opens 16-bit grey with alpha as LA or as RGBA, depending on its version
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    return np.asarray(image if image.mode == mode else image.convert(mode))
