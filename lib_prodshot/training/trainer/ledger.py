"""The ledger of a training run, a JSON file: sd-scripts' saved states count steps from their own start only."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any

from lib_prodshot.errors import as_typed
from lib_prodshot.jobs.files.reading import entries_of, is_file
from lib_prodshot.jobs.files.staging import Staging, output_error
from lib_prodshot.locks import exclusive
from lib_prodshot.training import lora
from lib_prodshot.training.errors import TrainingError
from lib_prodshot.training.recipe.recipe import Recipe

RECIPE = "recipe.toml"
LEDGER = "ledger.json"
LOCK = ".ledger.lock"
"""Held while the ledger is read and written anew: a run and a publication of it may do so at one moment."""

VERSION = 1

RESUMABLE_CHANGES = frozenset(
    (
        *("max_train_epochs", "save_last_n_epochs", "save_last_n_epochs_state", "step_limit", "output_dir"),
        *("sample_prompts", "sample_every_n_epochs", "sample_sampler", "activation_tag", "tokenizer_cache_dir"),
        *("max_data_loader_n_workers", "persistent_data_loader_workers", "lowram", "num_cpu_threads_per_process"),
        *("machine_rank", "main_process_ip", "main_process_port", "gradient_checkpointing", "attention"),
    )
)
"""Settings that may change when a run is resumed; any other would make it another training."""


_BEFORE: Mapping[str, Any] = {**Recipe().to_dict(), "family": "sd15"}
"""What holds where the ledger of an older version lacks a setting; there was one family then."""


@dataclass
class Start:
    """One start of the program. `outcome` is empty while it runs, then finished, stopped or failed."""

    started: str
    after_epoch: int
    pid: int = 0
    created: float = 0.0
    ended: str = ""
    outcome: str = ""
    reason: str = ""


@dataclass
class SavedEpoch:
    """One LoRA: its file, all steps up to it, the loss at its end."""

    file: str
    step: int
    loss: float | None
    saved: str


@dataclass
class Ledger:
    """The ledger of one run folder: its starts, saved epochs and published files."""

    recipe: dict[str, Any]
    epochs: int
    steps_per_epoch: int
    starts: list[Start] = field(default_factory=list)
    saved: dict[int, SavedEpoch] = field(default_factory=dict)
    published: dict[str, str] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether the last start came to the run's end."""
        return bool(self.starts) and self.starts[-1].outcome == "finished"

    def changed_settings(self, recipe: Recipe) -> list[str]:
        """The settings in which `recipe` differs from the run's so that it cannot go on: 'unet_lr: 0.0002 → 0.001'."""
        now, then = recipe.to_dict(), {**_BEFORE, **self.recipe}
        names = [name for name in sorted({*now, *then}) if name not in RESUMABLE_CHANGES]
        return [f"{name}: {then.get(name)} → {now.get(name)}" for name in names if then.get(name) != now.get(name)]

    def end_last_start(self, outcome: str, reason: str) -> None:
        """Note how the last start ended."""
        last = self.starts[-1]
        last.ended, last.outcome, last.reason = now(), outcome, reason

    def write(self, folder: Path) -> None:
        """Write the ledger atomically; what was published meanwhile stays in it. Raises `OutputError`."""
        with _locked(folder):
            self.published = {**_published(folder), **self.published}
            self._write(folder)

    def _write(self, folder: Path) -> None:
        data = {"version": VERSION, **asdict(self)}
        with Staging(folder) as staging:
            staging.path(LEDGER).write_text(json.dumps(data, indent=1), encoding="utf-8")


