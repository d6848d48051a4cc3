"""The folder job: every picture of a folder through the house, once, however often the job is interrupted.

One runner for the command line, the WebUI and the HTTP jobs:

    runner = Runner(FolderJob(Path("photos"), Path("done"), Request(products="shoe")), crew)
    runner.start()                 # returns at once; raises what is wrong with folders and settings
    while not runner.wait(0.5):
        print(runner.progress)     # runner.stop() finishes the pictures at hand, runner.stop(now=True) lets go of them
    print(runner.result())         # raises what ended the job; the report is at runner.report, the sheet at runner.page
"""

from __future__ import annotations

import json
import shutil
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import Any, Literal, Protocol

from lib_prodshot import __version__
from lib_prodshot.errors import OutputError, ProdshotError
from lib_prodshot.jobs.files.staging import STATE_FOLDER, Staging, output_error, sole_writer
from lib_prodshot.jobs.folder import resume
from lib_prodshot.jobs.folder.seeds import content_of, picture_seed
from lib_prodshot.jobs.folder.work_list import Entry, MayOpen, WorkList, in_a_row, list_pictures
from lib_prodshot.jobs.processor import is_as_then, make_folder, real_path, stamp_of
from lib_prodshot.jobs.report import contact_sheet
from lib_prodshot.jobs.report.ledger import Ledger, Line
from lib_prodshot.jobs.report.report import JSONL_NAME
from lib_prodshot.jobs.report.summary import Summary
from lib_prodshot.jobs.report.thumbnail_store import ThumbnailStore
from lib_prodshot.jobs.workers.local_worker import Done, Hand, HandGone, Order
from lib_prodshot.jobs.workers.resources import Dismissed
from lib_prodshot.outcome import Outcome, Verdict
from lib_prodshot.request import Request

PAGE_NAME = "index.html"
SUMMARY_NAME = "summary.json"

LEAST_FREE = 64 * 2**20
"""With fewer bytes left on the disk the job stops, instead of failing every further picture."""

PAGE_EVERY = 60.0
"""Seconds between two drafts of the contact sheet while the job runs; more when drawing it takes long."""

State = Literal["new", "preparing", "running", "stopping", "done", "stopped", "failed"]


@dataclass(frozen=True)
class FolderJob:
    """What is to be done. `limit`: only the first so many pictures of the folder; `dry_run`: find, and enhance none;
    `keep_times`: results get their input's modification time; `may_open`: where links in the folder may lead."""

    inputs: Path
    out: Path
    request: Request
    recursive: bool = False
    limit: int | None = None
    dry_run: bool = False
    keep_times: bool = False
    may_open: MayOpen = lambda place: True


class Crew(Protocol):
    """Who does the work."""

    @property
    def hands(self) -> Sequence[Hand]:
        """Empty until `open`."""

    def finder(self) -> str:
        """The name of the finder that will be used. Raises `ProdshotError` when none can run."""

    def open(self, inputs: frozenset[Path]) -> None:
        """Get ready to work. `inputs`: resolved paths that no result may be written to. Raises `ProdshotError`."""

    def close(self) -> None:
        """Give everything back."""


@dataclass(frozen=True)
class Progress:
    """How far a job is. `done` of `total` pictures, `before` of them when this run began; `eta` in seconds."""

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
        """Whether nothing more will happen."""
        return self.state in ("done", "stopped", "failed")

    def __str__(self) -> str:
        counts = f"{self.done}/{self.total}: {self.found} found, {self.skipped} skipped, {self.failed} failed"
        return counts if self.eta is None else f"{counts}, {self.eta:.0f} s to go"


