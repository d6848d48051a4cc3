"""Seeds of pictures, derived from the job's seed and the picture's content: order, subset and worker count change
nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lib_prodshot.jobs.files.reading import open_regular, with_timeout

_BLOCK = 1 << 22

BLOCK_TIMEOUT = 120.0
"""Seconds within which the next `_BLOCK` bytes must be read; 35 kB a second is enough."""


def picture_seed(job_seed: int, content: str) -> int:
    """Return the seed of the picture whose file has the SHA-256 `content` (hexadecimal): 0 to 2^31 - 1.

    31 bits leave room below the WebUI's 2^32 - 1 for the passes of one picture, which count up from it. A job seed
    of -1 ("the picture's own") counts as 0, for a picture in a folder has none.
    """
    digest = hashlib.sha256(f"prodshot seed {max(job_seed, 0)} {content}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def content_of(path: Path) -> str:
    """Return the SHA-256 of a regular file's bytes, hexadecimal.

    Raises OSError, also when the disk delivers no block within `BLOCK_TIMEOUT`.
    """
    digest = hashlib.sha256()
    with with_timeout(BLOCK_TIMEOUT, partial(open_regular, path)) as file:
        while block := with_timeout(BLOCK_TIMEOUT, partial(file.read, _BLOCK)):
            digest.update(block)
    return digest.hexdigest()


def has_other_bytes(place: Path, content: Callable[[], str]) -> bool:
    """Return whether a regular file stands at `place` with other bytes than those with the SHA-256 that `content`
    gives, which is asked only then. One that cannot be read counts as another. Raises what `content` raises."""
    if not place.is_file():
        return False
    wanted = content()
    try:
        return content_of(place) != wanted
    except OSError:
        return True
