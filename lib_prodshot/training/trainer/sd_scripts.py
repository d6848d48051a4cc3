"""Locates kohya's sd-scripts and its Python interpreter, and queries their versions and options.

sd-scripts (Apache-2.0) is run by path from a checkout, never imported: its requirements conflict with a WebUI's.
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
from lib_prodshot.errors import FieldProblem, RequestError, as_typed
from lib_prodshot.jobs.files.staging import Staging
from lib_prodshot.training.errors import TrainerError, TrainerMissing
from lib_prodshot.training.recipe.families import FAMILIES
from lib_prodshot.training.recipe.recipe import SETTINGS, Recipe
from lib_prodshot.training.trainer import probe
from lib_prodshot.training.trainer.config_files import flat, training_config
from lib_prodshot.weights import cache_folder

TAG = "v0.10.1"
COMMIT = "ae72efb92babe89ff8e70f057e42db68440e8d61"
REPOSITORY = "https://github.com/kohya-ss/sd-scripts"

SCRIPT = "train_network.py"
"""What every checkout of sd-scripts has; the families' programs are named in `recipe.families`."""
LOCATION_FILE = "trainer.json"
"""File in the trainer's folder with the paths of the checkout and its Python, written by the setup."""

PROBE_SECONDS = 600

_SITE_PACKAGES = ("lib/python3*/site-packages", "Lib/site-packages")


