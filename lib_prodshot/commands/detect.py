"""`prodshot detect`: which products are in these pictures, and where. Writes no picture."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from typing import Any

from tqdm import tqdm

from lib_prodshot.commands.console import say_unknown, shown, without_name
from lib_prodshot.commands.options import add_request_options, request_from
from lib_prodshot.commands.paths import PATHS_HELP
from lib_prodshot.commands.places import given_place, outcome_of, pictures_among
from lib_prodshot.errors import as_typed
from lib_prodshot.outcome import Outcome


def add_parser(subparsers: Any) -> None:
    """Describe the command."""
    parser = subparsers.add_parser("detect", help="say which products are in the pictures, and where")
    parser.add_argument("paths", nargs="+", type=given_place, metavar="PATH", help=PATHS_HELP)
    parser.add_argument("--json", action="store_true", help="one JSON line for each picture")
    add_request_options(parser, dry_run=True)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Look at every picture; exit code 1 when any failed."""
    from lib_prodshot.finding.registry import load_finder
    from lib_prodshot.jobs.processor import PictureProcessor, failed_outcome

    request = request_from(arguments)
    paths = pictures_among(arguments.paths, as_typed("batch FOLDER --dry-run --out DIR --products …"))
    processor = PictureProcessor(request, load_finder(request.finder, arguments.models_dir))
    unread = partial(failed_outcome, request, processor.finder.name)
    failed = 0
    said: set[str] = set()
    for path in tqdm(paths, unit="picture", disable=None, file=sys.stderr):
        outcome = outcome_of(path, processor.detect, unread)
        failed += outcome.status == "failed"
        say_unknown(outcome.notes, said)
        tqdm.write(json.dumps(outcome.to_json()) if arguments.json else shown(one_line(outcome)), file=sys.stdout)
        sys.stdout.flush()
    return 1 if failed else 0


def one_line(outcome: Outcome) -> str:
    """'car.png: found car 0.91 at 74,188,447,335', or the verdict with its reason."""
    if outcome.status != "found":
        return f"{outcome.file}: {outcome.status}: {without_name(outcome.verdict.reason, outcome.file)}"
    places = (f"{item.label} {item.score:.2f} at {','.join(map(str, item.box))}" for item in outcome.detections)
    return f"{outcome.file}: found {'; '.join(places)}"
