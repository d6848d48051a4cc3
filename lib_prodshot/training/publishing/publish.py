"""Copies a run's LoRAs into the WebUI's folder as NAME-01, NAME-02, … with side-car and preview.

Side-cars are the WebUI's own (`extensions-builtin/Lora/ui_edit_user_metadata.py`, AUTOMATIC1111 v1.10.1): it takes the
activation text and the preferred weight from there alone. No file that is there already is ever written over.
"""

from __future__ import annotations

import filecmp
import json
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_prodshot import __version__
from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.training import lora
from lib_prodshot.training.errors import PublishError
from lib_prodshot.training.publishing.prompts import NOTES_PREFIX, prompt_template
from lib_prodshot.training.recipe import files as recipe_files
from lib_prodshot.training.recipe.recipe import INVALID_NAME, Recipe
from lib_prodshot.training.trainer import ledger, results
from lib_prodshot.training.trainer.config_files import OUTPUT_FOLDER
from lib_prodshot.training.trainer.ledger import RECIPE, Ledger

if TYPE_CHECKING:
    from lib_prodshot.hosts.remote import RemoteWebUI

PREVIEWS = tuple(
    f"{kind}{suffix}" for suffix in (".png", ".jpg", ".jpeg", ".webp", ".gif") for kind in ("", ".preview")
)
"""File name endings of a card's preview in the WebUI."""

_NUMBERS = count()


@dataclass(frozen=True)
class PublishOptions:
    """Options of publishing. `name` is the LoRA's without its epoch (empty: the run's), `epochs` the chosen ones
    (empty: all that exist), `weight` the preferred weight in the WebUI, `description` the card's (empty: our own)."""

    name: str = ""
    epochs: tuple[int, ...] = ()
    weight: float = 1.0
    description: str = ""


@dataclass(frozen=True)
class Published:
    """One published LoRA. `was_there`: the same file existed before; `side_car_kept` names an existing side-car with
    other content, which stays and which the WebUI fills in from; `prompt` is ready for
    the prompt box or a class prompt; `fits` says with which checkpoints it works, and where."""

    epoch: int
    file: Path
    was_there: bool
    preview: Path | None
    prompt: str
    fits: str
    side_car_kept: str = ""

    def to_json(self) -> dict[str, Any]:
        """For the HTTP API: names, not the server's paths."""
        values = asdict(self)
        return {**values, "file": self.file.name, "preview": self.preview.name if self.preview else None}


@dataclass(frozen=True)
class _Item:
    """The files to publish of one epoch."""

    epoch: int
    lora: Path
    name: str
    sample: Path | None
    side_car: dict[str, Any]
    prompt: str
    fits: str


def publish(run: Path, folder: Path, options: PublishOptions | None = None) -> list[Published]:
    """Publish LoRAs of the run in the folder `run` into `folder` (a WebUI's models/Lora).

    Every LoRA is validated first: one with NaN, or that has learned nothing, is refused. All copies are made under
    temporary names before any gets its own. Raises `PublishError`, `RequestError`, `TrainingError`.
    """
    options = options or PublishOptions()
    recipe, run_ledger = read_run(run)
    items = list(_items(run, recipe, run_ledger, options))
    taken = [item.name for item in items if not _is_free(item, folder)]
    if taken:
        names = ", ".join(f"{name}.safetensors" for name in taken)
        raise PublishError(f"{folder} has another {names} already, which stays as it is: choose another name")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        published = _copy_all(items, folder)
    except OSError as error:
        raise PublishError(f"cannot publish into {folder}: {error.strerror or error}") from error
    ledger.add_published(run, {str(one.file): ledger.now() for one in published if not one.was_there})
    return published


def read_run(run: Path) -> tuple[Recipe, Ledger]:
    """Read the recipe and the ledger of a run's folder. Raises `PublishError`, `TrainingError`."""
    run_ledger = ledger.read(run)
    if run_ledger is None or not (run / RECIPE).is_file():
        inside = ledger.runs_in(run)
        which = f"; it holds runs, name one of them: {', '.join(str(run / name) for name in inside)}" if inside else ""
        raise PublishError(f"{run} is no folder of a training run: it has no {RECIPE} and {ledger.LEDGER}{which}")
    recipe = recipe_files.compose(run / RECIPE, complete=False)
    if not recipe_files.read_toml(run / RECIPE):
        raise PublishError(f"{run / RECIPE} is empty: put back what the run was started with")
    return recipe, run_ledger


