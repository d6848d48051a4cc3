"""The directories of a TIFF, and of the EXIF block that is one, tag by tag in the bytes that stand in the file.

Nothing is interpreted, so that nothing is lost: texts in any encoding, numbers of any type and private tags come back
as they were. Sources: Adobe, "TIFF Revision 6.0"; "BigTIFF" (libtiff); CIPA DC-008, "Exif 2.32", section 4.6.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

SUBDIRECTORIES = {34665: "EXIF", 34853: "GPS", 40965: "interoperability"}
"""Tags whose value points to a directory that belongs to the picture's description."""

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
POINTER_TYPES = (13, 18)
"""IFD and IFD8: addresses in the old file."""

_MOST_ENTRIES = 4096
_DEEPEST = 3


class TagsError(ValueError):
    """A directory that cannot be what it says."""


@dataclass(frozen=True)
class Entry:
    """One tag: its type and count as in the file, its value in the file's byte order; or a directory."""

    type: int
    count: int
    data: bytes
    inside: Mapping[int, Entry] | None = None


@dataclass(frozen=True)
class Tags:
    """The first directory of a TIFF. `order` is struct's '<' or '>'; `pages` the directories in the file's chain."""

    order: str
    big: bool
    entries: Mapping[int, Entry] = field(default_factory=dict)
    pages: int = 1

    def numbers(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The value of an integer tag; `default` where it is absent or of another type."""
        entry = self.entries.get(tag)
        if entry is None or entry.type not in _INTEGERS:
            return default
        return struct.unpack(f"{self.order}{entry.count}{_INTEGERS[entry.type]}", entry.data)

    def number(self, tag: int, default: int) -> int:
        """The first number of an integer tag."""
        return (self.numbers(tag) or (default,))[0]

    def entry(self, kind: int, *values: int) -> Entry:
        """A tag of ours in this file's byte order; `kind` is BYTE, SHORT, LONG, or RATIONAL with pairs."""
        letter = "I" if kind == RATIONAL else _INTEGERS[kind]
        data = struct.pack(f"{self.order}{len(values)}{letter}", *values)
        return Entry(kind, len(values) // (2 if kind == RATIONAL else 1), data)


def is_tiff(head: bytes) -> bool:
    """Whether a file that begins so is a TIFF, classic or big, or an EXIF block."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read(file: BinaryIO, strict: bool = True) -> Tags:
    """The first directory of the TIFF in `file`, and how many there are. Raises `TagsError`; not for a tag whose value
    lies beyond the end, which is left out, unless `strict`."""
    file.seek(0, 2)
    size = file.tell()
    file.seek(0)
    head = file.read(16)
    if not is_tiff(head):
        raise TagsError("it has no TIFF header")
    order, big = "<" if head[:1] == b"I" else ">", 43 in head[2:4]
    reader = _Reader(file, size, order, big, strict)
    try:
        (first,) = struct.unpack(f"{order}{'Q' if big else 'I'}", head[8:16] if big else head[4:8])
        entries, following = reader.directory(first, 0)
        return Tags(order, big, entries, 1 + reader.count(following, first))
    except struct.error as error:
        raise TagsError("its directory is cut short") from error


class _Reader:
    def __init__(self, file: BinaryIO, size: int, order: str, big: bool, strict: bool) -> None:
        self._file, self._size, self._order, self._big, self._strict = file, size, order, big, strict
        self._entry = struct.Struct(f"{order}HHQ8s" if big else f"{order}HHI4s")
        self._count = struct.Struct(f"{order}Q" if big else f"{order}H")
        self._offset = struct.Struct(f"{order}Q" if big else f"{order}I")

    def directory(self, offset: int, depth: int) -> tuple[dict[int, Entry], int]:
        """A directory's tags, and where the next directory of the chain is (0: nowhere)."""
        count = self._number(offset, self._count)
        if not 0 < count <= _MOST_ENTRIES:
            raise TagsError(f"its directory claims {count} tags")
        table = self._bytes(offset + self._count.size, count * self._entry.size)
        entries: dict[int, Entry] = {}
        for tag, kind, number, value in self._entry.iter_unpack(table):
            entry = self._read(tag, kind, number, value, depth)
            if entry is not None:
                entries.setdefault(tag, entry)
        end = offset + self._count.size + len(table)
        try:
            return entries, self._number(end, self._offset)
        except struct.error:  # some writers leave out the last pointer
            return entries, 0

    def _read(self, tag: int, kind: int, number: int, value: bytes, depth: int) -> Entry | None:
        length = number * _SIZES.get(kind, 0)
        if not length:
            return None
        if length > len(value):
            (place,) = self._offset.unpack(value)
            if place + length > self._size and not self._strict:
                return None
            if place + length > self._size:
                raise TagsError(f"its tag {tag} lies beyond its end")
            data = self._bytes(place, length)
        else:
            data = value[:length]
        entry = Entry(kind, number, data)
        if tag not in SUBDIRECTORIES or depth >= _DEEPEST or kind not in _INTEGERS:
            return entry
        (place,) = struct.unpack(f"{self._order}{_INTEGERS[kind]}", data[: _SIZES[kind]])
        try:
            inside, _ = self.directory(place, depth + 1)
        except (TagsError, struct.error):  # a description that cannot be read is no reason to refuse the pixels
            return Entry(kind, number, data, {})
        return Entry(kind, number, data, inside)

    def count(self, offset: int, first: int) -> int:
        """How many directories follow; a chain that bites its own tail ends there."""
        seen = {first, 0}
        while offset not in seen and len(seen) < _MOST_ENTRIES:
            seen.add(offset)
            try:
                tags = self._number(offset, self._count)
                offset = self._number(offset + self._count.size + tags * self._entry.size, self._offset)
            except struct.error:
                break
        return len(seen) - 2

    def _number(self, offset: int, of: struct.Struct) -> int:
        return int(of.unpack(self._bytes(offset, of.size))[0])

    def _bytes(self, offset: int, length: int) -> bytes:
        if offset > self._size:
            return b""
        self._file.seek(offset)
        return self._file.read(length)


def encode(tags: Tags, start: int) -> tuple[bytes, int]:
    """The directory and all its values as they stand in a file from `start` on, and the directory's own offset."""
    writer = _Writer(tags.order, tags.big, start)
    offset = writer.directory(tags.entries)
    return bytes(writer.blob), offset


def header(tags: Tags, directory: int) -> bytes:
    """The first 8 (BigTIFF: 16) bytes of a file whose directory is at that offset."""
    mark = b"II" if tags.order == "<" else b"MM"
    if tags.big:
        return mark + struct.pack(f"{tags.order}HHHQ", 43, 8, 0, directory)
    return mark + struct.pack(f"{tags.order}HI", 42, directory)


class _Writer:
    def __init__(self, order: str, big: bool, start: int) -> None:
        self.blob = bytearray()
        self._start, self._order, self._big = start, order, big

    def directory(self, entries: Mapping[int, Entry]) -> int:
        offset = f"{self._order}Q" if self._big else f"{self._order}I"
        room = 8 if self._big else 4
        table = b""
        for tag in sorted(entries):
            entry = entries[tag]
            kind, count, data = entry.type, entry.count, entry.data
            if entry.inside is not None:
                kind, count = LONG, 1
                data = struct.pack(f"{self._order}I", self.directory(entry.inside))
            if len(data) > room:
                data = struct.pack(offset, self._place(data))
            table += struct.pack(f"{self._order}HH{'Q' if self._big else 'I'}", tag, kind, count)
            table += data.ljust(room, b"\0")
        head = struct.pack(f"{self._order}{'Q' if self._big else 'H'}", len(entries))
        return self._place(head + table + bytes(room))

    def _place(self, data: bytes) -> int:
        if (self._start + len(self.blob)) % 2:
            self.blob += b"\0"
        self.blob += data
        return self._start + len(self.blob) - len(data)


def without(entries: Mapping[int, Entry], tags: Iterable[int]) -> dict[int, Entry]:
    """A copy that lacks some tags, and every tag whose value is an address in the old file."""
    left_out = set(tags)
    return {
        tag: entry
        for tag, entry in entries.items()
        if tag not in left_out and not (entry.type in POINTER_TYPES and entry.inside is None)
    }
