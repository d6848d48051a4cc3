"""Each picture's seed, from the job's seed and the picture's content: order, subset and worker count change nothing."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

from lib_prodshot.jobs.files.reading import open_regular, within

_BLOCK = 1 << 22

STALL = 120.0
"""Seconds in which the next `_BLOCK` bytes must come; 35 kB a second is enough."""


def picture_seed(job_seed: int, content: str) -> int:
    """The seed of the picture whose file has the SHA-256 `content` (hexadecimal): 0 to 2^31 - 1.

    31 bits leave room below the WebUI's 2^32 - 1 for the passes of one picture, which count up from it. A job seed
    of -1 ("the picture's own") counts as 0, for a picture in a folder has none.
    """
    digest = hashlib.sha256(f"prodshot seed {max(job_seed, 0)} {content}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def content_of(path: Path) -> str:
    """SHA-256 of a regular file's bytes, hexadecimal. Raises OSError, also when the disk gives nothing for `STALL`
    seconds."""
    digest = hashlib.sha256()
    with within(STALL, partial(open_regular, path)) as file:
        while block := within(STALL, partial(file.read, _BLOCK)):
            digest.update(block)
    return digest.hexdigest()
