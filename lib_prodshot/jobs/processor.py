"""One picture file: read it, run the pipeline, write its results into a folder."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from lib_prodshot import pictures, pipeline
from lib_prodshot.enhancing.interface import Enhancer
from lib_prodshot.errors import FieldProblem, OutputError, PictureError, ProdshotError, RequestError
from lib_prodshot.finding.finder import Finder
from lib_prodshot.jobs.files.names import ALPHA_SUFFIX, MASK_SUFFIX, ResultNames, is_shortened, name_limit, short_suffix
from lib_prodshot.jobs.files.reading import READ_TIMEOUT, Stamp, is_unchanged, real_path, stamp_of, with_timeout
from lib_prodshot.jobs.files.staging import Staging
from lib_prodshot.jobs.seeds import content_of, has_other_bytes
from lib_prodshot.outcome import Outcome, Verdict
from lib_prodshot.request import Request
from lib_prodshot.storage.urls import is_url

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from lib_prodshot.packshot.upscaling import Upscaler


@dataclass(frozen=True)
class PictureProcessor:
    """Runs the pipeline on picture files, with one loaded finder and enhancer; without an enhancer it writes nothing.

    `inputs` are the resolved paths of all pictures of the run: no result is ever written over one of them, nor
    (`names`, which a run shares) over another picture's. `upscaler` enlarges where the request asks for a model.
    `keep_times`: results get the input's modification time; the copy of a skipped picture always does.
    """

    request: Request
    finder: Finder
    enhancer: Enhancer | None = None
    inputs: Container[Path] = frozenset()
    progress: Callable[[str], None] = field(default=lambda stage: None)
    keep_times: bool = False
    upscaler: Upscaler | None = None
    names: ResultNames = field(default_factory=ResultNames)

    def detect(self, source: Path) -> Outcome:
        """Run the pipeline on the file `source` and write nothing. Raises `RequestError` only."""
        outcome, _ = self._run(source)
        return outcome

    def process(self, source: Path, folder: Path, stem: str) -> Outcome:
        """Run the pipeline on `source` and write its results into `folder`.

        Those are `stem`.png (or the input's own lossless format), `stem`.mask.png and `stem`.alpha.png; of a skipped
        picture a byte copy, but none among packshots. A failure leaves no file behind.

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
        except Exception as error:  # an encoder's bug fails this picture alone
            return self._failed(source, pipeline.unforeseen(error), outcome)
        if outcome.output_file and is_shortened(source, stem):
            outcome.notes = (*outcome.notes, f"the name is too long for the results, which are called {stem}")
        outcome.seconds["write"] = perf_counter() - start
        return outcome

    def _run(self, source: Path) -> tuple[Outcome, pictures.LoadedPicture | None]:
        start = perf_counter()
        try:
            loaded = _read(source)
            read = perf_counter() - start
            outcome = pipeline.run(
                loaded,
                self.request,
                self.finder,
                self.enhancer,
                self.progress,
                ground_of(self.request),
                references=references_of(self.request),
                upscaler=self.upscaler,
            )
        except RequestError:
            raise
        except _ReadTimeout as error:
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
        failed = outcome or failed_outcome(self.request, self.finder.name, reason, source)
        failed.fail(reason)
        return failed

    def _write_found(
        self, outcome: Outcome, loaded: pictures.LoadedPicture, folder: Path, stem: str, stamp: Stamp | None
    ) -> None:
        assert outcome.result is not None and outcome.mask is not None and outcome.alpha is not None
        mask, alpha = stem + MASK_SUFFIX, stem + ALPHA_SUFFIX
        kept = stamp if self.keep_times else None
        if outcome.packshots:
            self._write_packshots(outcome, loaded, folder, stem, kept)
            outcome.mask_file = str(folder / mask)
            return
        name = stem + pictures.output_suffix(outcome.result.source)
        with staged_results(outcome, folder, (name, mask, alpha), self.inputs, kept, self.names) as to:
            pictures.write(outcome.result, to(name))
            pictures.write_grey(outcome.mask, to(mask), loaded)
            pictures.write_grey(outcome.alpha, to(alpha), loaded)
        outcome.output_file, outcome.mask_file = str(folder / name), str(folder / mask)

    def _write_packshots(
        self, outcome: Outcome, loaded: pictures.LoadedPicture, folder: Path, stem: str, stamp: Stamp | None
    ) -> None:
        """Write every packshot, decode it again and check it by its marketplace's rules; the masks beside them."""
        from lib_prodshot.jobs import packshots

        assert outcome.mask is not None and outcome.alpha is not None
        pattern = self.request.shop.file_names
        names = packshots.names_of(outcome, stem, pattern, name_limit(folder))
        if names != packshots.names_of(outcome, stem, pattern, sys.maxsize):
            outcome.notes = (*outcome.notes, f"the name is too long for the packshots, which are called {names[0]}")
        mask, alpha = stem + MASK_SUFFIX, stem + ALPHA_SUFFIX
        with staged_results(outcome, folder, (*names, mask, alpha), self.inputs, stamp, self.names) as to:
            for made, name in zip(outcome.packshots, names, strict=True):
                packshots.write_and_check(made, to(name), folder / name)
            pictures.write_grey(outcome.mask, to(mask), loaded)
            pictures.write_grey(outcome.alpha, to(alpha), loaded)
        packshots.tell(outcome)
        outcome.output_file = outcome.packshots[0].file

    def _write_skipped(self, outcome: Outcome, source: Path, folder: Path, stem: str, stamp: Stamp | None) -> None:
        if self.enhancer is None:
            return
        if not copies_skipped(self.request):
            outcome.notes = (*outcome.notes, "not copied: a raw photograph among packshots would pass for one")
            return
        name = stem + short_suffix(source)
        if is_in_the_way(outcome, folder / name, partial(content_of, source), self.inputs):
            return
        with staged_results(outcome, folder, (name,), self.inputs, stamp, self.names) as to:
            with suppress(FileNotFoundError):
                shutil.copyfile(source, to(name))
            if not is_unchanged(source, stamp):
                raise PictureError(f"{source} changed while it was worked on")
        outcome.output_file = str(folder / name)


def copies_skipped(request: Request) -> bool:
    """Whether a skipped picture's copy stands beside the results. Whoever uploads a folder of packshots does not look
    for photographs in it."""
    return not request.makes_packshot


def is_in_the_way(outcome: Outcome, place: Path, content: Callable[[], str], inputs: Container[Path]) -> bool:
    """Return whether a file with other bytes stands where a skipped picture's copy should, and note that it stays: a
    copy that we made there went before. Raises `PictureError` when `content` cannot give the picture's SHA-256."""
    try:
        if real_path(place) in inputs or not has_other_bytes(place, content):
            return False
    except OSError as problem:
        raise PictureError(f"{outcome.file} cannot be read: {problem.strerror or problem}") from problem
    outcome.notes = (*outcome.notes, not_copied(place.name))
    return True


def not_copied(name: str) -> str:
    """What is told of a copy in whose place another file stands."""
    return f"not copied: {name} stands there with other content, and stays; move it away for a copy"


def failed_outcome(request: Request, finder: str, reason: str, source: Path | None = None) -> Outcome:
    """Return the outcome of a picture that failed before the pipeline ran."""
    names = tuple(product.name for product in request.classes)
    return Outcome(Verdict("failed", reason), names, finder, file="" if source is None else str(source))


@contextmanager
def staged_results(
    outcome: Outcome,
    folder: Path,
    names: tuple[str, ...],
    inputs: Container[Path],
    stamp: Stamp | None,
    claimed: ResultNames,
) -> Iterator[Callable[[str], Path]]:
    """Stage the results `names` of one picture; yields the function that gives each its temporary path.

    The files get the modification time of `stamp`, where there is one; that this did not work is noted in the outcome.
    Raises `OutputError` for a name in `folder` that is one of `inputs` (resolved paths) or that another picture has
    `claimed`, and as `Staging`.
    """
    for name in names:
        if real_path(folder / name) in inputs:
            raise OutputError(f"{folder / name} is itself one of the pictures given; choose another output folder")
    claimed.claim(outcome.file, folder, names)
    with Staging(folder, modified=stamp[1] if stamp else None) as staging:
        yield staging.path
    if staging.time_note:
        outcome.notes = (*outcome.notes, staging.time_note)


def ground_of(request: Request) -> npt.NDArray[np.uint8] | None:
    """The picture for a packshot's ground, where the request names one. Raises `RequestError`."""
    if not request.needs_ground_picture:
        return None
    if not request.ground_picture.strip():
        raise RequestError([FieldProblem("ground_picture", "the ground 'picture' needs a picture file")])
    return _named("ground_picture", request.ground_picture)


def references_of(request: Request) -> tuple[npt.NDArray[np.uint8], ...]:
    """The further pictures that an edit model is shown. Raises `RequestError`."""
    return tuple(_named("edit_references", name) for name in request.reference_files)


def read_named(request: Request) -> None:
    """Read the pictures that a request names, before anything is made. Raises `RequestError` (the setting's field)."""
    ground_of(request)
    references_of(request)


def _named(field: str, name: str) -> npt.NDArray[np.uint8]:
    if is_url(name.strip()):
        raise RequestError([FieldProblem(field, "this is an address; download the picture and name its file")])
    path = Path(name.strip()).expanduser()
    return _read_named(field, path, stamp_of(path))


def upscaler_of(request: Request) -> Upscaler | None:
    """The model file that enlarges packshots, where the request asks for one. Raises `RequestError`."""
    if not request.needs_upscaler:
        return None
    from lib_prodshot.packshot.upscaling import model_file

    return model_file(request.upscaler)


@lru_cache(maxsize=4)
def _read_named(field: str, path: Path, _stamp: Stamp | None) -> npt.NDArray[np.uint8]:
    try:
        return _read(path).in_srgb()
    except PictureError as error:
        raise RequestError([FieldProblem(field, str(error))]) from error


class _ReadTimeout(PictureError):
    """The file could not be read in time; another run may succeed."""


def _read(source: Path) -> pictures.LoadedPicture:
    try:
        return with_timeout(READ_TIMEOUT, partial(pictures.read, source))
    except TimeoutError as error:
        raise _ReadTimeout(f"{source} could not be read within {READ_TIMEOUT:g} s") from error
