"""`prodshot packshot`: cut the product out, put it on a new ground, frame it, and check it for marketplaces."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_prodshot.commands.check import use_rules
from lib_prodshot.commands.console import say, shown, with_name
from lib_prodshot.commands.options import add_request_options, add_webui_option, request_from
from lib_prodshot.commands.paths import PATHS_HELP
from lib_prodshot.commands.places import OUT_HELP, Place, given_place, pictures_among, result_folders
from lib_prodshot.errors import as_typed
from lib_prodshot.jobs.report.report import JSONL_NAME
from lib_prodshot.jobs.report.summary import NAMED, is_enlarged_alone, told_of_enlarged
from lib_prodshot.jobs.settings import folder_setting

if TYPE_CHECKING:
    from lib_prodshot.outcome import Outcome
    from lib_prodshot.request import Request


def add_parser(subparsers: Any) -> None:
    """Describe the command."""
    parser = subparsers.add_parser("packshot", help="cut products out, put them on a new ground, frame and check them")
    parser.add_argument("paths", nargs="+", type=given_place, metavar="PATH", help=PATHS_HELP)
    parser.add_argument("--out", type=given_place, required=True, metavar="DIR", help=OUT_HELP)
    parser.add_argument("--keep-times", action="store_true", help=folder_setting("keep_times").help)
    add_webui_option(parser)
    add_rules_option(parser)
    add_request_options(parser, make="packshot")
    parser.set_defaults(run=run)


def add_rules_option(parser: argparse.ArgumentParser) -> None:
    """The option that names a user's rules for marketplaces."""
    from lib_prodshot.commands.check import RULES_HELP

    parser.add_argument("--rules", type=Path, metavar="FILE", help=RULES_HELP)


def run(arguments: argparse.Namespace) -> int:
    """Make the packshots of every picture; exit code 1 when any failed, or a marketplace would refuse one."""
    from lib_prodshot.commands.given_pictures import processed

    use_rules(arguments.rules)
    request = request_from(arguments, make="packshot")
    paths = pictures_among(arguments.paths, as_typed("batch FOLDER --make packshot --out DIR --products …"))
    results = result_folders(arguments.out, paths, arguments.keep_times)
    say_what_is_set(request)
    counts: Counter[str] = Counter()
    gravest: list[tuple[float, str]] = []
    for path, outcome in processed(arguments, request, paths, results):
        counts.update(_tell(outcome, path))
        if outcome.needs_review:
            gravest = sorted([*gravest, (-outcome.gravity, str(path))])[:NAMED]
    told = ", ".join(f"{counts[status]} {status}" for status in ("found", "skipped", "failed"))
    review = f"; {counts['review']} need a look{told_of_enlarged(counts['enlarged'])}" if counts["review"] else ""
    if counts["review"] > 1:
        say(f"look first at {', '.join(path for _, path in gravest)}")
    print(shown(f"{told}{review}; report: {arguments.out / JSONL_NAME} (and .csv)"))
    return 1 if counts["failed"] or counts["refused"] else 0


def _tell(outcome: Outcome, path: Place) -> list[str]:
    """Say what somebody should know about a picture; returns what to count it as."""
    counted: list[str] = [outcome.status]
    if outcome.status == "failed":
        say(with_name(outcome.verdict.reason, str(path)))
    if outcome.needs_review:
        say(f"{path}: look at it: {'; '.join(outcome.needs_review)}")
        counted += ["review", *["enlarged"] * is_enlarged_alone(outcome.to_json())]
    if any(made.passed is False for made in outcome.packshots):
        counted.append("refused")
    return counted


def say_what_is_set(request: Request) -> None:
    """Say for each marketplace which settings it sets, and which the user's own stay."""
    from lib_prodshot.markets.rules import chosen
    from lib_prodshot.steps.targets import targets_of

    if not request.makes_packshot:
        return
    for target, market in zip(targets_of(request), chosen(request.shop.marketplace)):
        set_by_it = ", ".join(f"{name} {value}" for name, value in target.made.items()) or "nothing"
        values = target.request.to_dict()
        kept = [name for name in market.make if name not in target.made and name in values]
        left = "".join(f"; left as set: {name} {values[name]}" for name in kept)
        say(f"{market.name} sets {set_by_it}{left}")
