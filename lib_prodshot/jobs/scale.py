"""One scale for several pictures: the largest product fills its frame as asked, the others keep their sizes."""

from __future__ import annotations

from collections.abc import Iterable

from lib_prodshot.outcome import Outcome

Size = tuple[int, int]
"""Width and height in pixels of the photograph."""


def measured_size(outcome: Outcome) -> Size | None:
    """The size that the mask step measured of what a frame will hold; None where nothing was found."""
    for record in outcome.steps:
        if record.step == "mask" and "width" in record.figures:
            return int(record.figures["width"]), int(record.figures["height"])
    return None


def reference_text(sizes: Iterable[Size | None]) -> str:
    """The setting `reference` for products of these sizes: the largest width and the largest height; '' for none.

    >>> reference_text([(300, 200), None, (100, 500)])
    '300x500'
    """
    known = [size for size in sizes if size is not None]
    if not known:
        return ""
    return f"{max(width for width, _ in known)}x{max(height for _, height in known)}"
