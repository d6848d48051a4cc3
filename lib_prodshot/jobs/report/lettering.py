"""Text on pictures in Pillow's own font, whatever Pillow there is."""

from __future__ import annotations

from PIL import ImageDraw, ImageFont

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


def font(size: int) -> Font:
    """Load Pillow's own font; Pillow before 10.1, or without FreeType, has it in one size only."""
    try:
        return ImageFont.load_default(size)
    except (TypeError, OSError):
        return ImageFont.load_default()


def write(
    draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, chosen: Font, colour: tuple[int, int, int]
) -> None:
    """Write one line of text at its upper left corner."""
    draw.text(place, writable(text, chosen), font=chosen, fill=colour)


def writable(text: str, chosen: Font) -> str:
    """Escape letters that Pillow's old font refuses."""
    if isinstance(chosen, ImageFont.FreeTypeFont):
        return text
    return text.encode("latin-1", "backslashreplace").decode("latin-1")


def shortened(text: str, chosen: Font, width: float) -> str:
    """The text, cut with an ellipsis where it is wider than `width` pixels."""
    if chosen.getlength(writable(text, chosen)) <= width:
        return text
    while text and chosen.getlength(writable(f"{text}…", chosen)) > width:
        text = text[:-1]
    return f"{text.rstrip()}…"
