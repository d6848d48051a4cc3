"""Whether the data of a JPEG fit together, by what libjpeg warns of.

Where bytes in the middle of a JPEG are wrong, libjpeg goes on with grey, shifted or wrongly coloured blocks and counts
a warning, which Pillow and OpenCV do not hand out. simplejpeg does; it decodes at an eighth of the size, where
unpacking is all that costs.

Sources of the messages: libjpeg, `jerror.h`.
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache

from lib_prodshot.errors import pip_install
from lib_prodshot.pictures import jpeg

_DAMAGE = re.compile(r"Corrupt JPEG data: .+|Inconsistent progression sequence.*|Premature end of JPEG file.*")
_LEFT_OVER = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")

_LOG = logging.getLogger("prodshot")


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
    try:
        import simplejpeg
    except ImportError:
        _say_once()
        return ""
    try:
        simplejpeg.decode_jpeg(
            bare, "GRAY", fastdct=True, fastupsample=True, min_height=1, min_width=1, min_factor=8, strict=True
        )
    except ValueError as error:  # also what it cannot decode at all, which Pillow may
        return str(error)
    return ""


@lru_cache(maxsize=1)
def _say_once() -> None:
    _LOG.warning("Prodshot cannot look for damage within JPEG files here: %s", pip_install("simplejpeg"))


def _is_filling(message: str, bare: bytes) -> bool:
    left_over = _LEFT_OVER.match(message)
    if left_over is None or not bare.endswith(b"\xff\xd9"):
        return False
    before = bare[:-2].rstrip(b"\xff")
    return not before[max(0, len(before) - int(left_over[1])) :].strip(b"\0\xff")
