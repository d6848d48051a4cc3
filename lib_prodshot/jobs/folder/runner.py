"""The runner of a folder job: it processes every picture of a folder once, however often the job is interrupted.

One runner for the command line, the WebUI and the HTTP jobs:

    runner = Runner(FolderJob(Path("photos"), Path("done"), Request(products="shoe")), pool)
    runner.start()                 # returns at once; raises what is wrong with folders and settings
    while not runner.wait(0.5):
        print(runner.progress)     # runner.stop() finishes the pictures in progress, runner.stop(now=True) cancels them
    print(runner.result())         # raises what ended the job; the report is at runner.report, the sheet at runner.page
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any

from lib_prodshot.errors import OutputError, ProdshotError, RequestError
from lib_prodshot.jobs.files.compact import PathSet
from lib_prodshot.jobs.files.names import ResultNames
from lib_prodshot.jobs.files.reading import is_unchanged, real_path, stamp_of
from lib_prodshot.jobs.files.staging import (
    STATE_FOLDER,
    absent_folders,
    check_free_space,
    make_folder,
    remove_unused,
    sole_writer,
)
from lib_prodshot.jobs.folder import resume
from lib_prodshot.jobs.folder.done_rows import DoneRows
from lib_prodshot.jobs.folder.folders import JobFolders, LocalFolders
from lib_prodshot.jobs.folder.job import FolderJob, Progress
from lib_prodshot.jobs.folder.lines import SUMMARY_NAME, reason_of, report_line, write_summary
from lib_prodshot.jobs.folder.plan import Plan, Planner
from lib_prodshot.jobs.folder.queue import Queue
from lib_prodshot.jobs.folder.scale import SizeBook
from lib_prodshot.jobs.folder.work_list import Chosen, Entry, WorkList, in_a_row, names_of, real_paths
from lib_prodshot.jobs.processor import copies_skipped, failed_outcome
from lib_prodshot.jobs.report import contact_sheet
from lib_prodshot.jobs.report.ledger import Ledger, Line
from lib_prodshot.jobs.report.page_state import PageState
from lib_prodshot.jobs.report.report import CSV_NAME, JSONL_NAME
from lib_prodshot.jobs.report.summary import Summary, counted
from lib_prodshot.jobs.report.thumbnail_store import ThumbnailStore
from lib_prodshot.jobs.report.thumbnails import EncodedThumbnails, held_of
from lib_prodshot.jobs.seeds import picture_seed
from lib_prodshot.jobs.workers.interface import (
    FileResult,
    FileTask,
    StoredSource,
    TaskCancelled,
    Worker,
    WorkerLost,
    WorkerPool,
)

PAGE_NAME = "index.html"

PAGE_INTERVAL = 5.0
"""Seconds between two drafts of the contact sheet while the job runs; more when one takes long."""

SYNC_INTERVAL = 1.0
"""The same for bringing the report to object storage, where no page is drawn meanwhile."""


class Runner:
    """Runs one job in threads of its own; see the module's example. `patience`: seconds that `start` gives another run
    to leave the output folder.

    The threads are daemons, and no executor's: the interpreter would wait at its exit for one that hangs in a WebUI.
    """

    def __init__(
        self, job: FolderJob, pool: WorkerPool, folders: JobFolders | None = None, patience: float = 0.0
    ) -> None:
        self.job = job
        self._patience = patience
        self.report = job.out / JSONL_NAME
        self.page = job.out / PAGE_NAME
        self._pool = pool
        self._folders = folders or LocalFolders(job.inputs, job.out)
        self._lock = threading.Condition()
        self._progress = Progress()
        self._error: BaseException | None = None
        self._summary: Summary | None = None
        self._stopping = self._aborting = False
        self._over = threading.Event()
        self._folder_lock = ExitStack()
        self._threads: list[threading.Thread] = []
        self._made: list[Path] = []
        self._page_state = PageState(job.out / STATE_FOLDER / "page.json", self.page)
        self._done_rows = DoneRows(job.out / STATE_FOLDER / "done.jsonl", str(real_path(job.inputs)))
        self._planner: Planner | None = None
        self._journal = resume.Journal(job.out / STATE_FOLDER / "begun.jsonl")
        self._notes: list[str] = []
        self._spared: set[str] = set()
        self._written: set[str] = set()
        self._unread: dict[str, str] = {}
        self._queue = Queue(())
        self._totals = Summary(0)
        self._in_progress = 0
        self._working: set[int] = set()
        self._started = 0.0
        self._finder = self._fingerprint = self._reference = ""
        self._names = ResultNames()
        self._side = contact_sheet.SIDE

    @property
    def progress(self) -> Progress:
        """The current progress."""
        with self._lock:
            return self._progress

    def start(self) -> None:
        """Start the job and return at once.

        Raises `RequestError`, `PictureError` and `OutputError` for what is wrong with settings and folders, or when
        another run works on the same output folder.
        """
        _ = self.job.request.classes
        listed = self._folders.listed(self.job)
        listed.refuse_unknown(self.job.only)
        state = self.job.out / STATE_FOLDER
        self._made = absent_folders(self.job.out)
        make_folder(self.job.out)
        make_folder(state)
        with ExitStack() as locked:
            locked.enter_context(sole_writer(self.job.out, self._patience))
            self._folders.open()
            locked.callback(self._folders.close)
            self._folder_lock = locked.pop_all()
        self._set(state="preparing")
        threading.Thread(target=self._run, args=(listed,), name="prodshot-folder", daemon=True).start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the job has ended, or some seconds; return whether it has ended."""
        return self._over.wait(seconds)

    def result(self) -> Summary:
        """Wait for the job's summary.

        Raises what ended the job, if anything did; being stopped is no error. Raises `TaskCancelled` when it was
        cancelled, for then there is no summary.
        """
        self.wait()
        if self._error is not None:
            raise self._error
        if self._summary is None:
            raise TaskCancelled
        return self._summary

    def stop(self, now: bool = False) -> None:
        """Finish the pictures in progress and end; `now`: cancel them (files stay whole either way)."""
        with self._lock:
            self._stopping = True
            self._aborting = self._aborting or now
            if not self._progress.is_over:
                self._progress = replace(self._progress, state="stopping")
            self._lock.notify_all()
        for worker in self._pool.workers:
            worker.stop(now)

    def _run(self, listed: WorkList) -> None:
        try:
            with Ledger(self.job.out) as ledger:
                self._run_job(listed, ledger)
        except TaskCancelled:
            pass
        except BaseException as error:
            self._error = self._error or error
        if not self._aborting:
            self._folder_lock.close()
            if isinstance(self._error, RequestError) and not self._totals.statuses:
                # nothing came of it: no folder is to stand there as if something had
                remove_unused(self._made, (JSONL_NAME, CSV_NAME, SUMMARY_NAME, PAGE_NAME))
        self._set(state="failed" if self._error else "stopped" if self._stopping else "done", eta=None)
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._folder_lock.close()

    def _run_job(self, listed: WorkList, ledger: Ledger) -> None:
        self._side = contact_sheet.side_for(len(listed.entries))
        entries = self._chosen(listed)
        # asked for once there is something to do
        inputs = lru_cache(maxsize=1)(lambda: PathSet(real_paths(listed.entries)))
        try:
            self._finder = self._pool.finder_name()
            if entries and (stored := entries[0].stored):
                # else each picture would fail for the same reason
                self._pool.check_access(stored.url)
            is_open = self._measures()
            if is_open:
                self._pool.open(inputs())
                self._measure(listed.entries)
            request = self.job.request.replace(reference=self._reference) if self._reference else self.job.request
            self._fingerprint = resume.fingerprint(request, self._finder, self.job.dry_run)
            planner, plan = self._plan(entries, ledger, inputs)
            if plan.to_do and not is_open:
                # before anything of an earlier run goes
                self._pool.open(inputs())
            planner.make_room(plan, entries, ledger)
            store = ThumbnailStore(self.job.out / STATE_FOLDER, self.job.out, self.job.inputs, self._side)
            with closing(store):
                if self._queue:
                    self._run_workers(ledger, store)
                if not self._aborting:
                    self._finish(listed, ledger, store)
        finally:
            self._pool.close()

    def _chosen(self, listed: WorkList) -> Sequence[Entry]:
        if not self.job.only and self.job.limit is None:
            return listed.entries
        places: Iterable[int] = range(len(listed.entries))
        if self.job.only:
            names = names_of(listed.entries)
            places = (place for place in places if names[place] in self.job.only)
        return Chosen(listed.entries, islice(places, self.job.limit))

    def _measures(self) -> bool:
        """Whether all products must be measured before the first is framed."""
        return self.job.request.needs_reference and not self.job.dry_run

    def _measure(self, entries: Sequence[Entry]) -> None:
        """Find the size of the reference: of the whole folder, whatever part of it is to be done, so that a part comes
        out like the whole. What an earlier run has measured is not found again.

        Raises `TaskCancelled` when the job is stopped meanwhile.
        """
        found = resume.fingerprint(self.job.request, self._finder, dry_run=True)
        book = SizeBook(self.job.out / STATE_FOLDER / "sizes.jsonl", f"{found} {self.job.request.several_products}")
        missing = Queue(Chosen(entries, (at for at, entry in enumerate(entries) if not book.knows(entry))))
        self._set(total=len(entries), done=len(entries) - len(missing), before=len(entries) - len(missing))
        workers = list(self._pool.workers)
        with ThreadPoolExecutor(sum(worker.slots for worker in workers)) as pool:
            slots = (worker for worker in workers for _ in range(worker.slots))
            tasks = [pool.submit(self._measure_some, worker, missing, book) for worker in slots]
            for task in tasks:
                task.result()
        self._reference = book.reference(entries)
        self._set(total=0, done=0, before=0)

    def _measure_some(self, worker: Worker, missing: Queue, book: SizeBook) -> None:
        while True:
            with self._lock:
                if self._stopping:
                    raise TaskCancelled
                if not missing:
                    return
                entry = missing.pop()
            try:
                done = worker.process(
                    FileTask(entry.source, self.job.out, entry.stem, is_measured=True, stored=self._stored(entry, None))
                )
            except WorkerLost as reason:
                raise ProdshotError(f"a worker was lost while the products were measured: {reason}") from reason
            book.add(entry, done.outcome)
            with self._lock:
                self._progress = replace(self._progress, done=self._progress.done + 1)

    def _plan(self, entries: Sequence[Entry], ledger: Ledger, inputs: Callable[[], PathSet]) -> tuple[Planner, Plan]:
        """Find out what is to do, and queue it."""
        about = self.job, self._folders, self._journal, self._fingerprint, self._names
        self._planner = planner = Planner(*about, inputs, lambda: self._stopping, self._done_rows)
        plan = planner.plan(entries, ledger)
        self._names.before_writing = self._record_files
        self._totals, self._notes, self._spared = plan.done, plan.notes, plan.spared
        self._queue = Queue(plan.to_do)
        self._started = monotonic()
        self._set(total=len(entries), done=plan.done.before, before=plan.done.before)
        self._set(**{status: plan.done.statuses[status] for status in ("found", "skipped", "failed")})
        return planner, plan

    def _record_files(self, folder: Path, names: Sequence[str]) -> None:
        relative = ((folder / name).relative_to(self.job.out).as_posix() for name in names)
        # what stands there now is not what this run made: the next one would remove it if this one is killed
        self._journal.record([name for name in relative if not self._folders.has(name, 1)], self._fingerprint)

    def _run_workers(self, ledger: Ledger, store: ThumbnailStore) -> None:
        """Run every worker from as many threads as it has slots, until the queue is empty or the job ends."""
        workers = list(self._pool.workers)
        self._working = {id(worker) for worker in workers}
        with self._lock:
            if not self._stopping:
                self._progress = replace(self._progress, state="running")
        target = self._run_worker
        self._threads = [
            threading.Thread(target=target, args=(worker, ledger, store), name="prodshot-picture", daemon=True)
            for worker in workers
            for _ in range(min(worker.slots, len(self._queue)))
        ]
        for thread in self._threads:
            thread.start()
        due = monotonic() + (PAGE_INTERVAL if self._folders.shows_drafts else SYNC_INTERVAL)
        for thread in self._threads:
            while thread.is_alive() and not self._aborting:
                thread.join(0.2)
                if monotonic() > due and not self._stopping:
                    due = self._draft_page(ledger, store)

    def _draft_page(self, ledger: Ledger, store: ThumbnailStore) -> float:
        """Draw the contact sheet of the pictures so far, and note their rows. Returns when the next draft is due."""
        start = monotonic()
        try:
            if self._folders.shows_drafts:
                ledger.note(self._lock)
                self._draw_page(ledger, store)
            self._folders.sync()
        except ProdshotError as error:
            self._fail(error)
        end = monotonic()
        return end + max(PAGE_INTERVAL if self._folders.shows_drafts else SYNC_INTERVAL, 30 * (end - start))

    def _run_worker(self, worker: Worker, ledger: Ledger, store: ThumbnailStore) -> None:
        while (entry := self._next()) is not None:
            try:
                line, pictures = self._done(entry, worker, store)
                with self._lock:
                    if self._aborting:
                        raise TaskCancelled
                    ledger.add(line)
                    self._totals.add([line])
                    self._count(line)
                    self._written |= self._spared & set(resume.files_of(line))
                store.add(line, pictures)
            except WorkerLost as reason:
                self._requeue(worker, entry, str(reason))
                return
            except TaskCancelled:
                return
            except BaseException as error:
                self._fail(error)
                return
            finally:
                with self._lock:
                    self._in_progress -= 1
                    self._lock.notify_all()

    def _next(self) -> Entry | None:
        """Return the next picture, None when there will be no more. Waits while one in progress may be requeued."""
        with self._lock:
            self._lock.wait_for(lambda: self._stopping or self._queue or not self._in_progress)
            if self._stopping or not self._queue:
                return None
            self._in_progress += 1
            return self._queue.pop()

    def _done(self, entry: Entry, worker: Worker, store: ThumbnailStore) -> tuple[dict[str, Any], EncodedThumbnails]:
        """Process one picture and take its results to where they stay; returns its report line and its thumbnails."""
        line, pictures = self._process(entry, worker, store)
        pictures = pictures or store.draw(line)
        try:
            if why := self._folders.keep(line):
                line |= {"output": None, "bytes": [], "notes": [*line["notes"], why]}
        except ProdshotError as problem:
            return self._failed(entry, line["sha256"], str(problem)), (pictures[0], None, None)
        return line, pictures

    def _process(
        self, entry: Entry, worker: Worker, store: ThumbnailStore
    ) -> tuple[dict[str, Any], EncodedThumbnails | None]:
        """Process one picture; returns its report line, and its thumbnails where they are drawn by then: by the worker,
        or from what it still holds."""
        check_free_space(self.job.out)
        folder = self.job.out / entry.folder
        content, stamp = "", None
        try:
            if entry.stored is None:
                stamp, content = stamp_of(entry.source), self._folders.contents.content_of(entry.source)
        except OSError as problem:
            return self._failed(entry, "", f"{entry.name} cannot be read: {reason_of(problem)}"), None
        if not self.job.dry_run:
            try:
                make_folder(folder)
            except OutputError as problem:
                # a sub-folder that cannot be made fails its own pictures; the output folder ends the job
                make_folder(self.job.out)
                return self._failed(entry, content, str(problem)), None
        if self._planner:
            self._planner.remove_former(entry)
        request = self.job.request
        seeded = request.uses_webui and not self.job.dry_run
        job_seed = getattr(request, request.seed_setting) if seeded else None
        seed = None if job_seed is None or not content else picture_seed(job_seed, content)
        task = FileTask(entry.source, folder, entry.stem, seed, self.job.keep_times, self._reference, names=self._names)
        if entry.stored is not None:
            result = worker.process(replace(task, stored=self._stored(entry, job_seed)))
            fetched = result.fetched
            if not fetched.content:
                return self._failed(entry, "", result.outcome.verdict.reason), None
            return self._line(entry, fetched.content, result, fetched.seed), fetched.thumbnails
        result = worker.process(task)
        line = self._line(entry, content, result, seed)
        if is_unchanged(entry.source, stamp):
            return line, store.draw(line, held_of(result.outcome))
        resume.remove_results(line, self.job.out, frozenset())
        result.outcome.fail(f"{entry.name} changed while it was worked on")
        return self._line(entry, content, replace(result, retry=True), seed), None

    def _stored(self, entry: Entry, job_seed: int | None) -> StoredSource | None:
        return None if entry.stored is None else StoredSource(entry.stored, job_seed, self._side)

    def _failed(self, entry: Entry, content: str, reason: str) -> dict[str, Any]:
        """Return the line of a picture that failed before any worker had it."""
        outcome = failed_outcome(self.job.request, self._finder, reason)
        return self._line(entry, content, FileResult(outcome, "", retry=True))

    def _line(self, entry: Entry, content: str, result: FileResult, seed: int | None = None) -> dict[str, Any]:
        known = self._planner.stuck if self._planner else {}
        notes = [f"an earlier run's {stuck} cannot be removed" for stuck in known.get(entry.name, ())]
        line = report_line(entry, result, self.job.out, notes)
        return line | {
            "bytes": resume.written_bytes(line, self.job.out),
            "sha256": content,
            **({"object_version": entry.stored.version} if entry.stored else {}),
            "settings": self._fingerprint,
            "seed": seed,
            "retry": result.retry,
            "worker": result.worker,
        }

    def _count(self, line: Line) -> None:
        now, status = self._progress, str(line["status"])
        done = now.done + 1
        rate = (done - now.before) / max(monotonic() - self._started, 1e-6)
        counts: dict[str, Any] = {status: getattr(now, status) + 1}
        eta = (now.total - done) / rate
        self._progress = replace(now, done=done, pictures_per_second=rate, eta=eta, **counts)

    def _requeue(self, worker: Worker, entry: Entry, reason: str) -> None:
        """Put the picture of a lost worker back to the front of the queue; end the job when no worker is left."""
        with self._lock:
            self._queue.put_back(entry)
            self._working.discard(id(worker))
            self._lock.notify_all()
            is_last = not self._working
        if is_last:
            self._fail(ProdshotError(f"nobody is left to go on ({reason}); the same command goes on from here"))

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if not self._aborting:
                self._error = self._error or error
        self.stop()

    def _finish(self, listed: WorkList, ledger: Ledger, store: ThumbnailStore) -> None:
        """Sort the report and write summary and contact sheet."""
        ledger.settle(names_of(listed.entries))
        left = self._planner.told() if self._planner else ()
        notes = (*listed.notes, *self._notes, *left, *ledger.notes, *self._told_of_copies())
        self._summary = replace(self._totals, notes=notes)
        about = {"finder": self._finder, "request": self.job.request.to_dict(only_changed=True)}
        if self._summary.is_complete:
            self._journal.delete()
        write_summary(self.job.out, {**about, "dry_run": self.job.dry_run, **self._summary.to_json()})
        drawn_from = ledger.digest, self._title, self._side
        if not self._page_state.stands(*drawn_from):
            self._draw_page(ledger, store)
            self._page_state.note(*drawn_from)
        self._note_done(listed, ledger)
        self._folders.finish()

    def _told_of_copies(self) -> Iterator[str]:
        if kept := sorted(self._spared - self._written):
            yield f"kept, for they are no copies of skipped pictures any more: {in_a_row(kept)}"
        if self._written:
            written = in_a_row(sorted(self._written))
            yield f"results were written over what somebody had put in the place of skipped pictures' copies: {written}"
        skipped = self._totals.statuses["skipped"]
        if skipped and not self.job.dry_run and not copies_skipped(self.job.request):
            yield f"not copied, for no raw photograph is to lie among packshots: {counted(skipped, 'skipped picture')}"

    def _note_done(self, listed: WorkList, ledger: Ledger) -> None:
        """Note which rows are done, for the next run, where the last one's notes were not enough for this one."""
        digest = ledger.digest
        if digest and self._planner and (self._planner.has_looked or not self._done_rows.fits(digest)):
            self._done_rows.write(digest, self._planner.blocks(listed.entries, ledger))

    @property
    def _title(self) -> str:
        return f"Prodshot: {self.job.request.products}"

    def _draw_page(self, ledger: Ledger, store: ThumbnailStore) -> None:
        lines = (line for line in ledger.lines() if "sha256" in line)
        contact_sheet.write_job_page(self.page, lines, store.get, self._title)

    def _set(self, **changes: Any) -> None:
        with self._lock:
            self._progress = replace(self._progress, **changes)
