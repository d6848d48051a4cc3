"""Whether a job's page stands as it was drawn, so that a job with nothing to do need not draw it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from lib_prodshot import __version__
from lib_prodshot.errors import OutputError
from lib_prodshot.jobs.files.reading import is_file
from lib_prodshot.jobs.files.staging import Staging
from lib_prodshot.jobs.report.contact_sheet import parts_folder


class PageState:
    """What a page was drawn from and how it came out, kept in the file `path`. Where that cannot be read or written the
    page is drawn."""

    def __init__(self, path: Path, page: Path) -> None:
        self._path = path
        self._page = page

    def stands(self, report: str, title: str, side: int) -> bool:
        """Whether the page and its parts are there as drawn, of a report with this hash ('': not known)."""
        with suppress(OSError, ValueError, RecursionError):
            return (
                bool(report)
                and is_file(self._path)
                and json.loads(self._path.read_bytes()) == self._now(report, title, side)
            )
        return False

    def note(self, report: str, title: str, side: int) -> None:
        """Note that the page was drawn just now."""
        with suppress(OSError, OutputError), Staging(self._path.parent) as staging:
            staging.path(self._path.name).write_text(json.dumps(self._now(report, title, side)), encoding="utf-8")

    def _now(self, report: str, title: str, side: int) -> dict[str, Any]:
        template = files("lib_prodshot.jobs.report").joinpath("contact_sheet.html").read_bytes()
        parts = hashlib.sha256("\n".join(sorted(_states(parts_folder(self._page)))).encode())
        return {
            "program": __version__,
            "template": hashlib.sha256(template).hexdigest(),
            "drawn_from": [report, title, side],
            "page": hashlib.sha256(self._page.read_bytes()).hexdigest(),
            "parts": parts.hexdigest(),
        }


def _states(folder: Path) -> Iterator[str]:
    """Names, sizes and times of the files of a folder; none where there is no folder."""
    with suppress(FileNotFoundError), os.scandir(folder) as inside:
        for each in inside:
            state = each.stat()
            yield f"{state.st_size} {state.st_mtime_ns} {each.name}"
