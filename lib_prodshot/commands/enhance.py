"""`prodshot enhance`: find the products, enhance them, leave everything else as it was; skip pictures without them."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

from lib_prodshot.commands.console import say, shown, with_name
from lib_prodshot.commands.options import add_request_options, add_webui_option, request_from
from lib_prodshot.commands.paths import PATHS_HELP
from lib_prodshot.commands.places import OUT_HELP, given_place, pictures_among, result_folders
from lib_prodshot.errors import as_typed
from lib_prodshot.jobs.report.report import JSONL_NAME
from lib_prodshot.jobs.settings import folder_setting


def add_parser(subparsers: Any) -> None:
    """Describe the command."""
    parser = subparsers.add_parser("enhance", help="enhance the products, skip pictures without them")
    parser.add_argument("paths", nargs="+", type=given_place, metavar="PATH", help=PATHS_HELP)
    parser.add_argument("--out", type=given_place, required=True, metavar="DIR", help=OUT_HELP)
    parser.add_argument("--keep-times", action="store_true", help=folder_setting("keep_times").help)
    add_webui_option(parser)
    add_request_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Process every picture; exit code 1 when any failed."""
    from lib_prodshot.commands.given_pictures import processed

    request = request_from(arguments)
    paths = pictures_among(arguments.paths, as_typed("batch FOLDER --out DIR --products …"))
    results = result_folders(arguments.out, paths, arguments.keep_times)
    statuses: Counter[str] = Counter()
    for path, outcome in processed(arguments, request, paths, results):
        statuses[outcome.status] += 1
        if outcome.status == "failed":
            say(with_name(outcome.verdict.reason, str(path)))
    counts = ", ".join(f"{statuses[status]} {status}" for status in ("found", "skipped", "failed"))
    print(shown(f"{counts}; report: {arguments.out / JSONL_NAME} (and .csv)"))
    return 1 if statuses["failed"] else 0