def lora_name(name: str, epoch: int) -> str:
    """The published name of an epoch: ppzocketv2-10."""
    return f"{name}-{epoch:02d}"


def resolve_lora_folder(chosen: Path) -> Path:
    """Resolve a user's path to the folder of LoRAs: itself, a WebUI's `models` folder, or a WebUI."""
    inside = (chosen / "models" / "Lora", chosen / "Lora")
    return next((path for path in inside if path.is_dir()), chosen)


def webui_lora_folder(webui: RemoteWebUI) -> Path:
    """The folder of LoRAs of a WebUI that runs on this machine. Raises `PublishError`, `RemoteError`."""
    values = webui.get("/sdapi/v1/cmd-flags").get("lora_dir", "")
    if not values or not Path(values).is_dir():
        raise PublishError(f"{webui.address} keeps its LoRAs where this machine has no folder: name one with --to")
    return Path(values)


def refresh(webui: RemoteWebUI) -> None:
    """Make a running WebUI list its LoRAs again. Raises `RemoteError`."""
    webui.post("/sdapi/v1/refresh-loras", {})


def _items(run: Path, recipe: Recipe, run_ledger: Ledger, options: PublishOptions) -> Iterator[_Item]:
    name = options.name or recipe.output_name
    if INVALID_NAME.search(name):
        raise RequestError([FieldProblem("name", f"{name!r} is not possible", "letters, digits, - and _")])
    loras = results.saved_loras(run / OUTPUT_FOLDER, recipe.output_name, run_ledger.epochs)
    damaged = results.damaged_loras(run / OUTPUT_FOLDER, recipe.output_name, run_ledger.epochs)
    for epoch in options.epochs or sorted(damaged):
        if epoch in damaged:
            path, why = damaged[epoch]
            advice = "" if options.epochs else "; name the epochs that you want"
            raise PublishError(f"{path} is not usable: {why}{advice}")
    missing = [str(epoch) for epoch in options.epochs if epoch not in loras]
    if missing or not loras:
        here = ", ".join(map(str, sorted(loras))) or "none yet"
        raise PublishError(f"{run} has no LoRA of epoch {', '.join(missing) or 'any'}; it has: {here}")
    for epoch in options.epochs or sorted(loras):
        _refuse_untrained(loras[epoch])
        full = lora_name(name, epoch)
        side_car = _side_car(recipe, run_ledger, epoch, options)
        prompt = prompt_template(recipe.tags, full, options.weight)
        yield _Item(
            epoch,
            loras[epoch],
            full,
            results.sample_of(run / OUTPUT_FOLDER, epoch),
            side_car,
            prompt,
            recipe.model.fits,
        )


def _refuse_untrained(path: Path) -> None:
    try:
        found = lora.inspect(path)
    except lora.LoraError as error:
        raise PublishError(f"{path} is not usable: {error}") from error
    if not found.finite:
        raise PublishError(f"{path} holds NaN or infinite numbers and would only make black pictures")
    if not found.learned:
        raise PublishError(f"{path} has learned nothing: all its up matrices are zero")


def _side_car(recipe: Recipe, run_ledger: Ledger, epoch: int, options: PublishOptions) -> dict[str, Any]:
    """The side-car: what the WebUI shows and fills in, with the run's figures as notes."""
    saved = run_ledger.saved.get(epoch)
    loss = f", loss {saved.loss:.4g}" if saved and saved.loss is not None else ""
    base = Path(recipe.pretrained_model_name_or_path).name
    notes = (
        f"{NOTES_PREFIX} {__version__} (sd-scripts) on {base}: epoch {epoch} of {run_ledger.epochs}, "
        f"{epoch * run_ledger.steps_per_epoch} steps{loss}; rank {recipe.network_dim}, alpha {recipe.network_alpha:g}, "
        f"resolution {recipe.resolution}, seed {recipe.seed}. For {recipe.model.fits}."
    )
    return {
        "description": options.description or f"{recipe.output_name}, epoch {epoch} of {run_ledger.epochs}",
        "sd version": _SD_VERSIONS.get(recipe.model.name, "SD2" if recipe.v2 else "SD1"),
        "activation text": ", ".join(recipe.tags),
        "preferred weight": options.weight,
        "negative text": "",
        "notes": notes,
    }


