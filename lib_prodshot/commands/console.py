"""Terminal output (one sentence a line) and Ctrl-C."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from lib_prodshot.errors import tells_of_unknown


def shown(text: str) -> str:
    """Escape all unprintable letters, so that no file name moves a terminal's cursor, colours it or breaks the line."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def say(text: str) -> None:
    """Print one sentence to standard error, above a progress bar that is being drawn."""
    from tqdm import tqdm

    tqdm.write(shown(f"prodshot: {text}"), file=sys.stderr)


def say_unknown(notes: Iterable[str], said: set[str]) -> None:
    """Say which products were not looked for, by a picture's notes; each of them once (`said`)."""
    for note in notes:
        if tells_of_unknown(note) and note not in said:
            said.add(note)
            say(note)


def without_name(reason: str, file: str) -> str:
    """The reason of a failed picture for a line that begins with its file: many reasons name the file themselves.

    >>> without_name("in/a.png is empty (zero bytes)", "in/a.png"), without_name("there is no file a.png", "a.png")
    ('is empty (zero bytes)', 'there is no file')
    """
    return reason.removeprefix(f"{file} ").removesuffix(f" {file}")


def with_name(reason: str, file: str) -> str:
    """The reason of a failed picture as a line that names its file, once.

    >>> with_name("a.png is empty (zero bytes)", "a.png"), with_name("out of memory", "a.png")
    ('a.png is empty (zero bytes)', 'a.png: out of memory')
    """
    return f"{file}: {reason}" if without_name(reason, file) == reason else reason


@contextmanager
def on_interrupt(interrupt: Callable[[int], None]) -> Iterator[None]:
    """Call `interrupt` with the signal at Ctrl-C, SIGTERM and the terminal's end (SIGHUP, unless nohup has it ignored)
    while the block runs, instead of ending the process."""

    def handle(which: int, _frame: FrameType | None) -> None:
        interrupt(which)

    signals = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        signals.append(hangup)
    former = {which: signal.signal(which, handle) for which in signals}
    try:
        yield
    finally:
        for which, handler in former.items():
            signal.signal(which, handler)
