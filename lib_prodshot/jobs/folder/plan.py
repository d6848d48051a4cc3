"""What a folder job has still to do: which pictures are done, and what earlier runs left of the others."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path

from lib_prodshot.errors import OutputError
from lib_prodshot.jobs.files.compact import DiskMap, PathSet
from lib_prodshot.jobs.files.names import ResultNames
from lib_prodshot.jobs.files.reading import Stamp
from lib_prodshot.jobs.files.staging import STATE_FOLDER, remove_leftovers
from lib_prodshot.jobs.folder import resume
from lib_prodshot.jobs.folder.done_rows import BLOCK, Block, DoneRow, DoneRows
from lib_prodshot.jobs.folder.folders import JobFolders
from lib_prodshot.jobs.folder.job import FolderJob
from lib_prodshot.jobs.folder.lines import reason_of
from lib_prodshot.jobs.folder.work_list import ByName, Chosen, Entry, in_a_row, names_of
from lib_prodshot.jobs.processor import copies_skipped
from lib_prodshot.jobs.report.ledger import Ledger, Line
from lib_prodshot.jobs.report.summary import Summary, counted
from lib_prodshot.jobs.workers.interface import TaskCancelled

_AT_ONCE = 256
"""Lines of an earlier run in memory while their pictures are looked at."""

_READERS = 4
"""Threads that read pictures whose hash is not known."""


@dataclass
class Plan:
    """The pictures `to_do`, totals of those that are done, pictures whose results others will overwrite (`given_up`:
    they are gone, or called otherwise now), sentences about it, the names of skipped pictures' copies that are none any
    more (`spared`: somebody has put a file there, which is not removed), and the results that stay (`kept`)."""

    to_do: Sequence[Entry]
    done: Summary
    given_up: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    spared: set[str] = field(default_factory=set)
    kept: Container[str] = frozenset()


class Planner:
    """Plans a job from the report of earlier runs. `settings` is the fingerprint of the job's; `names` learns which
    picture has which result; `inputs` gives the resolved paths of all pictures, none of which is ever removed;
    `is_stopped` tells whether the job is to end; `done_rows` is what the last run noted, and `has_looked` afterwards
    whether a picture was found to be done for which that was not enough, `stuck` by picture what of an earlier run
    cannot be removed."""

    def __init__(
        self,
        job: FolderJob,
        folders: JobFolders,
        journal: resume.Journal,
        settings: str,
        names: ResultNames,
        inputs: Callable[[], Container[Path]],
        is_stopped: Callable[[], bool],
        done_rows: DoneRows,
    ) -> None:
        self._job = job
        self._folders = folders
        self._journal = journal
        self._settings = settings
        self._names = names
        self._inputs = inputs
        self._is_stopped = is_stopped
        self._done_rows = done_rows
        self._unread: dict[str, str] = {}
        self._changed = 0
        self._former = DiskMap()
        self._others = self._replaced = 0
        self._has_former = False
        self._otherwise: Container[str] | None = None
        self._left: set[str] = set()
        self.stuck: dict[str, list[str]] = {}
        self._lock = threading.Lock()
        self.has_looked = False

    def plan(self, entries: Sequence[Entry], ledger: Ledger) -> Plan:
        """Find the pictures that are done, and what is to be done; nothing is changed yet (`make_room`).

        Raises `OutputError`, and `TaskCancelled` when the job is stopped meanwhile.
        """
        out = self._job.out
        if self._journal.exists:
            self._otherwise = self._journal.made_otherwise(self._settings)
        done, summary, gives_up, others = bytearray(len(entries)), Summary(len(entries)), False, 0
        by_name = ByName(entries)
        lines = self._unsettled(by_name, ledger, done, summary)
        for place, line, is_done in self._checked(by_name, lines):
            done[place] = is_done
            self.has_looked = self.has_looked or (is_done and self._may_note(entries[place]))
            gives_up = gives_up or bool(not is_done and line.get("output"))
            others += not is_done and self._is_of_other_make(line)
            if is_done:
                summary.add([line])
        summary.before = sum(done)
        if self._job.dry_run and gives_up:
            raise OutputError(f"{out} holds finished pictures, which a dry run would give up; choose another folder")
        self._refuse_other_make(others)
        plan = Plan(Chosen(entries, (place for place, is_done in enumerate(done) if not is_done)), summary)
        if plan.to_do or self._journal.exists:
            plan.kept = self._kept(by_name, done, plan, ledger)
        if self._unread:
            unread = [f"{name} ({reason})" for name, reason in sorted(self._unread.items())]
            plan.notes.append(f"cannot be read now, an earlier run's results stay: {in_a_row(unread)}")
        return plan

    def make_room(self, plan: Plan, entries: Sequence[Entry], ledger: Ledger) -> None:
        """Remove what a killed run left half-made, and the lines of pictures that are given up, which the plan then
        tells; find what is to go when a picture's turn comes (`remove_former`). Only when all else is known to be
        ready: what is gone cannot be had again. Raises `OutputError`."""
        out = self._job.out
        if plan.to_do:
            self._former.put(self._former_of(plan, ledger))
        left = self._remove_partial(plan, ledger) if self._journal.exists else []
        if plan.to_do:
            # the lines of results that still stand go when there are new ones
            ledger.open(chain(self._without_former(names_of(plan.to_do)), plan.given_up))
        if plan.given_up:
            plan.notes.append(
                f"results of other pictures, or of other runs, give way to those of the same name: "
                f"{in_a_row(sorted(plan.given_up))}"
            )
        if self._changed:
            changed = counted(self._changed, "picture")
            plan.notes.append(f"made anew, for another picture is called so now than before: {changed}")
        left += remove_leftovers(
            {out, out / STATE_FOLDER, *(out / folder for folder in _folders_of(names_of(entries)))}, out
        )
        self._left.update(left)

    def remove_former(self, entry: Entry) -> None:
        """Remove what earlier runs made of a picture, whose turn has come; `stuck` has what cannot be removed. Results
        that another picture has by now stay. Thread-safe."""
        former = self._former.get([entry.name]).get(entry.name)
        if former is None:
            return
        is_other, names = json.loads(former)
        own = [name for name in names if not self._names.is_anothers(str(entry.source), self._job.out, name)]
        remove = partial(self._folders.remove, inputs=self._inputs())
        stuck = [why for name in own for why in remove({"output": name})]
        with self._lock:
            # a picture of a worker that was lost has its turn twice
            self._replaced += is_other
            self._former.put({entry.name: json.dumps([False, []])})
            self._left.update(stuck)
            if stuck:
                self.stuck[entry.name] = stuck

    def told(self) -> Iterator[str]:
        """Sentences about what earlier runs left, when the job has ended."""
        if self._left:
            yield f"left by an earlier run, and cannot be removed: {in_a_row(sorted(self._left))}"
        if self._replaced:
            yield f"made anew, with other settings than before: {counted(self._replaced, 'picture')}"
        if left := self._others - self._replaced:
            yield f"not made anew yet, as made with other settings before: {counted(left, 'picture')}"

    def _refuse_other_make(self, others: int) -> None:
        if not others:
            return
        makes_packshot = self._job.request.makes_packshot
        there, new = resume.MAKES[not makes_packshot], resume.MAKES[makes_packshot]
        message = f"{self._folders.shown('').rstrip('/')} holds {there} of {counted(others, 'picture')}"
        raise OutputError(f"{message}, which {new} would take the place of; choose another folder")

    def _is_of_other_make(self, line: Line) -> bool:
        """Whether a line is of an enhanced picture that stands there where packshots are to be made, or the other way
        round: neither is a newer version of the other."""
        names = resume.names_in(line) if line["status"] == "found" else resume.stays_in(line)
        pictures = resume.pictures_among(names)
        others = (name for name in pictures if resume.is_packshot(name, line) != self._job.request.makes_packshot)
        return any(self._folders.has(name, 1) for name in others)

    def _unsettled(self, by_name: ByName, ledger: Ledger, done: bytearray, summary: Summary) -> Iterator[Line]:
        """Yield the lines that must be read, without those of blocks that stand as the last run noted them: their
        pictures are marked in `done`, and their totals are added."""
        rows, start, following = ledger.rows.latest(), 0, 0
        # who keeps times looks at those of each result; what a killed run began is looked at, too
        blocks = () if self._job.keep_times or self._otherwise is not None else self._done_rows.blocks(ledger.digest)
        for block in blocks:
            if self._is_stopped():
                raise TaskCancelled
            places = [] if block is None else self._standing(block, by_name, following)
            if block is not None and places:
                for place in places:
                    done[place] = True
                summary.add_totals(block.totals)
                following = places[-1] + 1
            else:
                yield from ledger.lines(rows.part(start, start + BLOCK))
            start += BLOCK
        yield from ledger.lines(rows.part(start, None) if start else rows)

    def _may_note(self, entry: Entry) -> bool:
        """Whether it helps the next run to note that this picture was done."""
        job = self._job
        return not job.keep_times and not job.only and job.limit is None and bool(self._folders.states([entry])[0])

    def _standing(self, block: Block, by_name: ByName, following: int) -> list[int]:
        """Return the places of a block's pictures, none where one of them needs a look; as a rule it starts at
        `following`."""
        places = []
        for row in block.rows:
            place = by_name.place(row.name, following)
            if place is None or row.settings != self._settings:
                return []
            places.append(place)
            following = place + 1
        pictures = [by_name.entries[place] for place in places]
        if self._folders.states(pictures) != [row.state for row in block.rows]:
            return []
        has = self._folders.has
        for entry, row in zip(pictures, block.rows):
            if entry.stem != row.stem or not all(has(name, least) for name, least in row.files.items()):
                return []
        return places

    def blocks(self, entries: Sequence[Entry], ledger: Ledger) -> Iterator[Block | None]:
        """Yield what `done_rows` is to note of a settled report, for the next run with these pictures."""
        by_name = ByName(entries)
        lines, following = ledger.lines(), 0
        while some := list(islice(lines, BLOCK)):
            places = [by_name.place(line["file"], following) for line in some]
            known = [place for place in places if place is not None]
            if len(known) < len(some):
                yield None
                continue
            following = known[-1] + 1
            pictures = [entries[place] for place in known]
            states = self._folders.states_then(pictures, some)
            if all(states) and all(map(self._may_be_done, some, pictures)):
                rows = [
                    DoneRow(entry.name, state, str(line["settings"]), entry.stem, resume.least_bytes(line))
                    for entry, line, state in zip(pictures, some, states)
                ]
                yield Block(rows, Summary(0).add(some))
            else:
                yield None

    def _may_be_done(self, line: Line, entry: Entry) -> bool:
        return resume.may_be_done(line, entry, copies_skipped(self._job.request))

    def _checked(self, by_name: ByName, lines: Iterator[Line]) -> Iterator[tuple[int, Line, bool]]:
        """Yield the pictures that have a line: their places among the entries, their lines, whether they are done."""
        entries = by_name.entries
        known = ((by_name.place(line["file"]), line) for line in lines)
        waiting = ((place, line) for place, line in known if place is not None)
        with ThreadPoolExecutor(_READERS) as pool:
            while some := list(islice(waiting, _AT_ONCE)):
                if self._is_stopped():
                    raise TaskCancelled
                pictures = [entries[place] for place, _ in some]
                states = self._folders.known(pictures)
                unknown = [(entry, line) for entry, (_, line), state in zip(pictures, some, states) if state is None]
                read = pool.map(self._read, unknown)
                for entry, (place, line), state in zip(pictures, some, states):
                    now = next(read) if state is None else state
                    yield place, line, self._is_done(entry, line, now)

    def _read(self, picture: tuple[Entry, Line]) -> tuple[Stamp | None, str] | OSError:
        if self._is_stopped():
            raise TaskCancelled
        try:
            return self._folders.state_of(*picture)
        except OSError as problem:
            return problem

    def _is_done(self, entry: Entry, line: Line, state: tuple[Stamp | None, str] | OSError) -> bool:
        if isinstance(state, OSError):
            # unreadable is not changed: results stay when the picture cannot be processed again
            if not line.get("output"):
                return False
            self._unread[entry.name] = reason_of(state)
            return True
        stamp, content = state
        self._changed += bool(line.get("output")) and line.get("sha256") not in (None, content)
        copies = copies_skipped(self._job.request)
        is_done = resume.is_done(line, entry, content, self._settings, self._folders.has, copies)
        if is_done and self._otherwise is not None:
            is_done = not any(name in self._otherwise for name in resume.files_of(line))
        if is_done and stamp and self._job.keep_times:
            resume.set_times(line, self._job.out, stamp)
        return is_done

    def _kept(self, by_name: ByName, done: bytearray, plan: Plan, ledger: Ledger) -> PathSet:
        """The results that stay, those of pictures that are `done` or not asked for; finds the pictures that are given
        up. Raises `OutputError` where packshots would take the place of enhanced pictures, or the other way round."""
        stems = PathSet(map(resume.stem_in, plan.to_do))
        others = 0

        def kept() -> Iterator[tuple[int | None, tuple[str, ...]]]:
            nonlocal others
            following = 0
            for line in ledger.lines():
                place = by_name.place(line["file"], following)
                if place is not None:
                    following = place + 1
                    if not done[place]:
                        continue
                files = tuple(resume.names_in(line))
                own = resume.stems_of(line) if place is not None else map(resume.stem_of, files)
                if any(stem in stems for stem in own):
                    others += self._is_of_other_make(line)
                    plan.given_up.append(line["file"])
                else:
                    yield place, files

        files = PathSet(chain.from_iterable(self._taken(kept(), by_name.entries)))
        self._refuse_other_make(others)
        return files

    def _former_of(self, plan: Plan, ledger: Ledger) -> Iterator[tuple[str, str]]:
        """Yield the pictures that are to be done of which something stands there, and as JSON whether that was made
        with other settings, and its files."""
        for line in ledger.lines(ledger.rows.latest().of_files(names_of(plan.to_do))):
            former = [name for name in resume.files_of(line) if name not in plan.kept]
            plan.spared |= {name for name in former if self._folders.is_anothers(name, line)}
            if former := [name for name in former if name not in plan.spared]:
                is_other = line.get("settings") != self._settings
                self._others += is_other
                self._has_former = True
                yield line["file"], json.dumps([is_other, former])

    def _without_former(self, names: Iterable[str]) -> Iterator[str]:
        waiting = iter(names)
        while some := list(islice(waiting, _AT_ONCE)):
            found = self._former.get(some) if self._has_former else {}
            yield from (name for name in some if name not in found)

    def _remove_partial(self, plan: Plan, ledger: Ledger) -> list[str]:
        """Remove what killed runs left without a line; return what cannot be removed."""
        rows = ledger.rows.latest().of_files(names_of(plan.to_do))
        former = PathSet(chain.from_iterable(map(resume.files_of, ledger.lines(rows))))
        remove = partial(self._folders.remove, inputs=self._inputs())
        return self._journal.remove_partial(_Either(plan.kept, former), remove)

    def _taken(
        self, kept: Iterator[tuple[int | None, tuple[str, ...]]], entries: Sequence[Entry]
    ) -> Iterator[tuple[str, ...]]:
        """Yield the results of pictures that are done, which nobody else may have now."""
        while some := list(islice(kept, _AT_ONCE)):
            own = [(str(entries[place].source), files) for place, files in some if place is not None]
            self._names.keep(self._job.out, own)
            yield from (files for _, files in some)


class _Either:
    """What one of two containers has."""

    def __init__(self, *containers: Container[str]) -> None:
        self._containers = containers

    def __contains__(self, name: object) -> bool:
        return any(name in each for each in self._containers)


def _folders_of(names: Iterable[str]) -> Iterator[str]:
    """Yield the sub-folder of each row of names that share one."""
    last = None
    for name in names:
        folder = name.rpartition("/")[0]
        if folder != last:
            last = folder
            yield folder
