"""One training run as an object: start, progress, stop, and a result that is validated by the files on disk.

The command line, the WebUI's tab and the HTTP jobs drive the same `TrainingJob`.
"""

from __future__ import annotations

import csv
import math
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from lib_prodshot.errors import ProdshotError, RequestError, as_typed
from lib_prodshot.jobs.files.staging import Staging, output_error
from lib_prodshot.locks import exclusive
from lib_prodshot.training import lora
from lib_prodshot.training.dataset import check, kohya
from lib_prodshot.training.errors import InvalidDataset, TrainingError
from lib_prodshot.training.masks import copies
from lib_prodshot.training.masks.copies import UseFinder, own_finder
from lib_prodshot.training.recipe import files as recipe_files
from lib_prodshot.training.recipe.recipe import Recipe, with_family
from lib_prodshot.training.recipe.remarks import remarks
from lib_prodshot.training.trainer import checkpoint, diagnosis, ledger, results, sd_scripts
from lib_prodshot.training.trainer.config_files import OUTPUT_FOLDER, dataset_config, training_config
from lib_prodshot.training.trainer.ledger import RECIPE, Ledger, SavedEpoch, Start
from lib_prodshot.training.trainer.losses import LOSSES
from lib_prodshot.training.trainer.process import Line, TrainerProcess, command, is_alive
from lib_prodshot.training.trainer.progress import Progress, ProgressParser
from lib_prodshot.training.trainer.sd_scripts import Trainer, environment_variables

TRAINING, DATASET, PROMPTS = "training.toml", "dataset.toml", "samples.txt"
LOG = "training.log"

Outcome = Literal["finished", "stopped", "failed"]

TAIL = 200
"""Lines of output that a failure is explained from."""


