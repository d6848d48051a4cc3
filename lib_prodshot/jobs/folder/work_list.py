"""The work list of a folder job: its pictures in order, and the stems of their results.

Links to folders are followed, each folder once: whatever a link leads to, the folders that stand beneath the input
folder keep the names they have there. A link that is not followed is listed.
"""

from __future__ import annotations

import errno
import os
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import le
from pathlib import Path, PurePosixPath
from typing import overload

from lib_prodshot.errors import FieldProblem, OutputError, PictureError, RequestError, as_typed
from lib_prodshot.jobs.files.compact import Places, Texts
from lib_prodshot.jobs.files.names import NOT_READABLE, READABLE, name_limit, plain_stem, stems_of, suffix_of
from lib_prodshot.jobs.files.reading import identity, is_folder, is_link, real_path, status
from lib_prodshot.jobs.report.summary import counted
from lib_prodshot.storage.store import StoredObject


@dataclass(frozen=True)
class Entry:
    """One picture: its file, its name (relative to the input folder, with '/'), and the `stem` of its results, which
    go to the same sub-folder of the output folder. One that is `stored` in an object store stands at `source` while a
    worker has it."""

    source: Path
    name: str
    stem: str
    stored: StoredObject | None = None

    @property
    def folder(self) -> str:
        """The sub-folder, '' at the top."""
        return self.name.rpartition("/")[0]


class Entries(Sequence[Entry]):
    """Pictures in folders beneath `inputs`, in the order of their names: by sub-folder ('' at the top), then by name.
    An entry is made when it is asked for: in memory are the bytes of its name, and 8 more.

    Each has a stem of at most `limit` bytes that no other picture of its sub-folder has.
    """

    def __init__(self, inputs: Path, by_folder: Mapping[str, Sequence[str]], limit: int) -> None:
        self._inputs = inputs
        self._stems: dict[int, str] = {}
        self._names = Texts(self._in_order(by_folder, limit))

    def _in_order(self, by_folder: Mapping[str, Sequence[str]], limit: int) -> Iterator[str]:
        place = 0
        for folder in sorted(by_folder, key=lambda folder: PurePosixPath(folder).parts):
            names = _in_order(by_folder[folder])
            for name, stem in zip(names, stems_of(names, limit)):
                if stem != plain_stem(name):
                    self._stems[place] = stem
                yield f"{folder}/{name}" if folder else name
                place += 1

    def __len__(self) -> int:
        return len(self._names)

    def names(self) -> Sequence[str]:
        """Return the names in order; no entry is made."""
        return self._names

    def sources(self) -> Iterator[str]:
        """Yield the paths of the pictures in order, as texts."""
        prefix = os.path.join(self._inputs, "")  # noqa: PTH118
        return (prefix + name.replace("/", os.sep) for name in self._names)

    @overload
    def __getitem__(self, place: int) -> Entry: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Entry, ...]: ...

    def __getitem__(self, place: int | slice) -> Entry | tuple[Entry, ...]:
        if isinstance(place, slice):
            return tuple(self[one] for one in range(*place.indices(len(self))))
        name = self._names[place]
        stem = self._stems.get(place % len(self)) or plain_stem(name.rpartition("/")[2])
        return Entry(self._inputs / name, name, stem)


def _in_order(names: Sequence[str]) -> Sequence[str]:
    """Return the names sorted; those that are so already (a folder's, as it is listed) without a list of them all."""
    following = iter(names)
    next(following, None)
    return names if all(map(le, names, following)) else sorted(names)


class Chosen(Sequence[Entry]):
    """Some entries by their places, in 8 bytes each."""

    def __init__(self, entries: Sequence[Entry], places: Iterable[int]) -> None:
        self.entries = entries
        self.places = array("Q", places)

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, place: int) -> Entry: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Entry, ...]: ...

    def __getitem__(self, place: int | slice) -> Entry | tuple[Entry, ...]:
        if isinstance(place, slice):
            return tuple(self.entries[one] for one in self.places[place])
        return self.entries[self.places[place]]


def names_of(entries: Sequence[Entry]) -> Sequence[str]:
    """Return the names of entries in order, without making entries that are not there yet."""
    if isinstance(entries, Entries):
        return entries.names()
    if isinstance(entries, Chosen):
        return Texts(map(names_of(entries.entries).__getitem__, entries.places))
    return tuple(entry.name for entry in entries)


