"""The cache of a job's thumbnails, made when each picture is done, so that a long contact sheet is written in seconds.

One JSON line for each picture, appended while the job runs. What is missing, torn or out of date is drawn again from
the pictures.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from lib_prodshot.errors import OutputError
from lib_prodshot.jobs.files.compact import DiskMap
from lib_prodshot.jobs.files.reading import READ_TIMEOUT, with_timeout
from lib_prodshot.jobs.files.staging import Staging, output_error
from lib_prodshot.jobs.report.ledger import Line
from lib_prodshot.jobs.report.rows import Row, Rows
from lib_prodshot.jobs.report.thumbnails import Encoded, EncodedThumbnails, Held, encode, thumbnails_of

FILE_NAME = "thumbnails.jsonl"


class ThumbnailStore:
    """The cached thumbnails of the job in `out`, at most `side` pixels high and wide; thread-safe.

    Where they cannot be stored they are drawn at each request.
    """

    def __init__(self, folder: Path, out: Path, inputs: Path, side: int) -> None:
        self._path = folder / FILE_NAME
        self._out = out
        self._inputs = inputs
        self._side = side
        self._places = DiskMap()
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._is_open = False

    def draw(self, line: Line, held: Held | None = None) -> EncodedThumbnails:
        """Draw the thumbnails of a finished picture from its files and what is `held` of them; none of a file that
        could not be read."""
        if not line.get("sha256"):
            return None, None, None
        try:
            return with_timeout(
                READ_TIMEOUT, lambda: encode(thumbnails_of(line, self._out, self._side, self._inputs, held))
            )
        except TimeoutError:
            return None, None, None

    def add(self, line: Line, pictures: EncodedThumbnails) -> None:
        """Store the thumbnails of a line."""
        name, state = str(line.get("file")), _state_of(line, self._side)
        kept = {"file": name, "of": state, "pictures": [one and _plain(one) for one in pictures]}
        with self._lock:
            self._open()
            if self._file is None:
                return
            try:
                offset = self._file.tell()
                self._file.write(json.dumps(kept).encode() + b"\n")
                self._file.flush()
            except OSError as problem:
                raise output_error(self._path.parent, problem) from problem
            self._places.put({name: f"{offset} {state}"})

    def get(self, line: Line) -> EncodedThumbnails:
        """Return the stored thumbnails, else draw and store them."""
        with self._lock:
            self._open()
            name = str(line.get("file"))
            offset, _, state = self._places.get([name]).get(name, "").partition(" ")
        if state == _state_of(line, self._side):
            with self._path.open("rb") as file:
                file.seek(int(offset))
                kept = _read(file.readline())
            if kept is not None:
                first, second, third = kept["pictures"]
                return _encoded(first), _encoded(second), _encoded(third)
        pictures = self.draw(line)
        self.add(line, pictures)
        return pictures

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
        self._places.close()

    def _open(self) -> None:
        """Open the file where that was not done yet: a job with nothing to do needs no thumbnail."""
        if self._is_open:
            return
        self._is_open = True
        try:
            self._index()
            self._file = self._path.open("ab")
        except (OSError, OutputError):
            self._places.close()

    def _index(self) -> None:
        """Index each picture's last line by its offset; rewrite a file that is mostly out of date."""
        whole = Rows()
        if self._path.exists():
            self._places.put(self._heads(whole))
        last = whole.latest()
        if len(whole) <= 2 * len(last) and _ends_well(self._path):
            return
        with Staging(self._path.parent) as staging, staging.path(FILE_NAME).open("wb") as fresh:
            self._copy_kept(last, fresh)

    def _heads(self, whole: Rows) -> Iterator[tuple[str, str]]:
        """Yield the name of each whole line with its place and state; the lines are also added to `whole`."""
        offset = 0
        with self._path.open("rb") as file:
            for data in file:
                head = _head(data)
                if head is not None:
                    whole.add(Row(head[0], offset))
                    yield head[0], f"{offset} {head[1]}"
                offset += len(data)

    def _copy_kept(self, rows: Rows, fresh: BinaryIO) -> None:
        if not len(rows):
            return
        with self._path.open("rb") as file:
            for offset in rows.offsets:
                file.seek(offset)
                data = file.readline()
                name, state = _head(data) or ("", "")
                self._places.put({name: f"{fresh.tell()} {state}"})
                fresh.write(data)


def _plain(one: Encoded) -> list[Any]:
    return [one.data, one.width, one.height]


_HEAD = re.compile(rb'\{("file": "(?:[^"\\]|\\.)*", "of": "[^"\\]*"), "pictures": \[.*\]\}\n')


def _head(data: bytes) -> tuple[str, str] | None:
    """The picture and its state of a line, without parsing its pictures; None for a line that is not whole."""
    whole = _HEAD.fullmatch(data)
    if whole is None:
        return None
    try:
        head = json.loads(b"{%s}" % whole[1])
    except ValueError:
        return None
    return head["file"], head["of"]


def _read(data: bytes) -> dict[str, Any] | None:
    """Parse a line; None for one that is not whole."""
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
    """Return a key that changes whenever the thumbnails do."""
    return f"{line.get('sha256')} {line.get('settings')} {line.get('status')} {side}"


def _encoded(plain: list[Any] | None) -> Encoded | None:
    return None if plain is None else Encoded(*plain)
