"""Which pictures a folder job works on, in which order, and what their results are called.

Links to folders are followed, each folder once: whatever a link leads to, the folders that stand beneath the input
folder keep the names they have there. A link that is not followed is named.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath

from lib_prodshot.errors import OutputError, PictureError
from lib_prodshot.jobs.files.reading import identity, status
from lib_prodshot.jobs.processor import name_limit, output_stems, real_path
from lib_prodshot.jobs.report.summary import counted

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


CLOSED = "not allowed to look into"
NOWHERE = "links that lead nowhere"
AGAIN = "links to folders that are looked through already"
RESULTS = "links into the output folder"
FORBIDDEN = "links that lead where this job may not look"
"""Why something was left out."""

MOST_NAMED = 10
"""Names in one note; the others are counted."""

MayOpen = Callable[[Path], bool]
"""Whether a link may be followed to this place (a path without links)."""


@dataclass(frozen=True)
class WorkList:
    """Every picture of the folder in the order of their names; `others` are files that are no pictures, `left_out`
    the names of links and sub-folders that were not looked into, by reason."""

    entries: tuple[Entry, ...]
    others: int = 0
    left_out: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of everything that is not in the list."""
        others = (f"{counted(self.others, 'other file')} left alone",) if self.others else ()
        return (*others, *(f"{reason}: {in_a_row(names)}" for reason, names in self.left_out))


def in_a_row(names: Sequence[str]) -> str:
    """'a, b, c', or the first `MOST_NAMED` of them 'and 90 more'."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def list_pictures(inputs: Path, out: Path, recursive: bool = False, may_open: MayOpen = lambda place: True) -> WorkList:
    """Look through the folder `inputs`; hidden files, hidden folders and the output folder are left out.

    The names of results depend on what is in the folder only. Raises `PictureError` when there is no such folder,
    `OutputError` when `out` is the same.
    """
    if not inputs.is_dir():
        what = "is a file; for single files use `prodshot enhance`" if inputs.exists() else "does not exist"
        raise PictureError(f"the folder {inputs} {what}")
    if real_path(out) == real_path(inputs):
        raise OutputError(f"the output folder {out} is the input folder itself; choose another")
    walk = _Walk(inputs, real_path(out), recursive, may_open)
    names = [name for name in walk.files() if _is_picture(name)]
    entries = _entries(inputs, sorted(names), name_limit(out))
    left_out = {reason: tuple(sorted(names)) for reason, names in sorted(walk.left_out.items())}
    return WorkList(tuple(entries), walk.others, tuple(left_out.items()))


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in READABLE | NOT_READABLE


class _Walk:
    """One look through a folder. `others` and `left_out` are known when `files` has ended."""

    def __init__(self, inputs: Path, out: Path, recursive: bool, may_open: MayOpen) -> None:
        self.others = 0
        self.left_out: dict[str, list[str]] = {}
        self._inputs = inputs
        self._out = out
        self._recursive = recursive
        self._may_open = may_open
        self._seen: set[tuple[int, int] | str] = set()
        self._links: deque[Path] = deque()

    def files(self) -> Iterator[str]:
        """The names of all pictures. Folders that stand there go first, then those that links lead to."""
        yield from self._pictures_in(self._inputs)
        while self._links:
            link = self._links.popleft()
            reason = self._why_not_followed(link)
            if reason:
                self._leave_out(link, reason)
            else:
                yield from self._pictures_in(link)

    def _pictures_in(self, top: Path) -> Iterator[str]:
        for place, folders, files in os.walk(top, onerror=self._refused):
            here = Path(place)
            self._seen.add(identity(here))
            folders[:] = self._to_go_on_with(here, sorted(folders)) if self._recursive else []
            yield from self._pictures_among(here, sorted(name for name in files if name[0] != "."))

    def _to_go_on_with(self, here: Path, folders: Iterable[str]) -> Iterator[str]:
        """The sub-folders that stand here; links are put off."""
        for name in folders:
            folder = here / name
            if name[0] == ".":
                continue
            if folder.is_symlink():
                self._links.append(folder)
            elif real_path(folder) == self._out:
                continue
            elif identity(folder) in self._seen:
                self._leave_out(folder, AGAIN)
            else:
                yield name

    def _pictures_among(self, here: Path, files: Iterable[str]) -> Iterator[str]:
        for file in files:
            path = here / file
            is_link = path.is_symlink()
            if is_link and not self._may_open(real_path(path)):
                self._leave_out(path, FORBIDDEN)
            elif _is_picture(file):
                yield self._name(path)
            elif is_link and status(path) is None:
                self._leave_out(path, NOWHERE)
            else:
                self.others += 1

    def _why_not_followed(self, link: Path) -> str:
        target = real_path(link)
        if not self._may_open(target):
            return FORBIDDEN
        if self._out == target or self._out in target.parents:
            return RESULTS
        if identity(link) in self._seen or target in real_path(self._inputs).parents:
            return AGAIN
        return ""

    def _refused(self, error: OSError) -> None:
        if Path(error.filename) == self._inputs:
            raise PictureError(f"the folder {self._inputs} cannot be read: {error.strerror}") from error
        self._leave_out(Path(error.filename), CLOSED)

    def _leave_out(self, path: Path, reason: str) -> None:
        self.left_out.setdefault(reason, []).append(self._name(path))

    def _name(self, path: Path) -> str:
        return path.relative_to(self._inputs).as_posix()


def _entries(inputs: Path, names: list[str], limit: int) -> Iterator[Entry]:
    by_folder = sorted(names, key=lambda name: (PurePosixPath(name).parent.parts, name))
    for _, group in groupby(by_folder, key=lambda name: PurePosixPath(name).parent):
        members = list(group)
        for name, stem in zip(members, output_stems([Path(member) for member in members], limit)):
            yield Entry(inputs / name, name, stem)
