"""A file of lines that is only ever added to, by whole lines."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


class Lines:
    """Adds to the end of a file, which is made when there is none. Raises OSError when it cannot be written.

    A line that does not fit on the disk is taken back as far as it came, so that none is ever left half-written.
    """

    def __init__(self, path: Path) -> None:
        # unbuffered, for a buffer would try again when the file is closed
        self._file = path.open("ab", buffering=0)

    @property
    def is_empty(self) -> bool:
        """Whether there is no line yet."""
        return not self._size()

    def add(self, text: str, sync: bool = False) -> int:
        """Add a line with its end; `sync`: it is on disk when this returns. Returns where it begins.

        What is not UTF-8 (file names may hold it) is written with backslashes.
        """
        begin = self._size()
        try:
            self._write(text.encode("utf-8", "backslashreplace"))
            if sync:
                os.fsync(self._file.fileno())
        except OSError:
            with suppress(OSError):
                self.take_back(begin)
            raise
        return begin

    def take_back(self, begin: int) -> None:
        """Remove the line that begins there, and all after it."""
        os.ftruncate(self._file.fileno(), begin)

    def close(self) -> None:
        """Give back the file; every line is already in it."""
        self._file.close()

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) or 0 :]

    def _size(self) -> int:
        return os.fstat(self._file.fileno()).st_size
