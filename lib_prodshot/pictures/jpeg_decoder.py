"""A process that decodes the JPEGs on its standard input, so that libjpeg's warnings stand on its standard error.

`jpeg_warnings` starts it by this file's path: it imports OpenCV and nothing of ours, and is there in a moment.
"""

from __future__ import annotations

import os
import struct
import sys
from contextlib import suppress

import cv2
import numpy as np

LENGTH = struct.Struct("<Q")
"""In front of each file: its bytes."""

DONE = b"prodshot: decoded\n"
"""The line that is printed behind the warnings of each file."""


def serve() -> None:
    """Decode at an eighth of the size, where unpacking is all that costs, until standard input ends."""
    cv2.setNumThreads(1)
    while len(head := sys.stdin.buffer.read(LENGTH.size)) == LENGTH.size:
        data = sys.stdin.buffer.read(*LENGTH.unpack(head))
        with suppress(cv2.error):  # what cannot be decoded at all is found by Pillow
            cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
        os.write(sys.stderr.fileno(), DONE)


if __name__ == "__main__":
    serve()
