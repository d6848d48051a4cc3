"""Whether the data of a JPEG fit together, by what libjpeg warns of.

Where bytes in the middle of a JPEG are wrong, libjpeg goes on with grey, shifted or wrongly coloured blocks and counts
a warning. No library that Prodshot has hands that count out: Pillow drops the warnings, and OpenCV leaves libjpeg to
print the first one on standard error. So OpenCV decodes the file once more, at an eighth of its size, in one small
process of its own whose standard error nobody else writes to. That process starts with the first JPEG and ends with
this one.

Sources of the messages: libjpeg, `jerror.h`; of which is printed, `jerror.c` (`emit_message`).
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO

from lib_prodshot.pictures import jpeg, jpeg_decoder

_DAMAGE = re.compile(rb"Corrupt JPEG data: .+|Inconsistent progression sequence.*|Premature end of JPEG file.*")
_LEFT_OVER = re.compile(rb"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")
_RUN = "import sys; sys.path[:] = sys.argv[2:]; import runpy; runpy.run_path(sys.argv[1], run_name='__main__')"
"""With this process's own packages, and none from the folder that it stands in."""

_LONGEST = 120.0
"""Seconds that one picture may take; the largest that is read takes less than one."""

_LOG = logging.getLogger("prodshot")


def get_ready() -> None:
    """Start the process where none runs yet, so that it is there when the picture is decoded here. Does not wait."""
    _of_this_process().start()


def damage(data: bytes) -> str:
    """What libjpeg says of the data of a JPEG that do not fit together; '' where it has nothing to say.

    Bytes too many in front of the end that are mere filling (zeros, ones) are no damage: some cameras write them. Where
    the process cannot run, the picture passes, and the log says so once.
    """
    bare = jpeg.pixels_only(data)
    said = _DAMAGE.search(_of_this_process().messages(bare))
    if said is None or _is_filling(said[0], bare):
        return ""
    return said[0].decode("ascii", "replace").strip()


def _is_filling(message: bytes, bare: bytes) -> bool:
    left_over = _LEFT_OVER.match(message)
    if left_over is None or not bare.endswith(b"\xff\xd9"):
        return False
    before = bare[:-2].rstrip(b"\xff")
    return not before[max(0, len(before) - int(left_over[1])) :].strip(b"\0\xff")


class _Decoder:
    """The process, as this one sees it; for one picture at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._failed = False

    def start(self) -> None:
        with self._lock:
            self._start()

    def messages(self, data: bytes) -> bytes:
        """What was printed while these bytes were decoded; nothing where the process cannot run."""
        with self._lock:
            process = self._start()
            if process is None:
                return b""
            timer = threading.Timer(_LONGEST, process.kill)
            timer.daemon = True
            timer.start()
            try:
                return _ask(process, data)
            except (OSError, EOFError) as error:
                self._give_up(f"the process that does so ended ({error})")
                return b""
            finally:
                timer.cancel()

    def close(self) -> None:
        with self._lock:
            if self._process is not None:
                _end(self._process)
                self._process = None

    def _start(self) -> subprocess.Popen[bytes] | None:
        if self._process is None and not self._failed:
            program = Path(jpeg_decoder.__file__)
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _RUN, str(program), *map(os.path.abspath, sys.path)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    cwd=program.parent,
                    # Ctrl-C in a terminal is for the job, which finishes the pictures at hand
                    start_new_session=sys.platform != "win32",
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0)
                    | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
                )
            except (OSError, ValueError) as error:
                self._give_up(f"no process can be started for it ({error})")
        return self._process

    def _give_up(self, why: str) -> None:
        self._failed = True
        if self._process is not None:
            self._process.kill()
            _end(self._process)
            self._process = None
        _LOG.warning("Prodshot cannot look for damage within JPEG files here: %s", why)


def _ask(process: subprocess.Popen[bytes], data: bytes) -> bytes:
    """Raises OSError and EOFError where the process has ended."""
    into, out = _pipes(process)
    into.write(jpeg_decoder.LENGTH.pack(len(data)))
    into.write(data)
    into.flush()
    printed = b""
    while not printed.endswith(jpeg_decoder.DONE):
        line = out.readline()
        if not line:
            raise EOFError(printed.decode("utf-8", "replace").strip()[-200:] or "no message")
        printed += line
    return printed


def _end(process: subprocess.Popen[bytes]) -> None:
    into, out = _pipes(process)
    with suppress(OSError):  # what was to be written to a process that has ended
        into.close()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    out.close()


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdin is not None and process.stderr is not None
    return process.stdin, process.stderr


_DECODERS: dict[int, _Decoder] = {}
"""By the process that asks: one that was forked from another has not that one's."""


def _of_this_process() -> _Decoder:
    return _DECODERS.setdefault(os.getpid(), _Decoder())


@atexit.register
def _close() -> None:
    decoder = _DECODERS.pop(os.getpid(), None)
    if decoder is not None:
        decoder.close()
