"""What a folder job finds of an earlier run: which pictures are done, and what has to go before they are done again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from lib_prodshot.jobs.files.reading import is_file
from lib_prodshot.jobs.files.staging import output_error
from lib_prodshot.jobs.folder.work_list import READABLE, Entry
from lib_prodshot.jobs.processor import Stamp, real_path
from lib_prodshot.jobs.report.ledger import Line
from lib_prodshot.request import Request
from lib_prodshot.steps import registry


def fingerprint(request: Request, finder: str, dry_run: bool) -> str:
    """A short text that changes when, and only when, a setting that matters does, or the version of a step that runs.

    `finder` is the one that runs.
    """
    engines = ("", request.retouch.engine)
    steps = [step for step in registry.STEPS if (step.in_dry_run if dry_run else step.engine in engines)]
    values: dict[str, Any] = {
        known.name: getattr(request, known.name)
        for step in steps
        for known in registry.settings_by_step()[step.id]
        if not known.webui_only
    }
    values["step_versions"] = {step.id: step.version for step in steps}
    values["products"] = [product.as_text() for product in request.classes]
    values["finder"] = finder
    values["dry_run"] = dry_run
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def is_done(line: Line, entry: Entry, content: str, known_settings: str, out: Path) -> bool:
    """Whether the picture needs no more work: the same file (SHA-256 `content`), the same settings, and all that its
    line speaks of is still there, under the names that it would get today."""
    if (line.get("sha256"), line.get("settings")) != (content, known_settings) or line.get("retry"):
        return False
    named = {key: str(line[key]) for key in ("output", "mask") if line.get(key)}
    if named.get("mask", _beside(entry, f"{entry.stem}.mask.png")) != _beside(entry, f"{entry.stem}.mask.png"):
        return False
    if "output" in named and PurePosixPath(named["output"]).stem != entry.stem:
        return False
    return all(is_file(out / name) for name in _files_of(line))


def set_times(line: Line, out: Path, stamp: Stamp) -> None:
    """Give the files that a line speaks of the input's modification time, where the file system lets us."""
    for name in _files_of(line):
        with suppress(OSError):
            if (out / name).stat().st_mtime_ns != stamp[1]:
                os.utime(out / name, ns=(stamp[1], stamp[1]))


def remove_results(line: Line, out: Path, inputs: Collection[Path]) -> list[str]:
    """Delete the files that a line speaks of, so that a new verdict leaves nothing of the old one behind.

    Only files inside `out`, and none of `inputs` (resolved paths). Returns what cannot be removed, as 'NAME (reason)'.
    """
    root = real_path(out)
    stuck = []
    for name in _files_of(line):
        path = real_path(root / name)
        # a folder of that name is nothing that we made
        if root not in path.parents or path in inputs or not os.path.lexists(path) or path.is_dir():
            continue
        try:
            path.unlink(missing_ok=True)
        except OSError as problem:
            stuck.append(f"{name} ({problem.strerror})")
    return stuck


class Begun:
    """Remembers which pictures are being worked on, so that what a killed run wrote without a report line is found.

    The file is gone when a run begins, and when one has come to its end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, entry: Entry) -> None:
        """Results of this picture may be on disk from now on. Raises `OutputError`."""
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry.name) + "\n")
        except OSError as problem:
            raise output_error(self._path.parent, problem) from problem

    def clear(self, entries: Iterable[Entry], done: Collection[str], out: Path, inputs: Collection[Path]) -> list[str]:
        """Remove what killed runs may have left of pictures that are not `done`. Returns what cannot be removed.

        Raises `OutputError` when our own file cannot be read.
        """
        try:
            # a line torn by a power cut names nothing
            begun = set(self._path.read_text(encoding="utf-8", errors="replace").splitlines())
        except FileNotFoundError:
            return []
        except OSError as problem:
            raise output_error(self._path.parent, problem) from problem
        stuck: dict[str, None] = {}
        for entry in entries:
            if json.dumps(entry.name) in begun and entry.name not in done:
                for suffix in READABLE | {PurePosixPath(entry.name).suffix}:
                    output, mask = (_beside(entry, entry.stem + end) for end in (suffix, ".mask.png"))
                    stuck.update(dict.fromkeys(remove_results({"output": output, "mask": mask}, out, inputs)))
        self.forget()
        return sorted(stuck)

    def forget(self) -> None:
        """Every picture that was begun has its line. A file that stays costs the next run a second look."""
        with suppress(OSError):
            self._path.unlink()


def sweep(folders: Iterable[Path], out: Path) -> list[str]:
    """Remove the temporary files of processes that were killed. Only under the job's lock, before any work.

    Returns what cannot be removed, relative to `out`, as 'NAME (reason)'.
    """
    stuck = []
    for folder in folders:
        for leftover in _leftovers(folder):
            try:
                leftover.unlink(missing_ok=True)
            except OSError as problem:
                stuck.append(f"{leftover.relative_to(out).as_posix()} ({problem.strerror})")
    return sorted(stuck)


def _leftovers(folder: Path) -> Iterator[Path]:
    try:
        paths = list(folder.iterdir())
    except OSError:
        return  # nothing is made there before the picture's turn, and what is wrong is said then
    for path in paths:
        prefix, _, rest = path.name.partition("-")
        process = rest.partition("-")[0]
        if prefix == ".prodshot" and process.isdecimal() and not _is_another_running(int(process)):
            yield path


def _is_another_running(process: int) -> bool:
    if process == os.getpid() or os.name == "nt":  # Windows has no signal 0
        return process != os.getpid()
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _beside(entry: Entry, name: str) -> str:
    return f"{entry.folder}/{name}" if entry.folder else name


def _files_of(line: Line) -> Iterator[str]:
    """Everything that a line says is on disk; the feathered mask stands beside the mask."""
    for key in ("output", "mask"):
        if line.get(key):
            yield str(line[key])
    mask = str(line.get("mask") or "")
    if mask.endswith(".mask.png"):
        yield mask.removesuffix(".mask.png") + ".alpha.png"
