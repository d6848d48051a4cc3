"""Caption files: parsing as sd-scripts does, and editing of tags.

A caption is a comma-separated list of tags; activation tags are the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

# pre-tokenization of CLIP's tokenizer; every match is one token or more
_PIECES = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|[^\s\w]+|_+", re.IGNORECASE)

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
"""Characters that no text editor writes; NUL bytes occur in UTF-16 without a mark."""

_BYTE_ORDER_MARKS = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
"""Byte order marks of what Windows' editors call Unicode (Unicode Standard, section 23.8)."""


@dataclass(frozen=True)
class Caption:
    """A caption file: its text as sd-scripts takes it (the first line), and what is wrong with the file.

    `fatal` problems end or spoil a training run; with a `problem` another text is trained than the file holds.
    `remaining_lines` are those after the first; `has_bom`: a byte order mark precedes the text. A caption that is not
    `readable` exists, but its text is unknown.
    """

    text: str
    fatal: str = ""
    problem: str = ""
    remaining_lines: str = ""
    has_bom: bool = False
    readable: bool = True


def read_caption(path: Path) -> Caption:
    """Read a caption file; one that cannot be opened is not `readable`, as one that is no text."""
    try:
        # never a pipe or a device: reading from one may not end
        data = path.read_bytes() if path.is_file() else None
    except OSError as error:
        return _unreadable(f"the caption cannot be read: {(error.strerror or str(error)).lower()}")
    if data is None:
        return _unreadable(f"this stands where a caption is looked for and is no file: {_kind_of(path)}")
    if not data:
        return Caption("", fatal="the caption file is empty")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        kind = next((f"{name}, " for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), "")
        return _unreadable(f"the caption is {kind}not UTF-8 (byte {error.start}): save it as UTF-8")
    strange = _CONTROL.search(text)
    if strange:
        is_wide = strange[0] == "\0"
        kind = "NUL characters, as UTF-16 does" if is_wide else f"the control character {ord(strange[0]):#04x}"
        return _unreadable(f"the caption holds {kind}, and is no plain text: save it as UTF-8")
    return _parse(text)


def _unreadable(why: str) -> Caption:
    return Caption("", fatal=why, readable=False)


def _kind_of(path: Path) -> str:
    if path.is_symlink() and not path.exists():
        return "a link to nothing"
    return "a folder" if path.is_dir() else "a pipe or device"


def _parse(text: str) -> Caption:
    first, _, remaining_lines = text.partition("\n")
    has_bom = first.startswith("\ufeff")
    first = first.lstrip("\ufeff").strip()
    if has_bom:
        problem = "it begins with a byte order mark: save it as plain UTF-8"
    elif not first:
        reason = "its first line is empty" if remaining_lines.strip() else "it holds nothing but space"
        problem = f"{reason}, so it trains as an empty caption"
    elif remaining_lines.strip():
        problem = "the caption has several lines, of which only the first counts"
    else:
        return Caption(first)
    return Caption(first, problem=problem, remaining_lines=remaining_lines, has_bom=has_bom)


def count_tokens(text: str) -> int:
    """The least number of CLIP tokens that a caption has: words, digits and runs of signs; rare words have more."""
    return len(_PIECES.findall(text))


def split_tags(text: str) -> list[str]:
    """The parts between commas, without empty ones."""
    return [part.strip() for part in text.split(",") if part.strip()]


@dataclass(frozen=True)
class TagEdit:
    """An edit of the tags of every caption, in this order: remove tags, replace tags, put activation tags first.

    `search` tags (any of them, or all with `need_all`) are replaced by `replacement`; with `new_first` those that are
    new come first instead of last. Source: the seed's notebook, "Curate your tags".
    """

    first: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    replacement: tuple[str, ...] = ()
    need_all: bool = False
    new_first: bool = False

    def apply(self, text: str) -> str:
        """The caption after the edit; applying it twice changes nothing more."""
        tags = _without(split_tags(text), self.remove)
        if self._matches(tags):
            tags = self._replace(tags)
        return ", ".join(_put_first(tags, self.first))

    def _matches(self, tags: Sequence[str]) -> bool:
        if not self.search:
            return False
        return all(tag in tags for tag in self.search) if self.need_all else any(tag in tags for tag in self.search)

    def _replace(self, tags: Sequence[str]) -> list[str]:
        remaining = _without(tags, self.search)
        again = [tag for tag in self.replacement if tag in self.search]
        new = [tag for tag in self.replacement if tag not in self.search]
        remaining += _without(again, remaining)
        return _put_first(remaining, new) if self.new_first else [*remaining, *_without(new, remaining)]


def _without(tags: Iterable[str], unwanted: Iterable[str]) -> list[str]:
    excluded = set(unwanted)
    return [tag for tag in tags if tag not in excluded]


def _put_first(tags: Iterable[str], first: Sequence[str]) -> list[str]:
    return [*first, *_without(tags, first)]
