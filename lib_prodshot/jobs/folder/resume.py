"""Resuming a folder job: which pictures are done, and which files of an earlier run to remove."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path, PurePath
from typing import Any

from lib_prodshot.jobs.files.compact import PathSet
from lib_prodshot.jobs.files.names import ALPHA_SUFFIX, MASK_SUFFIX, folded, suffix_of
from lib_prodshot.jobs.files.reading import Stamp, real_path, stamp_of
from lib_prodshot.jobs.files.staging import output_error
from lib_prodshot.jobs.folder.work_list import Entry
from lib_prodshot.jobs.report.ledger import Line
from lib_prodshot.jobs.seeds import content_of
from lib_prodshot.request import Request
from lib_prodshot.steps import registry
from lib_prodshot.steps.targets import targets_of

MAKES = {True: "packshots", False: "enhanced pictures"}
"""What a request's results are called, by whether it makes packshots."""


def fingerprint(request: Request, finder: str, dry_run: bool) -> str:
    """Return a hash that changes when, and only when, a setting that matters does, or the version of a step that runs.

    `finder` is the name of the one that runs.
    """
    steps = [step for step in registry.STEPS if (step.in_dry_run if dry_run else step.is_chosen(request))]
    values: dict[str, Any] = {
        known.name: getattr(request, known.name)
        for step in steps
        for known in registry.settings_by_step()[step.id]
        if not known.webui_only
    }
    values["step_versions"] = {step.id: step.version for step in steps}
    values["products"] = [product.as_text() for product in request.classes]
    if request.makes_packshot:
        # a marketplace's own figures may be a user's, and change
        values["targets"] = [(each.marketplace, dict(each.made), each.limit) for each in targets_of(request)]
    values["finder"] = finder
    values["dry_run"] = dry_run
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def is_done(
    line: Line, entry: Entry, content: str, settings: str, has: Callable[[str, int], bool], copies: bool = True
) -> bool:
    """Return whether the picture needs no more work.

    That is: the same file (SHA-256 `content`), the same settings (fingerprint), and all files that its line names still
    exist with no fewer bytes (`has`), under the names that they would get now; `copies` as in `may_be_done`.
    """
    if (line.get("sha256"), line.get("settings")) != (content, settings):
        return False
    return may_be_done(line, entry, copies) and all(has(name, least) for name, least in least_bytes(line).items())


def may_be_done(line: Line, entry: Entry, copies: bool = True) -> bool:
    """Return whether a line says that nothing is left to do, and its results are called what they would be now.
    `copies`: whether the job copies skipped pictures; earlier versions did so among packshots."""
    if line.get("retry") or (not copies and line.get("status") == "skipped" and line.get("output")):
        return False
    mask = _beside(entry, entry.stem + MASK_SUFFIX)
    named = {key: str(line[key]) for key in ("output", "mask") if line.get(key)}
    if named.get("mask", mask) != mask:
        return False
    if "output" in named and not line.get("packshots"):
        name = named["output"].rpartition("/")[2]
        if name.removesuffix(suffix_of(name)) != entry.stem:
            return False
    return True


def written_bytes(line: Line, out: Path) -> list[int]:
    """Return the size in bytes of each file that a line names (`files_of`), 0 for one that is not there."""
    sizes = []
    for name in files_of(line):
        stamp = stamp_of(out / name)
        sizes.append(stamp[0] if stamp else 0)
    return sizes


def least_bytes(line: Line) -> dict[str, int]:
    """Return how many bytes each file that a line names has at least: those that were written; one, where the line is
    of a version that did not note them. A result that somebody edited may have more."""
    names = list(files_of(line))
    sizes = line.get("bytes")
    if not isinstance(sizes, list) or len(sizes) != len(names):
        return dict.fromkeys(names, 1)
    return {name: max(1, size) if isinstance(size, int) else 1 for name, size in zip(names, sizes)}


def set_times(line: Line, out: Path, stamp: Stamp) -> None:
    """Give the files that a line names the input's modification time, where the file system allows it."""
    for name in files_of(line):
        with suppress(OSError):
            if (out / name).stat().st_mtime_ns != stamp[1]:
                os.utime(out / name, ns=(stamp[1], stamp[1]))


def remove_results(line: Line, out: Path, inputs: Container[Path]) -> list[str]:
    """Delete the files that a line names, so that a new verdict leaves nothing of the old one behind.

    Only files inside `out`, and none of `inputs` (resolved paths); of a link itself, and never what it leads to.
    Returns what cannot be removed, as 'NAME (reason)'.
    """
    root = real_path(out)
    stuck = []
    for name in files_of(line):
        if "\0" in name or PurePath(name).name in ("", ".."):
            continue
        path = real_path((root / name).parent) / PurePath(name).name
        # a folder of that name is not ours
        if root not in path.parents or real_path(path) in inputs or not os.path.lexists(path) or path.is_dir():
            continue
        try:
            path.unlink(missing_ok=True)
        except OSError as problem:
            stuck.append(f"{name} ({problem.strerror})")
    return stuck


def is_copy(name: str, line: Line) -> bool:
    """Return whether a file is the copy of a skipped picture, by its line, which says what it had in it."""
    return line.get("status") == "skipped" and name == line.get("output") and bool(line.get("sha256"))


