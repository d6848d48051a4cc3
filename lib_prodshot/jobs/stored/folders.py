"""A folder job whose pictures, results, or both are in object storage.

The job works in a folder of this machine as it does otherwise: a picture is there while a worker has it, its results
until they are in the store. Report and state stay there while the job runs, and are brought to the store as they grow.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Collection, Container, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from lib_prodshot.errors import FieldProblem, RequestError, as_typed
from lib_prodshot.jobs.files.names import NAME_LIMIT, name_limit
from lib_prodshot.jobs.files.reading import Stamp
from lib_prodshot.jobs.files.staging import STATE_FOLDER
from lib_prodshot.jobs.folder.folders import LocalFolders
from lib_prodshot.jobs.folder.job import FolderJob
from lib_prodshot.jobs.folder.resume import files_of, is_copy, written_bytes
from lib_prodshot.jobs.folder.work_list import HIDDEN, TOO_LONG, Entry, WorkList, entries_of, is_picture
from lib_prodshot.jobs.processor import not_copied
from lib_prodshot.jobs.report.ledger import Line
from lib_prodshot.jobs.report.report import CSV_NAME, JSONL_NAME
from lib_prodshot.jobs.seeds import content_of
from lib_prodshot.jobs.stored.claim import Claim
from lib_prodshot.jobs.stored.mirror import Mirror
from lib_prodshot.storage.store import NoBucket, StorageError, Store, StoredObject
from lib_prodshot.storage.urls import StorageURL

JOURNAL = f"{STATE_FOLDER}/begun.jsonl"
GROWN = (JSONL_NAME, JOURNAL, f"{STATE_FOLDER}/sizes.jsonl", f"{STATE_FOLDER}/thumbnails.jsonl")
"""Files of a job that only grow."""

NO_NAME = "names that no folder could have"
"""Why an object was left out: an empty part, '.' or '..' in its name, a zero byte, or what s3fs takes for a version."""


class StoredFolders(LocalFolders):
    """See `JobFolders`. Either of `inputs` and `out` may be a URL; the job has `input_folder` and `output_folder` for
    them, beneath `spool` where they are URLs. `say` gets what the user should know; over none of `pictures` (URLs) a
    result is put.

    Raises `StorageError` when a package is missing, `RequestError` when both are the same place.
    """

    shows_drafts = False

    def __init__(
        self,
        inputs: Path | StorageURL,
        out: Path | StorageURL,
        spool: Path,
        say: Callable[[str], None] = lambda text: None,
        pictures: frozenset[str] = frozenset(),
    ) -> None:
        if str(inputs).rstrip("/") == str(out).rstrip("/"):
            message = f"the output folder {out} is the input folder itself; choose another"
            raise RequestError([FieldProblem("out", message)])
        self._inputs = Store(inputs) if isinstance(inputs, StorageURL) else None
        self._results = Store(out) if isinstance(out, StorageURL) else None
        super().__init__(
            spool / "in" if isinstance(inputs, StorageURL) else inputs,
            spool / "out" if isinstance(out, StorageURL) else out,
        )
        self.shows_drafts = self._results is None
        self._pictures = pictures
        self._present: dict[str, int] = {}
        self._claim = Claim(self._results, say) if self._results else None
        self._mirror = Mirror(self.output_folder, self._results, GROWN) if self._results else None

    def shown(self, name: str) -> str:
        """See `JobFolders`."""
        return str(self._results.url / name) if self._results else super().shown(name)

    def listed(self, job: FolderJob) -> WorkList:
        """See `JobFolders`. Raises `StorageError` as well."""
        if self._inputs is None:
            return super().listed(job)
        try:
            found = dict(self._inputs.list(job.recursive))
        except NoBucket as error:
            raise RequestError([FieldProblem("folder", str(error))]) from error
        if not found:
            raise RequestError([FieldProblem("folder", self._why_empty(self._inputs))])
        names, others, left_out = _sorted_out(self._outside_results(found))
        limit = name_limit(self.output_folder) if self._results is None else NAME_LIMIT
        entries = tuple(self._entry(entry, found[entry.name]) for entry in entries_of(Path(), names, limit))
        self._pictures = frozenset(str(found[name].url) for name in names)
        return WorkList(entries, others, tuple((reason, tuple(left_out[reason])) for reason in sorted(left_out)))

    def open(self) -> None:
        """See `JobFolders`. What the store holds is the truth: what an earlier run left on this machine goes. Raises
        `StorageError` as well."""
        if self._inputs is not None:
            shutil.rmtree(self.input_folder, ignore_errors=True)
        if self._results is None or self._claim is None or self._mirror is None:
            return
        self._claim.take()
        try:
            _empty(self.output_folder)
            self._present = {name: found.size for name, found in self._results.list()}
            self._mirror.restore(self._present)
            if CSV_NAME in self._present:
                self._results.fetch(CSV_NAME, self.output_folder / CSV_NAME)
        except BaseException:
            self._claim.release()
            raise

    def known(self, entries: Sequence[Entry]) -> list[tuple[Stamp, str] | None]:
        """See `JobFolders`."""
        return super().known(entries) if self._inputs is None else [None] * len(entries)

    def state_of(self, entry: Entry, line: Line) -> tuple[Stamp | None, str]:
        """See `JobFolders`. The store says whether an object is another one: none is fetched to tell."""
        if entry.stored is None:
            return super().state_of(entry, line)
        stamp = None if entry.stored.modified is None else (entry.stored.size, entry.stored.modified)
        return stamp, str(line["sha256"]) if line.get("object_version") == entry.stored.version else ""

    def states(self, entries: Sequence[Entry]) -> list[str]:
        """See `JobFolders`."""
        if self._inputs is None:
            return super().states(entries)
        return [entry.stored.version if entry.stored else "" for entry in entries]

    def states_then(self, entries: Sequence[Entry], lines: Sequence[Line]) -> list[str]:
        """See `JobFolders`."""
        if self._inputs is None:
            return super().states_then(entries, lines)
        return [str(line.get("object_version") or "") for line in lines]

    def has(self, name: str, least: int) -> bool:
        """See `JobFolders`."""
        return self._present.get(name, 0) >= least if self._results else super().has(name, least)

    def is_anothers(self, name: str, line: Line) -> bool:
        """See `JobFolders`. The object is fetched to tell; where it cannot be, it counts as somebody's."""
        if self._results is None:
            return super().is_anothers(name, line)
        if not is_copy(name, line) or name not in self._present:
            return False
        try:
            return self._has_other_bytes(self._results, name, str(line["sha256"]))
        except StorageError:
            return True

    def remove(self, line: Line, inputs: Container[Path]) -> list[str]:
        """See `JobFolders`."""
        if self._results is None:
            return super().remove(line, inputs)
        stuck = []
        for name in files_of(line):
            if name not in self._present or _is_no_name(name) or str(self._results.url / name) in self._pictures:
                continue
            try:
                self._results.remove(name)
                self._present.pop(name, None)
            except StorageError as error:
                stuck.append(f"{name} ({error})")
        return stuck

    def keep(self, line: Line) -> str:
        """See `JobFolders`."""
        if self._results is None or self._mirror is None:
            return ""
        names, sizes = tuple(files_of(line)), written_bytes(line, self.output_folder)
        put: list[str] = []
        try:
            if line["status"] == "skipped" and any(self._is_in_the_way(self._results, name) for name in names):
                return not_copied(self.shown(names[0]))
            if names:
                # a run that is killed now leaves results without a line: the next one knows of them
                self._mirror.send(JOURNAL)
            for name in names:
                self._put(self._results, name)
                put.append(name)
        except StorageError:
            for name in put:
                with suppress(StorageError):
                    self._results.remove(name)
            raise
        finally:
            for name in names:
                (self.output_folder / name).unlink(missing_ok=True)
        self._present.update(zip(names, sizes))
        return ""

    def sync(self) -> None:
        """See `JobFolders`. A store that does not answer now gets everything the next time."""
        with suppress(StorageError):
            if self._mirror is not None:
                self._mirror.send_all()

    def finish(self) -> None:
        """See `JobFolders`."""
        if self._results is None or self._mirror is None:
            return
        # a large sheet has its rows in a folder beside it
        for path in sorted((*self.output_folder.iterdir(), *self.output_folder.glob("*.rows/*.js"))):
            if path.is_file() and path.name != JSONL_NAME:
                self._results.put(path, path.relative_to(self.output_folder).as_posix())
        self._mirror.send_all(whole=True)

    def close(self) -> None:
        """See `JobFolders`."""
        if self._inputs is not None:
            shutil.rmtree(self.input_folder, ignore_errors=True)
        if self._claim is not None:
            self._claim.release()
            _empty(self.output_folder)

    def _is_in_the_way(self, results: Store, name: str) -> bool:
        """Whether an object with other bytes stands where a skipped picture's copy should: somebody has put it there,
        for a copy that we made went before."""
        if str(results.url / name) in self._pictures:
            return False
        found, copy = results.find(name), self.output_folder / name
        if found is None:
            return False
        return found.size != copy.stat().st_size or self._has_other_bytes(results, name, content_of(copy))

    def _has_other_bytes(self, results: Store, name: str, content: str) -> bool:
        with TemporaryDirectory(dir=self.output_folder) as folder:
            file = Path(folder, "object")
            results.fetch(name, file)
            return content_of(file) != content

    def _put(self, results: Store, name: str) -> None:
        if str(results.url / name) in self._pictures:
            raise StorageError(f"{results.url / name} is itself one of the pictures; choose another output folder")
        results.put(self.output_folder / name, name)

    def _entry(self, entry: Entry, stored: StoredObject) -> Entry:
        # by a folder of its own for each sub-folder: in a store 'a' may be an object, and 'a/b' another
        folder = hashlib.sha256(os.fsencode(entry.folder)).hexdigest()[:16]
        return replace(entry, source=self.input_folder / folder / PurePosixPath(entry.name).name, stored=stored)

    def _outside_results(self, names: Collection[str]) -> Iterator[str]:
        assert self._inputs is not None
        own = str(self._inputs.url) + "/"
        out = str(self._results.url) + "/" if self._results else ""
        inside = out.removeprefix(own) if out.startswith(own) else None
        return (name for name in names if inside is None or not name.startswith(inside))

    def _why_empty(self, inputs: Store) -> str:
        if inputs.find() is not None:
            return f"{inputs.url} is an object; for single pictures use `{as_typed('enhance')}`"
        return f"the folder {inputs.url} does not exist: nothing in its bucket is called like that"


def _sorted_out(names: Iterator[str]) -> tuple[list[str], int, dict[str, list[str]]]:
    """The pictures among the objects, the number of others, and what is left out, by reason. As in a folder, hidden
    ones are passed by, and what lies in hidden folders without a word."""
    pictures: list[str] = []
    left_out: dict[str, list[str]] = {}
    others = 0
    for name in sorted(names):
        parts = name.split("/")
        if _is_no_name(name):
            left_out.setdefault(NO_NAME, []).append(name)
        elif any(part.startswith(".") for part in parts[:-1]):
            continue
        elif parts[-1].startswith("."):
            if is_picture(name):
                left_out.setdefault(HIDDEN, []).append(name)
        elif not is_picture(name):
            others += 1
        elif len(os.fsencode(parts[-1])) > NAME_LIMIT:
            left_out.setdefault(TOO_LONG, []).append(name)
        else:
            pictures.append(name)
    return pictures, others, left_out


def _is_no_name(name: str) -> bool:
    return any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name or "?versionId=" in name


def _empty(folder: Path) -> None:
    """Remove all but the lock from a spool, which is ours alone."""
    for path in folder.iterdir():
        if path.name == STATE_FOLDER:
            for own in path.iterdir():
                if own.name != "lock":
                    own.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
