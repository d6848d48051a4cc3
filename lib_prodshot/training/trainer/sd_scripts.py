"""Finds kohya's sd-scripts and the Python that runs it, and learns what the two offer.

sd-scripts (Apache-2.0) is run by path from a checkout, never imported: what it needs and what a WebUI needs cannot
stand in one environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lib_prodshot.bootstrap import clean_variables
from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.jobs.staging import Staging
from lib_prodshot.training.errors import TrainerError, TrainerMissing
from lib_prodshot.training.recipe.recipe import SETTINGS, Recipe
from lib_prodshot.training.trainer import probe
from lib_prodshot.weights import cache_folder

TAG = "v0.10.1"
COMMIT = "ae72efb92babe89ff8e70f057e42db68440e8d61"
REPOSITORY = "https://github.com/kohya-ss/sd-scripts"

SCRIPT = "train_network.py"
NOTE = "trainer.json"
"""Written by the setup into the trainer's folder: where the checkout and its Python are."""

PROBE_SECONDS = 600

_SITE_PACKAGES = ("lib/python3*/site-packages", "Lib/site-packages")


@dataclass(frozen=True)
class Facts:
    """What a trainer offers: versions, GPUs (name and bytes of memory), packages, and its options by name."""

    python: str
    torch: str
    gpus: tuple[Mapping[str, Any], ...]
    packages: Mapping[str, str]
    options: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Trainer:
    """A checkout of sd-scripts and the Python of its environment."""

    checkout: Path
    python: Path

    @property
    def script(self) -> Path:
        """The program that trains a LoRA."""
        return self.checkout / SCRIPT

    @property
    def commit(self) -> str:
        """The checkout's commit, empty where it is no git checkout."""
        command = ["git", "-C", str(self.checkout), "rev-parse", "HEAD"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return answer.stdout.strip() if answer.returncode == 0 else ""

    def facts(self, cache: Path | None = None, anew: bool = False) -> Facts:
        """Ask the trainer's Python; the answer is kept in `cache` until checkout or environment change.

        Raises `TrainerError` when it cannot start.
        """
        kept = (cache or home() / "probes") / f"{self._state()}.json"
        if not anew and kept.is_file():
            try:
                return _facts(json.loads(kept.read_text(encoding="utf-8")))
            except (OSError, ValueError, KeyError, TypeError):
                pass  # an answer of another version: ask again
        told = self._probe()
        kept.parent.mkdir(parents=True, exist_ok=True)
        with Staging(kept.parent) as staging:
            staging.path(kept.name).write_text(json.dumps(told), encoding="utf-8")
        return _facts(told)

    def _state(self) -> str:
        """A name that changes with the checkout, its script, and what is installed in the environment."""
        stamps = [str(self.script), str(self.python), Path(probe.__file__).read_text(encoding="utf-8")]
        site = [path for pattern in _SITE_PACKAGES for path in sorted(self.python.parent.parent.glob(pattern))]
        stamps += [str(path.stat().st_mtime_ns) for path in (self.script, self.python, *site)]
        return hashlib.sha256("\n".join(stamps).encode()).hexdigest()[:32]

    def _probe(self) -> dict[str, Any]:
        command = [str(self.python), probe.__file__, str(self.checkout)]
        try:
            answer = subprocess.run(
                command,
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                env=variables(),
                timeout=PROBE_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise TrainerError(f"{self.python} does not start: {error}") from error
        marked = [line for line in answer.stdout.splitlines() if line.startswith(probe.MARKER)]
        if answer.returncode or not marked:
            lines = [line.strip() for line in (answer.stderr or answer.stdout).splitlines() if line.strip()]
            last = lines[-1] if lines else f"exit code {answer.returncode}"
            raise TrainerError(f"sd-scripts in {self.checkout} does not start under {self.python}: {last}")
        told: dict[str, Any] = json.loads(marked[-1].removeprefix(probe.MARKER))
        return told


def home() -> Path:
    """The trainer's folder: PRODSHOT_TRAINER, else beside the user's weights. Raises `WeightsError`."""
    chosen = os.environ.get("PRODSHOT_TRAINER")
    return Path(chosen).expanduser() if chosen else cache_folder().parent / "trainer"


def find(checkout: Path | None = None, python: Path | None = None, folder: Path | None = None) -> Trainer:
    """The trainer to use: what is given, else PRODSHOT_SD_SCRIPTS and PRODSHOT_SD_SCRIPTS_PYTHON, else what
    `prodshot train setup` made. Raises `TrainerMissing`."""
    given = checkout or _from_environment("PRODSHOT_SD_SCRIPTS")
    given_python = python or _from_environment("PRODSHOT_SD_SCRIPTS_PYTHON")
    # what is named needs no note, so that one which cannot be read does not stand in its way
    noted = {} if given and given_python else _read_note(folder or home())
    chosen = given or noted.get("checkout")
    if chosen is None:
        raise TrainerMissing("sd-scripts is not here: `prodshot train setup` gets it and makes its environment")
    if not (chosen / SCRIPT).is_file():
        raise TrainerMissing(f"{chosen} is no checkout of sd-scripts: it has no {SCRIPT}")
    interpreter = given_python or noted.get("python") or _python_beside(chosen)
    if interpreter is None or not interpreter.exists():
        advice = f"`prodshot train setup --sd-scripts {chosen}` makes one"
        raise TrainerMissing(f"sd-scripts in {chosen} has no Python environment: {advice}")
    return Trainer(chosen.resolve(), interpreter.absolute())


def write_note(trainer: Trainer, folder: Path) -> None:
    """Remember a trainer for `find`."""
    told = {"checkout": str(trainer.checkout), "python": str(trainer.python)}
    with Staging(folder) as staging:
        staging.path(NOTE).write_text(json.dumps(told, indent=1), encoding="utf-8")


def check_fits(recipe: Recipe, facts: Facts) -> None:
    """Refuse what this trainer cannot do, before anything starts. Raises `RequestError` naming the settings."""
    problems = list(_machine_problems(recipe, facts))
    for name, value in recipe.extra.items():
        problems += _extra_problems(name, value, facts)
    if problems:
        raise RequestError(problems)


def variables(threads: int = 1) -> dict[str, str]:
    """The environment variables for the trainer's Python: nothing of a surrounding environment, output at once."""
    told = {"PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", "OMP_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return {**clean_variables(), **told}


def _machine_problems(recipe: Recipe, facts: Facts) -> list[FieldProblem]:
    problems = []
    if not facts.gpus and recipe.mixed_precision != "no":
        message = f"{recipe.mixed_precision} needs a CUDA GPU, and the trainer's PyTorch {facts.torch} sees none"
        problems.append(FieldProblem("mixed_precision", message, "no, as in the preset cpu"))
    if recipe.optimizer_type.lower().endswith("8bit") and "bitsandbytes" not in facts.packages:
        message = f"{recipe.optimizer_type} needs bitsandbytes, which the trainer's environment lacks"
        problems.append(FieldProblem("optimizer_type", message, "AdamW"))
    if recipe.attention == "xformers" and "xformers" not in facts.packages:
        problems.append(FieldProblem("attention", "the trainer's environment has no xformers", "sdpa"))
    if recipe.optimizer_type == "Prodigy" and "prodigyopt" not in facts.packages:
        problems.append(FieldProblem("optimizer_type", "Prodigy needs prodigyopt, which the trainer lacks", "AdamW"))
    here = -(-recipe.processes // recipe.machines)
    if here > 1 and facts.gpus and here > len(facts.gpus):
        problems.append(FieldProblem("processes", f"{here} GPUs a machine, and there are {len(facts.gpus)} here"))
    return problems


def _extra_problems(name: str, value: Any, facts: Facts) -> list[FieldProblem]:
    """sd-scripts takes any key of its training file without a word, so we ask its own parser what it knows."""
    field = f"extra.{name}"
    if name not in facts.options:
        near = get_close_matches(name, facts.options, n=1)
        return [FieldProblem(field, "sd-scripts has no such option" + (f"; did you mean {near[0]}?" if near else ""))]
    if name in OURS or name in _RECIPE_NAMES:
        return [FieldProblem(field, "is the recipe's or the runner's own", "set it there")]
    option = facts.options[name]
    allowed = " | ".join(map(str, option["choices"]))
    values = value if option["many"] and isinstance(value, list) else [value]
    if not all(_is_of(one, option) for one in values):
        return [FieldProblem(field, f"{value!r} is not {'a flag' if option['flag'] else option['type']}", allowed)]
    if option["choices"] and any(one not in option["choices"] for one in values):
        return [FieldProblem(field, f"{value!r} is not a choice", allowed)]
    return []


OURS = frozenset(
    (
        *("config_file", "output_config", "dataset_config", "output_dir", "output_name", "logging_dir", "resume"),
        *("initial_epoch", "initial_step", "save_state", "save_state_on_train_end", "save_last_n_epochs_state"),
        *("max_train_steps", "max_train_epochs", "save_every_n_epochs", "save_last_n_epochs", "save_every_n_steps"),
        *("save_n_epoch_ratio", "save_model_as", "train_data_dir", "reg_data_dir", "in_json", "dataset_class", "help"),
        *("console_log_file", "console_log_simple", "console_log_level", "debug_dataset", "sample_prompts"),
        *("learning_rate", "lr_warmup_steps", "sdpa", "xformers", "network_train_unet_only"),
        *("network_train_text_encoder_only", "sample_every_n_steps", "log_prefix"),
    )
)
"""Options that may not stand under `extra`, nor may any that the recipe has itself: the run is counted by them."""

_RECIPE_NAMES = frozenset(known.name for known in SETTINGS)


def _is_of(value: Any, option: Mapping[str, Any]) -> bool:
    if option["flag"]:
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    kinds: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float)}
    return isinstance(value, kinds.get(option["type"], (str, int, float)))


def _facts(told: Mapping[str, Any]) -> Facts:
    return Facts(told["python"], told["torch"], tuple(told["gpus"]), dict(told["packages"]), dict(told["options"]))


def _read_note(folder: Path) -> dict[str, Path]:
    """What the setup wrote, nothing where it did not. Raises `TrainerMissing` for a note that cannot be read."""
    path = folder / NOTE
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return {name: Path(told[name]) for name in ("checkout", "python")}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        advice = "`prodshot train setup` writes it anew, or name a checkout and its Python yourself"
        raise TrainerMissing(f"{path}, which says where sd-scripts is, cannot be read ({error}): {advice}") from error


def _from_environment(name: str) -> Path | None:
    text = os.environ.get(name)
    return Path(text).expanduser() if text else None


def _python_beside(checkout: Path) -> Path | None:
    """The Python of an environment that the user made in the checkout."""
    relative = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    candidates = [checkout / name / relative for name in ("venv", ".venv")]
    return next((path for path in candidates if path.exists()), None)
