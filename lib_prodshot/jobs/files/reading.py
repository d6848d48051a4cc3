"""Safe access to input files: links, pipes and devices under a picture's name, disks that do not answer."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import BinaryIO, TypeVar

_T = TypeVar("_T")

Stamp = tuple[int, int]
"""Size in bytes and modification time in nanoseconds since 1970."""

READ_TIMEOUT = 600.0
"""Seconds after which a picture whose file is still being read and decoded has failed. The largest pictures take some
seconds; more than that is a disk that does not answer, or a file made to keep a decoder busy."""

_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading, unbuffered; links are followed.

    Raises OSError, also for all that is no regular file: opening a pipe would wait for whoever writes into it, and
    opening a device may set it in motion.
    """
    _refuse_special(path.stat().st_mode)
    # without O_NONBLOCK a pipe that took the file's place just now would make us wait all the same
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _refuse_special(os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb", buffering=0)
    except BaseException:
        os.close(descriptor)
        raise


def _refuse_special(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((words for is_kind, words in _KINDS if is_kind(mode)), "something else")
        raise OSError(errno.EINVAL, f"it is {kind}, not a file")


def with_timeout(seconds: float, work: Callable[[], _T]) -> _T:
    """Run `work` in a thread of its own and return its result.

    Raises what `work` raises, and TimeoutError when it takes longer. Nothing can end a read that hangs, so its thread
    is left behind and ends with the process (the interpreter would wait for an executor's threads).
    """
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # whatever it is, it is the caller's
            future.set_exception(error)

    thread = Thread(target=run, name="prodshot-reading", daemon=True)
    thread.start()
    thread.join(seconds)
    if not future.done():
        raise TimeoutError(errno.ETIMEDOUT, f"no answer within {seconds:g} s")
    return future.result()


def identity(folder: Path) -> tuple[int, int] | str:
    """Return a key that all names of a folder share: device and inode, else the resolved path."""
    found = status(folder)
    return (found.st_dev, found.st_ino) if found is not None and found.st_ino else os.path.realpath(folder)


def is_link(path: Path | str) -> bool:
    """Return whether this is a link; False where nothing is there.

    Raises OSError where that cannot be told (`Path.is_symlink` raises, or says False, by the version of Python).
    """
    try:
        return stat.S_ISLNK(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def entries_of(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted.

    Raises OSError, also for a folder that may be listed and not looked into: it tells names and nothing more.
    """
    entries = sorted(folder.iterdir())
    with suppress(FileNotFoundError):
        for path in entries[:1]:
            path.lstat()
    return entries


def is_folder(path: Path) -> bool:
    """Return whether this is a folder; False where that cannot be told (`Path.is_dir` raises)."""
    found = status(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def is_file(path: Path) -> bool:
    """Return whether this is a regular file; False also for a name that is too long (`Path.is_file` raises)."""
    found = status(path)
    return found is not None and stat.S_ISREG(found.st_mode)


def status(path: Path) -> os.stat_result | None:
    """Return the status of a path, links followed; None where nothing can be reached."""
    try:
        return path.stat()
    except (OSError, ValueError):
        return None


def stamp_of(path: Path) -> Stamp | None:
    """Return size and modification time of a file, by which a change is detected; None when it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def is_unchanged(path: Path, stamp: Stamp | None) -> bool:
    """Return whether the file still has this stamp. One that has none, then or now, counts as changed."""
    return stamp is not None and stamp_of(path) == stamp


def real_path(path: Path) -> Path:
    """Resolve all links of a path, also broken and cyclic ones (`Path.resolve` raises for those)."""
    return Path(os.path.realpath(path))
