"""The files of a picture's packshots: their names, writing, and the marketplace's answer to what was written."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lib_prodshot.errors import OutputError
from lib_prodshot.jobs.files.names import NAME_LIMIT, fitted
from lib_prodshot.markets.checking import check_file
from lib_prodshot.markets.rules import chosen
from lib_prodshot.outcome import Outcome, Packshot
from lib_prodshot.packshot import shop
from lib_prodshot.packshot.naming import file_stem
from lib_prodshot.packshot.review import ENLARGED, ESTIMATED, MISSED, doubt

_SHORTEST_STEM = 32
"""Of a picture's own name so many bytes stay at least; what a pattern makes longer than that is cut as a whole."""


def names_of(outcome: Outcome, stem: str, pattern: str, limit: int = NAME_LIMIT) -> tuple[str, ...]:
    """A file name of at most `limit` bytes for each packshot of a picture whose results are called `stem`. Where
    there is no room for all of it the picture's own part is cut, so that marketplace and number can still be read.

    Raises `OutputError` where the pattern gives two of them one name.
    """
    first = outcome.detections[0].label if outcome.detections else ""
    names = tuple(
        _within(
            limit - len(shop.SUFFIXES[made.format]),
            stem,
            partial(_named, made, pattern, made.product or first, made.number or place),
        )
        + shop.SUFFIXES[made.format]
        for place, made in enumerate(outcome.packshots, 1)
    )
    if len({name.casefold() for name in names}) < len(names):
        raise OutputError(
            f"the file names {', '.join(names)} are not all different; add {{marketplace}} to the pattern"
        )
    return names


def _named(made: Packshot, pattern: str, product: str, number: int, stem: str) -> str:
    return file_stem(pattern, stem, product, made.marketplace, number, made.number > 0)


def _within(room: int, stem: str, named: Callable[[str], str]) -> str:
    """What `named` makes of the stem, in at most `room` bytes."""
    name = named(stem)
    left = len(os.fsencode(stem)) - (len(os.fsencode(name)) - room)
    if _SHORTEST_STEM <= left < len(os.fsencode(stem)):
        name = named(fitted(stem, left))
    return fitted(name, room)


def write_and_check(made: Packshot, to: Path, final: Path) -> None:
    """Write a packshot to `to`, which will be called `final`, and check it, decoded again, by its marketplace's rules.

    Raises `OutputError` where it cannot be written.
    """
    made.quality = shop.write(made, to)
    made.file, made.bytes = str(final), to.stat().st_size
    if not made.marketplace:
        return
    market = chosen(made.marketplace)[0]
    check = check_file(to, market, made.alpha)
    made.check = {**check.to_json(), "file": str(final)}
    if check.passed and made.scale > ENLARGED:
        # an edge enlarged that much is wide: who does not know the alpha takes it for ground that is not white
        made.refused_alone = tuple(missed.rule for missed in check_file(to, market).of("fail"))


def tell(outcome: Outcome) -> None:
    """Put what the marketplaces refuse, or may refuse, into the outcome's reasons for a look."""
    for made in outcome.packshots:
        failed = [rule["rule"] for rule in (made.check or {}).get("rules", ()) if rule["status"] == "fail"]
        if failed:
            outcome.doubt(doubt(MISSED, 1 + len(failed), f"{made.marketplace} would refuse it: {', '.join(failed)}"))
        if made.refused_alone:
            missed = ", ".join(made.refused_alone)
            text = f"{made.marketplace} may refuse it for its enlarged soft edge: {missed}"
            outcome.doubt(doubt(ESTIMATED, made.scale / ENLARGED, text))
