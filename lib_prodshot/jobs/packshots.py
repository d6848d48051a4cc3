"""The files of a picture's packshots: their names, writing, and the marketplace's answer to what was written."""

from __future__ import annotations

from pathlib import Path

from lib_prodshot.errors import OutputError
from lib_prodshot.markets.checking import check_file
from lib_prodshot.markets.rules import chosen
from lib_prodshot.outcome import Outcome, Packshot
from lib_prodshot.packshot import shop
from lib_prodshot.packshot.naming import file_stem
from lib_prodshot.packshot.review import ENLARGED


def names_of(outcome: Outcome, stem: str, pattern: str) -> tuple[str, ...]:
    """A file name for each packshot of a picture whose results are called `stem`.

    Raises `OutputError` where the pattern gives two of them one name.
    """
    first = outcome.detections[0].label if outcome.detections else ""
    names = tuple(
        file_stem(pattern, stem, made.product or first, made.marketplace, made.number or place, made.number > 0)
        + shop.SUFFIXES[made.format]
        for place, made in enumerate(outcome.packshots, 1)
    )
    if len({name.casefold() for name in names}) < len(names):
        raise OutputError(
            f"the file names {', '.join(names)} are not all different; add {{marketplace}} to the pattern"
        )
    return names


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
            outcome.needs_review += (f"{made.marketplace} would refuse it: {', '.join(failed)}",)
        if made.refused_alone:
            missed = ", ".join(made.refused_alone)
            outcome.needs_review += (f"{made.marketplace} may refuse it for its enlarged soft edge: {missed}",)
