"""Packshots in answers: written to a folder of their own for a moment, checked there, and sent as base64."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import Any

from lib_prodshot import pictures
from lib_prodshot.jobs.packshots import names_of, tell, write_and_check
from lib_prodshot.markets.checking import check_files
from lib_prodshot.markets.measuring import suffix_of
from lib_prodshot.markets.rules import Marketplace
from lib_prodshot.outcome import Outcome


def answer(outcome: Outcome, with_pictures: bool) -> dict[str, Any]:
    """The keys `packshots`, `needs_review` and `gravity` of a picture's answer: as in `report.jsonl`, with `file` for
    the name that the packshot would have, and where asked for `output`, its very file as base64.

    Raises `OutputError`.
    """
    names = names_of(outcome, "picture", "")
    codes = []
    with tempfile.TemporaryDirectory(prefix="prodshot-") as folder:
        for made, name in zip(outcome.packshots, names, strict=True):
            write_and_check(made, Path(folder, name), Path(name))
            codes.append(base64.b64encode(Path(folder, name).read_bytes()).decode())
    tell(outcome)
    lines = [made.to_json() for made in outcome.packshots]
    for line, name, code in zip(lines, names, codes, strict=True):
        line["file"] = name
        line["output"] = code if with_pictures else None
    return {"packshots": lines, "needs_review": list(outcome.needs_review), "gravity": round(outcome.gravity, 3)}


def check(name: str, data: bytes, markets: tuple[Marketplace, ...]) -> list[dict[str, Any]]:
    """The checks of one picture that was sent, under the name that it came with."""
    given = Path(name).suffix[:8]
    suffix = given if given[1:].isalnum() else suffix_of(pictures.read(data).format)
    with tempfile.TemporaryDirectory(prefix="prodshot-") as folder:
        path = Path(folder, f"picture{suffix}")
        path.write_bytes(data)
        return [{**checked.to_json(), "file": name} for checked in check_files(path, markets)]