def is_anothers(name: str, line: Line, out: Path) -> bool:
    """Return whether the copy of a skipped picture has other bytes by now: somebody has put a file there."""
    try:
        return is_copy(name, line) and content_of(out / name) != line["sha256"]
    except (OSError, ValueError):
        return False


class Journal:
    """Records which pictures are in progress, so that results of a killed run without a report line are found.

    The file is deleted when a run starts, and when one has completed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def record(self, names: Sequence[str], settings: str) -> None:
        """Record files, relative to the output folder, that are about to be written, and the fingerprint of the
        settings: another run, with other ones, would not know what they are called. Raises `OutputError`."""
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([*names, {"settings": settings}]) + "\n")
        except OSError as problem:
            raise output_error(self._path.parent, problem) from problem

    @property
    def exists(self) -> bool:
        """Whether an earlier run left one, for it did not complete."""
        return os.path.lexists(self._path)

    def made_otherwise(self, settings: str) -> PathSet:
        """Return the files that killed runs recorded with other settings than these. Where a line names one of them, it
        is of a run before, and the file may be of the killed one. Raises `OutputError`."""
        return PathSet(
            chain.from_iterable(_names_in(record) for record in self._records() if _is_otherwise(record, settings))
        )

    def remove_partial(self, kept: Container[str], remove: Callable[[Line], list[str]]) -> list[str]:
        """Have `remove` delete the files that killed runs recorded, but for those `kept`, which have a line. Returns
        what cannot be removed.

        Raises `OutputError` when our own file cannot be read.
        """
        stuck: dict[str, None] = {}
        for record in self._records():
            for name in _names_in(record):
                if name not in kept:
                    stuck.update(dict.fromkeys(remove({"output": name})))
        self.delete()
        return sorted(stuck)

    def _records(self) -> Iterator[list[Any]]:
        """Yield what was recorded, but for a line that was cut short by a power failure."""
        try:
            with self._path.open(encoding="utf-8", errors="replace") as file:
                for line in file:
                    with suppress(ValueError, RecursionError):
                        if isinstance(record := json.loads(line), list):
                            yield record
        except FileNotFoundError:
            return
        except OSError as problem:
            raise output_error(self._path.parent, problem) from problem

    def delete(self) -> None:
        """Delete the journal, for every picture has its line; if that fails, the next run checks once more."""
        with suppress(OSError):
            self._path.unlink()


def _names_in(record: list[Any]) -> list[str]:
    return [name for name in record if isinstance(name, str)]


def _is_otherwise(record: list[Any], settings: str) -> bool:
    """Whether a record was made with other settings; an earlier version's does not say."""
    return any(isinstance(each, dict) and each.get("settings") != settings for each in record)


def _beside(entry: Entry, name: str) -> str:
    return f"{entry.folder}/{name}" if entry.folder else name


def files_of(line: Line) -> Iterator[str]:
    """Yield the files that a line names, relative to the output folder; the feathered mask is beside the mask."""
    for key in ("output", "mask"):
        if line.get(key):
            yield str(line[key])
    yield from (str(made["output"]) for made in (line.get("packshots") or ())[1:] if made.get("output"))
    mask = str(line.get("mask") or "")
    if mask.endswith(MASK_SUFFIX):
        yield mask.removesuffix(MASK_SUFFIX) + ALPHA_SUFFIX


def names_in(line: Line) -> list[str]:
    """Return what the files that a line names are called in its folder: `files_of`, in the same order, and behind them
    what stays of an earlier run. A folder job's are relative to it; the paths in lines of pictures that were given by
    name are those of their own day."""
    named = [name if "sha256" in line else PurePath(name).name for name in files_of(line)]
    return [*named, *stays_in(line)]


def stays_in(line: Line) -> list[str]:
    """Return what stands there of an earlier run, of a picture of which nothing was made in the line's own."""
    stays = line.get("stays")
    files = stays.get("files") if isinstance(stays, dict) else None
    return [str(name) for name in files] if isinstance(files, list) else []


def pictures_among(names: Iterable[str]) -> Iterator[str]:
    """Yield the results among `names_in` that are no masks."""
    return (name for name in names if not name.endswith((MASK_SUFFIX, ALPHA_SUFFIX)))


def is_packshot(name: str, line: Line) -> bool:
    """Return whether a file that a line names (`names_in`) is a packshot, or beside one."""
    if name in stays_in(line):
        return name in (line["stays"].get("packshots") or ())
    return bool(line.get("packshots"))


def stem_of(name: str) -> str:
    """Return what a result, relative to the output folder, is called without its ending: its picture's stem, after its
    sub-folder and '/', in one way of writing (`folded`)."""
    for ending in (MASK_SUFFIX, ALPHA_SUFFIX):
        if name.endswith(ending):
            return folded(name.removesuffix(ending))
    return folded(name.removesuffix(suffix_of(name.rpartition("/")[2])))


def stems_of(line: Line) -> set[str]:
    """Return the stems that the picture of a line had, as `stem_of` does: what packshots are called besides is a
    pattern's, and may be another picture's stem."""
    named = {key: str(line[key]) for key in ("output", "mask") if line.get(key)}
    if line.get("packshots"):
        named.pop("output", None)
    return set(map(stem_of, named.values()))


def stem_in(entry: Entry) -> str:
    """Return the same of a picture whose results are not there yet."""
    return folded(_beside(entry, entry.stem))
