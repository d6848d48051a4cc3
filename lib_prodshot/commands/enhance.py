"""`prodshot enhance`: find the products, enhance them, leave everything else as it was; skip pictures without them."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_prodshot.commands.console import say, shown, with_name
from lib_prodshot.commands.options import add_request_options, request_from
from lib_prodshot.commands.paths import PATHS_HELP, folders_of, picture_files, refuse_output
from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.jobs.report.report import JSONL_NAME
from lib_prodshot.jobs.settings import folder_setting
from lib_prodshot.request import Request

if TYPE_CHECKING:
    from lib_prodshot.enhancing.interface import Enhancer


def add_parser(subparsers: Any) -> None:
    """Describe the command."""
    parser = subparsers.add_parser("enhance", help="enhance the products, skip pictures without them")
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help=PATHS_HELP)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results and the report")
    parser.add_argument("--keep-times", action="store_true", help=folder_setting("keep_times").help)
    parser.add_argument("--webui", metavar="URL", help="the WebUI that runs the engine 'inpaint' (started with --api)")
    add_request_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Process every picture; exit code 1 when any failed."""
    from lib_prodshot.commands.given_pictures import processed

    request = request_from(arguments)
    paths = picture_files(arguments.paths, "prodshot batch FOLDER --out DIR --products …")
    refuse_output(arguments.out, folders_of(paths))
    statuses: Counter[str] = Counter()
    for path, outcome in processed(arguments, request, paths, _enhancer(request, arguments.webui)):
        statuses[outcome.status] += 1
        if outcome.status == "failed":
            say(with_name(outcome.verdict.reason, str(path)))
    counts = ", ".join(f"{statuses[status]} {status}" for status in ("found", "skipped", "failed"))
    print(shown(f"{counts}; report: {arguments.out / JSONL_NAME} (and .csv)"))
    return 1 if statuses["failed"] else 0


def _enhancer(request: Request, webui: str | None) -> Enhancer:
    """Return the enhancer of the request's engine, in this process or on a WebUI.

    Raises `RequestError` when the two options do not go together, `ProdshotError` for a WebUI that does not answer
    or does not have what is requested.
    """
    if request.running_engine != "inpaint":
        from lib_prodshot.enhancing import load_enhancer

        if webui:
            raise RequestError([FieldProblem("engine", "only the engine 'inpaint' uses a WebUI: add --engine inpaint")])
        return load_enhancer(request.running_engine)
    if not webui:
        raise RequestError([FieldProblem("webui", "the engine 'inpaint' needs a WebUI: add --webui http://host:port")])
    from lib_prodshot.enhancing.inpaint import InpaintEnhancer
    from lib_prodshot.hosts.remote import RemoteWebUI
    from lib_prodshot.hosts.remote.inpainting import RemoteInpaintingBackend

    backend = RemoteInpaintingBackend(RemoteWebUI(webui))
    backend.check(request.sampler, request.scheduler, request.checkpoint)
    return InpaintEnhancer(backend)
