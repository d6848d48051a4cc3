"""What goes to a terminal, and what comes from it: sentences, and Ctrl-C."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


def shown(text: str) -> str:
    """Text for one line of a terminal: letters that would move its cursor, colour it or break the line (file names may
    hold any) stand there as escapes."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def say(text: str) -> None:
    """One sentence on standard error, above a progress bar that is being drawn."""
    from tqdm import tqdm

    tqdm.write(shown(f"prodshot: {text}"), file=sys.stderr)


@contextmanager
def on_interrupt(interrupt: Callable[[int], None]) -> Iterator[None]:
    """Inside, Ctrl-C and SIGTERM call `interrupt` with the signal instead of ending the process."""

    def handle(which: int, _frame: FrameType | None) -> None:
        interrupt(which)

    former = {which: signal.signal(which, handle) for which in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for which, handler in former.items():
            signal.signal(which, handler)
