"""What goes to a terminal."""

from __future__ import annotations


def shown(text: str) -> str:
    """Text for one line of a terminal: letters that would move its cursor, colour it or break the line (file names may
    hold any) stand there as escapes."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )
