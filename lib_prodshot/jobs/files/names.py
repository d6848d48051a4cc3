"""Names of pictures and of their results: known suffixes, name lengths, and stems that never collide."""

from __future__ import annotations

import hashlib
import os
import threading
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

from lib_prodshot.errors import OutputError
from lib_prodshot.jobs.files.compact import DiskMap

READABLE = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".icb", ".vda", ".vst", ".jp2", ".j2k", ".j2c", ".jpc", ".jpx", ".avif"}
    | {".heic", ".heif", ".hif"}
)
"""Suffixes of pictures that can be read (HEIC where pillow-heif is installed)."""

NOT_READABLE = frozenset({".jxl", ".psd", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf"})
"""Suffixes of pictures that no decoder here reads: they fail with a reason. Other files are no pictures."""

NAME_LIMIT = 255
"""Bytes of a file name in UTF-8: the limit of Linux' file systems and of APFS. NTFS has room for more, but results are
called alike wherever they are made."""

MASK_SUFFIX, ALPHA_SUFFIX = ".mask.png", ".alpha.png"
"""Suffixes, after the stem, of the results beside the picture: the binary mask and the feathered one."""

_HASH_LETTERS = 10

_LONGEST_SUFFIX = 16


def short_suffix(path: Path) -> str:
    """Return the suffix with its dot; '' for one too long to be a suffix."""
    return path.suffix if len(os.fsencode(path.suffix)) <= _LONGEST_SUFFIX else ""


def name_limit(folder: Path) -> int:
    """Return how many bytes a file name may have in a folder, which need not exist yet; at most `NAME_LIMIT`."""
    if not hasattr(os, "pathconf"):
        return NAME_LIMIT
    for place in (folder, *folder.parents):
        with suppress(OSError, ValueError):
            # fewer where names are encrypted (eCryptfs: 143); negative where nobody knows
            own = os.pathconf(place, "PC_NAME_MAX")
            return min(NAME_LIMIT, own) if own > 0 else NAME_LIMIT
    return NAME_LIMIT


def output_stems(sources: Sequence[Path], limit: int = NAME_LIMIT) -> list[str]:
    """Return a stem for each file's results so that none overwrites another's.

    That is the file's own name without the suffix; with the suffix, then with a number, where an earlier file has taken
    that ('a.jpg' and 'a.png'; 'a.png' and 'a.mask.png').

    A stem that leaves no room for the results' suffixes within `limit` bytes is cut, and ends in '~' and a hash of
    what it would have been: the same in every run, whatever else is in the folder.
    """
    taken: set[str] = set()
    stems: list[str] = []
    for source in sources:
        stem = next(fitting for fitting in _candidates(source, limit) if not taken & _claims(fitting))
        taken |= _claims(stem)
        stems.append(stem)
    return stems


def _candidates(source: Path, limit: int) -> Iterator[str]:
    suffix = short_suffix(source)
    room = limit - max(len(os.fsencode(ending)) for ending in (MASK_SUFFIX, ALPHA_SUFFIX, suffix))
    yield _fitted(source.name.removesuffix(suffix), room)
    yield _fitted(source.name, room)
    yield from (_fitted(f"{source.name}-{number}", room) for number in count(2))


def _fitted(stem: str, room: int) -> str:
    """The stem in at most `room` bytes, never cut within a letter."""
    if len(os.fsencode(stem)) <= room:
        return stem
    end = "~" + hashlib.sha256(os.fsencode(stem)).hexdigest()[:_HASH_LETTERS]
    head = stem[: room - len(end)]
    while len(os.fsencode(head)) + len(end) > room:
        head = head[:-1]
    return head + end


def is_shortened(source: Path, stem: str) -> bool:
    """Return whether `output_stems` had to cut this file's own name."""
    return stem != source.name.removesuffix(short_suffix(source)) and not stem.startswith(source.name)


def _claims(stem: str) -> set[str]:
    # folded, for file systems that take A.png and a.png, or é in one letter and in two, for one file
    return {unicodedata.normalize("NFC", stem + kind).casefold() for kind in ("", ".mask", ".alpha")}


class ResultNames:
    """Which picture of a run has which result, so that none is written over another's: a pattern of file names, or a
    copy beside packshots, may give two pictures one name. Thread-safe.

    `before_writing` is told of every folder and its names that are about to be written."""

    def __init__(self) -> None:
        self.before_writing: Callable[[Path, Sequence[str]], None] = lambda folder, names: None
        self._owners = DiskMap()
        self._lock = threading.Lock()

    def claim(self, picture: str, folder: Path, names: Sequence[str]) -> None:
        """Take the names in `folder` for a picture. Raises `OutputError` where another one has one of them."""
        prefix = f"{folder}{os.sep}"
        keys = [unicodedata.normalize("NFC", prefix + name).casefold() for name in names]
        with self._lock:
            owners = self._owners.get(keys)
            for key, name in zip(keys, names):
                if (owner := owners.get(key, picture)) != picture:
                    raise OutputError(f"{name} is already a result of {owner}; give the files other names (file_names)")
            if len(owners) < len(keys):
                self._owners.put(dict.fromkeys(keys, picture))
            self.before_writing(folder, names)