@dataclass(frozen=True)
class TrainerInfo:
    """The properties of a trainer: versions, GPUs (name and bytes of memory), packages, and each program's options by
    name; a program that is not there or does not start has none."""

    python: str
    torch: str
    gpus: tuple[Mapping[str, Any], ...]
    packages: Mapping[str, str]
    programs: Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Trainer:
    """A checkout of sd-scripts and the Python of its environment."""

    checkout: Path
    python: Path

    @property
    def commit(self) -> str:
        """The checkout's commit, empty where it is no git checkout."""
        command = ["git", "-C", str(self.checkout), "rev-parse", "HEAD"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return answer.stdout.strip() if answer.returncode == 0 else ""

    def info(self, cache: Path | None = None, refresh: bool = False) -> TrainerInfo:
        """Query the trainer's Python; the result is cached in `cache` until checkout or environment change.

        Raises `TrainerError` when it cannot start.
        """
        cached = (cache or trainer_folder() / "probes") / f"{self._state()}.json"
        if not refresh and cached.is_file():
            try:
                return _parse_info(json.loads(cached.read_text(encoding="utf-8")))
            except (OSError, ValueError, KeyError, TypeError):
                pass  # an answer of another version: ask again
        answer = self._probe()
        cached.parent.mkdir(parents=True, exist_ok=True)
        with Staging(cached.parent) as staging:
            staging.path(cached.name).write_text(json.dumps(answer), encoding="utf-8")
        return _parse_info(answer)

    def _state(self) -> str:
        """A name that changes with the checkout, its programs, and what is installed in the environment."""
        stamps = [str(self.checkout), str(self.python), Path(probe.__file__).read_text(encoding="utf-8"), *_PROGRAMS]
        scripts = [path for name in _PROGRAMS if (path := self.checkout / name).is_file()]
        site = [path for pattern in _SITE_PACKAGES for path in sorted(self.python.parent.parent.glob(pattern))]
        stamps += [f"{path.name} {path.stat().st_mtime_ns}" for path in (*scripts, self.python, *site)]
        return hashlib.sha256("\n".join(stamps).encode()).hexdigest()[:32]

    def _probe(self) -> dict[str, Any]:
        command = [str(self.python), probe.__file__, str(self.checkout), *_PROGRAMS]
        try:
            answer = subprocess.run(
                command,
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                env=environment_variables(),
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
        info: dict[str, Any] = json.loads(marked[-1].removeprefix(probe.MARKER))
        return info


def trainer_folder() -> Path:
    """The trainer's folder: PRODSHOT_TRAINER, else next to the user's weights. Raises `WeightsError`."""
    chosen = os.environ.get("PRODSHOT_TRAINER")
    return Path(chosen).expanduser() if chosen else cache_folder().parent / "trainer"


def find(checkout: Path | None = None, python: Path | None = None, folder: Path | None = None) -> Trainer:
    """Locate the trainer: the arguments, else PRODSHOT_SD_SCRIPTS and PRODSHOT_SD_SCRIPTS_PYTHON, else the one that
    `prodshot train setup` installed. Raises `TrainerMissing`."""
    checkout = checkout or _from_environment("PRODSHOT_SD_SCRIPTS")
    python = python or _from_environment("PRODSHOT_SD_SCRIPTS_PYTHON")
    # where both are given the location file is not read, so that an unreadable one does no harm
    located = {} if checkout and python else _read_location(folder or trainer_folder())
    chosen = checkout or located.get("checkout")
    if chosen is None:
        raise TrainerMissing(f"sd-scripts is not here: `{as_typed('train setup')}` gets it and makes its environment")
    if not (chosen / SCRIPT).is_file():
        raise TrainerMissing(f"{chosen} is no checkout of sd-scripts: it has no {SCRIPT}")
    interpreter = python or located.get("python") or _python_beside(chosen)
    if interpreter is None or not interpreter.exists():
        advice = f"`{as_typed(f'train setup --sd-scripts {chosen}')}` makes one"
        raise TrainerMissing(f"sd-scripts in {chosen} has no Python environment: {advice}")
    return Trainer(chosen.resolve(), interpreter.absolute())


def save_location(trainer: Trainer, folder: Path) -> None:
    """Write the location of a trainer, for `find`."""
    location = {"checkout": str(trainer.checkout), "python": str(trainer.python)}
    with Staging(folder) as staging:
        staging.path(LOCATION_FILE).write_text(json.dumps(location, indent=1), encoding="utf-8")


def check_compatibility(recipe: Recipe, info: TrainerInfo) -> None:
    """Check that this trainer supports a recipe of a known family. Raises `RequestError` naming the settings."""
    script = recipe.model.script
    options = info.programs.get(script, {})
    if not options:
        message = f"this sd-scripts has no {script} that starts, which trains {recipe.model.title}"
        raise RequestError([FieldProblem("family", message, f"sd-scripts {TAG}")])
    problems = list(_machine_problems(recipe, info))
    written = flat(training_config(recipe, 1))
    unknown = [name for name in written if name not in options and name not in recipe.extra]
    problems += [FieldProblem(name, f"{script} of this sd-scripts has no such option") for name in unknown]
    for name, value in recipe.extra.items():
        problems += _extra_problems(name, value, options)
    if problems:
        raise RequestError(problems)


def environment_variables(threads: int = 1) -> dict[str, str]:
    """The environment variables for the trainer's Python: none of a surrounding virtual environment's, unbuffered
    output."""
    own = {"PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", "OMP_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return {**clean_variables(), **own}


def _machine_problems(recipe: Recipe, info: TrainerInfo) -> list[FieldProblem]:
    problems = []
    if not info.gpus and recipe.mixed_precision != "no":
        message = f"{recipe.mixed_precision} needs a CUDA GPU, and the trainer's PyTorch {info.torch} sees none"
        problems.append(FieldProblem("mixed_precision", message, "no, as in the preset cpu"))
    if recipe.optimizer_type.lower().endswith("8bit") and "bitsandbytes" not in info.packages:
        message = f"{recipe.optimizer_type} needs bitsandbytes, which the trainer's environment lacks"
        problems.append(FieldProblem("optimizer_type", message, "AdamW"))
    if recipe.attention == "xformers" and "xformers" not in info.packages:
        problems.append(FieldProblem("attention", "the trainer's environment has no xformers", "sdpa"))
    if recipe.optimizer_type == "Prodigy" and "prodigyopt" not in info.packages:
        problems.append(FieldProblem("optimizer_type", "Prodigy needs prodigyopt, which the trainer lacks", "AdamW"))
    here = -(-recipe.processes // recipe.machines)
    if here > 1 and info.gpus and here > len(info.gpus):
        problems.append(FieldProblem("processes", f"{here} GPUs a machine, and there are {len(info.gpus)} here"))
    return problems


def _extra_problems(name: str, value: Any, options: Mapping[str, Mapping[str, Any]]) -> list[FieldProblem]:
    """Check an extra option against the program's own parser: it ignores unknown keys silently."""
    field = f"extra.{name}"
    if name not in options:
        near = get_close_matches(name, options, n=1)
        return [FieldProblem(field, "sd-scripts has no such option" + (f"; did you mean {near[0]}?" if near else ""))]
    if name in RESERVED_OPTIONS or name in _RECIPE_NAMES:
        instead = _SETTING_OF.get(name, name if name in _RECIPE_NAMES else "")
        own = f"is the recipe's own: set {instead} instead" if instead else "is the runner's own, and cannot be set"
        return [FieldProblem(field, own)]
    option = options[name]
    allowed = " | ".join(map(str, option["choices"]))
    values = value if option["many"] and isinstance(value, list) else [value]
    if not all(_has_type(one, option) for one in values):
        return [FieldProblem(field, f"{value!r} is not {'a flag' if option['flag'] else option['type']}", allowed)]
    if option["choices"] and any(one not in option["choices"] for one in values):
        return [FieldProblem(field, f"{value!r} is not a choice", allowed)]
    return []


RESERVED_OPTIONS = frozenset(
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
"""Options refused under `extra`, as are the recipe's own: the steps of the run are computed from them."""

_SETTING_OF = {
    **dict.fromkeys(("sdpa", "xformers"), "attention"),
    **dict.fromkeys(("save_every_n_steps", "save_n_epoch_ratio"), "save_every_n_epochs"),
    **dict.fromkeys(("train_data_dir", "in_json", "dataset_config"), "image_dir"),
    "max_train_steps": "max_train_epochs",
    "learning_rate": "unet_lr and text_encoder_lr",
    "lr_warmup_steps": "lr_warmup_ratio",
    "network_train_unet_only": "text_encoder_lr to 0",
    "network_train_text_encoder_only": "unet_lr to 0",
    "sample_every_n_steps": "sample_every_n_epochs",
}
"""The recipe's settings by the options that it writes for them."""

_RECIPE_NAMES = frozenset(known.name for known in SETTINGS)

_PROGRAMS = tuple(family.script for family in FAMILIES.values())


def _has_type(value: Any, option: Mapping[str, Any]) -> bool:
    if option["flag"]:
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    kinds: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float)}
    return isinstance(value, kinds.get(option["type"], (str, int, float)))


def _parse_info(answer: Mapping[str, Any]) -> TrainerInfo:
    return TrainerInfo(
        answer["python"], answer["torch"], tuple(answer["gpus"]), dict(answer["packages"]), dict(answer["programs"])
    )


def _read_location(folder: Path) -> dict[str, Path]:
    """Read the location file, empty where there is none. Raises `TrainerMissing` for an unreadable one."""
    path = folder / LOCATION_FILE
    try:
        answer = json.loads(path.read_text(encoding="utf-8"))
        return {name: Path(answer[name]) for name in ("checkout", "python")}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        advice = f"`{as_typed('train setup')}` writes it anew, or name a checkout and its Python yourself"
        raise TrainerMissing(f"{path}, which says where sd-scripts is, cannot be read ({error}): {advice}") from error


def _from_environment(name: str) -> Path | None:
    text = os.environ.get(name)
    return Path(text).expanduser() if text else None


def _python_beside(checkout: Path) -> Path | None:
    """The Python of a virtual environment in the checkout."""
    relative = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    candidates = [checkout / name / relative for name in ("venv", ".venv")]
    return next((path for path in candidates if path.exists()), None)
