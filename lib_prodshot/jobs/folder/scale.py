"""One scale for a folder: the sizes of its products, measured before the first is framed, and kept for the next run."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from lib_prodshot.jobs.files.staging import output_error
from lib_prodshot.jobs.folder.work_list import Entry
from lib_prodshot.jobs.scale import Size, measured_size, reference_text
from lib_prodshot.jobs.seeds import content_of
from lib_prodshot.outcome import Outcome


class SizeBook:
    """The sizes of a folder's products by picture, on disk as lines of JSON. Thread-safe.

    A size counts as long as the picture's content is the same and it was found by the same `settings`. A picture
    without products has none; one that failed is measured again by the next run.
    """

    def __init__(self, path: Path, settings: str) -> None:
        self._path = path
        self._settings = settings
        self._lock = threading.Lock()
        self._sizes: dict[tuple[str, str], Size | None] = {}
        self._keys: dict[str, tuple[str, str] | None] = {}
        with suppress(OSError):
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                # a line cut short by a power failure is measured again
                with suppress(ValueError, TypeError):
                    name, content, by, size = json.loads(line)
                    if by == settings:
                        self._sizes[name, content] = None if size is None else (int(size[0]), int(size[1]))

    def knows(self, entry: Entry) -> bool:
        """Whether this picture's size was found before. One that cannot be read has none."""
        return self._key(entry) in self._sizes

    def add(self, entry: Entry, outcome: Outcome) -> None:
        """Take what was found in a picture. Raises `OutputError`."""
        key = self._key(entry)
        if outcome.status == "failed" or key is None:
            return
        size = measured_size(outcome)
        line = json.dumps([*key, self._settings, size]) + "\n"
        with self._lock:
            self._sizes[key] = size
            try:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(line)
            except OSError as problem:
                raise output_error(self._path.parent, problem) from problem

    def reference(self, entries: Iterable[Entry]) -> str:
        """The reference for all of these, as the setting has it; '' where nothing was found."""
        keys = (self._key(entry) for entry in entries)
        return reference_text(self._sizes.get(key) for key in keys if key is not None)

    def _key(self, entry: Entry) -> tuple[str, str] | None:
        if entry.name not in self._keys:
            self._keys[entry.name] = None
            with suppress(OSError):
                content = entry.stored.version if entry.stored else content_of(entry.source)
                self._keys[entry.name] = entry.name, content
        return self._keys[entry.name]
