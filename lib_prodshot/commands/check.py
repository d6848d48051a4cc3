"""`prodshot check`: would a marketplace take these pictures? Reads files, writes none, needs no model."""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from lib_prodshot.commands.console import shown
from lib_prodshot.commands.paths import PATHS_HELP
from lib_prodshot.commands.places import Place, at_hand, given_place, pictures_among
from lib_prodshot.errors import FieldProblem, RequestError, as_typed

if TYPE_CHECKING:
    from lib_prodshot.markets.checking import Check
    from lib_prodshot.markets.rules import Marketplace

RULES_HELP = "a JSON file that changes or extends the marketplaces' rules (also: PRODSHOT_MARKETPLACES)"


def add_parser(subparsers: Any) -> None:
    """Describe the command."""
    parser = subparsers.add_parser("check", help="say whether a marketplace will take these pictures, and why not")
    parser.add_argument("paths", nargs="*", type=given_place, metavar="PATH", help=PATHS_HELP)
    parser.add_argument("--marketplace", metavar="NAME[,NAME]", help="whose rules; several, separated by commas")
    parser.add_argument("--json", action="store_true", help="one JSON line for each picture and marketplace")
    parser.add_argument("--rules", type=Path, metavar="FILE", help=RULES_HELP)
    parser.add_argument("--on", metavar="DAY", help="the day whose rules hold, such as 2027-01-31 (default: today)")
    parser.add_argument("--list", action="store_true", help="list the marketplaces and their rules, with their sources")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check every picture; exit code 1 when one fails."""
    from lib_prodshot.markets.rules import chosen

    use_rules(arguments.rules)
    markets = chosen(arguments.marketplace or "", arguments.rules)
    if arguments.list:
        _list(arguments)
        return 0
    if not markets:
        raise RequestError(
            [FieldProblem("marketplace", f"name one: --marketplace amazon (all: {as_typed('check --list')})")]
        )
    if not arguments.paths:
        raise RequestError([FieldProblem("path", "name the pictures to check")])
    day = _day(arguments.on)
    paths = pictures_among(arguments.paths, as_typed("check 'FOLDER/*' --marketplace NAME"))
    failed = 0
    for path in tqdm(paths, unit="picture", disable=None, file=sys.stderr):
        for check in _checks(path, markets, day):
            failed += not check.passed
            text = json.dumps(check.to_json()) if arguments.json else _printable(check.to_text())
            tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()
    return 1 if failed else 0


def _checks(place: Place, markets: tuple[Marketplace, ...], day: date) -> tuple[Check, ...]:
    """The answers to one picture, under the name that was given."""
    from lib_prodshot.markets.checking import check_files, unread
    from lib_prodshot.storage.store import StorageError

    try:
        with at_hand(place) as file:
            checks = check_files(file, markets, today=day)
    except StorageError as error:
        return unread(str(place), markets, str(error))
    return checks if isinstance(place, Path) else tuple(check.renamed(str(place)) for check in checks)


def use_rules(file: Path | None) -> None:
    """Lay a user's rules over ours for this process and those that it starts. Raises `RequestError`
    for a file that cannot be used or sets what no setting can be."""
    from lib_prodshot.markets.rules import VARIABLE, RulesError, marketplaces
    from lib_prodshot.request import Request
    from lib_prodshot.steps.targets import targets_of

    if file is None:
        return
    try:
        known = marketplaces(file)
    except RulesError as error:
        raise RequestError([FieldProblem("rules", str(error))]) from error
    os.environ[VARIABLE] = str(file.absolute())
    for name, market in known.items():
        if any(figure.place for figure in market.make.values()):
            targets_of(Request(products="product", make="packshot", marketplace=name))


def _printable(text: str) -> str:
    return "\n".join(shown(line) for line in text.splitlines())


def _day(text: str | None) -> date:
    try:
        return date.fromisoformat(text) if text else date.today()
    except ValueError as error:
        raise RequestError([FieldProblem("on", f"{text!r} is not a day", "such as 2027-01-31")]) from error


def _list(arguments: argparse.Namespace) -> None:
    """Print every marketplace asked for (all without one) with its figures, their sources and confidence."""
    from lib_prodshot.markets.checking import UNITS, required_of
    from lib_prodshot.markets.rules import chosen, marketplaces

    for market in chosen(arguments.marketplace or "", arguments.rules) or marketplaces(arguments.rules).values():
        print(shown(f"{market.name}: {market.title}"))
        for name, figure in market.make.items():
            print(
                shown(
                    f"  makes {name} {figure.value} [{figure.source}; {figure.read or 'no day'}; {figure.confidence}]"
                )
            )
        for rule in market.rules:
            told = f"{rule.source}; {rule.read or 'no day'}; {rule.confidence}"
            required = f"{required_of(rule)} {UNITS.get(rule.measure, '')}".rstrip()
            print(shown(f"  {rule.level}: {rule.name}: {rule.measure} {required} [{told}]"))