class ByName(Mapping[str, Entry]):
    """Entries by their names, in 16 bytes and a name each; `place` tells where one stands among `entries`."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self._names = names_of(entries)

    @cached_property
    def _places(self) -> Places:
        return Places(self._names)

    def place(self, name: object, likely: int | None = None) -> int | None:
        """Return the place of the entry of this name, None where there is none. It is found sooner at its `likely`
        one."""
        if likely is not None and likely < len(self._names) and self._names[likely] == name:
            return likely
        found = self._places.get(name) if isinstance(name, str) else None
        return None if found is None or self._names[found] != name else found

    def __getitem__(self, name: str) -> Entry:
        place = self.place(name)
        if place is None:
            raise KeyError(name)
        return self.entries[place]

    def __contains__(self, name: object) -> bool:
        return self.place(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self.entries)


NOT_ALLOWED = "not allowed to look into"
TOO_LONG = "paths that are too long for this system"
BROKEN_LINK = "links that lead nowhere"
SEEN_LINK = "links to folders that are looked through already"
OUTPUT_LINK = "links into the output folder"
FORBIDDEN_LINK = "links that lead where this job may not look"
HIDDEN = "hidden pictures left alone"
SUBFOLDERS = "sub-folders left alone (recursive looks into them)"
"""Why something was left out; these are parts of sentences that the user reads."""

MAX_LISTED = 10
"""Names in one note; the others are counted."""

MAX_LETTERS = 200
"""Letters of one name in a note; a longer one is shortened in its middle."""

MayOpen = Callable[[Path], bool]
"""Whether a link may be followed to this place (a path without links)."""


@dataclass(frozen=True)
class WorkList:
    """Every picture of the folder in the order of their names; `others` are files that are no pictures, `left_out`
    the names of links and sub-folders that were not looked into, by reason."""

    entries: Sequence[Entry]
    others: int = 0
    left_out: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about everything that is not in the list."""
        others = (f"{counted(self.others, 'other file')} left alone",) if self.others else ()
        return (*others, *(f"{reason}: {in_a_row(names)}" for reason, names in self.left_out))

    def refuse_unknown(self, names: frozenset[str]) -> None:
        """Raise `RequestError` (field only) for names of pictures that are not in the list."""
        known = ByName(self.entries) if names else ()
        unknown = sorted(name for name in names if name not in known)
        if unknown:
            raise RequestError([FieldProblem("only", f"the folder has no picture {in_a_row(unknown)}")])


def in_a_row(names: Sequence[str]) -> str:
    """Join names: 'a, b, c', or the first `MAX_LISTED` of them 'and 90 more'; each of `MAX_LETTERS` at most."""
    more = len(names) - MAX_LISTED
    return ", ".join(map(_abridged, names[:MAX_LISTED])) + (f" and {more} more" if more > 0 else "")


def _abridged(name: str) -> str:
    half = MAX_LETTERS // 2
    return name if len(name) <= MAX_LETTERS else f"{name[:half]}…{name[-half:]}"


def real_paths(entries: Sequence[Entry]) -> Iterator[str]:
    """The pictures' paths with all links resolved; a folder is resolved once."""
    folders: dict[str, str] = {}
    # texts, for there may be a hundred thousand
    for source in entries.sources() if isinstance(entries, Entries) else (str(entry.source) for entry in entries):
        try:
            is_a_link = is_link(source)
        except OSError:
            is_a_link = True
        if is_a_link:
            yield str(real_path(Path(source)))
            continue
        folder, name = os.path.split(source)
        if folder not in folders:
            folders[folder] = os.path.join(real_path(Path(folder)), "")  # noqa: PTH118
        yield folders[folder] + name


def list_pictures(inputs: Path, out: Path, recursive: bool = False, may_open: MayOpen = lambda place: True) -> WorkList:
    """List the pictures in the folder `inputs`, without hidden files, hidden folders and the output folder.

    The names of results depend on what is in the folder only. What cannot be looked into is left out.

    Raises `PictureError` when there is no such folder or it cannot be looked into itself, `OutputError` when `out` is
    the same.
    """
    if not is_folder(inputs):
        what = f"is a file; for single files use `{as_typed('enhance')}`" if status(inputs) else "does not exist"
        raise PictureError(f"the folder {inputs} {what}")
    if real_path(out) == real_path(inputs):
        raise OutputError(f"the output folder {out} is the input folder itself; choose another")
    traversal = _Traversal(inputs, real_path(out), recursive, may_open)
    entries = Entries(inputs, dict(traversal.folders()), name_limit(out))
    left_out = {reason: tuple(sorted(names)) for reason, names in sorted(traversal.left_out.items())}
    return WorkList(entries, traversal.others, tuple(left_out.items()))


_SUFFIXES = READABLE | NOT_READABLE


def is_picture(name: str) -> bool:
    """Whether a file of this name is taken for a picture."""
    return suffix_of(name.rpartition("/")[2]).lower() in _SUFFIXES


