"""Colours that a user writes."""

from __future__ import annotations


def parse_colour(text: str) -> tuple[int, int, int]:
    """'#f4f4f4', '#fff', 'rgb(244, 244, 244)' or a CSS name as red, green and blue (0..255, sRGB).

    Raises ValueError for anything else.

    >>> parse_colour("#F4f4f0"), parse_colour("white")
    ((244, 244, 240), (255, 255, 255))
    """
    from PIL import ImageColor

    return ImageColor.getrgb(text.strip())[:3]
