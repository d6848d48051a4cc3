"""Pictures as text: base64 in every usual writing, and data URLs (RFC 2397). What would decode to other bytes than
those that were meant is refused by name."""

from __future__ import annotations

import base64
import re
from urllib.parse import unquote, unquote_to_bytes

from lib_prodshot.errors import PictureError

# media type and parameters up to the first comma; a quoted parameter may hold one
_DATA_URL = re.compile(r'data:(?P<head>(?:[^,"]|"[^"]*")*|[^,]*),', re.IGNORECASE)
_HEAD_LETTERS = 4_096
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_PATH = re.compile(r"[^\n]{0,1000}\.[a-z][a-z0-9]{1,4}", re.IGNORECASE)
_LINE_BREAKS = re.compile(r"[\r\n]+")
_BLANKS = " \t\r\n"
_HELD_BLANKS = (
    "this is not base64: it holds blanks, as a form decoder leaves where '+' was; send it in JSON, or write '+' as %2B "
    "in a form"
)
_FOREIGN = re.compile(r"[^A-Za-z0-9+/]")
_URL_SAFE = str.maketrans("-_", "+/")
_PICTURE_CODES = (b"iVBORw0KGgo", b"/9j/", b"UklGR", b"R0lGOD", b"SUkqA", b"TU0AK", b"data:")
"""How base64 of a PNG, JPEG, WebP, GIF or TIFF begins, and a data URL."""


def is_path(text: str) -> bool:
    """Whether a text is a file's path, as base64 never is: it ends in a suffix."""
    return _PATH.fullmatch(text[:1_010]) is not None


def decode(text: str) -> bytes:
    """The bytes of base64 (RFC 4648, both alphabets, with or without padding, with line breaks) or of a data URL with
    any parameters, in base64 or percent-encoded.

    Raises `PictureError`: an address or a path, empty, a letter that is none of base64's (such as a blank, which a
    form decoder leaves of '+'), cut off, encoded twice.
    """
    if text.lstrip(_BLANKS)[:5].lower() == "data:":
        data = _decode_url(text.lstrip(_BLANKS))
    elif _ADDRESS.match(text[:40]) or is_path(text):
        raise PictureError("addresses and paths are not opened; send the picture itself")
    else:
        data = _decode_base64(text)
    if not data:
        raise PictureError("this is empty")
    refuse_code(data)
    return data


def refuse_code(data: bytes) -> None:
    """Raise `PictureError` where a picture's bytes should stand and its base64 does."""
    if data.startswith(_PICTURE_CODES):
        raise PictureError("its bytes are base64 once more: send the picture's own bytes, or encode them only once")


def _decode_url(text: str) -> bytes:
    match = _DATA_URL.match(text[:_HEAD_LETTERS])
    if match is None:
        raise PictureError("this data URL has no comma between its type and its data")
    _, *parameters = match["head"].split(";")
    content = text[match.end() :].lstrip(_BLANKS)
    if "base64" in (parameter.strip().lower() for parameter in parameters):
        return _decode_base64(unquote(content) if "%" in content else content)
    if not content.isascii() or re.search(r"\s", content):
        raise PictureError("this data URL is neither base64 nor percent-encoded: write 'data:image/png;base64,…'")
    return unquote_to_bytes(content)


def _decode_base64(text: str) -> bytes:
    lines = []
    for line in _LINE_BREAKS.split(text):
        bare = line.strip(" \t")
        # four letters are three bytes: where the count is odd, a blank at the line's end may have been its '+'
        if bare != line and len(bare) % 4:
            raise PictureError(_HELD_BLANKS)
        lines.append(bare)
    code = "".join(lines).translate(_URL_SAFE).rstrip("=")
    foreign = _FOREIGN.search(code)
    if foreign:
        raise PictureError(_foreign(code, foreign.start()))
    if len(code) % 4 == 1:
        raise PictureError("this is not base64: it ends within a byte, so a part of it is missing")
    return base64.b64decode(code + "=" * (-len(code) % 4))


def _foreign(code: str, place: int) -> str:
    letter = code[place]
    if letter in " \t":
        return _HELD_BLANKS
    if letter == "=":
        return "this is not base64: '=' stands within it, so something follows its end; send each picture by itself"
    if letter == '"' or (letter == "'" and place < 2):
        return "this is not base64: it is in quotation marks; send what is between them"
    if letter == "%":
        return "this is not base64: it is percent-encoded ('%'); decode that first"
    told = f"{letter!r} (U+{ord(letter):04X})"
    return f"this is not base64: letter {place + 1} is {told}; only A-Z, a-z, 0-9, '+', '/' and '=' may stand there"
