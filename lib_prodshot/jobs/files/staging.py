"""Files that appear all together or not at all, and one writer in a folder at a time."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from types import TracebackType

from lib_prodshot.errors import OutputError
from lib_prodshot.locks import exclusive

STATE_FOLDER = ".prodshot"
"""In an output folder: the lock, and what a folder job keeps for itself."""

_NUMBERS = count()

_LONGEST_SUFFIX = 16


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Keep every other run out of the output folder while the block runs, for each would drop the other's report
    lines. Raises `OutputError` when another run is there, or when the folder cannot be written."""

    def refuse() -> None:
        raise OutputError(f"another run is working on {folder}; wait for it or choose another output folder")

    state = folder / STATE_FOLDER
    with ExitStack() as held:
        try:
            state.mkdir(exist_ok=True)
            held.enter_context(exclusive(state / "lock", refuse))
        except OSError as problem:
            raise output_error(folder, problem) from problem
        yield


class Staging:
    """Collects the files of one picture under temporary names and puts all of them in place at the end.

    Use as a context manager: write each file to the path that `path(name)` gives. Leaving the block puts every file
    on disk (fsync), then gives it its name (atomic rename on every platform); leaving by an exception removes them,
    and when one cannot get its name the others lose theirs again, so that nothing half-written remains. Raises
    `OutputError` when the folder cannot be written.

    `modified`: the files' modification time, in nanoseconds since 1970. Where the file system does not take it the
    files stand all the same, and `time_note` says so.
    """

    def __init__(self, folder: Path, modified: int | None = None) -> None:
        self.folder = folder
        self.time_note = ""
        self._modified = modified
        self._staged: dict[Path, Path] = {}

    def path(self, name: str) -> Path:
        """A temporary path in the same folder for the file `name`; its suffix is the same."""
        # process and running number keep other runs and threads apart, and a long name from growing too long
        suffix = short_suffix(Path(name))
        temporary = self.folder / f".prodshot-{os.getpid()}-{next(_NUMBERS)}{suffix}"
        self._staged[temporary] = self.folder / name
        return temporary

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._put_in_place()
        except OSError as problem:
            raise output_error(self.folder, problem) from problem
        finally:
            for temporary in self._staged:
                _remove_if_possible(temporary)
        if isinstance(error, OSError):
            raise output_error(self.folder, error) from error

    def _put_in_place(self) -> None:
        for temporary in self._staged:
            self._set_time(temporary)
            _flush(temporary)
        self._give_names()
        _flush_folder(self.folder)

    def _set_time(self, temporary: Path) -> None:
        if self._modified is None:
            return
        try:
            os.utime(temporary, ns=(self._modified, self._modified))
        except (OSError, OverflowError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else str(problem)
            self.time_note = f"the file's modification time could not be kept ({reason})"

    def _give_names(self) -> None:
        """Rename all, or none: what stood under a name before is kept until the last file has its own."""
        former: dict[Path, Path | None] = {}
        try:
            for temporary, final in self._staged.items():
                former[final] = self._kept(final)
                temporary.replace(final)
        except OSError:
            for final, kept in former.items():
                if kept is not None:
                    kept.replace(final)
                else:
                    final.unlink(missing_ok=True)
            raise
        finally:
            for kept in former.values():
                if kept is not None:
                    _remove_if_possible(kept)

    def _kept(self, final: Path) -> Path | None:
        """A second name for the file that has the name `final`; None when there is none."""
        if final.is_dir():
            raise IsADirectoryError(errno.EISDIR, f"a folder has the name {final.name}")
        second = self.folder / f".prodshot-{os.getpid()}-{next(_NUMBERS)}.former"
        try:
            os.link(final, second)
        except FileNotFoundError:
            return None
        except OSError:
            # a file system without links: a copy does as well
            shutil.copyfile(final, second)
        return second


def output_error(folder: Path, problem: OSError) -> OutputError:
    """An operating system's complaint about writing into `folder`, in one sentence."""
    return OutputError(f"cannot write into {folder}: {problem.strerror or problem}")


def short_suffix(path: Path) -> str:
    """The name's ending with its dot; '' for one so long that it is none."""
    return path.suffix if len(os.fsencode(path.suffix)) <= _LONGEST_SUFFIX else ""


def _remove_if_possible(temporary: Path) -> None:
    """What cannot be removed now is found by the next run."""
    with suppress(OSError):
        temporary.unlink()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows keeps no handle on folders; NTFS journals the rename itself
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
