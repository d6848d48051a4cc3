"""Between the WebUI's pictures (Pillow) and the pipeline's, with nothing lost on the way."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from lib_prodshot import pictures
from lib_prodshot.pictures import LoadedPicture, RestoredPicture
from lib_prodshot.pictures.embedding import with_xmp

_DIRECT = ("RGB", "RGBA", "L", "LA")


def loaded_from(image: Image.Image) -> LoadedPicture:
    """A picture as the pipeline takes it: its own samples, their RGB view, and its XMP."""
    packet = image.info.get("XML:com.adobe.xmp") or image.info.get("xmp")
    loaded = _pixels_of(image)
    return with_xmp(loaded, packet.encode() if isinstance(packet, str) else packet) if packet else loaded


def _pixels_of(image: Image.Image) -> LoadedPicture:
    if image.mode == "RGB":
        return LoadedPicture.from_rgb(np.array(image))
    if image.mode == "RGBA":
        native = np.array(image)
        return LoadedPicture(np.ascontiguousarray(native[..., :3]), native, "RGBA", "PNG", ".png", lossless=True)
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=0)
    return pictures.read(file.getvalue())


def image_from(restored: RestoredPicture) -> Image.Image:
    """A result as the WebUI takes it: in the input's mode where Pillow can carry it, else as RGB."""
    mode = restored.source.mode
    if mode in _DIRECT and restored.native.dtype == np.uint8:
        return Image.fromarray(restored.native, mode)
    alpha = restored.source.alpha
    if alpha is None:
        return Image.fromarray(restored.rgb)
    return Image.fromarray(np.dstack([restored.rgb, alpha]), "RGBA")
