"""`prodshot batch`: a whole folder, with a report; stopped and taken up again at will, on one machine or several."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from lib_prodshot.commands.check import use_rules
from lib_prodshot.commands.console import on_interrupt, say, shown
from lib_prodshot.commands.options import add_request_options, request_from
from lib_prodshot.commands.packshot import add_rules_option, say_what_is_set
from lib_prodshot.commands.places import OUT_HELP, given_place, job_folders
from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.jobs.settings import folder_setting
from lib_prodshot.request import Request

if TYPE_CHECKING:
    from lib_prodshot.jobs.folder.job import Progress
    from lib_prodshot.jobs.folder.runner import Runner
    from lib_prodshot.jobs.workers.interface import WorkerPool

LOCAL_CLUSTER = "local"


def add_parser(subparsers: Any) -> None:
    """Describe the command."""
    parser = subparsers.add_parser("batch", help="a whole folder: enhance, skip, report; goes on where it was stopped")
    parser.add_argument(
        "folder", type=given_place, metavar="IN", help="folder with pictures, or a URL such as s3://bucket/in"
    )
    parser.add_argument("--out", type=given_place, required=True, metavar="DIR", help=OUT_HELP)
    for name in ("recursive", "dry_run", "keep_times"):
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, action="store_true", help=folder_setting(name).help)
    add_rules_option(parser)
    parser.add_argument("--limit", type=_positive, metavar="N", help="only the first N pictures of the folder")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="only this picture of the folder, by its name in the report; again for each further one",
    )
    spread = parser.add_argument_group("spread")
    spread.add_argument(
        "--webui",
        action="append",
        default=[],
        metavar="URL",
        help="a WebUI that runs the inpaint passes (http://user:password@host:port); again for each further one",
    )
    spread.add_argument(
        "--ray",
        nargs="?",
        const=LOCAL_CLUSTER,
        metavar="ADDRESS",
        help="work on a Ray cluster; without an address on one made on this machine for the occasion",
    )
    spread.add_argument("--workers", type=_positive, metavar="N", help="with --ray: how many pictures at a time find")
    add_request_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the job; exit code 1 when any picture failed, 130 when it was interrupted."""
    from lib_prodshot.jobs.folder.job import FolderJob
    from lib_prodshot.jobs.folder.runner import PAGE_NAME, Runner
    from lib_prodshot.jobs.report.report import JSONL_NAME
    from lib_prodshot.jobs.workers.interface import TaskCancelled

    use_rules(arguments.rules)
    request = request_from(arguments)
    _check(arguments, request)
    folders = job_folders(arguments.folder, arguments.out, arguments.keep_times)
    say_what_is_set(request)
    job = FolderJob(
        folders.input_folder,
        folders.output_folder,
        request,
        recursive=arguments.recursive,
        limit=arguments.limit,
        only=frozenset(arguments.only),
        dry_run=arguments.dry_run,
        keep_times=arguments.keep_times,
    )
    runner = Runner(job, _pool(arguments, request), folders)
    runner.start()
    with _interruptible(runner):
        _watch(runner)
    try:
        summary = runner.result()
    except TaskCancelled:
        say("interrupted before the first picture; the same command goes on from here")
        return 130
    for line in summary.to_lines():
        print(shown(line))
    print(shown(f"report: {folders.shown(JSONL_NAME)} (and .csv); contact sheet: {folders.shown(PAGE_NAME)}"))
    if runner.progress.state == "stopped":
        say("interrupted; the same command goes on from here")
        return 130
    return 1 if summary.statuses["failed"] or summary.refused else 0


def _positive(text: str) -> int:
    with suppress(ValueError):
        if (number := int(text)) > 0:
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")


def _check(arguments: argparse.Namespace, request: Request) -> None:
    """Check options that belong together. Raises `RequestError`."""
    from lib_prodshot.commands.given_pictures import check_webui
    from lib_prodshot.jobs.processor import read_named

    check_webui(request, bool(arguments.webui), arguments.dry_run)
    if arguments.workers and arguments.ray is None:
        raise RequestError([FieldProblem("workers", "workers are those of a Ray cluster: add --ray")])
    if arguments.ray is None:
        # a cluster's machines read them where they stand
        read_named(request)


def _pool(arguments: argparse.Namespace, request: Request) -> WorkerPool:
    if arguments.ray is None:
        from lib_prodshot.jobs.workers.local_pool import local_pool

        return local_pool(
            request, models_dir=arguments.models_dir, webuis=arguments.webui, dry_run=arguments.dry_run, say=say
        )
    from lib_prodshot.jobs.workers.ray_pool import RayPool, chosen_finder

    return RayPool(
        request,
        partial(chosen_finder, request.finder, arguments.models_dir),
        address=None if arguments.ray == LOCAL_CLUSTER else arguments.ray,
        worker_count=arguments.workers,
        webuis=arguments.webui,
        dry_run=arguments.dry_run,
        say=say,
    )


def _watch(runner: Runner) -> None:
    """Show a progress line until the job has ended."""
    with tqdm(unit="picture", disable=None, file=sys.stderr) as bar:
        while not runner.wait(0.2):
            _show(bar, runner.progress)
        _show(bar, runner.progress)


def _show(bar: tqdm[Any], progress: Progress) -> None:
    if progress.total and bar.total != progress.total:
        bar.reset(progress.total)
        bar.initial = progress.before
    bar.n = progress.done
    words = f"{progress.found} found, {progress.skipped} skipped, {progress.failed} failed"
    preparing = "measuring the products" if progress.total else "looking what is done"
    bar.set_postfix_str(words if progress.state != "preparing" else preparing)


def _interruptible(runner: Runner) -> AbstractContextManager[None]:
    """Make Ctrl-C (or SIGTERM) finish the pictures in progress; a second one ends the process at once."""

    def interrupt(_which: int) -> None:
        if runner.progress.state == "stopping":
            say("stopped; the same command goes on from here")
            runner.stop(now=True)
            runner.wait(2)
            sys.stdout.flush()
            sys.stderr.flush()
            # threads may hang in a request to a WebUI; all that is on disk is whole
            os._exit(130)
        say("finishing the pictures at hand; Ctrl-C again stops at once")
        runner.stop()

    return on_interrupt(interrupt)
