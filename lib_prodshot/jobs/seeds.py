"""Each picture's seed, from the job's seed and the picture's content: order, subset and worker count change nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

_BLOCK = 1 << 20


def picture_seed(job_seed: int, content: str) -> int:
    """The seed of the picture whose file has the SHA-256 `content` (hexadecimal): 0 to 2^31 - 1.

    31 bits leave room below the WebUI's 2^32 - 1 for the passes of one picture, which count up from it. A job seed
    of -1 ("the picture's own") counts as 0, for a picture in a folder has none.
    """
    digest = hashlib.sha256(f"prodshot seed {max(job_seed, 0)} {content}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def content_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
