"""Writes captions for a folder: missing ones from a captioner, tags removed, replaced, and put first in all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_prodshot.jobs.staging import Staging
from lib_prodshot.training.caption_texts import Caption, TagEdit, read_caption
from lib_prodshot.training.captioners import Captioner
from lib_prodshot.training.folder import caption_file, list_folder


@dataclass(frozen=True)
class Captioned:
    """What became of one photograph's caption: the text `before` (None: there was none) and `after`, or a `problem`
    for which nothing could be done."""

    photograph: Path
    file: Path
    before: str | None
    after: str
    problem: str = ""
    rewritten: bool = False

    def __str__(self) -> str:
        if self.problem:
            return f"{self.photograph}: {self.problem}"
        if not self.rewritten:
            return f"{self.file}: kept"
        removed = [] if self.before is None else [f"- {self.before}"]
        return "\n".join([str(self.file), *removed, f"+ {self.after}"])


@dataclass(frozen=True)
class CaptionJob:
    """Captions for one folder. Existing ones are kept, but for their tags, unless `anew`; missing ones come from the
    `captioner` (None: they are a problem). With `dry` nothing is written."""

    folder: Path
    edit: TagEdit
    captioner: Captioner | None = None
    extension: str = ".txt"
    anew: bool = False
    dry: bool = False

    def run(self) -> Iterator[Captioned]:
        """One result for each photograph, written (whole, or not at all) before it is told, so that a job that was
        interrupted goes on from there. Lines after the first of an existing caption stay.

        Raises `PictureError`, `OutputError`, `CaptionerError`.
        """
        photographs = list_folder(self.folder, self.extension).photographs
        existing = {path: read_caption(found) for path in photographs if (found := caption_file(path, self.extension))}
        wanted = [path for path in photographs if self.anew or path not in existing or not existing[path].text]
        for path in photographs:
            if path not in wanted:
                yield self._finish(path, existing[path], existing[path].text)
        yield from self._describe(wanted, existing)

    def count(self) -> int:
        """How many photographs the job is about. Raises `PictureError`."""
        return len(list_folder(self.folder, self.extension).photographs)

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
            yield Captioned(
                path, path.with_suffix(self.extension), None, "", why or f"it has no caption, and {nothing}"
            )

    def _finish(self, path: Path, before: Caption | None, text: str, fresh: bool = False) -> Captioned:
        file = path.with_suffix(self.extension)
        after = self.edit.apply(text)
        old = before.text if before else None
        rewritten = after != old or bool(before and before.marked)
        if rewritten and not self.dry:
            rest = "" if fresh or before is None else before.rest
            _write(file, f"{after}\n{rest}")
        return Captioned(path, file, old, after, rewritten=rewritten)


def _write(file: Path, text: str) -> None:
    with Staging(file.parent) as staging:
        staging.path(file.name).write_text(text, encoding="utf-8", newline="\n")
