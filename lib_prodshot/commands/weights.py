"""`prodshot weights list|fetch|verify|path`: the catalogue of model files and what of it is here."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lib_prodshot import weights
from lib_prodshot.downloads import Report, megabytes
from lib_prodshot.errors import WeightsError
from lib_prodshot.model_files import Weights


def add_parser(subparsers: Any) -> None:
    """Describe the command."""
    parser = subparsers.add_parser("weights", help="list, fetch or verify model files, or tell where one is")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, words, count in (
        ("list", "every known file, its size and licence, and whether it is here", "*"),
        ("fetch", "bring files that are missing; what is here is only checked", "+"),
        ("verify", "read the files that are here and compare their SHA-256", "*"),
        ("path", "print where the files are", "+"),
    ):
        action = actions.add_parser(name, help=words)
        action.add_argument("names", nargs=count, metavar="NAME", help="a name from the list, lite, langsam or all")
        action.add_argument("--models-dir", type=Path, help="look here first and download to here (or PRODSHOT_MODELS)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do one action; exit code 1 when a file is missing, wrong or could not be fetched."""
    chosen = weights.select(arguments.names or ["all"])
    action = {"list": list_weights, "fetch": fetch_weights, "verify": verify_weights, "path": print_paths}
    return action[arguments.action](chosen, arguments.models_dir)


def list_weights(chosen: Sequence[Weights], models_dir: Path | None) -> int:
    """Print a table of the entries and where each is."""
    width = max(len(entry.name) for entry in chosen)
    for entry in chosen:
        found = _search(entry, models_dir)
        where = str(found.path) if found.path else "missing"
        print(f"{entry.name:{width}}  {megabytes(entry.size):>8}  {entry.licence:<11}  {where}")
        print(f"{'':{width}}  {entry.purpose}")
    return 0


def fetch_weights(chosen: Sequence[Weights], models_dir: Path | None) -> int:
    """Bring every entry; goes on after a failure and tells all of them at the end."""
    failures = []
    for entry in chosen:
        try:
            with progress_bar(entry.file) as report:
                path = weights.fetch(entry, models_dir, report, tell)
            tell(f"{entry.name}: {path}")
        except WeightsError as error:
            failures.append(str(error))
    if len(failures) == 1:
        raise WeightsError(failures[0])
    for failure in failures:
        tell(failure)
    if failures:
        raise WeightsError(f"{len(failures)} of {len(chosen)} files could not be fetched")
    return 0


def verify_weights(chosen: Sequence[Weights], models_dir: Path | None) -> int:
    """Read every file that is here; exit code 1 when one is not the known file."""
    wrong = 0
    for entry in chosen:
        with progress_bar(entry.file) as report:
            found = weights.look_for(entry, models_dir, report, anew=True)
        for problem in found.problems:
            wrong += 1
            tell(problem)
        print(f"{entry.name}: {f'good: {found.path}' if found.path else 'missing'}")
    return 1 if wrong else 0


def print_paths(chosen: Sequence[Weights], models_dir: Path | None) -> int:
    """Print the path of every entry. Raises `WeightsError` for one that is missing."""
    for entry in chosen:
        print(weights.require(entry.name, models_dir))
    return 0


def tell(text: str) -> None:
    """Say something beside the results."""
    print(f"prodshot: {text}", file=sys.stderr)


def _search(entry: Weights, models_dir: Path | None) -> weights.Search:
    with progress_bar(entry.file) as report:
        found = weights.look_for(entry, models_dir, report)
    for problem in found.problems:
        tell(problem)
    return found


@contextmanager
def progress_bar(title: str) -> Iterator[Report]:
    """A progress bar of bytes on a terminal, nothing in a pipe."""
    from tqdm import tqdm

    # disable=None: on only where standard error is a terminal; drawn once bytes come, so that quick work shows none
    with tqdm(desc=title, unit="B", unit_scale=True, leave=False, disable=None, delay=0.3) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report
