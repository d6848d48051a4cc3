"""`prodshot train compare`: which epoch of a run is best, as a table, a page and JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_prodshot.commands.console import say
from lib_prodshot.commands.paths import run_folder
from lib_prodshot.commands.setting_options import add_setting_options, given_settings
from lib_prodshot.errors import FinderUnavailable, as_typed
from lib_prodshot.training.comparing.settings import SETTINGS

if TYPE_CHECKING:
    from lib_prodshot.finding.finder import Finder
    from lib_prodshot.training.comparing.comparison import Comparison
    from lib_prodshot.training.comparing.job import CompareJob


def add_parser(actions: Any) -> None:
    """Describe the action and its options, one for each setting of a comparison."""
    compare = actions.add_parser("compare", help="look at every epoch's sample pictures, and say which epoch to take")
    compare.add_argument("training", type=Path, metavar="RUN", help="the run's folder: output_dir/output_name")
    compare.add_argument(
        "--webui",
        metavar="URL",
        help="a running WebUI that makes the pictures, of published epochs (started with --api)",
    )
    compare.add_argument("--models-dir", type=Path, help="look for weights here first (also: PRODSHOT_MODELS)")
    compare.add_argument("--json", action="store_true", help="the result as JSON")
    add_setting_options(compare, SETTINGS)
    compare.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare and print; exit code 1 when no epoch can be recommended. What was interrupted goes on by the same
    command."""
    run_folder(arguments.training)
    with _job(arguments) as job:
        job.prepare()
        comparison = _compare(job, arguments.models_dir)
    _print(comparison, job, arguments.json)
    return 0 if comparison.recommendation.epoch else 1


@contextmanager
def _job(arguments: argparse.Namespace) -> Iterator[CompareJob]:
    from lib_prodshot.training.comparing.job import CompareJob
    from lib_prodshot.training.comparing.samples import RemoteMaker

    settings = given_settings(arguments, SETTINGS)
    if not arguments.webui:
        yield CompareJob(arguments.training, settings)
        return
    from lib_prodshot.hosts.remote import RemoteWebUI

    with RemoteWebUI(arguments.webui) as webui:
        yield CompareJob(arguments.training, settings, RemoteMaker(webui), f"the WebUI at {webui.address}")


def _compare(job: CompareJob, models_dir: Path | None) -> Comparison:
    from tqdm import tqdm

    finder = _finder(job.settings["finder"], models_dir)
    # disable=None: on only where standard error is a terminal
    with tqdm(unit="picture", disable=None, file=sys.stderr, leave=False, delay=0.3) as bar:

        def progress(done: int, total: int, what: str) -> None:
            if bar.total != total:
                bar.reset(total)
            bar.set_postfix_str(what)
            bar.update(done - bar.n)

        return job.compare(finder, progress)


def _finder(name: str, models_dir: Path | None) -> Finder:
    """The finder of that name. Raises `FinderUnavailable`, in one sentence, and `WeightsError`."""
    from lib_prodshot.finding.registry import load_finder

    try:
        return load_finder(name, models_dir)
    except FinderUnavailable as error:
        weights = "lite" if name == "auto" else name
        advice = f"fetch one ({as_typed(f'weights fetch {weights}')}); {as_typed('doctor')} says what is missing"
        raise FinderUnavailable(f"{error.brief}: {advice}", error.brief) from error


def _print(comparison: Comparison, job: CompareJob, as_json: bool) -> None:
    from lib_prodshot.training.comparing.page import PAGE

    if as_json:
        print(json.dumps(comparison.to_json(), ensure_ascii=False))
        return
    for note in comparison.notes:
        say(note)
    print(comparison.to_text())
    print(job.folder / PAGE)
