"""The files of a generation's packshots, as `prodshot packshot` writes them: checked by their marketplaces' rules, and
kept for the result card. The WebUI itself saves each packshot in its own format."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from lib_prodshot.jobs.packshots import names_of, tell, write_and_check
from lib_prodshot.outcome import Outcome

STEM = "packshot"
"""What {stem} stands for: the WebUI names its pictures only when it saves them."""


@dataclass(frozen=True)
class ShopFile:
    """A packshot's file: its name and its bytes."""

    name: str
    data: bytes


def written_and_checked(outcome: Outcome, pattern: str) -> dict[str, ShopFile]:
    """The file of each packshot that is for a marketplace, by the marketplace's name. The outcome gets the checks, and
    what a marketplace would refuse among its reasons for a look. Raises `OutputError`."""
    files: dict[str, ShopFile] = {}
    if not any(made.marketplace for made in outcome.packshots):
        return files
    with tempfile.TemporaryDirectory(prefix="prodshot-") as folder:
        for made, name in zip(outcome.packshots, names_of(outcome, STEM, pattern), strict=True):
            if not made.marketplace:
                continue
            path = Path(folder, name)
            write_and_check(made, path, Path(name))
            files[made.marketplace] = ShopFile(name, path.read_bytes())
            made.file = ""  # it is not kept on disk
    tell(outcome)
    return files
