"""The two folders of a job as its runner uses them: on this machine, or (`jobs.stored`) in object storage."""

from __future__ import annotations

import os
import stat
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Protocol

from lib_prodshot.jobs.files.reading import Stamp, stamp_of
from lib_prodshot.jobs.files.staging import STATE_FOLDER
from lib_prodshot.jobs.folder import resume
from lib_prodshot.jobs.folder.contents import ContentBook
from lib_prodshot.jobs.folder.job import FolderJob
from lib_prodshot.jobs.folder.work_list import Entry, WorkList, list_pictures
from lib_prodshot.jobs.report.ledger import Line


class JobFolders(Protocol):
    """Where a job's pictures come from and where its results stay; `FolderJob` names the folders of this machine in
    which both pass by. `shows_drafts`: whether somebody may look at the job's page while the job runs. `contents`: the
    hashes of pictures on this machine."""

    shows_drafts: bool
    contents: ContentBook

    def shown(self, name: str) -> str:
        """Return what a user is told of a file of the output folder."""

    def listed(self, job: FolderJob) -> WorkList:
        """List the job's pictures. Raises `PictureError` and `OutputError`."""

    def open(self) -> None:
        """Begin, with the output folder locked on this machine. Raises `OutputError` when another run is there."""

    def known(self, entries: Sequence[Entry]) -> list[tuple[Stamp, str] | None]:
        """Return of each picture what `state_of` would, None where that must be asked, for it may take long."""

    def state_of(self, entry: Entry, line: Line) -> tuple[Stamp | None, str]:
        """Return a picture's stamp, and the SHA-256 of its bytes ('': other ones than its line's). Raises OSError."""

    def states(self, entries: Sequence[Entry]) -> list[str]:
        """Return of each picture what tells its file from another one without reading it, '' where nothing does."""

    def states_then(self, entries: Sequence[Entry], lines: Sequence[Line]) -> list[str]:
        """Return what `states` gave when the picture had the content that its line names, '' where nobody knows."""

    def has(self, name: str, least: int) -> bool:
        """Whether there is a result of this name, with at least so many bytes."""

    def is_anothers(self, name: str, line: Line) -> bool:
        """Whether the copy of a skipped picture has other bytes than its line says, as `resume.is_anothers` does."""

    def remove(self, line: Line, inputs: Container[Path]) -> list[str]:
        """Remove the results that a line names, as `resume.remove_results` does."""

    def keep(self, line: Line) -> str:
        """Take the results that a line names to where they stay; then the line may be written. Returns why the copy of
        a skipped picture was not taken there, '' otherwise. Raises `ProdshotError`, and none of them stays."""

    def sync(self) -> None:
        """Bring report and state to where they stay, now and then while the job runs."""

    def finish(self) -> None:
        """Bring everything to where it stays, for the job has ended. Raises `ProdshotError`."""

    def close(self) -> None:
        """Release the output folder."""


class LocalFolders:
    """Folders of this machine: everything stands where it stays. See `JobFolders`."""

    shows_drafts = True

    def __init__(self, inputs: Path, out: Path) -> None:
        self.input_folder = inputs
        self.output_folder = out
        self.contents = ContentBook(out / STATE_FOLDER / "contents.jsonl")

    def shown(self, name: str) -> str:
        """See `JobFolders`."""
        return str(self.output_folder / name)

    def listed(self, job: FolderJob) -> WorkList:
        """See `JobFolders`."""
        return list_pictures(job.inputs, job.out, job.recursive, job.may_open)

    def open(self) -> None:
        """See `JobFolders`."""

    def known(self, entries: Sequence[Entry]) -> list[tuple[Stamp, str] | None]:
        """See `JobFolders`."""
        return self.contents.known([entry.source for entry in entries])

    def state_of(self, entry: Entry, line: Line) -> tuple[Stamp | None, str]:
        """See `JobFolders`."""
        return stamp_of(entry.source), self.contents.content_of(entry.source)

    def states(self, entries: Sequence[Entry]) -> list[str]:
        """See `JobFolders`."""
        return [self.contents.state_of(entry.source) for entry in entries]

    def states_then(self, entries: Sequence[Entry], lines: Sequence[Line]) -> list[str]:
        """See `JobFolders`."""
        return self.contents.states_of([entry.source for entry in entries], [str(line.get("sha256")) for line in lines])

    def has(self, name: str, least: int) -> bool:
        """See `JobFolders`."""
        # without a `Path`, for a large job asks hundreds of thousands of times
        try:
            found = os.stat(f"{self.output_folder}{os.sep}{name}")  # noqa: PTH116
        except (OSError, ValueError):
            return False
        return stat.S_ISREG(found.st_mode) and found.st_size >= least

    def is_anothers(self, name: str, line: Line) -> bool:
        """See `JobFolders`."""
        return resume.is_anothers(name, line, self.output_folder)

    def remove(self, line: Line, inputs: Container[Path]) -> list[str]:
        """See `JobFolders`."""
        return resume.remove_results(line, self.output_folder, inputs)

    def keep(self, line: Line) -> str:
        """See `JobFolders`."""
        return ""

    def sync(self) -> None:
        """See `JobFolders`."""

    def finish(self) -> None:
        """See `JobFolders`."""

    def close(self) -> None:
        """See `JobFolders`."""
