"""One training run as an object: start it, ask how far it is, stop it, and get a judgement that can be believed.

The command line, the WebUI's tab and the HTTP jobs drive the same `TrainingJob`.
"""

from __future__ import annotations

import csv
import math
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from lib_prodshot.errors import RequestError
from lib_prodshot.training import lora
from lib_prodshot.training.dataset import check, kohya
from lib_prodshot.training.errors import FolderRefused, TrainingError
from lib_prodshot.training.recipe import files as recipe_files
from lib_prodshot.training.recipe.recipe import Recipe
from lib_prodshot.training.trainer import diagnosis, ledger, results, sd_scripts
from lib_prodshot.training.trainer.config_files import OUTPUT_FOLDER, dataset_config, training_config
from lib_prodshot.training.trainer.ledger import RECIPE, Ledger, SavedEpoch, Start
from lib_prodshot.training.trainer.process import Line, Program, command, is_alive
from lib_prodshot.training.trainer.progress import Progress, Reader
from lib_prodshot.training.trainer.sd_scripts import Trainer, variables

TRAINING, DATASET, PROMPTS = "training.toml", "dataset.toml", "samples.txt"
LOG, LOSSES = "training.log", "loss.csv"

TAIL = 200
"""Lines of output that a failure is explained from."""


@dataclass(frozen=True)
class TrainingResult:
    """What came of a run: every whole LoRA, epoch by epoch, and in words why it ended when it did not finish."""

    outcome: Literal["finished", "stopped", "failed"]
    reason: str
    epochs_done: int
    steps_done: int
    loras: tuple[Path, ...]

    def to_json(self) -> dict[str, Any]:
        """The result for the HTTP API."""
        return {**vars(self), "loras": [str(path) for path in self.loras]}


@dataclass(frozen=True)
class _Plan:
    """What `start` found out: from which epoch to go on, and the book so far."""

    after_epoch: int
    steps_per_epoch: int
    book: Ledger