_SD_VERSIONS = {"sdxl": "SDXL", "flux": "Flux"}
"""`sd version` of a side-car, as Forge has it; a WebUI that does not know one looks into the LoRA itself."""


def _is_free(item: _Item, folder: Path) -> bool:
    target = folder / f"{item.name}.safetensors"
    try:
        return not os.path.lexists(target) or filecmp.cmp(item.lora, target, shallow=False)
    except OSError as error:
        raise PublishError(f"{target} is there, stays as it is, and cannot be read: {error.strerror}") from error


def _copy_all(items: Collection[_Item], folder: Path) -> list[Published]:
    with _temporary(folder) as new_file:
        staged = []
        for item in items:
            target = folder / f"{item.name}.safetensors"
            was_there = target.exists()
            files = [] if was_there else [(_copied(item.lora, new_file()), target)]
            if item.sample and not any((folder / f"{item.name}{ending}").exists() for ending in PREVIEWS):
                files.append((_copied(item.sample, new_file()), folder / f"{item.name}.png"))
            side_car = folder / f"{item.name}.json"
            if not os.path.lexists(side_car):
                files.append((_written(item.side_car, new_file()), side_car))
            staged.append((item, was_there, files))
        published = []
        for item, was_there, files in staged:
            # the LoRA last: whoever sees it finds what belongs to it
            for temporary, target in reversed(files):
                _move_into_place(temporary, target)
            preview = next((path for path in (folder / f"{item.name}{end}" for end in PREVIEWS) if path.exists()), None)
            file = folder / f"{item.name}.safetensors"
            side_car_kept = "" if _matches(item.side_car, file.with_suffix(".json")) else f"{item.name}.json"
            published.append(Published(item.epoch, file, was_there, preview, item.prompt, item.fits, side_car_kept))
        return published


def _matches(side_car: dict[str, Any], file: Path) -> bool:
    """Whether a side-car file has this content; an unreadable one has not."""
    try:
        return bool(json.loads(file.read_text(encoding="utf-8")) == side_car)
    except (OSError, ValueError, RecursionError):
        return False


@contextmanager
def _temporary(folder: Path) -> Iterator[Any]:
    """Temporary file names in `folder` that no WebUI takes for a LoRA; remaining files are removed at the end."""
    made: list[Path] = []

    def new_file() -> Path:
        made.append(folder / f".prodshot-{os.getpid()}-{next(_NUMBERS)}.part")
        return made[-1]

    try:
        yield new_file
    finally:
        for path in made:
            path.unlink(missing_ok=True)


def _copied(source: Path, temporary: Path) -> Path:
    shutil.copyfile(source, temporary)
    return _flushed(temporary)


def _written(values: dict[str, Any], temporary: Path) -> Path:
    temporary.write_text(json.dumps(values, indent=4, ensure_ascii=False), encoding="utf-8")
    return _flushed(temporary)


def _flushed(path: Path) -> Path:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return path


def _move_into_place(temporary: Path, target: Path) -> None:
    """Rename a file without overwriting one that has appeared meanwhile.

    A rename would write over it on most systems; a second name (a hard link) is refused where the first exists.
    """
    try:
        os.link(temporary, target)
    except FileExistsError as error:
        raise PublishError(f"{target} has appeared meanwhile and stays as it is: choose another name") from error
    except OSError:  # a file system without hard links
        if target.exists():
            raise PublishError(f"{target} has appeared meanwhile and stays as it is: choose another name") from None
        temporary.rename(target)
