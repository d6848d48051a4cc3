"""Input files as they are met: links, pipes and devices under a picture's name, disks that do not answer."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import BinaryIO, TypeVar

_T = TypeVar("_T")

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


def within(seconds: float, work: Callable[[], _T]) -> _T:
    """What `work` returns; it runs in a thread of its own. Raises what `work` raises, and TimeoutError when it takes
    longer than that. Nothing can end a read that hangs, so its thread is left behind and ends with the process."""
    answer: Future[_T] = Future()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:  # whatever it is, it is the caller's
            answer.set_exception(error)

    thread = Thread(target=run, name="prodshot-reading", daemon=True)
    thread.start()
    thread.join(seconds)
    if not answer.done():
        raise TimeoutError(errno.ETIMEDOUT, f"no answer within {seconds:g} s")
    return answer.result()


def identity(folder: Path) -> tuple[int, int] | str:
    """The same for every name of a folder: device and inode, or the path without links where there are no inodes."""
    found = status(folder)
    return (found.st_dev, found.st_ino) if found is not None and found.st_ino else os.path.realpath(folder)


def is_file(path: Path) -> bool:
    """Whether a regular file is there; no, too, for a name longer than names can be (`Path.is_file` raises)."""
    found = status(path)
    return found is not None and stat.S_ISREG(found.st_mode)


def status(path: Path) -> os.stat_result | None:
    """What stands there, links followed; None for nothing that can be reached."""
    try:
        return path.stat()
    except (OSError, ValueError):
        return None
