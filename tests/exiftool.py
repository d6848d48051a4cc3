"""ExifTool, a reader of metadata that is not ours: one process answers a whole run, for starting one takes longest."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

_END = b"{ready}\n"


def told_by_exiftool(arguments: tuple[str, ...], *paths: Path) -> list[dict[str, Any]]:
    """What ExifTool says of each file, numbers as numbers. In CI it is to be there; elsewhere the test skips."""
    if shutil.which("exiftool") is None:
        if os.environ.get("CI"):
            pytest.fail("exiftool is not installed (libimage-exiftool-perl)")
        pytest.skip("exiftool is not installed (libimage-exiftool-perl)")
    process = _started()
    assert process.stdin is not None and process.stdout is not None
    for argument in ("-json", "-n", *arguments, *map(str, paths), "-execute"):
        process.stdin.write(argument.encode() + b"\n")
    process.stdin.flush()
    lines = []
    while (line := process.stdout.readline()) != _END:
        assert line, "ExifTool ended without an answer"
        lines.append(line)
    answer: list[dict[str, Any]] = json.loads(b"".join(lines))
    return answer


@cache
def _started() -> subprocess.Popen[bytes]:
    command = ["exiftool", "-stay_open", "True", "-@", "-"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    atexit.register(process.kill)
    return process
