"""Places on the command line that may be paths or URLs of object storage."""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from lib_prodshot.commands.console import say
from lib_prodshot.commands.paths import folders_of, input_folder, natural_order, picture_files, refuse_output
from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.storage.urls import StorageURL, place

if TYPE_CHECKING:
    from lib_prodshot.jobs.folder.folders import LocalFolders
    from lib_prodshot.outcome import Outcome

Place = Path | StorageURL

OUT_HELP = "folder for the results and the report, or a URL such as s3://bucket/out"

_PATTERN = re.compile(r"[*?\[]")


def given_place(text: str) -> Place:
    """What an option or argument names. An empty text (a shell's variable that is not set) is not the folder that the
    command runs in. Raises `argparse.ArgumentTypeError`."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; name a folder or a file, '.' for this folder")
    return place(text)


def job_folders(inputs: Place, out: Place, keep_times: bool) -> LocalFolders:
    """The folders of a job. Raises `RequestError` for what can be no folder, and as `StoredFolders` does."""
    if isinstance(inputs, StorageURL):
        inputs.check("folder")
    else:
        inputs = input_folder(inputs)
    return _folders(inputs, out, [inputs] if isinstance(inputs, Path) else [], keep_times)


def result_folders(out: Place, pictures: Sequence[Place], keep_times: bool) -> LocalFolders:
    """The folders of a command that is given single pictures. Raises as `job_folders`."""
    urls = [one for one in pictures if isinstance(one, StorageURL)]
    if isinstance(out, StorageURL) and any(str(url.parent) == str(out).rstrip("/") for url in urls):
        message = f"the output folder {out} is the input folder itself; choose another"
        raise RequestError([FieldProblem("out", message)])
    inputs = folders_of([one for one in pictures if isinstance(one, Path)])
    return _folders(Path(), out, inputs, keep_times, frozenset(map(str, urls)))


def _folders(
    inputs: Place, out: Place, given: Iterable[Path], keep_times: bool, pictures: frozenset[str] = frozenset()
) -> LocalFolders:
    if isinstance(out, Path):
        refuse_output(out, given)
        if isinstance(inputs, Path):
            from lib_prodshot.jobs.folder.folders import LocalFolders

            return LocalFolders(inputs, out)
    else:
        out.check("out")
        if keep_times:
            raise RequestError([FieldProblem("keep_times", "an object store sets the times of its objects itself")])
    from lib_prodshot.jobs.stored.folders import StoredFolders

    return StoredFolders(inputs, out, _spool_for(inputs, out), say, pictures)


def _spool_for(*places: Place) -> Path:
    """This machine's folder for what is on its way to and from these places, in the user's cache. Other users cannot
    look into it."""
    from lib_prodshot.weights import cache_folder

    names = "\n".join(str(one.absolute() if isinstance(one, Path) else one) for one in places)
    spool = cache_folder().parent / "spool" / hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    return spool


def pictures_among(given: Sequence[Place], instead: str) -> list[Place]:
    """As `picture_files`, for paths and URLs: a pattern in a URL is expanded too, and one that is a folder refused."""
    if not any(isinstance(one, StorageURL) for one in given):
        return [*picture_files([one for one in given if isinstance(one, Path)], instead)]
    found: dict[str, Place] = {}
    for one in given:
        places = _expanded(one, instead) if isinstance(one, StorageURL) else picture_files([one], instead)
        found.update((str(place), place) for place in places if str(place) not in found)
    return [*found.values()]


def _expanded(url: StorageURL, instead: str) -> list[StorageURL]:
    from lib_prodshot.jobs.folder.work_list import is_picture
    from lib_prodshot.storage.store import NoBucket, Store, matching

    url.check("path")
    try:
        is_pattern = _PATTERN.search(url.path) and Store(url).find() is None
        matched = matching(url) if is_pattern else []
    except NoBucket as error:
        raise RequestError([FieldProblem("path", str(error))]) from error
    if is_pattern:
        found = sorted(matched, key=lambda one: natural_order(Path(one.path)))
        if not found:
            raise RequestError([FieldProblem("path", f"no object is called like {url}")])
        return found
    if not is_picture(url.path) and next(iter(Store(url).list(recursive=False)), None) is not None:
        message = f"{url} is a folder; for all pictures in it: {instead.replace('FOLDER', str(url))}"
        raise RequestError([FieldProblem("path", message)])
    return [url]


@contextmanager
def at_hand(given: Place) -> Iterator[Path]:
    """The file of a picture, fetched for the time of the block where it is in object storage. Raises `StorageError`."""
    if isinstance(given, Path):
        yield given
        return
    from lib_prodshot.storage.store import Store

    with TemporaryDirectory(prefix="prodshot-") as folder:
        file = Path(folder, given.name)
        Store(given).fetch("", file)
        yield file


def outcome_of(given: Place, work: Callable[[Path], Outcome], failed: Callable[[str], Outcome]) -> Outcome:
    """The outcome of a picture under the name that was given; `failed` makes that of one that cannot be fetched."""
    if isinstance(given, Path):
        return work(given)
    from lib_prodshot.storage.store import StorageError

    try:
        with at_hand(given) as file:
            outcome = work(file)
            told = _renaming(file, given)
            outcome.verdict = type(outcome.verdict)(outcome.status, told(outcome.verdict.reason))
            outcome.notes = tuple(map(told, outcome.notes))
    except StorageError as error:
        outcome = failed(str(error))
    outcome.file = str(given)
    return outcome


def _renaming(file: Path, given: StorageURL) -> Callable[[str], str]:
    return lambda text: text.replace(str(file), str(given))


def keep_results(results: LocalFolders, outcome: Outcome) -> None:
    """Take the results of a picture to where they stay, and call them by their names there; a failure to do so is the
    picture's. Results in a folder of this machine are there already."""
    from lib_prodshot.jobs.stored.folders import StoredFolders
    from lib_prodshot.storage.store import StorageError

    if not isinstance(results, StoredFolders):
        return
    folder = results.output_folder
    line = outcome.to_json()
    for told, key in ((line, "output"), (line, "mask"), *((made, "output") for made in line.get("packshots", ()))):
        if told[key]:
            told[key] = Path(told[key]).relative_to(folder).as_posix()
    try:
        why = results.keep(line)
    except StorageError as error:
        outcome.fail(str(error))
        return
    if why:
        line["output"] = None
        outcome.notes = (*outcome.notes, why)
    outcome.output_file = results.shown(line["output"]) if line["output"] else ""
    outcome.mask_file = results.shown(line["mask"]) if line["mask"] else ""
    for made in outcome.packshots:
        made.file = results.shown(Path(made.file).relative_to(folder).as_posix())