class TrainingJob:
    """A run of `recipe` by `trainer`, in the recipe's own folder, where an earlier start is gone on with. A folder that
    holds kohya's N_name folders stands for these.

    `fresh` sets an earlier run aside and begins anew; `force` starts in spite of errors that the check finds.
    """

    def __init__(self, recipe: Recipe, trainer: Trainer, *, fresh: bool = False, force: bool = False) -> None:
        self.recipe = kohya.expand(recipe)
        self.trainer = trainer
        self.folder = recipe.run_dir
        self.output = self.folder / OUTPUT_FOLDER
        self._fresh = fresh
        self._force = force
        self._guard = threading.Lock()
        self._reader = Reader()
        self._tail: deque[str] = deque(maxlen=TAIL)
        self._losses: list[tuple[int, int, float]] = []
        self._asked_to_stop = False
        self._stop_after_epoch = False
        self._ended_because = ""
        self._done = threading.Event()
        self._result: TrainingResult | None = None
        self._program: Program | None = None
        self._plan = _Plan(0, 0, Ledger({}, 0, 0))

    def prepare(self) -> check.CheckReport:
        """Check all that `start` checks, and change nothing. Raises what `start` raises."""
        self._check_trainer()
        report = check.check(self.recipe)
        self._refuse(report)
        self._plan = self._plan_start(report, self._earlier_book())
        return report

    def start(self) -> None:
        """Check everything, then start the program; it is watched from a thread of its own.

        Raises `RequestError`, `TrainingError`, `TrainerError`, `PictureError` or `OutputError` before anything is
        started, and then nothing was changed but the run's own folder.
        """
        report = self.prepare()
        self._make_way()
        self._write_files(report)
        configs = (self.folder / TRAINING, self.folder / DATASET)
        line = command(self.trainer, self.recipe, configs, self._options())
        self._reader = Reader(steps_before=self._plan.after_epoch * self._plan.steps_per_epoch)
        self._program = Program(line, self.folder, variables(self.recipe.num_cpu_threads_per_process))
        self._note_start(self._program)
        threading.Thread(target=self._watch, args=(self._program,), name="prodshot training", daemon=True).start()

    def progress(self) -> Progress:
        """How far the run is, at any time and from any thread."""
        with self._guard:
            return self._reader.progress

    def losses(self) -> list[tuple[int, int, float]]:
        """The loss curve so far: step, epoch and sd-scripts' moving average of the loss."""
        with self._guard:
            return list(self._losses)

    def samples(self) -> list[Path]:
        """The sample pictures made so far, oldest first."""
        return results.samples(self.output)

    def stop(self, after_epoch: bool = False) -> None:
        """End the run: at once, which loses what was learned since the last epoch's end, or `after_epoch` is saved."""
        if after_epoch:
            self._stop_after_epoch = True
            return
        self._asked_to_stop = True
        if self._program is not None:
            self._program.end()

    @property
    def is_running(self) -> bool:
        """Whether the program was started and has not ended yet."""
        return self._program is not None and not self._done.is_set()

    def wait(self, seconds: float | None = None) -> TrainingResult | None:
        """The result once the run has ended, None when `seconds` pass before."""
        self._done.wait(seconds)
        return self._result

    def _check_trainer(self) -> None:
        """Refuse what the trainer cannot do; what an older answer refuses is asked again, for a GPU may have come."""
        try:
            sd_scripts.check_fits(self.recipe, self.trainer.facts())
        except RequestError:
            sd_scripts.check_fits(self.recipe, self.trainer.facts(anew=True))

    def _refuse(self, report: check.CheckReport) -> None:
        if report.errors and not self._force:
            others = (
                f" (and {len(report.errors) - 1} more; `prodshot train check` lists them)" if report.errors[1:] else ""
            )
            raise FolderRefused(f"{str(report.errors[0]).removeprefix('error: ')}{others}")

    def _earlier_book(self) -> Ledger | None:
        """The book of an earlier start, None to begin anew. Raises `TrainingError` where neither is possible."""
        names = self._names_in_folder()
        if not names:
            return None
        if not names & {ledger.LEDGER, RECIPE}:
            raise TrainingError(f"{self.folder} holds something else than a training run: name another output_dir")
        try:
            book = ledger.read(self.folder)
        except TrainingError:
            if self._fresh:
                return None
            raise
        if book and book.starts and not book.starts[-1].outcome:
            last = book.starts[-1]
            if is_alive(last.pid, last.created):
                raise TrainingError(f"this training is running already (process {last.pid}); stop it there first")
        return None if self._fresh else book

    def _names_in_folder(self) -> set[str]:
        try:
            return {path.name for path in self.folder.iterdir()}
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise TrainingError(f"{self.folder} cannot be read as a training run's folder: {error.strerror}") from error

    def _plan_start(self, report: check.CheckReport, book: Ledger | None) -> _Plan:
        """Decide from which epoch to go on. Raises `TrainingError` where the earlier run was another training."""
        recipe, steps = self.recipe, report.steps_per_epoch
        fresh = Ledger(recipe.to_dict(), recipe.max_train_epochs, steps)
        if book is None:
            if not self._fresh:
                self._refuse_lost({}, 0, recipe.max_train_epochs)
            return _Plan(0, steps, fresh)
        done = ledger.last_state(self.output, recipe.output_name, book.epochs)
        self._refuse_lost(book.recipe, done, book.epochs)
        if not done:
            fresh.starts = book.starts
            return _Plan(0, steps, fresh)
        changed = book.changed_settings(recipe)
        if steps != book.steps_per_epoch:
            changed.append(f"steps an epoch: {book.steps_per_epoch} → {steps}")
        if changed:
            advice = "set them back to go on after it, or begin anew with --fresh"
            raise TrainingError(f"epoch {done} of another training is here ({'; '.join(changed)}): {advice}")
        if recipe.max_train_epochs <= done:
            advice = f"publish it, set max_train_epochs above {done}, or begin anew with --fresh"
            raise TrainingError(f"this training has its {done} epochs already: {advice}")
        return _Plan(done, steps, book)

    def _refuse_lost(self, before: Mapping[str, Any], done: int, epochs: int) -> None:
        """Refuse to train over LoRAs of epochs whose states are damaged or gone, or whose book is. Raises
        `TrainingError`; the last one may lack its state, as in a run that was ended in between."""
        loras = results.loras_in(self.output, str(before.get("output_name", self.recipe.output_name)), epochs)
        newest = max((epoch for epoch, path in loras.items() if lora.is_finite(path)), default=0)
        every = before.get("save_every_n_epochs", 0)
        if newest > done + (every if isinstance(every, int) else 0):
            lacks = f"the state of epoch {newest} is damaged or gone" if before else f"there is no {ledger.LEDGER}"
            raise TrainingError(
                f"{self.folder} has the LoRA of epoch {newest}, and {lacks}, so that it would be trained over from "
                f"epoch {done + 1}: put it back, or begin anew with --fresh, which sets the earlier run aside"
            )

    def _make_way(self) -> None:
        """Set an earlier run aside, or ready it for more epochs than it had."""
        recipe, book = self.recipe, self._plan.book
        if self._fresh and self.folder.exists():
            results.set_aside(self.folder)
        if self._plan.after_epoch and recipe.max_train_epochs != book.epochs:
            ledger.number_the_last(self.output, recipe.output_name, book.epochs)
        book.epochs, book.recipe = recipe.max_train_epochs, recipe.to_dict()

    def _write_files(self, report: check.CheckReport) -> None:
        recipe = self.recipe
        recipe_files.save(recipe, self.folder / RECIPE)
        recipe_files.write_toml(self.folder / DATASET, dataset_config(recipe))
        recipe_files.write_toml(self.folder / TRAINING, training_config(recipe, report.total_steps))
        if recipe.sample_prompts:
            (self.folder / PROMPTS).write_text("\n".join(recipe.sample_prompts) + "\n", encoding="utf-8")

    def _options(self) -> list[str]:
        """What belongs to this start: states to resume from, where to go on, sample pictures."""
        recipe, after = self.recipe, self._plan.after_epoch
        options = ["--console_log_simple", "--save_state"]
        options += ["--save_last_n_epochs_state", str(recipe.save_last_n_epochs_state)]
        if recipe.sample_prompts:
            options += ["--sample_prompts", str(self.folder / PROMPTS), "--sample_sampler", recipe.sample_sampler]
            options += ["--sample_every_n_epochs", str(recipe.sample_every_n_epochs)]
        if after:
            state = ledger.state_folder(self.output, recipe.output_name, after, recipe.max_train_epochs)
            options += ["--resume", str(state), *self._where_to_go_on()]
        return options

    def _where_to_go_on(self) -> list[str]:
        """A saved state knows only the steps of its own start, so the place to go on is always said.

        With several processes sd-scripts divides the steps that it makes of `--initial_epoch` by them twice: there
        the steps themselves are given.
        """
        if self.recipe.processes == 1:
            return ["--initial_epoch", str(self._plan.after_epoch + 1)]
        return ["--initial_step", str(self._plan.after_epoch * self._plan.steps_per_epoch)]

    def _note_start(self, program: Program) -> None:
        start = Start(ledger.now(), self._plan.after_epoch, program.pid, program.created)
        self._plan.book.starts.append(start)
        self._plan.book.write(self.folder)

    def _watch(self, program: Program) -> None:
        try:
            with (
                (self.folder / LOG).open("a", encoding="utf-8") as log,
                (self.folder / LOSSES).open("a", encoding="utf-8", newline="") as losses,
            ):
                for line in program.lines():
                    self._take(line, log, losses)
                csv.writer(losses).writerows(self._losses[-1:])
            code = program.wait()
            self._result = self._judge(code)
        except Exception as error:  # whatever happens to us, the run must come to an end and say so
            program.end()
            self._result = self._failed(f"unexpected {type(error).__name__}: {error}")
        finally:
            with self._guard:
                self._reader.end()
            self._done.set()

    def _take(self, line: Line, log: TextIO, losses: TextIO) -> None:
        with self._guard:
            before = self._reader.progress
            self._reader.take(line.text)
            now = self._reader.progress
            if now.step and (now.step, now.loss) != (before.step, before.loss):
                self._keep_loss(now, losses)
        if line.final and line.text.strip():
            self._tail.append(line.text)
            log.write(line.text + "\n")
            log.flush()
        if now.saved != before.saved:
            self._note_saved(now)
        self._end_if_needed(before, now)

    def _keep_loss(self, now: Progress, losses: TextIO) -> None:
        if now.loss is None or not math.isfinite(now.loss):
            return
        point = (now.step, now.epoch, now.loss)
        if self._losses and self._losses[-1][0] == now.step:
            self._losses[-1] = point
            return
        if self._losses:
            csv.writer(losses).writerow(self._losses[-1])
        self._losses.append(point)

    def _note_saved(self, now: Progress) -> None:
        book = self._plan.book
        book.saved[now.epoch] = SavedEpoch(
            now.saved[-1], now.epoch * self._plan.steps_per_epoch, now.loss, ledger.now()
        )
        book.write(self.folder)

    def _end_if_needed(self, before: Progress, now: Progress) -> None:
        """End a run that learns nothing any more, counts other than we do, or was to end with this epoch."""
        announced = self._reader.announced
        if now.loss is not None and not math.isfinite(now.loss):
            self._end_because(diagnosis.diverged(self.recipe, now.step))
        elif announced.total_steps and not before.total_steps:
            expected = self._plan.steps_per_epoch * self.recipe.max_train_epochs
            if announced.total_steps != expected:
                self._end_because(
                    f"sd-scripts counts {announced.total_steps} steps and Prodshot {expected}: the folder has changed "
                    "since it was checked, or this sd-scripts counts otherwise"
                )
        elif now.epoch != before.epoch and not before.epoch and now.epoch != self._plan.after_epoch + 1:
            self._end_because(f"sd-scripts went on with epoch {now.epoch} instead of {self._plan.after_epoch + 1}")
        elif now.epoch != before.epoch and before.epoch and self._stop_after_epoch:
            self.stop()

    def _end_because(self, reason: str) -> None:
        if not self._ended_because:
            self._ended_because = reason
            assert self._program is not None
            self._program.end()

    def _judge(self, code: int) -> TrainingResult:
        """Success is what the files say: every expected LoRA whole, all numbers finite, something learned."""
        if self._ended_because:
            return self._failed(self._ended_because)
        wrong = results.what_is_wrong(self.recipe) if self.recipe.machine_rank == 0 else ""
        if self._asked_to_stop and (code or wrong):
            return self._result_of("stopped", "stopped; the same command goes on after the last saved epoch")
        if code:
            return self._failed(diagnosis.why_failed(self._tail, code, self.recipe))
        if wrong:
            known = diagnosis.why_failed(self._tail, code, self.recipe)
            return self._failed(wrong if "exit code 0" in known else f"{known} ({wrong})")
        return self._result_of("finished", "")

    def _failed(self, reason: str) -> TrainingResult:
        return self._result_of("failed", reason)

    def _result_of(self, outcome: Literal["finished", "stopped", "failed"], reason: str) -> TrainingResult:
        loras = results.whole_loras(self.recipe)
        done = ledger.last_state(self.output, self.recipe.output_name, self.recipe.max_train_epochs)
        last = self._plan.book.starts[-1]
        last.ended, last.outcome, last.reason = ledger.now(), outcome, reason
        self._plan.book.write(self.folder)
        steps = done * self._plan.steps_per_epoch
        return TrainingResult(outcome, reason, done, steps, tuple(path for _, path in sorted(loras.items())))


def read_losses(folder: Path) -> list[tuple[int, int, float]]:
    """The loss curve of a run folder over all its starts: step, epoch, loss; a step that was repeated counts once."""
    path = folder / LOSSES
    if not path.is_file():
        return []
    points: dict[int, tuple[int, int, float]] = {}
    # a start that was killed leaves half a line: the curve is only shown, and its other points are right
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for line in file:
            with suppress(ValueError):
                step, epoch, loss = line.split(",")
                points[int(step)] = (int(step), int(epoch), float(loss))
    return [points[step] for step in sorted(points)]


def describe(losses: Sequence[tuple[int, int, float]]) -> str:
    """The loss of each epoch's end on one line."""
    ends = {epoch: loss for _, epoch, loss in losses}
    return ", ".join(f"{epoch}: {loss:.4g}" for epoch, loss in sorted(ends.items()))
