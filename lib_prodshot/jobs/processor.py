"""One file through the house: read it, run the pipeline, put its results in a folder, say what happened."""

from __future__ import annotations

import hashlib
import os
import shutil
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from time import perf_counter

from lib_prodshot import pictures, pipeline
from lib_prodshot.enhancing.interface import Enhancer
from lib_prodshot.errors import OutputError, PictureError, ProdshotError, RequestError
from lib_prodshot.finding.finder import Finder
from lib_prodshot.jobs.files.reading import within
from lib_prodshot.jobs.files.staging import Staging, short_suffix
from lib_prodshot.outcome import Outcome, Verdict
from lib_prodshot.request import Request

Stamp = tuple[int, int]

READ_PATIENCE = 600.0
"""Seconds after which a picture whose file is still being read and decoded has failed. The largest pictures take some
seconds; more than that is a disk that does not answer, or a file made to keep a decoder busy."""

NAME_LIMIT = 255
"""Bytes of a file name in UTF-8: the limit of Linux' file systems and of APFS. NTFS has room for more, but results are
called alike wherever they are made."""

_KINDS = (".mask.png", ".alpha.png")
"""What follows the stem in the names of the results beside the picture."""

_HASH_LETTERS = 10


@dataclass(frozen=True)
class Worker:
    """What stays loaded from picture to picture. Without an enhancer nothing but the report is made (a dry run).

    `inputs` are the resolved paths of all pictures of the run: no result is ever written over one of them.
    `keep_times`: results get the input's modification time; the copy of a skipped picture always does.
    """

    request: Request
    finder: Finder
    enhancer: Enhancer | None = None
    inputs: frozenset[Path] = frozenset()
    progress: Callable[[str], None] = field(default=lambda stage: None)
    keep_times: bool = False

    def look(self, source: Path) -> Outcome:
        """Run the pipeline on the file `source` and write nothing. Raises `RequestError` only."""
        outcome, _ = self._run(source)
        return outcome

    def process(self, source: Path, folder: Path, stem: str) -> Outcome:
        """Run the pipeline on `source` and put `stem`.png (or the input's own lossless format), `stem`.mask.png and
        `stem`.alpha.png into `folder`; of a skipped picture a byte copy. A failure leaves no file behind.

        Raises `RequestError` only: everything else is the outcome 'failed' with its reason.
        """
        if real_path(folder) == real_path(source).parent:
            return self._failed(source, f"the output folder {folder} is the input's own; choose another")
        stamp = stamp_of(source)
        outcome, loaded = self._run(source)
        start = perf_counter()
        try:
            if outcome.status == "found" and loaded is not None:
                self._write_found(outcome, loaded, folder, stem, stamp)
            elif outcome.status == "skipped":
                self._write_skipped(outcome, source, folder, stem, stamp)
        except (OutputError, PictureError) as error:
            return self._failed(source, str(error), outcome)
        except Exception as error:  # an encoder's bug is this picture's trouble alone
            return self._failed(source, pipeline.unforeseen(error), outcome)
        if outcome.output_file and _is_shortened(source, stem):
            outcome.notes = (*outcome.notes, f"the name is too long for the results, which are called {stem}")
        outcome.seconds["write"] = perf_counter() - start
        return outcome

    def _run(self, source: Path) -> tuple[Outcome, pictures.LoadedPicture | None]:
        start = perf_counter()
        try:
            loaded = _read(source)
            read = perf_counter() - start
            outcome = pipeline.run(loaded, self.request, self.finder, self.enhancer, self.progress)
        except RequestError:
            raise
        except _NoAnswer as error:
            failed = self._failed(source, str(error))
            failed.seconds = {"read": perf_counter() - start}
            return failed, None
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

    def _write_found(
        self, outcome: Outcome, loaded: pictures.LoadedPicture, folder: Path, stem: str, stamp: Stamp | None
    ) -> None:
        assert outcome.result is not None and outcome.mask is not None and outcome.alpha is not None
        name = stem + pictures.output_suffix(loaded)
        mask, alpha = (stem + kind for kind in _KINDS)
        self._refuse_inputs(folder, name, mask, alpha)
        with Staging(folder, modified=stamp[1] if stamp and self.keep_times else None) as staging:
            pictures.write(outcome.result, staging.path(name))
            pictures.write_grey(outcome.mask, staging.path(mask), loaded)
            pictures.write_grey(outcome.alpha, staging.path(alpha), loaded)
        outcome.output_file, outcome.mask_file = str(folder / name), str(folder / mask)
        _note_time(outcome, staging)

    def _write_skipped(self, outcome: Outcome, source: Path, folder: Path, stem: str, stamp: Stamp | None) -> None:
        if self.enhancer is None:
            return
        name = stem + short_suffix(source)
        self._refuse_inputs(folder, name)
        with Staging(folder, modified=stamp[1] if stamp else None) as staging:
            copy = staging.path(name)
            with suppress(FileNotFoundError):
                shutil.copyfile(source, copy)
            if not is_as_then(source, stamp):
                raise PictureError(f"{source} changed while it was worked on")
        outcome.output_file = str(folder / name)
        _note_time(outcome, staging)

    def _refuse_inputs(self, folder: Path, *names: str) -> None:
        for name in names:
            if real_path(folder / name) in self.inputs:
                raise OutputError(f"{folder / name} is itself one of the pictures given; choose another output folder")


