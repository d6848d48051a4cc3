"""Names of pictures and of their results: known suffixes, name lengths, and stems that never collide."""

from __future__ import annotations

import hashlib
import os
import threading
import unicodedata
from array import array
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import count, islice
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
    return suffix_of(path.name)


def suffix_of(name: str) -> str:
    """As `short_suffix`, of a file's name without its folder."""
    start = name.rfind(".")
    if not 0 < start < len(name) - 1:
        return ""
    suffix = name[start:]
    return suffix if (len(suffix) if suffix.isascii() else len(os.fsencode(suffix))) <= _LONGEST_SUFFIX else ""


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
    return list(stems_of([source.name for source in sources], limit))


def stems_of(names: Sequence[str], limit: int = NAME_LIMIT) -> Iterator[str]:
    """Yield the stems of `output_stems`, for files of these names in one folder."""
    if _are_apart(names, limit):
        yield from map(plain_stem, names)
        return
    taken: set[str] = set()
    for name in names:
        stem = plain_stem(name)
        key = folded(stem)
        # as a rule it fits, whatever follows it
        if not _fits(stem, limit) or _is_taken(key, taken):
            stem, key = next(
                (fitting, key) for fitting in _candidates(name, limit) if not _is_taken(key := folded(fitting), taken)
            )
        taken.add(key)
        yield stem


def _fits(stem: str, limit: int) -> bool:
    """Whether a stem leaves room for any suffix, as may be told without encoding it."""
    return stem.isascii() and len(stem) <= limit - _LONGEST_SUFFIX


def _are_apart(names: Iterable[str], limit: int) -> bool:
    """Whether no two of the names have stems that could be in each other's way, and all fit: told by 8 bytes of a hash
    for each, for a set of a hundred thousand names takes 13 MB. False where that cannot be told."""
    roots = array("q")
    for stem in map(plain_stem, names):
        if not _fits(stem, limit):
            return False
        root = folded(stem)
        while root.endswith(_KINDS):
            root = root.rpartition(".")[0]
        roots.append(hash(root))
    import numpy as np

    ordered = np.sort(np.frombuffer(roots, np.int64))
    return not (ordered[1:] == ordered[:-1]).any()


def plain_stem(name: str) -> str:
    """Return the stem that a file of this name gets as long as nothing is in the way."""
    return name.removesuffix(suffix_of(name))


def _candidates(name: str, limit: int) -> Iterator[str]:
    room = limit - max(len(os.fsencode(ending)) for ending in (MASK_SUFFIX, ALPHA_SUFFIX, suffix_of(name)))
    yield fitted(plain_stem(name), room)
    yield fitted(name, room)
    yield from (fitted(f"{name}-{number}", room) for number in count(2))


def fitted(stem: str, room: int) -> str:
    """Return the stem in at most `room` bytes, 11 or more, never cut within a letter: one that is longer ends in '~'
    and a hash of itself."""
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


def folded(stem: str) -> str:
    """Return a name in one way of writing: some file systems take A.png and a.png, or é in one letter and in two, for
    one file."""
    return unicodedata.normalize("NFC", stem).casefold()


_KINDS = (".mask", ".alpha")


def _is_taken(stem: str, taken: Container[str]) -> bool:
    """Whether one of the names 'stem', 'stem.mask', 'stem.alpha' is one of those of a stem that is taken."""
    if stem in taken:
        return True
    return any(stem + kind in taken or stem.removesuffix(kind) in taken for kind in _KINDS)


class ResultNames:
    """Which picture of a run has which result, so that none is written over another's: a pattern of file names may
    give two pictures one name. Thread-safe.

    `before_writing` is told of every folder and its names that are about to be written."""

    def __init__(self) -> None:
        self.before_writing: Callable[[Path, Sequence[str]], None] = lambda folder, names: None
        self._owners = DiskMap()
        self._lock = threading.Lock()

    def claim(self, picture: str, folder: Path, names: Sequence[str]) -> None:
        """Take the names in `folder` for a picture. Raises `OutputError` where another one has one of them."""
        keys = _keys(folder, names)
        with self._lock:
            owners = self._owners.get(keys)
            for key, name in zip(keys, names):
                if (owner := owners.get(key, picture)) != picture:
                    raise OutputError(f"{name} is already a result of {owner}; give the files other names (file_names)")
            if len(owners) < len(keys):
                self._owners.put(dict.fromkeys(keys, picture))
            self.before_writing(folder, names)

    def is_anothers(self, picture: str, folder: Path, name: str) -> bool:
        """Whether another picture has this name in `folder`."""
        (key,) = _keys(folder, [name])
        return self._owners.get([key]).get(key, picture) != picture

    def keep(self, folder: Path, results: Iterable[tuple[str, Sequence[str]]]) -> None:
        """Take for pictures what an earlier run made of them; a name stays with the picture that has it."""
        waiting = iter(results)
        while some := [(picture, _keys(folder, names)) for picture, names in islice(waiting, _AT_ONCE)]:
            with self._lock:
                owners = self._owners.get([key for _, keys in some for key in keys])
                for picture, keys in some:
                    if all(owners.get(key, picture) == picture for key in keys):
                        owners.update(dict.fromkeys(keys, picture))
                self._owners.put(owners)


_AT_ONCE = 100
"""Pictures whose results are looked up together."""


def _keys(folder: Path, names: Sequence[str]) -> list[str]:
    prefix = f"{folder}{os.sep}"
    return [folded(prefix + name) for name in names]
