"""Silences the decoders that print on standard error what they also tell by their answer: OpenCV and libtiff.

Both have one switch for all threads: the first of those that decode at the same time turns it off, the last one on.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import PIL

_OPENCV_LOG: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging
"""Where the level is set: in the package itself up to version 4."""


class _Switch:
    """Turned off by `turn_off`, which gives what `turn_back` needs, as long as anybody is inside."""

    def __init__(self, turn_off: Callable[[], Any], turn_back: Callable[[Any], None]) -> None:
        self._turn_off, self._turn_back = turn_off, turn_back
        self._lock = threading.Lock()
        self._inside = 0
        self._before: Any = None

    @contextmanager
    def off(self) -> Iterator[None]:
        with self._lock:
            if not self._inside:
                self._before = self._turn_off()
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._turn_back(self._before)


def _opencv_off() -> int:
    before: int = _OPENCV_LOG.getLogLevel()
    _OPENCV_LOG.setLogLevel(0)
    return before


@cache
def _libtiff_handler() -> Callable[[Any], Any] | None:
    """libtiff's own `TIFFSetErrorHandler`: in the library that Pillow's wheels for Linux and macOS bring beside them.

    None where it is linked into Pillow (Windows) or comes from the system; there it goes on printing.
    """
    package = Path(PIL.__file__).parent
    for path in (*package.parent.glob("[Pp]illow.libs/libtiff*"), *package.glob(".dylibs/libtiff*")):
        try:
            setter: Any = ctypes.CDLL(str(path)).TIFFSetErrorHandler
        except (OSError, AttributeError):
            continue
        setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
        return setter  # type: ignore[no-any-return]
    return None


def _libtiff_off() -> Any:
    setter = _libtiff_handler()
    return setter(None) if setter else None


def _libtiff_back(before: Any) -> None:
    setter = _libtiff_handler()
    if setter:
        setter(before)


opencv = _Switch(_opencv_off, lambda before: _OPENCV_LOG.setLogLevel(before)).off
"""A context in which OpenCV logs nothing."""

libtiff = _Switch(_libtiff_off, _libtiff_back).off
"""A context in which libtiff, as Pillow uses it, prints no errors."""
