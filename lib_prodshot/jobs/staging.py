"""Files that appear all together or not at all."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path
from types import TracebackType

from lib_prodshot.errors import OutputError

_NUMBERS = count()


class Staging:
    """Collects the files of one picture under temporary names and puts all of them in place at the end.

    Use as a context manager: write each file to the path that `path(name)` gives. Leaving the block puts every file
    on disk (fsync), then gives it its name (atomic rename on every platform); leaving by an exception removes them,
    so that nothing half-written remains. Raises `OutputError` when the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._staged: dict[Path, Path] = {}

    def path(self, name: str) -> Path:
        """A temporary path in the same folder for the file `name`; its suffix is the same."""
        # process and running number keep other runs and threads apart, and a long name from growing too long
        temporary = self.folder / f".prodshot-{os.getpid()}-{next(_NUMBERS)}{Path(name).suffix}"
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
                temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise output_error(self.folder, error) from error

    def _put_in_place(self) -> None:
        for temporary in self._staged:
            _flush(temporary)
        for temporary, final in self._staged.items():
            temporary.replace(final)
        _flush_folder(self.folder)


def output_error(folder: Path, problem: OSError) -> OutputError:
    """An operating system's complaint about writing into `folder`, in one sentence."""
    return OutputError(f"cannot write into {folder}: {problem.strerror or problem}")


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
