"""Which pictures a folder job works on, in which order, and what their results are called."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath

from lib_prodshot.errors import OutputError, PictureError
from lib_prodshot.jobs.one_file import output_stems

READABLE = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".icb", ".vda", ".vst", ".jp2", ".j2k", ".jpx", ".avif"}
)
NOT_READABLE = frozenset(
    {".heic", ".heif", ".jxl", ".psd", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf"}
)
"""Pictures all the same: they fail with a reason, so that nobody takes them for done. Other files are no pictures."""


@dataclass(frozen=True)
class Entry:
    """One picture: its file, its name (relative to the input folder, with '/'), and the `stem` of its results, which
    go to the same sub-folder of the output folder."""

    source: Path
    name: str
    stem: str

    @property
    def folder(self) -> str:
        """The sub-folder, '' at the top."""
        parent = PurePosixPath(self.name).parent
        return "" if parent == PurePosixPath(".") else str(parent)


@dataclass(frozen=True)
class WorkList:
    """Every picture of the folder in the order of their names; `others` are files that are no pictures, `closed`
    sub-folders that may not be read."""

    entries: tuple[Entry, ...]
    others: int = 0
    closed: tuple[str, ...] = ()


def list_pictures(inputs: Path, out: Path, recursive: bool = False) -> WorkList:
    """Look through the folder `inputs`; hidden files, hidden folders and the output folder are left out.

    The names of results depend on what is in the folder only. Raises `PictureError` when there is no such folder,
    `OutputError` when `out` is the same.
    """
    if not inputs.is_dir():
        what = "is a file; for single files use `prodshot enhance`" if inputs.exists() else "does not exist"
        raise PictureError(f"the folder {inputs} {what}")
    if out.resolve() == inputs.resolve():
        raise OutputError(f"the output folder {out} is the input folder itself; choose another")
    closed: list[str] = []
    names, others = [], 0
    for name in _walk(inputs, out.resolve(), recursive, closed):
        if PurePosixPath(name).suffix.lower() in READABLE | NOT_READABLE:
            names.append(name)
        else:
            others += 1
    return WorkList(tuple(_entries(inputs, sorted(names))), others, tuple(sorted(closed)))


def _walk(inputs: Path, out: Path, recursive: bool, closed: list[str]) -> Iterator[str]:
    def refused(error: OSError) -> None:
        if Path(error.filename) == inputs:
            raise PictureError(f"the folder {inputs} cannot be read: {error.strerror}") from error
        closed.append(Path(error.filename).relative_to(inputs).as_posix())

    for place, folders, files in os.walk(inputs, onerror=refused):
        here = Path(place)
        folders[:] = [name for name in folders if recursive and name[0] != "." and (here / name).resolve() != out]
        yield from ((here / name).relative_to(inputs).as_posix() for name in files if name[0] != ".")


def _entries(inputs: Path, names: list[str]) -> Iterator[Entry]:
    by_folder = sorted(names, key=lambda name: (PurePosixPath(name).parent.parts, name))
    for _, group in groupby(by_folder, key=lambda name: PurePosixPath(name).parent):
        members = list(group)
        for name, stem in zip(members, output_stems([Path(member) for member in members])):
            yield Entry(inputs / name, name, stem)
