"""Thumbnails kept from when each picture was done, so that the contact sheet of a long job is written in seconds.

One JSON line for each picture, appended as the job goes. Nothing here is needed: what is missing, torn or out of date
is drawn again from the pictures.
"""

from __future__ import annotations

import json
import threading
from dataclasses import astuple
from pathlib import Path
from typing import Any, BinaryIO

from lib_prodshot.errors import OutputError
from lib_prodshot.jobs.files.reading import within
from lib_prodshot.jobs.files.staging import Staging, output_error
from lib_prodshot.jobs.processor import READ_PATIENCE
from lib_prodshot.jobs.report.ledger import Line
from lib_prodshot.jobs.report.thumbnails import Encoded, EncodedThumbnails, encode, thumbnails_of

FILE_NAME = "thumbnails.jsonl"


class ThumbnailStore:
    """The thumbnails of the job in `out`, at most `side` pixels high and wide; for any number of threads.

    Where they cannot be kept they are drawn whenever they are asked for.
    """

    def __init__(self, folder: Path, out: Path, inputs: Path, side: int) -> None:
        self._path = folder / FILE_NAME
        self._out = out
        self._inputs = inputs
        self._side = side
        self._places: dict[str, tuple[str, int]] = {}
        self._guard = threading.Lock()
        self._file: BinaryIO | None = None
        try:
            self._find_places()
            self._file = self._path.open("ab")
        except (OSError, OutputError):
            self._places.clear()

    def draw(self, line: Line) -> EncodedThumbnails:
        """Thumbnails of a picture that is done, from its files; none of a file that could not be read."""
        if not line.get("sha256"):
            return None, None, None
        try:
            return within(READ_PATIENCE, lambda: encode(thumbnails_of(line, self._out, self._side, self._inputs)))
        except TimeoutError:
            return None, None, None

    def add(self, line: Line, pictures: EncodedThumbnails) -> None:
        """Keep them."""
        name, state = str(line.get("file")), _state_of(line, self._side)
        kept = {"file": name, "of": state, "pictures": [_plain(one) for one in pictures]}
        with self._guard:
            if self._file is None:
                return
            try:
                place = self._file.tell()
                self._file.write(json.dumps(kept).encode() + b"\n")
                self._file.flush()
            except OSError as problem:
                raise output_error(self._path.parent, problem) from problem
            self._places[name] = (state, place)

    def get(self, line: Line) -> EncodedThumbnails:
        """Those kept, else drawn now."""
        with self._guard:
            state, place = self._places.get(str(line.get("file")), ("", 0))
        if state == _state_of(line, self._side):
            with self._path.open("rb") as file:
                file.seek(place)
                kept = _read(file.readline())
            if kept is not None:
                first, second, third = kept["pictures"]
                return _encoded(first), _encoded(second), _encoded(third)
        pictures = self.draw(line)
        self.add(line, pictures)
        return pictures

    def close(self) -> None:
        """Nothing more will be added."""
        if self._file is not None:
            self._file.close()

    def _find_places(self) -> None:
        """Where each picture's last line begins; a file that is mostly out of date is written anew."""
        lines, place = 0, 0
        if self._path.exists():
            with self._path.open("rb") as file:
                for data in file:
                    lines += 1
                    kept = _read(data)
                    if kept is not None:
                        self._places[kept["file"]] = (kept["of"], place)
                    place += len(data)
        if lines <= 2 * len(self._places) and _ends_well(self._path):
            return
        with Staging(self._path.parent) as staging, staging.path(FILE_NAME).open("wb") as fresh:
            self._copy_kept(fresh)

    def _copy_kept(self, fresh: Any) -> None:
        moved: dict[str, tuple[str, int]] = {}
        if self._places:
            with self._path.open("rb") as file:
                for name, (state, place) in self._places.items():
                    file.seek(place)
                    moved[name] = (state, fresh.tell())
                    fresh.write(file.readline())
        self._places = moved


def _read(data: bytes) -> dict[str, Any] | None:
    """A line that is whole."""
    try:
        kept = json.loads(data)
        for plain in kept["pictures"]:
            _encoded(plain)
        whole = isinstance(kept["file"], str) and isinstance(kept["of"], str) and len(kept["pictures"]) == 3
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return kept if whole and data.endswith(b"\n") else None


def _ends_well(path: Path) -> bool:
    if not path.exists() or not path.stat().st_size:
        return path.exists()
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read() == b"\n"


def _state_of(line: Line, side: int) -> str:
    """Changes whenever the thumbnails do."""
    return f"{line.get('sha256')} {line.get('settings')} {line.get('status')} {side}"


def _plain(picture: Encoded | None) -> list[Any] | None:
    return None if picture is None else list(astuple(picture))


def _encoded(plain: list[Any] | None) -> Encoded | None:
    return None if plain is None else Encoded(*plain)
