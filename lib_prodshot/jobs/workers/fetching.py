"""Pictures in an object store: fetched by the worker that processes them, on whichever machine it runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from lib_prodshot.jobs.report.thumbnails import EncodedThumbnails, encode, held_of, thumbnails_of
from lib_prodshot.jobs.seeds import content_of, picture_seed
from lib_prodshot.jobs.workers.interface import Fetched, FileResult, FileTask
from lib_prodshot.outcome import Outcome
from lib_prodshot.storage.store import StorageError, Store


def process_fetched(
    task: FileTask, process: Callable[[FileTask], FileResult], failed: Callable[[str], Outcome]
) -> FileResult:
    """Fetch the picture of a task once, `process` it, and remove it again; its thumbnails are drawn meanwhile.

    A picture that cannot be fetched is the outcome that `failed` makes of the reason, and may be tried again. Raises as
    `process` does.
    """
    stored = task.stored
    assert stored is not None
    try:
        try:
            task.source.parent.mkdir(parents=True, exist_ok=True)
            Store(stored.picture.url).fetch("", task.source)
            if stored.picture.modified is not None:
                with suppress(OSError, OverflowError):
                    os.utime(task.source, ns=(stored.picture.modified, stored.picture.modified))
            content = content_of(task.source)
        except (StorageError, OSError) as error:
            return FileResult(failed(str(error)), "", retry=True)
        seed = None if stored.job_seed is None else picture_seed(stored.job_seed, content)
        result = process(replace(task, stored=None, seed=seed))
        pictures = (None, None, None) if task.is_measured else _thumbnails(result.outcome, task, stored.side)
        return replace(result, fetched=Fetched(content, seed, pictures))
    finally:
        task.source.unlink(missing_ok=True)


def _thumbnails(outcome: Outcome, task: FileTask, side: int) -> EncodedThumbnails:
    return encode(thumbnails_of(outcome.to_json(), task.folder, side, held=held_of(outcome)))