def add_published(folder: Path, files: Mapping[str, str]) -> None:
    """Note files that were published, each with its time, in the ledger as it stands by now: the run may still go on.

    Raises `OutputError`, `TrainingError`."""
    with _locked(folder):
        current = read(folder)
        if current is not None:
            current.published.update(files)
            current._write(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        with exclusive(folder / LOCK):
            yield
    except OSError as error:
        raise output_error(folder, error) from error


def _published(folder: Path) -> dict[str, str]:
    """What the ledger on the disk says was published; nothing where it cannot be read."""
    try:
        current = read(folder)
    except TrainingError:
        return {}
    return current.published if current else {}


def read(folder: Path) -> Ledger | None:
    """Read the ledger of a run folder, None where there is none. Raises `TrainingError` for an unreadable one."""
    path = folder / LEDGER
    if not os.path.lexists(path):
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Ledger(
            recipe=dict(data["recipe"]),
            epochs=int(data["epochs"]),
            steps_per_epoch=int(data["steps_per_epoch"]),
            starts=[Start(**start) for start in data["starts"]],
            saved={int(epoch): SavedEpoch(**saved) for epoch, saved in data["saved"].items()},
            published=data["published"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is damaged, or not one that Prodshot wrote"
        advice = (
            f"put it back as it was, or train anew ({as_typed('train run --fresh')}), which sets the earlier run aside"
        )
        raise TrainingError(f"{path} cannot be read: {why}; {advice}") from error


_MOST_NAMED = 12


def runs_in(folder: Path) -> list[str]:
    """The names of the training runs that a folder holds, the first few; none where it cannot be looked into."""
    try:
        inside = entries_of(folder)
    except OSError:
        return []
    found = (one.name for one in inside if is_file(one / RECIPE) and is_file(one / LEDGER))
    return list(islice(found, _MOST_NAMED))


def now() -> str:
    """The current time in UTC, ISO 8601 in seconds."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def epoch_file(output: Path, name: str, epoch: int, epochs: int) -> Path:
    """Where sd-scripts saves the LoRA of an epoch: numbered, but for the last."""
    return output / (f"{name}.safetensors" if epoch == epochs else f"{name}-{epoch:06d}.safetensors")


def state_folder(output: Path, name: str, epoch: int, epochs: int) -> Path:
    """Where sd-scripts saves the training state of an epoch."""
    return output / (f"{name}-state" if epoch == epochs else f"{name}-{epoch:06d}-state")


def last_complete_state(output: Path, name: str, epochs: int) -> int:
    """The last epoch up to `epochs` whose saved state is complete, 0 when there is none."""
    return next(
        (
            epoch
            for epoch in range(epochs, 0, -1)
            if is_complete_state(state_folder(output, name, epoch, epochs), epoch)
        ),
        0,
    )


def is_complete_state(folder: Path, epoch: int) -> bool:
    """Whether a saved state is complete, of that epoch, and finite: a diverged run saves NaN as well.

    accelerate writes the random states last, and torch's files are ZIP archives with their directory at the end.
    """
    needed = ("model.safetensors", "optimizer.bin", "scheduler.bin", "random_states_0.pkl")
    if not all((folder / name).is_file() for name in needed):
        return False
    archives = [path for path in folder.iterdir() if path.suffix in (".bin", ".pkl", ".pt")]
    if not lora.is_finite(folder / "model.safetensors") or not all(zipfile.is_zipfile(path) for path in archives):
        return False
    try:
        data: Mapping[str, Any] = json.loads((folder / "train_state.json").read_text(encoding="utf-8"))
        return bool(data["current_epoch"] == epoch)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def number_last_epoch(output: Path, name: str, run_ledger: Ledger) -> None:
    """Give the last LoRA and state of a finished run their epoch's number, also in the ledger, so that more epochs can
    follow. Raises `OutputError`."""
    epochs = run_ledger.epochs
    for path in (epoch_file, state_folder):
        last = path(output, name, epochs, epochs)
        numbered = path(output, name, epochs, epochs + 1)
        if last.exists() and not numbered.exists():
            try:
                last.rename(numbered)
            except OSError as error:
                raise output_error(output, error) from error
    if epochs in run_ledger.saved:
        run_ledger.saved[epochs].file = epoch_file(output, name, epochs, epochs + 1).name
