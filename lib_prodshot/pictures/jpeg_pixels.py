"""The pixels of a JPEG, and whether its data fit together.

Where bytes in the middle of a JPEG are wrong, libjpeg goes on with grey, shifted or wrongly coloured blocks and counts
a warning, which Pillow and OpenCV do not hand out. simplejpeg does, and decodes in a third of Pillow's time, straight
into an array, to the same bytes: both use libjpeg-turbo with its accurate transform and its smooth upsampling.

Sources of the messages: libjpeg, `jerror.h`.
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from types import ModuleType

import numpy as np
import numpy.typing as npt

from lib_prodshot.errors import pip_install
from lib_prodshot.pictures import jpeg

_COLOURS = {"RGB": "RGB", "L": "GRAY"}
"""By Pillow's mode. CMYK is left to Pillow, which knows Adobe's inverted one."""

_DAMAGE = re.compile(r"Corrupt JPEG data: .+|Inconsistent progression sequence.*|Premature end of JPEG file.*")
_LEFT_OVER = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")

_LOG = logging.getLogger("prodshot")


def decoded(data: bytes, mode: str, size: tuple[int, int]) -> npt.NDArray[np.uint8] | None:
    """The samples of a JPEG that Pillow opens in this mode and size (width, height): H×W×3 or H×W, read-only.

    None for what Pillow is to decode: other modes, data that do not fit together or cannot be decoded so, and where
    simplejpeg is not installed.
    """
    simplejpeg = _simplejpeg()
    if simplejpeg is None or mode not in _COLOURS:
        return None
    try:
        samples = simplejpeg.decode_jpeg(data, _COLOURS[mode], strict=True)
    except ValueError:
        return None
    if samples.shape[1::-1] != size:
        return None
    samples.flags.writeable = False
    return np.asarray(samples if mode == "RGB" else samples[..., 0])


def damage(data: bytes) -> str:
    """What libjpeg says of the data of a JPEG that do not fit together; '' where it has nothing to say.

    Bytes too many in front of the end that are mere filling (zeros, ones) are no damage: some cameras write them.
    Without simplejpeg every picture passes, and the log says so once.
    """
    bare = jpeg.pixels_only(data)
    said = _DAMAGE.search(_complaint(bare))
    if said is None or _is_filling(said[0], bare):
        return ""
    return said[0].strip()


def _complaint(bare: bytes) -> str:
    simplejpeg = _simplejpeg()
    if simplejpeg is None:
        return ""
    try:
        # at an eighth of the size unpacking is all that costs
        simplejpeg.decode_jpeg(bare, "GRAY", fastdct=True, fastupsample=True, min_height=1, min_width=1, min_factor=8)
    except ValueError as error:  # also what it cannot decode at all, which Pillow may
        return str(error)
    return ""


@lru_cache(maxsize=1)
def _simplejpeg() -> ModuleType | None:
    try:
        import simplejpeg
    except ImportError:
        _LOG.warning("Prodshot cannot look for damage within JPEG files here: %s", pip_install("simplejpeg"))
        return None
    module: ModuleType = simplejpeg
    return module


def _is_filling(message: str, bare: bytes) -> bool:
    left_over = _LEFT_OVER.match(message)
    if left_over is None or not bare.endswith(b"\xff\xd9"):
        return False
    before = bare[:-2].rstrip(b"\xff")
    return not before[max(0, len(before) - int(left_over[1])) :].strip(b"\0\xff")
