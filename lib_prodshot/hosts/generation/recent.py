"""The last results of this WebUI, kept for the page's result card: before and after, and the way back.

In memory only, and only so many pixels; nothing is kept of generations over the API.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from lib_prodshot.errors import OutputError
from lib_prodshot.hosts.generation.shop_files import ShopFile
from lib_prodshot.outcome import Outcome

MOST_PIXELS = 64_000_000
"""Pixels of all pictures kept (before and after, 3 bytes each); the last result is kept whatever its size."""

REJECTED = "-prodshot-rejected"
"""What is added to the name of a result's file that the user did not want."""

_VERDICT = re.compile(r'Prodshot: ("(?:[^"\\]|\\.)*"|[^,\n]*)')


@dataclass(frozen=True)
class Result:
    """One picture before and after, and how it came about. `alpha` is the feathered mask (H×W uint8) where one was
    made, `path` the file of the result (None: not saved), `source` what ran: the script or the accordion, `files` the
    packshots' files by marketplace."""

    before: Image.Image
    after: Image.Image
    outcome: Outcome
    ran: tuple[str, ...]
    alpha: npt.NDArray[np.uint8] | None
    source: str
    infotext: str = ""
    path: Path | None = None
    is_rejected: bool = False
    files: Mapping[str, ShopFile] = field(default_factory=dict)

    @property
    def pixels(self) -> int:
        """How many pixels it holds."""
        return self.before.width * self.before.height + self.after.width * self.after.height


_RESULTS: dict[str, Result] = {}


def key_of(infotext: str) -> str:
    """What a result goes by: its infotext as the page shows it, whatever became of its white space."""
    return hashlib.sha256("".join(infotext.split()).encode()).hexdigest()[:16]


def remember(result: Result, infotexts: Iterable[str]) -> None:
    """Keep a result under its infotext and perhaps others' (a grid's), in place of the oldest."""
    for infotext in infotexts:
        key = key_of(infotext)
        _RESULTS.pop(key, None)
        _RESULTS[key] = result
    while len(_RESULTS) > 1 and _pixels() > MOST_PIXELS:
        _RESULTS.pop(next(iter(_RESULTS)))


def _pixels() -> int:
    return sum(result.pixels for result in {id(result): result for result in _RESULTS.values()}.values())


def recall(key: str) -> Result | None:
    """The result of that key, if it is still kept."""
    return _RESULTS.get(key)


def reject(key: str) -> Result | None:
    """Keep the old picture: it takes the place of the result's file, which is kept beside it under another name.

    Raises `OutputError`.
    """
    result = _RESULTS.get(key)
    if result is None or result.is_rejected:
        return result
    if result.path is not None:
        _swap(result, result.path)
    _RESULTS[key] = replace(result, is_rejected=True)
    return _RESULTS[key]


def _swap(result: Result, path: Path) -> None:
    aside = path.with_name(f"{path.stem}{REJECTED}{path.suffix}")
    infotext = _VERDICT.sub("Prodshot: rejected by hand", result.infotext, count=1)
    try:
        path.replace(aside)
        import_module("modules.images").save_image_with_geninfo(result.before, infotext, str(path))
    except OSError as error:
        if aside.is_file() and not path.is_file():
            aside.replace(path)
        raise OutputError(
            f"the old picture could not take the place of {path.name}: {error.strerror or error}"
        ) from error
