"""Atomic output: files that appear all together or not at all, and one writer in a folder at a time."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType

from lib_prodshot.errors import OutputError, RequestError
from lib_prodshot.jobs.files.names import short_suffix
from lib_prodshot.locks import exclusive

STATE_FOLDER = ".prodshot"
"""In an output folder: the lock, and what a folder job keeps for itself."""

MIN_FREE_BYTES = 64 * 2**20
"""With fewer free bytes on the disk a folder job stops, instead of failing every further picture."""

_NUMBERS = count()
_POLL_SECONDS = 0.05


@contextmanager
def sole_writer(folder: Path, patience: float = 0.0) -> Iterator[None]:
    """Lock the output folder while the block runs, for two runs would drop each other's report lines. `patience`:
    seconds that another run has to leave it.

    Raises `OutputError` when another run is there, or when the folder cannot be written."""
    until = monotonic() + patience

    def refuse() -> None:
        raise OutputError(f"another run is working on {folder}; wait for it or choose another output folder")

    state = folder / STATE_FOLDER
    with ExitStack() as held:
        try:
            state.mkdir(exist_ok=True)
            while True:
                try:
                    held.enter_context(exclusive(state / "lock", refuse))
                    break
                except OutputError:
                    if monotonic() >= until:
                        raise
                    sleep(_POLL_SECONDS)
        except OSError as problem:
            raise output_error(folder, problem) from problem
        yield


class Staging:
    """Writes several files under temporary names and renames all of them at the end.

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
        """Return a temporary path in the same folder for the file `name`; its suffix is the same."""
        # process id and counter keep other runs and threads apart, and a long name from growing too long
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
                self._commit()
        except OSError as problem:
            raise output_error(self.folder, problem) from problem
        finally:
            for temporary in self._staged:
                _remove_if_possible(temporary)
        if isinstance(error, OSError):
            raise output_error(self.folder, error) from error

    def _commit(self) -> None:
        for temporary in self._staged:
            self._set_time(temporary)
            _flush(temporary)
        self._rename_all()
        _flush_folder(self.folder)

    def _set_time(self, temporary: Path) -> None:
        if self._modified is None:
            return
        try:
            os.utime(temporary, ns=(self._modified, self._modified))
        except (OSError, OverflowError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else str(problem)
            self.time_note = f"the file's modification time could not be kept ({reason})"

    def _rename_all(self) -> None:
        """Rename all, or none: what stood under a name before is kept until the last file has its own."""
        former: dict[Path, Path | None] = {}
        try:
            for temporary, final in self._staged.items():
                former[final] = self._second_name(final)
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

    def _second_name(self, final: Path) -> Path | None:
        """Link the file `final` under a second name and return that; None when there is no such file."""
        if final.is_dir():
            raise IsADirectoryError(errno.EISDIR, f"a folder has the name {final.name}")
        second = self.folder / f".prodshot-{os.getpid()}-{next(_NUMBERS)}.former"
        try:
            os.link(final, second)
        except FileNotFoundError:
            return None
        except OSError:  # a file system without hard links
            shutil.copyfile(final, second)
        return second


def output_error(folder: Path, problem: OSError) -> OutputError:
    """Return the error for an operating system's failure to write into `folder`, in one sentence."""
    return OutputError(f"cannot write into {folder}: {problem.strerror or problem}")


def make_folder(folder: Path) -> None:
    """Create the output folder. Raises `OutputError` when it cannot be made or written into."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise OutputError(f"cannot write into {folder}: permission denied")


@contextmanager
def new_folder(folder: Path, ours: Iterable[str] = ()) -> Iterator[None]:
    """Create the output folder; where the block refuses its request, what was not there before goes again, unless
    something stands in it but our state and files with one of the names `ours`. Raises `OutputError`."""
    made = absent_folders(folder)
    make_folder(folder)
    try:
        yield
    except RequestError:
        remove_unused(made, ours)
        raise


def absent_folders(folder: Path) -> list[Path]:
    """Return which of the folder and those above it are not there, itself first."""
    return [each for each in (folder, *folder.parents) if not os.path.lexists(each)]


def remove_unused(made: Sequence[Path], ours: Iterable[str] = ()) -> None:
    """Remove folders that this run has made, the first of them with our state and files of the names `ours` in it;
    those in which anything else stands stay."""
    if not made:
        return
    shutil.rmtree(made[0] / STATE_FOLDER, ignore_errors=True)
    for name in ours:
        _remove_if_possible(made[0] / name)
    inner = sorted((place for place in made[0].rglob("*") if place.is_dir() and not place.is_symlink()), reverse=True)
    for place in (*inner, *made):
        with suppress(OSError):
            place.rmdir()


def check_free_space(folder: Path) -> None:
    """Raise `OutputError` for a full disk, and for an output folder that is gone."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as problem:
        raise output_error(folder, problem) from problem
    if free < MIN_FREE_BYTES:
        raise OutputError(f"the disk of {folder} is full: free some space and give the same command again")


def remove_leftovers(folders: Iterable[Path], out: Path) -> list[str]:
    """Remove the temporary files of processes that were killed. Only under the folder's lock, before any work.

    Returns what cannot be removed, relative to `out`, as 'NAME (reason)'.
    """
    stuck = []
    for folder in folders:
        for leftover in _leftovers(folder):
            try:
                leftover.unlink(missing_ok=True)
            except OSError as problem:
                stuck.append(f"{leftover.relative_to(out).as_posix()} ({problem.strerror})")
    return sorted(stuck)


def _leftovers(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as inside:  # no list of all: it may be long
            names = [each.name for each in inside if each.name.startswith(".prodshot-")]
    except OSError:
        return  # nothing is made there before the picture's turn, and what is wrong is said then
    for name in names:
        process = name.split("-")[1]
        if process.isdecimal() and not is_another_running(int(process)):
            yield folder / name


def is_another_running(process: int) -> bool:
    """Whether a process of this number runs that is not this one; where that cannot be told, it does."""
    if process == os.getpid() or os.name == "nt":  # Windows has no signal 0
        return process != os.getpid()
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


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