class Runner:
    """Runs one job, in threads of its own. See the module's example."""

    def __init__(self, job: FolderJob, crew: Crew) -> None:
        self.job = job
        self.report = job.out / JSONL_NAME
        self.page = job.out / PAGE_NAME
        self._crew = crew
        self._guard = threading.Condition()
        self._progress = Progress()
        self._error: BaseException | None = None
        self._summary: Summary | None = None
        self._stopping = self._letting_go = False
        self._over = threading.Event()
        self._held = ExitStack()
        self._threads: list[threading.Thread] = []
        self._begun = resume.Begun(job.out / STATE_FOLDER / "begun.jsonl")
        self._notes: list[str] = []
        self._stuck: dict[str, list[str]] = {}
        self._unread: dict[str, str] = {}
        self._waiting: deque[Entry] = deque()
        self._in_flight = 0
        self._left: set[int] = set()
        self._began = 0.0
        self._finder = self._settings = ""

    @property
    def progress(self) -> Progress:
        """How far the job is, now."""
        with self._guard:
            return self._progress

    def start(self) -> None:
        """Begin. Raises `RequestError`, `PictureError` and `OutputError` for what is wrong with settings and folders,
        or when another run works on the same output folder."""
        _ = self.job.request.classes
        listed = list_pictures(self.job.inputs, self.job.out, self.job.recursive, self.job.may_open)
        state = self.job.out / STATE_FOLDER
        make_folder(self.job.out)
        make_folder(state)
        self._held.enter_context(sole_writer(self.job.out))
        self._set(state="preparing")
        threading.Thread(target=self._run, args=(listed,), name="prodshot-folder", daemon=True).start()

    def wait(self, seconds: float | None = None) -> bool:
        """Until the job is over, or some seconds; whether it is over."""
        return self._over.wait(seconds)

    def result(self) -> Summary:
        """What the job came to. Raises what ended it, if anything did; being stopped is no error. Raises `Dismissed`
        when it was let go of, for then nobody has looked what was done."""
        self.wait()
        if self._error is not None:
            raise self._error
        if self._summary is None:
            raise Dismissed
        return self._summary

    def stop(self, now: bool = False) -> None:
        """Finish the pictures at hand and end; `now`: let go of them (what is written stays whole either way)."""
        with self._guard:
            self._stopping = True
            self._letting_go = self._letting_go or now
            if not self._progress.is_over:
                self._progress = replace(self._progress, state="stopping")
            self._guard.notify_all()
        for hand in self._crew.hands:
            hand.stop(now)

    def _run(self, listed: WorkList) -> None:
        try:
            with Ledger(self.job.out) as ledger:
                self._work_through(listed, ledger)
        except Dismissed:
            pass
        except BaseException as error:
            self._error = self._error or error
        if not self._letting_go:
            self._held.close()
        self._set(state="failed" if self._error else "stopped" if self._stopping else "done", eta=None)
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._held.close()

    def _work_through(self, listed: WorkList, ledger: Ledger) -> None:
        entries = listed.entries[: self.job.limit]
        inputs = frozenset(real_path(entry.source) for entry in listed.entries)
        out, state = self.job.out, self.job.out / STATE_FOLDER
        try:
            self._finder = self._crew.finder()
            self._settings = resume.fingerprint(self.job.request, self._finder, self.job.dry_run)
            before = self._plan(entries, ledger, inputs)
            store = ThumbnailStore(state, out, self.job.inputs, contact_sheet.side_for(len(listed.entries)))
            with closing(store):
                if self._waiting:
                    self._crew.open(inputs)
                    self._work(ledger, store)
                if not self._letting_go:
                    self._finish(listed, entries, before, ledger, store)
        finally:
            self._crew.close()

    def _plan(self, entries: Sequence[Entry], ledger: Ledger, inputs: frozenset[Path]) -> int:
        """Find out what is done already, and make way for the rest. Returns how many are done."""
        out = self.job.out
        lines = {line["file"]: line for line in ledger.lines()}
        known = [entry for entry in entries if entry.name in lines]
        with ThreadPoolExecutor(4) as pool:
            done = {
                entry.name
                for entry, is_done in zip(known, pool.map(lambda entry: self._is_done(entry, lines[entry.name]), known))
                if is_done
            }
        redone = {entry.name for entry in entries} - done
        former = [lines[name] for name in redone if name in lines]
        if self.job.dry_run and any(line.get("output") for line in former):
            raise OutputError(f"{out} holds finished pictures, which a dry run would give up; choose another folder")
        stuck = {line["file"]: resume.remove_results(line, out, inputs) for line in former}
        self._stuck = {name: files for name, files in stuck.items() if files}
        left = [*chain(*self._stuck.values()), *self._begun.clear(entries, done, out, inputs)]
        ledger.open(lambda line: line["file"] not in redone)
        left += resume.sweep({out, out / STATE_FOLDER, *(out / entry.folder for entry in entries)}, out)
        if left:
            self._notes.append(f"left by an earlier run, and cannot be removed: {in_a_row(sorted(set(left)))}")
        if self._unread:
            told = [f"{name} ({reason})" for name, reason in sorted(self._unread.items())]
            self._notes.append(f"cannot be read now, an earlier run's results stay: {in_a_row(told)}")
        self._waiting.extend(entry for entry in entries if entry.name in redone)
        self._began = monotonic()
        kept = [lines[name]["status"] for name in done]
        self._set(total=len(entries), done=len(done), before=len(done))
        self._set(**{status: kept.count(status) for status in ("found", "skipped", "failed")})
        return len(done)

    def _is_done(self, entry: Entry, line: Line) -> bool:
        if self._stopping:
            raise Dismissed
        try:
            stamp, content = stamp_of(entry.source), content_of(entry.source)
        except OSError as problem:
            # unreadable is not changed: nothing is given up for a picture that cannot be done again
            if not line.get("output"):
                return False
            self._unread[entry.name] = _reason(problem)
            return True
        is_done = resume.is_done(line, entry, content, self._settings, self.job.out)
        if is_done and stamp and self.job.keep_times:
            resume.set_times(line, self.job.out, stamp)
        return is_done

    def _work(self, ledger: Ledger, store: ThumbnailStore) -> None:
        """Let every hand work from as many threads as it has places, until nothing is left or the job ends."""
        hands = list(self._crew.hands)
        self._left = {id(hand) for hand in hands}
        with self._guard:
            if not self._stopping:
                self._progress = replace(self._progress, state="running")
        self._threads = [
            threading.Thread(target=self._serve, args=(hand, ledger, store), name="prodshot-picture", daemon=True)
            for hand in hands
            for _ in range(min(hand.places, len(self._waiting)))
        ]
        for thread in self._threads:
            thread.start()
        due = monotonic() + PAGE_EVERY
        for thread in self._threads:
            while thread.is_alive() and not self._letting_go:
                thread.join(0.2)
                if monotonic() > due and not self._stopping:
                    due = self._draft_page(ledger, store)

    def _draft_page(self, ledger: Ledger, store: ThumbnailStore) -> float:
        """The sheet as far as the job is. Returns when the next draft is due."""
        start = monotonic()
        try:
            self._draw_page(ledger, store)
        except ProdshotError as error:
            self._fail(error)
        end = monotonic()
        return end + max(PAGE_EVERY, 30 * (end - start))

    def _serve(self, hand: Hand, ledger: Ledger, store: ThumbnailStore) -> None:
        while (entry := self._next()) is not None:
            try:
                line = self._take_through(entry, hand)
                pictures = store.draw(line)
                with self._guard:
                    if self._letting_go:
                        raise Dismissed
                    ledger.add(line)
                    self._count(line)
                store.add(line, pictures)
            except HandGone as reason:
                self._lose(hand, entry, str(reason))
                return
            except Dismissed:
                return
            except BaseException as error:
                self._fail(error)
                return
            finally:
                with self._guard:
                    self._in_flight -= 1
                    self._guard.notify_all()

    def _next(self) -> Entry | None:
        """The next picture; None when there will be no more. Waits while one at hand may still come back."""
        with self._guard:
            self._guard.wait_for(lambda: self._stopping or self._waiting or not self._in_flight)
            if self._stopping or not self._waiting:
                return None
            self._in_flight += 1
            return self._waiting.popleft()

    def _take_through(self, entry: Entry, hand: Hand) -> dict[str, Any]:
        """One picture; returns its report line."""
        self._refuse_full_disk()
        folder = self.job.out / entry.folder
        try:
            stamp, content = stamp_of(entry.source), content_of(entry.source)
        except OSError as problem:
            return self._failed(entry, "", f"{entry.name} cannot be read: {_reason(problem)}")
        if not self.job.dry_run:
            try:
                make_folder(folder)
            except OutputError as problem:
                # one sub-folder is the trouble of the pictures in it; the output folder is everybody's
                make_folder(self.job.out)
                return self._failed(entry, content, str(problem))
            with self._guard:
                self._begun.note(entry)
        seeded = self.job.request.engine != "retouch" and not self.job.dry_run
        seed = picture_seed(self.job.request.seed, content) if seeded else None
        done = hand.process(Order(entry.source, folder, entry.stem, seed, self.job.keep_times))
        line = self._line(entry, content, done, seed)
        if is_as_then(entry.source, stamp):
            return line
        resume.remove_results(line, self.job.out, frozenset())
        done.outcome.fail(f"{entry.name} changed while it was worked on")
        return self._line(entry, content, replace(done, retry=True), seed)

    def _refuse_full_disk(self) -> None:
        """Raises `OutputError`, as for an output folder that is gone."""
        try:
            free = shutil.disk_usage(self.job.out).free
        except OSError as problem:
            raise output_error(self.job.out, problem) from problem
        if free < LEAST_FREE:
            raise OutputError(f"the disk of {self.job.out} is full: free some space and give the same command again")

    def _failed(self, entry: Entry, content: str, reason: str) -> dict[str, Any]:
        """The line of a picture that nobody could begin with."""
        names = tuple(product.name for product in self.job.request.classes)
        return self._line(entry, content, Done(Outcome(Verdict("failed", reason), names, self._finder), "", retry=True))

    def _line(self, entry: Entry, content: str, done: Done, seed: int | None = None) -> dict[str, Any]:
        """The report line: names relative to the two folders, so that it fits wherever these stand."""
        line = done.outcome.to_json()
        line["file"] = entry.name
        line["reason"] = line["reason"].replace(str(entry.source), entry.name)
        line["notes"] = [note.replace(str(entry.source), entry.name) for note in line["notes"]]
        for stuck in self._stuck.get(entry.name, ()):
            line["notes"].append(f"an earlier run's {stuck} cannot be removed")
        for key in ("output", "mask"):
            if line[key]:
                line[key] = Path(line[key]).relative_to(self.job.out).as_posix()
        return {
            **line,
            "sha256": content,
            "settings": self._settings,
            "seed": seed,
            "retry": done.retry,
            "worker": done.worker,
        }

    def _count(self, line: Line) -> None:
        now, status = self._progress, str(line["status"])
        done = now.done + 1
        rate = (done - now.before) / max(monotonic() - self._began, 1e-6)
        counts: dict[str, Any] = {status: getattr(now, status) + 1}
        eta = (now.total - done) / rate
        self._progress = replace(now, done=done, pictures_per_second=rate, eta=eta, **counts)

    def _lose(self, hand: Hand, entry: Entry, reason: str) -> None:
        """A hand is gone: its picture goes back, to the front; without any hand the job ends."""
        with self._guard:
            self._waiting.appendleft(entry)
            self._left.discard(id(hand))
            self._guard.notify_all()
            nobody = not self._left
        if nobody:
            self._fail(ProdshotError(f"nobody is left to go on ({reason}); the same command goes on from here"))

    def _fail(self, error: BaseException) -> None:
        with self._guard:
            if not self._letting_go:
                self._error = self._error or error
        self.stop()

    def _finish(
        self, listed: WorkList, entries: Sequence[Entry], before: int, ledger: Ledger, store: ThumbnailStore
    ) -> None:
        """Put the report in order and write summary and sheet."""
        ledger.settle([entry.name for entry in listed.entries])
        names = {entry.name for entry in entries}
        lines = [line for line in ledger.lines() if line.get("file") in names and "sha256" in line]
        notes = (*listed.notes, *self._notes, *ledger.notes)
        self._summary = Summary(len(entries), before, notes=notes).add(lines)
        told = {
            "version": __version__,
            "finder": self._finder,
            "request": self.job.request.to_dict(only_changed=True),
            "dry_run": self.job.dry_run,
            **self._summary.to_json(),
        }
        if self._summary.is_complete:
            self._begun.forget()
        with Staging(self.job.out) as staging:
            staging.path(SUMMARY_NAME).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        self._draw_page(ledger, store)

    def _draw_page(self, ledger: Ledger, store: ThumbnailStore) -> None:
        lines = [line for line in ledger.lines() if "sha256" in line]
        contact_sheet.write_job_page(self.page, lines, store.get, f"Prodshot: {self.job.request.products}")

    def _set(self, **changes: Any) -> None:
        with self._guard:
            self._progress = replace(self._progress, **changes)


def _reason(problem: OSError) -> str:
    return (problem.strerror or str(problem)).lower()