@dataclass(frozen=True)
class TrainingResult:
    """The result of a run: its complete LoRAs by epoch, the `reason` when it did not finish, and `notes` of what else
    there is to say."""

    outcome: Outcome
    reason: str
    epochs_done: int
    steps_done: int
    loras: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The result for the HTTP API."""
        return {**vars(self), "loras": [str(path) for path in self.loras]}


@dataclass(frozen=True)
class _Plan:
    """The plan of a start: the epoch to resume after, and the ledger so far."""

    after_epoch: int
    steps_per_epoch: int
    ledger: Ledger
    again: tuple[int, ...] = ()
    """Epochs that are trained once more, though their LoRA is there: their state is not."""


class TrainingJob:
    """A run of `recipe` by `trainer`, in the recipe's own folder, where an earlier start is gone on with. A folder that
    holds kohya's N_name folders stands for these, and the family is the checkpoint's where the recipe does not say.

    `fresh` sets an earlier run aside and begins anew; `force` starts in spite of errors that the check finds;
    `use_finder` gives the finder that makes masks, where the recipe asks for them.
    """

    def __init__(
        self,
        recipe: Recipe,
        trainer: Trainer,
        *,
        fresh: bool = False,
        force: bool = False,
        use_finder: UseFinder = own_finder,
    ) -> None:
        self._given = recipe
        self.recipe = with_family(kohya.expand(recipe))
        self.trainer = trainer
        self.folder = recipe.run_dir
        self.output = self.folder / OUTPUT_FOLDER
        self._fresh = fresh
        self._force = force
        self._use_finder = use_finder
        self._lock = threading.Lock()
        self._parser = ProgressParser()
        self._tail: deque[str] = deque(maxlen=TAIL)
        self._losses: list[tuple[int, int, float]] = []
        self._stop_requested = False
        self._stop_after_epoch = False
        self._abort_reason = ""
        self._done = threading.Event()
        self._result: TrainingResult | None = None
        self._process: TrainerProcess | None = None
        self._plan = _Plan(0, 0, Ledger({}, 0, 0))
        self._locks = ExitStack()

    def prepare(self) -> check.CheckReport:
        """Run all checks of `start` without changing anything. Raises what `start` raises."""
        report = self._check()
        self._plan = self._plan_start(report, self._earlier_ledger())
        return report

    def check_masks(self) -> bool:
        """Whether the run will have the finder make masks. Raises what `start` raises where the finder cannot run or
        does not know the products; which photographs show them is seen by the run."""
        if not self.recipe.masked_loss:
            return False
        return copies.MaskedCopies(self.recipe, self.folder, self._use_finder, self._force).check()

    def start(self, on_mask: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Check everything, make the masks that the recipe asks for (`on_mask` is called with the numbers of
        photographs done and in all), then start the trainer process, which a thread of its own monitors.

        Raises `RequestError`, `TrainingError`, `TrainerError`, `PictureError` or `OutputError` before anything is
        started, and then nothing was changed but the run's own folder.
        """
        report = self._check()
        with ExitStack() as locks:
            self._lock_run(locks)
            self._plan = self._plan_start(report, self._earlier_ledger())
            self._prepare_folder()
            self._write_files(report, on_mask)
            self._process = self._start_process()
            # held until the process has ended
            self._locks = locks.pop_all()
        threading.Thread(target=self._watch, args=(self._process,), name="prodshot training", daemon=True).start()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What there is to warn of in the recipe; `prepare`'s report has it too."""
        return tuple(message for _, message in remarks(self._given))

    def progress(self) -> Progress:
        """The progress of the run, at any time and from any thread."""
        with self._lock:
            return self._parser.progress

    def losses(self) -> list[tuple[int, int, float]]:
        """The loss curve so far: step, epoch and sd-scripts' moving average of the loss."""
        with self._lock:
            return list(self._losses)

    def samples(self) -> list[Path]:
        """The sample pictures made so far, oldest first."""
        return results.samples(self.output)

    def stop(self, after_epoch: bool = False) -> None:
        """Stop the run: at once, which loses the steps since the last epoch's end, or `after_epoch` is saved."""
        if after_epoch:
            self._stop_after_epoch = True
            return
        self._stop_requested = True
        if self._process is not None and self.is_running:
            self._process.terminate()

    @property
    def is_running(self) -> bool:
        """Whether the process was started and has not ended yet."""
        return self._process is not None and not self._done.is_set()

    def wait(self, seconds: float | None = None) -> TrainingResult | None:
        """Wait for the result; None when `seconds` pass before."""
        self._done.wait(seconds)
        return self._result

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch, 0 before `prepare` or `start`."""
        return self._plan.steps_per_epoch

    def _check(self) -> check.CheckReport:
        """Check all that has nothing to do with an earlier run: recipe, checkpoint, trainer, photographs."""
        # what no setting shows while the family is not read
        Recipe.of(self.recipe.to_dict())
        problems = [*checkpoint.problems(self.recipe), *copies.problems(self.recipe)]
        if problems:
            raise RequestError(problems)
        self._check_trainer()
        report = check.check(self._given)
        self._refuse(report)
        return report

    def _lock_run(self, locks: ExitStack) -> None:
        """Lock the run's folder against other starts, before anything in it is read. The lock lies beside it, for the
        folder of an earlier run may be set aside. Raises `TrainingError` while another start holds it."""
        rank = f".{self.recipe.machine_rank}" if self.recipe.machine_rank else ""
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            locks.enter_context(exclusive(self.folder.parent / f".{self.folder.name}{rank}.lock", self._refuse_second))
        except OSError as error:
            raise output_error(self.folder.parent, error) from error

    def _refuse_second(self) -> None:
        try:
            run_ledger = ledger.read(self.folder)
        except TrainingError:
            run_ledger = None
        if run_ledger and run_ledger.starts:
            self._refuse_running(run_ledger.starts[-1])
        raise TrainingError("this training is being started already; stop it there first")

    def _refuse_running(self, last: Start) -> None:
        if not last.outcome and is_alive(last.pid, last.created):
            raise TrainingError(f"this training is running already (process {last.pid}); stop it there first")

    def _start_process(self) -> TrainerProcess:
        """Start the program and note it in the ledger; where that cannot be done it does not run on."""
        configs = (self.folder / TRAINING, self.folder / DATASET)
        line = command(self.trainer, self.recipe, configs, self._options())
        self._parser = ProgressParser(steps_before=self._plan.after_epoch * self._plan.steps_per_epoch)
        process = TrainerProcess(line, self.folder, environment_variables(self.recipe.num_cpu_threads_per_process))
        try:
            self._record_start(process)
        except ProdshotError:
            process.terminate()
            raise
        return process

    def _check_trainer(self) -> None:
        """Check the recipe against the trainer; on failure its cached properties are refreshed, as GPUs may change."""
        try:
            sd_scripts.check_compatibility(self.recipe, self.trainer.info())
        except RequestError:
            sd_scripts.check_compatibility(self.recipe, self.trainer.info(refresh=True))

    def _refuse(self, report: check.CheckReport) -> None:
        if report.errors and not self._force:
            others = (
                f" (and {len(report.errors) - 1} more; `{as_typed('train check')}` lists them)"
                if report.errors[1:]
                else ""
            )
            raise InvalidDataset(f"{str(report.errors[0]).removeprefix('error: ')}{others}")

    def _earlier_ledger(self) -> Ledger | None:
        """The ledger of an earlier start, None to begin anew. Raises `TrainingError` where neither is possible."""
        names = self._names_in_folder()
        if not names:
            return None
        if not names & {ledger.LEDGER, RECIPE}:
            raise TrainingError(f"{self.folder} holds something else than a training run: name another output_dir")
        try:
            run_ledger = ledger.read(self.folder)
        except TrainingError:
            if self._fresh:
                return None
            raise
        if run_ledger and run_ledger.starts and not run_ledger.starts[-1].outcome:
            self._refuse_running(run_ledger.starts[-1])
            run_ledger.end_last_start("stopped", "its process ended and left no word")
        return None if self._fresh else run_ledger

    def _names_in_folder(self) -> set[str]:
        try:
            return {path.name for path in self.folder.iterdir()}
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise TrainingError(f"{self.folder} cannot be read as a training run's folder: {error.strerror}") from error

    def _plan_start(self, report: check.CheckReport, run_ledger: Ledger | None) -> _Plan:
        """Decide the epoch to resume after. Raises `TrainingError` where the earlier run was another training."""
        recipe, steps = self.recipe, report.steps_per_epoch
        fresh = Ledger(recipe.to_dict(), recipe.max_train_epochs, steps)
        if run_ledger is None:
            if not self._fresh:
                self._refuse_overwriting({}, 0, recipe.max_train_epochs)
            return _Plan(0, steps, fresh)
        done = ledger.last_complete_state(self.output, recipe.output_name, run_ledger.epochs)
        self._refuse_overwriting(run_ledger.recipe, done, run_ledger.epochs)
        there = results.saved_loras(self.output, str(run_ledger.recipe.get("output_name")), run_ledger.epochs)
        again = tuple(epoch for epoch, path in there.items() if epoch > done and lora.is_finite(path))
        if not done:
            fresh.starts = run_ledger.starts
            return _Plan(0, steps, fresh, again)
        changed = run_ledger.changed_settings(recipe)
        if steps != run_ledger.steps_per_epoch:
            changed.append(f"steps an epoch: {run_ledger.steps_per_epoch} → {steps}")
        if changed:
            advice = "set them back to go on after it, or begin anew with --fresh"
            raise TrainingError(f"epoch {done} of another training is here ({'; '.join(changed)}): {advice}")
        if recipe.max_train_epochs <= done:
            advice = f"publish it, set max_train_epochs above {done}, or begin anew with --fresh"
            raise TrainingError(f"this training has its {done} epochs already: {advice}")
        return _Plan(done, steps, run_ledger, again)

    def _refuse_overwriting(self, before: Mapping[str, Any], done: int, epochs: int) -> None:
        """Refuse to overwrite LoRAs of epochs whose states, or the ledger, are damaged or gone. Raises
        `TrainingError`; the last one may lack its state, as in a run that was ended in between."""
        loras = results.saved_loras(self.output, str(before.get("output_name", self.recipe.output_name)), epochs)
        newest = max((epoch for epoch, path in loras.items() if lora.is_finite(path)), default=0)
        every = before.get("save_every_n_epochs", 0)
        if newest > done + (every if isinstance(every, int) else 0):
            reason = f"the state of epoch {newest} is damaged or gone" if before else f"there is no {ledger.LEDGER}"
            raise TrainingError(
                f"{self.folder} has the LoRA of epoch {newest}, and {reason}, so that it would be trained over from "
                f"epoch {done + 1}: put it back, or begin anew with --fresh, which sets the earlier run aside"
            )

    def _prepare_folder(self) -> None:
        """Move an earlier run aside, or prepare it for more epochs than it had."""
        recipe, run_ledger = self.recipe, self._plan.ledger
        if self._fresh and self.folder.exists():
            results.move_aside(self.folder)
        if self._plan.after_epoch and recipe.max_train_epochs != run_ledger.epochs:
            ledger.number_last_epoch(self.output, recipe.output_name, run_ledger)
        run_ledger.epochs, run_ledger.recipe = recipe.max_train_epochs, recipe.to_dict()

    def _write_files(
        self, report: check.CheckReport, on_mask: Callable[[int, int], None] = lambda done, total: None
    ) -> None:
        recipe = self.recipe
        recipe_files.save(recipe, self.folder / RECIPE)
        trained = self._masked_copies(on_mask) if recipe.masked_loss else recipe
        recipe_files.write_toml(self.folder / DATASET, dataset_config(trained))
        recipe_files.write_toml(self.folder / TRAINING, training_config(recipe, report.total_steps))
        if recipe.sample_prompts:
            with Staging(self.folder) as staging:
                text = "\n".join(recipe.sample_prompts) + "\n"
                staging.path(PROMPTS).write_text(text, encoding="utf-8")

    def _masked_copies(self, on_mask: Callable[[int, int], None]) -> Recipe:
        def progress(done: int, total: int) -> None:
            if self._stop_requested or self._stop_after_epoch:
                raise TrainingError("stopped before the training began")
            on_mask(done, total)

        return copies.MaskedCopies(self.recipe, self.folder, self._use_finder, self._force).write(progress)

    def _options(self) -> list[str]:
        """The options of this start: states to save and resume from, sample pictures."""
        recipe, after = self.recipe, self._plan.after_epoch
        options = ["--console_log_simple", "--save_state"]
        options += ["--save_last_n_epochs_state", str(recipe.save_last_n_epochs_state)]
        if recipe.sample_prompts:
            options += ["--sample_prompts", str(self.folder / PROMPTS), "--sample_sampler", recipe.sample_sampler]
            options += ["--sample_every_n_epochs", str(recipe.sample_every_n_epochs)]
        if after:
            state = ledger.state_folder(self.output, recipe.output_name, after, recipe.max_train_epochs)
            options += ["--resume", str(state), *self._resume_options()]
        return options

    def _resume_options(self) -> list[str]:
        """The epoch or step to resume at: a saved state knows only the steps of its own start.

        With several processes sd-scripts divides the steps that it makes of `--initial_epoch` by them twice: there
        the steps are passed instead.
        """
        if self.recipe.processes == 1:
            return ["--initial_epoch", str(self._plan.after_epoch + 1)]
        return ["--initial_step", str(self._plan.after_epoch * self._plan.steps_per_epoch)]

    def _record_start(self, process: TrainerProcess) -> None:
        start = Start(ledger.now(), self._plan.after_epoch, process.pid, process.creation_time)
        self._plan.ledger.starts.append(start)
        self._plan.ledger.write(self.folder)

    def _watch(self, process: TrainerProcess) -> None:
        try:
            outcome, reason = self._validated(self._follow(process))
        except Exception as error:  # whatever fails here, the run must end with a result
            process.terminate()
            outcome, reason = "failed", self._abort_reason or diagnosis.explain_error(error)
        try:
            self._result = self._result_of(outcome, reason)
        except Exception as error:  # the run's folder may be out of reach by now
            told = reason or diagnosis.explain_error(error)
            self._result = TrainingResult("failed", told, 0, 0, ())
        finally:
            with self._lock:
                self._parser.finish()
            self._locks.close()
            self._done.set()

    def _follow(self, process: TrainerProcess) -> int:
        """Process all that the program says, to its end; returns its exit code."""
        with (
            (self.folder / LOG).open("a", encoding="utf-8") as log,
            (self.folder / LOSSES).open("a", encoding="utf-8", newline="") as losses,
        ):
            for line in process.lines():
                self._process_line(line, log, losses)
            csv.writer(losses).writerows(self._losses[-1:])
        return process.wait()

    def _process_line(self, line: Line, log: TextIO, losses: TextIO) -> None:
        with self._lock:
            before = self._parser.progress
            self._parser.feed(line.text)
            now = self._parser.progress
            if now.step and (now.step, now.loss) != (before.step, before.loss):
                self._record_loss(now, losses)
        if line.final and line.text.strip():
            self._tail.append(line.text)
            log.write(line.text + "\n")
            log.flush()
        if now.saved != before.saved:
            self._record_saved(now)
        self._abort_if_needed(before, now)

    def _record_loss(self, now: Progress, losses: TextIO) -> None:
        if now.loss is None or not math.isfinite(now.loss):
            return
        point = (now.step, now.epoch, now.loss)
        if self._losses and self._losses[-1][0] == now.step:
            self._losses[-1] = point
            return
        if self._losses:
            csv.writer(losses).writerow(self._losses[-1])
            losses.flush()
        self._losses.append(point)

    def _record_saved(self, now: Progress) -> None:
        run_ledger = self._plan.ledger
        run_ledger.saved[now.epoch] = SavedEpoch(
            now.saved[-1], now.epoch * self._plan.steps_per_epoch, now.loss, ledger.now()
        )
        run_ledger.write(self.folder)

    def _abort_if_needed(self, before: Progress, now: Progress) -> None:
        """Abort a run that diverged or whose steps differ from the plan; stop one that was to end with this epoch."""
        if now.loss is not None and not math.isfinite(now.loss):
            self._abort(diagnosis.explain_divergence(self.recipe, now.step))
        elif now.total_steps and not before.total_steps:
            expected = self._plan.steps_per_epoch * self.recipe.max_train_epochs
            if now.total_steps != expected:
                self._abort(
                    f"sd-scripts counts {now.total_steps} steps and Prodshot {expected}: the folder has changed "
                    "since it was checked, or this sd-scripts counts otherwise"
                )
        elif now.epoch != before.epoch and not before.epoch and now.epoch != self._plan.after_epoch + 1:
            self._abort(f"sd-scripts went on with epoch {now.epoch} instead of {self._plan.after_epoch + 1}")
        elif now.epoch != before.epoch and before.epoch and self._stop_after_epoch:
            self.stop()

    def _abort(self, reason: str) -> None:
        if not self._abort_reason:
            self._abort_reason = reason
            assert self._process is not None
            self._process.terminate()

    def _validated(self, code: int) -> tuple[Outcome, str]:
        """Outcome and reason, validated by the files: every expected LoRA complete, finite, and trained."""
        if self._abort_reason:
            return "failed", self._abort_reason
        wrong = results.output_problem(self.recipe, self._lost()) if self.recipe.machine_rank == 0 else ""
        if self._stop_requested and (code or wrong):
            return "stopped", "stopped; the same command goes on after the last saved epoch"
        if code:
            return "failed", diagnosis.explain_failure(self._tail, code, self.recipe)
        if wrong:
            known = diagnosis.explain_failure(self._tail, code, self.recipe)
            return "failed", wrong if "exit code 0" in known else f"{known} ({wrong})"
        return "finished", ""

    def _lost(self) -> dict[int, Path]:
        return results.lost_loras(self.recipe, {*range(1, self._plan.after_epoch + 1), *self._plan.ledger.saved})

    def _result_of(self, outcome: Outcome, reason: str) -> TrainingResult:
        """The result, which the ledger notes where it still can be written."""
        name, epochs = self.recipe.output_name, self.recipe.max_train_epochs
        loras = results.saved_loras(self.output, name, epochs)
        done = ledger.last_complete_state(self.output, name, epochs)
        notes = [f"the LoRA of epoch {epoch}, {path.name}, is gone" for epoch, path in self._lost().items()]
        if self._plan.again:
            which = ", ".join(map(str, self._plan.again))
            notes.append(f"epoch {which} was trained once more: its LoRA was there, and no whole state to go on from")
        self._plan.ledger.end_last_start(outcome, reason)
        try:
            self._plan.ledger.write(self.folder)
        except ProdshotError as error:
            notes.append(f"how the run ended is not in its {ledger.LEDGER}: {error}")
        steps = done * self._plan.steps_per_epoch
        ordered = tuple(path for _, path in sorted(loras.items()))
        return TrainingResult(outcome, reason, done, steps, ordered, tuple(notes))