class _Traversal:
    """One traversal of a folder. `others` and `left_out` are complete when `folders` has ended."""

    def __init__(self, inputs: Path, out: Path, recursive: bool, may_open: MayOpen) -> None:
        self.others = 0
        self.left_out: dict[str, list[str]] = {}
        self._inputs = inputs
        self._out = out
        self._recursive = recursive
        self._may_open = may_open
        self._seen: set[tuple[int, int] | str] = set()
        self._links: deque[Path] = deque()

    def folders(self) -> Iterator[tuple[str, Texts]]:
        """Yield each sub-folder ('' at the top) with the names of its pictures: real folders first, then those that
        links lead to."""
        yield from self._pictures_in(self._inputs)
        while self._links:
            link = self._links.popleft()
            reason = self._reason_not_followed(link)
            if reason:
                self._leave_out(link, reason)
            else:
                yield from self._pictures_in(link)

    def _pictures_in(self, top: Path) -> Iterator[tuple[str, Texts]]:
        for place, folders, files in os.walk(top, onerror=self._on_error):
            here = Path(place)
            self._seen.add(identity(here))
            subfolders = self._subfolders(here, sorted(folders))
            folders[:] = subfolders if self._recursive else self._left_alone(here, subfolders)
            for hidden in sorted(name for name in files if name[0] == "." and is_picture(name)):
                self._leave_out(here / hidden, HIDDEN)
            files[:] = sorted(name for name in files if name[0] != ".")
            yield self._name(here).removeprefix("."), Texts(self._pictures_among(here, files))

    def _left_alone(self, here: Path, folders: Iterable[str]) -> tuple[str, ...]:
        for name in folders:
            self._leave_out(here / name, SUBFOLDERS)
        return ()

    def _subfolders(self, here: Path, folders: Iterable[str]) -> Iterator[str]:
        """Yield the real sub-folders; links are visited later."""
        for name in folders:
            folder = here / name
            if name[0] == ".":
                continue
            is_a_link = self._is_link(folder)
            if is_a_link is None:
                continue
            if is_a_link:
                self._links.append(folder)
            elif real_path(folder) == self._out:
                continue
            elif identity(folder) in self._seen:
                self._leave_out(folder, SEEN_LINK)
            else:
                yield name

    def _pictures_among(self, here: Path, files: Iterable[str]) -> Iterator[str]:
        # a `Path` only where one is needed, for a folder may hold a hundred thousand files
        prefix = f"{here}{os.sep}"
        for file in files:
            is_a_link = self._is_link(prefix + file)
            if is_a_link is None:
                continue
            if is_a_link and not self._may_open(real_path(here / file)):
                self._leave_out(here / file, FORBIDDEN_LINK)
            elif is_picture(file):
                yield file
            elif is_a_link and status(here / file) is None:
                self._leave_out(here / file, BROKEN_LINK)
            else:
                self.others += 1

    def _is_link(self, path: Path | str) -> bool | None:
        """Whether the path is a link; None, and left out, where that cannot be told. A folder that may be listed and
        not looked into is left out as a whole, once."""
        try:
            return is_link(path)
        except PermissionError as error:
            self._leave_out_unreachable(Path(path).parent, error)
        except OSError as error:
            self._leave_out_unreachable(Path(path), error)
        return None

    def _reason_not_followed(self, link: Path) -> str:
        target = real_path(link)
        if not self._may_open(target):
            return FORBIDDEN_LINK
        if self._out == target or self._out in target.parents:
            return OUTPUT_LINK
        if identity(link) in self._seen or target in real_path(self._inputs).parents:
            return SEEN_LINK
        return ""

    def _on_error(self, error: OSError) -> None:
        self._leave_out_unreachable(Path(error.filename), error)

    def _leave_out_unreachable(self, path: Path, error: OSError) -> None:
        if path == self._inputs:
            raise PictureError(f"the folder {self._inputs} cannot be read: {error.strerror}") from error
        if isinstance(error, PermissionError):
            self._leave_out(path, NOT_ALLOWED)
        elif error.errno == errno.ENAMETOOLONG:
            self._leave_out(path, TOO_LONG)
        else:
            self._leave_out(path, f"could not be looked into ({error.strerror})")

    def _leave_out(self, path: Path, reason: str) -> None:
        names = self.left_out.setdefault(reason, [])
        if self._name(path) not in names[-1:]:
            names.append(self._name(path))

    def _name(self, path: Path) -> str:
        return path.relative_to(self._inputs).as_posix()


def entries_of(inputs: Path, names: Iterable[str], limit: int) -> Entries:
    """Return the pictures of these names, relative to `inputs`, with stems of at most `limit` bytes."""
    by_folder: dict[str, list[str]] = {}
    for name in names:
        folder, _, own = name.rpartition("/")
        by_folder.setdefault(folder, []).append(own)
    return Entries(inputs, by_folder, limit)
