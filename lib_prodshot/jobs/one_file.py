"""One file through the house: read it, run the pipeline, put its results in a folder, say what happened."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from time import perf_counter

from lib_prodshot import pictures, pipeline
from lib_prodshot.enhancing.interface import Enhancer
from lib_prodshot.errors import OutputError, PictureError, ProdshotError, RequestError
from lib_prodshot.finding.finder import Finder
from lib_prodshot.jobs.staging import Staging
from lib_prodshot.outcome import Outcome, Verdict
from lib_prodshot.request import Request

Stamp = tuple[int, int]


@dataclass(frozen=True)
class Worker:
    """What stays loaded from picture to picture. Without an enhancer nothing but the report is made (a dry run).

    `inputs` are the resolved paths of all pictures of the run: no result is ever written over one of them.
    """

    request: Request
    finder: Finder
    enhancer: Enhancer | None = None
    inputs: frozenset[Path] = frozenset()
    progress: Callable[[str], None] = field(default=lambda stage: None)

    def look(self, source: Path) -> Outcome:
        """Run the pipeline on the file `source` and write nothing. Raises `RequestError` only."""
        outcome, _ = self._run(source)
        return outcome

    def process(self, source: Path, folder: Path, stem: str) -> Outcome:
        """Run the pipeline on `source` and put `stem`.png (or the input's own lossless format), `stem`.mask.png and
        `stem`.alpha.png into `folder`; of a skipped picture a byte copy. A failure leaves no file behind.

        Raises `RequestError` only: everything else is the outcome 'failed' with its reason.
        """
        if folder.resolve() == source.resolve().parent:
            return self._failed(source, f"the output folder {folder} is the input's own; choose another")
        stamp = stamp_of(source)
        outcome, loaded = self._run(source)
        start = perf_counter()
        try:
            if outcome.status == "found" and loaded is not None:
                self._write_found(outcome, loaded, folder, stem)
            elif outcome.status == "skipped":
                self._write_skipped(outcome, source, folder, stem, stamp)
        except (OutputError, PictureError) as error:
            return self._failed(source, str(error), outcome)
        outcome.seconds["write"] = perf_counter() - start
        return outcome

    def _run(self, source: Path) -> tuple[Outcome, pictures.LoadedPicture | None]:
        start = perf_counter()
        try:
            loaded = pictures.read(source)
            read = perf_counter() - start
            outcome = pipeline.run(loaded, self.request, self.finder, self.enhancer, self.progress)
        except RequestError:
            raise
        except ProdshotError as error:
            return self._failed(source, str(error)), None
        except Exception as error:
            return self._failed(source, pipeline.unforeseen(error)), None
        outcome.file = str(source)
        outcome.seconds = {"read": read, **outcome.seconds}
        return outcome, loaded

    def _failed(self, source: Path, reason: str, outcome: Outcome | None = None) -> Outcome:
        names = tuple(item.name for item in self.request.classes)
        failed = outcome or Outcome(Verdict("failed", reason), names, self.finder.name, file=str(source))
        failed.fail(reason)
        return failed

    def _write_found(self, outcome: Outcome, loaded: pictures.LoadedPicture, folder: Path, stem: str) -> None:
        assert outcome.result is not None and outcome.mask is not None and outcome.alpha is not None
        name, mask, alpha = stem + pictures.output_suffix(loaded), f"{stem}.mask.png", f"{stem}.alpha.png"
        self._refuse_inputs(folder, name, mask, alpha)
        with Staging(folder) as staging:
            pictures.write(outcome.result, staging.path(name))
            pictures.write_grey(outcome.mask, staging.path(mask))
            pictures.write_grey(outcome.alpha, staging.path(alpha))
        outcome.output_file, outcome.mask_file = str(folder / name), str(folder / mask)

    def _write_skipped(self, outcome: Outcome, source: Path, folder: Path, stem: str, stamp: Stamp | None) -> None:
        if self.enhancer is None:
            return
        name = stem + source.suffix
        self._refuse_inputs(folder, name)
        with Staging(folder) as staging:
            copy = staging.path(name)
            with suppress(FileNotFoundError):
                shutil.copyfile(source, copy)
            if stamp_of(source) != stamp:
                raise PictureError(f"{source} changed while it was worked on")
        outcome.output_file = str(folder / name)

    def _refuse_inputs(self, folder: Path, *names: str) -> None:
        for name in names:
            if (folder / name).resolve() in self.inputs:
                raise OutputError(f"{folder / name} is itself one of the pictures given; choose another output folder")


def stamp_of(path: Path) -> Stamp | None:
    """Size and time of a file, by which a change is seen; None when it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def make_folder(folder: Path) -> None:
    """Make the output folder. Raises `OutputError` when it cannot be made or written into."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise OutputError(f"cannot write into {folder}: permission denied")


def output_stems(sources: Sequence[Path]) -> list[str]:
    """A stem for each file's results so that none overwrites another's: its own name without the suffix; with the
    suffix, then with a number, where an earlier file has taken that ('a.jpg' and 'a.png'; 'a.png' and 'a.mask.png')."""
    taken: set[str] = set()
    stems: list[str] = []
    for source in sources:
        stem = next(candidate for candidate in _candidates(source) if not taken & _claims(candidate))
        taken |= _claims(stem)
        stems.append(stem)
    return stems


def _candidates(source: Path) -> Iterator[str]:
    yield source.stem
    yield source.name
    yield from (f"{source.name}-{number}" for number in count(2))


def _claims(stem: str) -> set[str]:
    # folded, for file systems that take A.png and a.png for one file
    return {(stem + kind).casefold() for kind in ("", ".mask", ".alpha")}
