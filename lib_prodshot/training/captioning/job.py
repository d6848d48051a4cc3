"""Writes captions for a folder: missing ones from a captioner, tags removed, replaced, and put first in all of them.

A caption that cannot be read is not a missing one: it stays as it is, and is told.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_prodshot.errors import OutputError
from lib_prodshot.jobs.staging import Staging
from lib_prodshot.training.captioning.captioners import Captioner
from lib_prodshot.training.dataset.captions import Caption, TagEdit, read_caption
from lib_prodshot.training.dataset.folder import Beside, caption_file, expected_caption, list_folder
from lib_prodshot.training.dataset.kohya import folders_in


@dataclass(frozen=True)
class Captioned:
    """What became of one photograph's caption: the text `before` (None: there was none) and `after`, or a `problem`
    for which nothing could be done. `kept` says that what there is could not be read, or not be used, and stays."""

    photograph: Path
    file: Path
    before: str | None
    after: str
    problem: str = ""
    rewritten: bool = False
    kept: bool = False

    def __str__(self) -> str:
        if self.problem:
            return f"{self.file if self.kept else self.photograph}: {self.problem}"
        if not self.rewritten:
            return f"{self.file}: kept"
        removed = [] if self.before is None else [f"- {self.before}"]
        return "\n".join([str(self.file), *removed, f"+ {self.after}"])


@dataclass(frozen=True)
class CaptionJob:
    """Captions for one folder, or for kohya's N_name folders in it. Existing ones are kept, but for their tags, unless
    `anew`; missing ones come from the `captioner` (None: they are a problem). With `dry` nothing is written.

    What cannot be read as a caption is written over only where `anew` says so, and what is no file, or may not be
    opened, never.
    """

    folder: Path
    edit: TagEdit
    captioner: Captioner | None = None
    extension: str = ".txt"
    anew: bool = False
    dry: bool = False

    def run(self) -> Iterator[Captioned]:
        """One result for each photograph, written (whole, or not at all) before it is told, so that a job that was
        interrupted goes on from there. Lines after the first of an existing caption stay.

        Raises `PictureError`, `CaptionerError`.
        """
        photographs = self._photographs()
        existing = {path: read_caption(found) for path in photographs if (found := self._standing(path))}
        beside = self._beside()
        wanted = []
        for path in photographs:
            caption = existing.get(path)
            if why := self._kept_for(path, caption, beside.get(path)):
                yield why
            elif self.anew or caption is None or not caption.text:
                wanted.append(path)
            else:
                yield self._finish(path, caption, caption.text)
        yield from self._describe(wanted, existing)

    def count(self) -> int:
        """How many photographs the job is about. Raises `PictureError`."""
        return len(self._photographs())

    def _photographs(self) -> list[Path]:
        folders = folders_in(self.folder)
        return [path for folder in folders for path in list_folder(folder, self.extension).photographs]

    def _beside(self) -> dict[Path, Beside]:
        folders = folders_in(self.folder)
        found = [one for folder in folders for one in list_folder(folder, self.extension).beside]
        return {one.photograph: one for one in reversed(found)}

    def _standing(self, photograph: Path) -> Path | None:
        """What stands where the photograph's caption is read from or written to, whatever it is."""
        target = expected_caption(photograph, self.extension)
        return target if os.path.lexists(target) else caption_file(photograph, self.extension)

    def _kept_for(self, photograph: Path, caption: Caption | None, beside: Beside | None) -> Captioned | None:
        """The result for a photograph whose caption is not to be touched, None where it may be written."""
        file = self._standing(photograph)
        if caption is None or file is None:
            if beside is None or self.anew:
                return None
            why = f"this caption of {photograph.name} is not read, and none was written beside it: {beside.advice}"
            return Captioned(photograph, beside.file, None, "", why, kept=True)
        may_write = self.anew and file.is_file() and os.access(file, os.R_OK)
        if caption.readable or may_write:
            return None
        return Captioned(photograph, file, None, "", f"{caption.fatal}; it stays as it is", kept=True)

    def _describe(self, wanted: Sequence[Path], existing: dict[Path, Caption]) -> Iterator[Captioned]:
        left = dict.fromkeys(wanted)
        if self.captioner is not None and wanted:
            for path, text in self.captioner.caption(wanted):
                del left[path]
                yield self._finish(path, existing.get(path), text, fresh=True)
        for path in left:
            before = existing.get(path)
            why = (before.fatal or before.problem) if before else ""
            nothing = "no captioner was chosen" if self.captioner is None else "the captioner has none for it"
            file = expected_caption(path, self.extension)
            kept = before is not None and not before.readable
            yield Captioned(path, file, None, "", why or f"it has no caption, and {nothing}", kept=kept)

    def _finish(self, path: Path, before: Caption | None, text: str, fresh: bool = False) -> Captioned:
        file = expected_caption(path, self.extension)
        after = self.edit.apply(text)
        old = before.text if before and before.readable else None
        rewritten = after != old or bool(before and before.marked)
        if rewritten and not self.dry:
            rest = "" if fresh or before is None else before.rest
            try:
                _write(file, f"{after}\n{rest}")
            except OutputError as error:  # one photograph's trouble ends no job
                return Captioned(path, file, old, "", str(error), kept=before is not None)
        return Captioned(path, file, old, after, rewritten=rewritten)


def _write(file: Path, text: str) -> None:
    with Staging(file.parent) as staging:
        staging.path(file.name).write_text(text, encoding="utf-8", newline="\n")
