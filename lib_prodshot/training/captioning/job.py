"""The caption job of a folder: generates missing captions, and edits the tags of all.

An unreadable caption is not a missing one: it is unchanged and reported.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_prodshot.errors import OutputError
from lib_prodshot.jobs.files.reading import is_file
from lib_prodshot.jobs.files.staging import Staging
from lib_prodshot.training.captioning.captioners import Captioner
from lib_prodshot.training.dataset.captions import Caption, TagEdit, read_caption
from lib_prodshot.training.dataset.folder import Listing, MisnamedCaption, caption_file, expected_caption, list_folder
from lib_prodshot.training.dataset.kohya import dataset_folders


@dataclass(frozen=True)
class CaptionResult:
    """The result for one photograph's caption: the text `before` (None: there was none) and `after`, or a `problem`
    for which nothing could be done. `unusable`: the existing file could not be read or used, and is unchanged.
    `is_bare`: there is no caption, and nobody to write one."""

    photograph: Path
    file: Path
    before: str | None
    after: str
    problem: str = ""
    rewritten: bool = False
    unusable: bool = False
    is_bare: bool = False

    def __str__(self) -> str:
        if self.problem:
            return f"{self.file if self.unusable else self.photograph}: {self.problem}"
        if not self.rewritten:
            return f"{self.file}: kept"
        removed = [] if self.before is None else [f"- {self.before}"]
        return "\n".join([str(self.file), *removed, f"+ {self.after}"])


@dataclass(frozen=True)
class CaptionJob:
    """Captions for one folder, or for kohya's N_name folders in it. Existing ones are kept, but for their tags, unless
    `overwrite`; missing ones come from the `captioner` (None: they are a problem). With `dry_run` nothing is written.

    An unreadable caption is overwritten only with `overwrite`, and what is no file, or may not be
    opened, never.
    """

    folder: Path
    edit: TagEdit
    captioner: Captioner | None = None
    extension: str = ".txt"
    overwrite: bool = False
    dry_run: bool = False

    def run(self) -> Iterator[CaptionResult]:
        """Yield one result for each photograph, written atomically before it is yielded, so that a job that was
        interrupted goes on from there. Lines after the first of an existing caption stay.

        Raises `PictureError`, `CaptionerError`.
        """
        listed = self._listed()
        photographs = _photographs_of(listed)
        existing = {path: read_caption(found) for path in photographs if (found := self._existing_file(path))}
        misnamed = {one.photograph: one for folder in reversed(listed) for one in reversed(folder.misnamed)}
        pending = []
        for path in photographs:
            caption = existing.get(path)
            if why := self._unusable_result(path, caption, misnamed.get(path)):
                yield why
            elif self.overwrite or caption is None or not caption.text:
                pending.append(path)
            else:
                yield self._edited(path, caption, caption.text)
        yield from self._captioned(pending, existing)

    def count(self) -> int:
        """How many photographs the job is about. Raises `PictureError`."""
        return len(self.photographs())

    def photographs(self) -> list[Path]:
        """The photographs that the job is about. Raises `PictureError`."""
        return _photographs_of(self._listed())

    def unused(self, photographs: Sequence[Path]) -> list[str]:
        """The captioner's entries that fit none of these photographs."""
        return self.captioner.unused(photographs) if self.captioner else []

    def _listed(self) -> list[Listing]:
        return [list_folder(folder, self.extension) for folder in dataset_folders(self.folder)]

    def _existing_file(self, photograph: Path) -> Path | None:
        """The existing path where the photograph's caption is read from or written to, of any file type."""
        target = expected_caption(photograph, self.extension)
        return target if os.path.lexists(target) else caption_file(photograph, self.extension)

    def _unusable_result(
        self, photograph: Path, caption: Caption | None, misnamed: MisnamedCaption | None
    ) -> CaptionResult | None:
        """The result for a photograph whose caption must not be changed, None where it may be written."""
        file = self._existing_file(photograph)
        if caption is None or file is None:
            if misnamed is None or self.overwrite:
                return None
            why = f"this caption of {photograph.name} is not read, and none was written beside it: {misnamed.advice}"
            return CaptionResult(photograph, misnamed.file, None, "", why, unusable=True)
        may_write = self.overwrite and is_file(file) and os.access(file, os.R_OK)
        if caption.readable or may_write:
            return None
        return CaptionResult(photograph, file, None, "", f"{caption.fatal}; it stays as it is", unusable=True)

    def _captioned(self, pending: Sequence[Path], existing: dict[Path, Caption]) -> Iterator[CaptionResult]:
        remaining = dict.fromkeys(pending)
        if self.captioner is not None and pending:
            for path, text in self.captioner.caption(pending):
                del remaining[path]
                yield self._edited(path, existing.get(path), text, fresh=True)
        for path in remaining:
            before = existing.get(path)
            why = (before.fatal or before.problem) if before else ""
            nothing = "no captioner was chosen" if self.captioner is None else "the captioner has none for it"
            file = expected_caption(path, self.extension)
            unusable = before is not None and not before.readable
            is_bare = self.captioner is None and not why
            told = why or f"it has no caption, and {nothing}"
            yield CaptionResult(path, file, None, "", told, unusable=unusable, is_bare=is_bare)

    def _edited(self, path: Path, before: Caption | None, text: str, fresh: bool = False) -> CaptionResult:
        file = expected_caption(path, self.extension)
        after = self.edit.apply(text)
        old = before.text if before and before.readable else None
        rewritten = after != old or bool(before and before.has_bom)
        if rewritten and not self.dry_run:
            remaining_lines = "" if fresh or before is None else before.remaining_lines
            try:
                with Staging(file.parent) as staging:
                    text = f"{after}\n{remaining_lines}"
                    staging.path(file.name).write_text(text, encoding="utf-8", newline="\n")
            except OutputError as error:  # one photograph's trouble ends no job
                return CaptionResult(path, file, old, "", str(error), unusable=before is not None)
        return CaptionResult(path, file, old, after, rewritten=rewritten)


def _photographs_of(listed: Sequence[Listing]) -> list[Path]:
    return [path for folder in listed for path in folder.photographs]


def count_results(results: Sequence[CaptionResult]) -> dict[str, int]:
    """The numbers of captions written, kept, missing, and unread (existing files that could not be used)."""
    written, problems = sum(one.rewritten for one in results), [one for one in results if one.problem]
    unread = sum(one.unusable for one in problems)
    kept = len(results) - written - len(problems)
    return {"written": written, "kept": kept, "missing": len(problems) - unread, "unread": unread}