class _NoAnswer(PictureError):
    """The file is still being read when nobody waits any more; another time it may go better."""


def _read(source: Path) -> pictures.LoadedPicture:
    try:
        return within(READ_PATIENCE, partial(pictures.read, source))
    except TimeoutError as error:
        raise _NoAnswer(f"{source} could not be read within {READ_PATIENCE:g} s") from error


def stamp_of(path: Path) -> Stamp | None:
    """Size and time of a file, by which a change is seen; None when it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def is_as_then(path: Path, stamp: Stamp | None) -> bool:
    """Whether a file is the one that had this stamp. One that gave none, then or now, is not."""
    return stamp is not None and stamp_of(path) == stamp


def real_path(path: Path) -> Path:
    """The path without links, which may lead nowhere or in circles (`Path.resolve` raises for those)."""
    return Path(os.path.realpath(path))


def _note_time(outcome: Outcome, staging: Staging) -> None:
    if staging.time_note:
        outcome.notes = (*outcome.notes, staging.time_note)


def make_folder(folder: Path) -> None:
    """Make the output folder. Raises `OutputError` when it cannot be made or written into."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise OutputError(f"cannot write into {folder}: permission denied")


def name_limit(folder: Path) -> int:
    """Bytes that a file name may have in a folder, which need not exist yet; at most `NAME_LIMIT`."""
    if not hasattr(os, "pathconf"):
        return NAME_LIMIT
    for place in (folder, *folder.parents):
        with suppress(OSError, ValueError):
            # fewer where names are encrypted (eCryptfs: 143); negative where nobody knows
            own = os.pathconf(place, "PC_NAME_MAX")
            return min(NAME_LIMIT, own) if own > 0 else NAME_LIMIT
    return NAME_LIMIT


def output_stems(sources: Sequence[Path], limit: int = NAME_LIMIT) -> list[str]:
    """A stem for each file's results so that none overwrites another's: its own name without the suffix; with the
    suffix, then with a number, where an earlier file has taken that ('a.jpg' and 'a.png'; 'a.png' and 'a.mask.png').

    A stem that leaves no room for the results' endings within `limit` bytes is cut, and ends in '~' and a hash of
    what it would have been: the same in every run, whatever else is in the folder.
    """
    taken: set[str] = set()
    stems: list[str] = []
    for source in sources:
        stem = next(fitting for fitting in _candidates(source, limit) if not taken & _claims(fitting))
        taken |= _claims(stem)
        stems.append(stem)
    return stems


def _candidates(source: Path, limit: int) -> Iterator[str]:
    suffix = short_suffix(source)
    room = limit - max(len(os.fsencode(ending)) for ending in (*_KINDS, suffix))
    yield _fitted(source.name.removesuffix(suffix), room)
    yield _fitted(source.name, room)
    yield from (_fitted(f"{source.name}-{number}", room) for number in count(2))


def _fitted(stem: str, room: int) -> str:
    """The stem in at most `room` bytes, never cut within a letter."""
    if len(os.fsencode(stem)) <= room:
        return stem
    end = "~" + hashlib.sha256(os.fsencode(stem)).hexdigest()[:_HASH_LETTERS]
    head = stem[: room - len(end)]
    while len(os.fsencode(head)) + len(end) > room:
        head = head[:-1]
    return head + end


def _is_shortened(source: Path, stem: str) -> bool:
    return stem != source.name.removesuffix(short_suffix(source)) and not stem.startswith(source.name)


def _claims(stem: str) -> set[str]:
    # folded, for file systems that take A.png and a.png, or é in one letter and in two, for one file
    return {unicodedata.normalize("NFC", stem + kind).casefold() for kind in ("", *(Path(k).stem for k in _KINDS))}
