"""What a folder job is to do, and how far one has come."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lib_prodshot.jobs.folder.work_list import MayOpen
from lib_prodshot.request import Request

State = Literal["new", "preparing", "running", "stopping", "done", "stopped", "failed"]


@dataclass(frozen=True)
class FolderJob:
    """The settings of a folder job.

    `limit`: only the first so many pictures of the folder; `only`: of these only those with such names (as the report
    has them), all if empty; `dry_run`: find, and enhance none;
    `keep_times`: results get their input's modification time; `may_open`: where links in the folder may lead."""

    inputs: Path
    out: Path
    request: Request
    recursive: bool = False
    limit: int | None = None
    only: frozenset[str] = frozenset()
    dry_run: bool = False
    keep_times: bool = False
    may_open: MayOpen = lambda place: True


@dataclass(frozen=True)
class Progress:
    """The progress of a job: `done` of `total` pictures, `before` of them before this run; `eta` in seconds."""

    state: State = "new"
    total: int = 0
    done: int = 0
    before: int = 0
    found: int = 0
    skipped: int = 0
    failed: int = 0
    pictures_per_second: float = 0.0
    eta: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether the job has ended."""
        return self.state in ("done", "stopped", "failed")

    def __str__(self) -> str:
        counts = f"{self.done}/{self.total}: {self.found} found, {self.skipped} skipped, {self.failed} failed"
        return counts if self.eta is None else f"{counts}, {self.eta:.0f} s to go"
