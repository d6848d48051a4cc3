"""A text file that only grows, by whole lines."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


class AppendOnlyFile:
    """Appends lines to a file, which is created when there is none. Raises OSError when it cannot be written.

    A line that does not fit on the disk is truncated again, so that none is ever left half-written.
    """

    def __init__(self, path: Path) -> None:
        # unbuffered, for a buffer would try again when the file is closed
        self._file = path.open("ab", buffering=0)

    def append(self, text: str, sync: bool = False) -> int:
        """Append a line with its line end; `sync`: it is on disk when this returns. Returns its offset in bytes.

        What is not UTF-8 (file names may hold it) is written with backslashes.
        """
        offset = os.fstat(self._file.fileno()).st_size
        try:
            self._write(text.encode("utf-8", "backslashreplace"))
            if sync:
                os.fsync(self._file.fileno())
        except OSError:
            with suppress(OSError):
                self.truncate(offset)
            raise
        return offset

    def truncate(self, offset: int) -> None:
        """Remove the line at this offset, and all after it."""
        os.ftruncate(self._file.fileno(), offset)

    def close(self) -> None:
        """Close the file; every line is already in it."""
        self._file.close()

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) or 0 :]
