"""What `prodshot train run` costs over the bare sd-scripts: pairs of the same training, in turns, in one run.

Both train the same tiny model with the same two files and the same command line; the wrapper checks the folder, reads
the output, keeps the books and judges the result besides. What counts is the processor time of the wrapper's own
process against that of the sd-scripts which runs in it, without the start of its environment (Python and what
sd-scripts imports): both are spent in the same seconds, so a processor that is slower for a while, or busy, does not
decide. Between two runs of the same training it does, by a tenth and more here; their ratios are printed as well. Run:

    PRODSHOT_SD_SCRIPTS=… PRODSHOT_SD_SCRIPTS_PYTHON=… python -m benchmarks.train_overhead [--pairs 5] [--epochs 8]

Exits with 1 when the ratio is above the limit.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lib_prodshot.training.dataset import check
from lib_prodshot.training.recipe import files as recipe_files
from lib_prodshot.training.recipe.recipe import Recipe
from lib_prodshot.training.trainer.config_files import dataset_config, training_config
from lib_prodshot.training.trainer.process import command
from lib_prodshot.training.trainer.runner import DATASET, TRAINING, TrainingJob
from lib_prodshot.training.trainer.sd_scripts import Trainer, environment_variables
from tests.training.photographs import TAG, make_folder
from tests.training.trainers import tiny_model, tiny_trainer

LIMIT = 1.02
OPTIONS = ["--console_log_simple", "--save_state", "--save_last_n_epochs_state", "2"]
"""What the wrapper's first start says on the command line."""


@dataclass(frozen=True)
class Spent:
    """Seconds of one run; `own`: of the processor time, what this process took itself."""

    processor: float
    wall: float
    own: float


def spent(work: Callable[[], None]) -> Spent:
    """What `work` takes, in this process and in those it starts and waits for."""
    own, children, start = _of(resource.RUSAGE_SELF), _of(resource.RUSAGE_CHILDREN), time.perf_counter()
    work()
    wall = time.perf_counter() - start
    own = _of(resource.RUSAGE_SELF) - own
    return Spent(own + _of(resource.RUSAGE_CHILDREN) - children, wall, own)


def _of(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def recipe_of(folder: Path, tiny: Path, name: str, epochs: int) -> Recipe:
    """Twelve photographs × 2 / 2 = twelve steps an epoch."""
    told = {
        "output_name": name,
        "output_dir": str(folder / "runs"),
        "image_dir": str(folder / "photos"),
        "activation_tag": TAG,
        "pretrained_model_name_or_path": str(tiny / "model"),
        "tokenizer_cache_dir": str(tiny / "tokenizers"),
        "resolution": 64,
        "min_bucket_reso": 64,
        "max_bucket_reso": 128,
        "num_repeats": 2,
        "max_train_epochs": epochs,
        "mixed_precision": "no",
        "optimizer_type": "AdamW",
        "lowram": False,
        "max_data_loader_n_workers": 0,
        "persistent_data_loader_workers": False,
    }
    return Recipe.of(told)


def wrapped(recipe: Recipe, trainer: Trainer) -> None:
    """The training by our own runner."""
    job = TrainingJob(recipe, trainer)
    job.start()
    result = job.wait()
    assert result is not None and result.outcome == "finished", result


def bare(recipe: Recipe, trainer: Trainer) -> None:
    """The same files and command line, output into a file, nothing else."""
    folder = recipe.run_dir
    recipe_files.write_toml(folder / DATASET, dataset_config(recipe))
    recipe_files.write_toml(folder / TRAINING, training_config(recipe, check.check(recipe).total_steps))
    line = command(trainer, recipe, (folder / TRAINING, folder / DATASET), OPTIONS)
    with (folder / "said.txt").open("wb") as said:
        subprocess.run(line, cwd=folder, env=environment_variables(), stdout=said, stderr=subprocess.STDOUT, check=True)
    assert (folder / "output" / f"{recipe.output_name}.safetensors").is_file()


def start_only(trainer: Trainer) -> None:
    """Python, and all that sd-scripts imports."""
    line = [str(trainer.python), str(trainer.script), "--help"]
    subprocess.run(line, env=environment_variables(), capture_output=True, check=True)


def main() -> int:
    """Print every pair and the medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    trainer = tiny_trainer()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_folder(folder / "photos", count=12, size=(128, 128))
        tiny = tiny_model(folder / "tiny")
        trainer.info()
        start_only(trainer)
        starts = [spent(lambda: start_only(trainer)) for _ in range(4)]
        pairs = [pair(number, folder, tiny, trainer, options.epochs) for number in range(options.pairs)]
    start = statistics.median(one.processor for one in starts)
    ratio = statistics.median(_with_wrapper(one["wrapped"], start) for one in pairs)
    wholes = sorted(round(one["wrapped"].processor / one["bare"].processor, 3) for one in pairs)
    print(f"with the wrapper's own process : without, beyond the start: {ratio:.4f}")
    print(f"wrapped : bare, run by run: {wholes}")
    print(f"limit: {LIMIT}")
    return 1 if ratio > LIMIT else 0


def _with_wrapper(run: Spent, start: float) -> float:
    training = run.processor - run.own - start
    return (training + run.own) / training


def pair(number: int, folder: Path, tiny: Path, trainer: Trainer, epochs: int) -> dict[str, Spent]:
    """Both ways once, each first in every other pair."""
    ways: dict[str, Callable[[Recipe, Trainer], None]] = {"wrapped": wrapped, "bare": bare}
    took: dict[str, Spent] = {}
    for name in sorted(ways, reverse=bool(number % 2)):
        recipe = recipe_of(folder, tiny, f"{name}{number}", epochs)
        took[name] = spent(lambda: ways[name](recipe, trainer))  # noqa: B023 - called at once
    seconds = ", ".join(f"{name} {one.processor:.1f} s ({one.wall:.1f} s)" for name, one in took.items())
    print(f"pair {number + 1}: {seconds} of the processor (on the clock)", flush=True)
    return took


if __name__ == "__main__":
    raise SystemExit(main())
