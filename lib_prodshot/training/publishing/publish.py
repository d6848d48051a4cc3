"""Puts a run's LoRAs among the WebUI's: NAME-01, NAME-02, … with side-car, preview, and a word to the WebUI.

Side-cars are the WebUI's own (`extensions-builtin/Lora/ui_edit_user_metadata.py`, AUTOMATIC1111 v1.10.1): it takes the
activation text and the preferred weight from there alone. No file that is there already is ever written over.
"""

from __future__ import annotations

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
from lib_prodshot.training.publishing.prompts import NOTE, prompt_template
from lib_prodshot.training.recipe import files as recipe_files
from lib_prodshot.training.recipe.recipe import NAME_REFUSED, Recipe
from lib_prodshot.training.trainer import ledger, results
from lib_prodshot.training.trainer.config_files import OUTPUT_FOLDER
from lib_prodshot.training.trainer.ledger import RECIPE, Ledger

if TYPE_CHECKING:
    from lib_prodshot.hosts.remote import RemoteWebUI

PREVIEWS = tuple(
    f"{kind}{suffix}" for suffix in (".png", ".jpg", ".jpeg", ".webp", ".gif") for kind in ("", ".preview")
)
"""Endings under which the WebUI looks for a card's picture."""

_NUMBERS = count()


@dataclass(frozen=True)
class Wanted:
    """What to publish and how. `name` is the LoRA's without its epoch (empty: the run's), `epochs` those wanted
    (empty: all that there are), `weight` the one that the WebUI proposes; a `description` may be given."""

    name: str = ""
    epochs: tuple[int, ...] = ()
    weight: float = 1.0
    description: str = ""


@dataclass(frozen=True)
class Published:
    """One LoRA among the WebUI's. `was_there` says that the very same file stood there before; `side_car_kept` names a
    side-car that stood there and says something else, so that the WebUI fills in what that says; `prompt` is ready for
    the prompt box or a class prompt."""

    epoch: int
    file: Path
    was_there: bool
    preview: Path | None
    prompt: str
    side_car_kept: str = ""

    def to_json(self) -> dict[str, Any]:
        """For the HTTP API: names, not the server's paths."""
        told = asdict(self)
        return {**told, "file": self.file.name, "preview": self.preview.name if self.preview else None}


@dataclass(frozen=True)
class _Item:
    """What is to be published of one epoch."""

    epoch: int
    lora: Path
    name: str
    sample: Path | None
    side_car: dict[str, Any]
    prompt: str


def publish(run: Path, folder: Path, wanted: Wanted | None = None) -> list[Published]:
    """Publish LoRAs of the run in the folder `run` into `folder` (a WebUI's models/Lora).

    Every LoRA is read whole first: one with NaN, or that has learned nothing, is refused. All copies are made under
    temporary names before any gets its own. Raises `PublishError`, `RequestError`, `TrainingError`.
    """
    wanted = wanted or Wanted()
    recipe, book = read_run(run)
    items = list(_items(run, recipe, book, wanted))
    taken = [item.name for item in items if not _is_free(item, folder)]
    if taken:
        names = ", ".join(f"{name}.safetensors" for name in taken)
        raise PublishError(f"{folder} has another {names} already, which stays as it is: choose another name")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        published = _place_all(items, folder)
    except OSError as error:
        raise PublishError(f"cannot publish into {folder}: {error.strerror or error}") from error
    book.published.update({str(one.file): ledger.now() for one in published if not one.was_there})
    book.write(run)
    return published


def read_run(run: Path) -> tuple[Recipe, Ledger]:
    """The recipe and the book of a run's folder. Raises `PublishError`, `TrainingError`."""
    book = ledger.read(run)
    if book is None or not (run / RECIPE).is_file():
        raise PublishError(f"{run} is no folder of a training run: it has no {RECIPE} and {ledger.LEDGER}")
    return recipe_files.compose(run / RECIPE, complete=False), book


def lora_name(name: str, epoch: int) -> str:
    """The published name of an epoch: ppzocketv2-10."""
    return f"{name}-{epoch:02d}"


def find_lora_folder(chosen: Path) -> Path:
    """The folder of LoRAs that a user means who names it, a WebUI's `models` folder, or the WebUI itself."""
    inside = (chosen / "models" / "Lora", chosen / "Lora")
    return next((path for path in inside if path.is_dir()), chosen)


def ask_for_lora_folder(webui: RemoteWebUI) -> Path:
    """The folder of LoRAs of a WebUI that runs on this machine. Raises `PublishError`, `RemoteError`."""
    told = webui.get("/sdapi/v1/cmd-flags").get("lora_dir", "")
    if not told or not Path(told).is_dir():
        raise PublishError(f"{webui.address} keeps its LoRAs where this machine has no folder: name one with --to")
    return Path(told)


def refresh(webui: RemoteWebUI) -> None:
    """Have a running WebUI look at its folder of LoRAs again. Raises `RemoteError`."""
    webui.post("/sdapi/v1/refresh-loras", {})


def _items(run: Path, recipe: Recipe, book: Ledger, wanted: Wanted) -> Iterator[_Item]:
    name = wanted.name or recipe.output_name
    if NAME_REFUSED.search(name):
        raise RequestError([FieldProblem("name", f"{name!r} is not possible", "letters, digits, - and _")])
    loras = results.loras_in(run / OUTPUT_FOLDER, recipe.output_name, book.epochs)
    damaged = results.damaged_in(run / OUTPUT_FOLDER, recipe.output_name, book.epochs)
    for epoch in wanted.epochs or sorted(damaged):
        if epoch in damaged:
            path, why = damaged[epoch]
            advice = "" if wanted.epochs else "; name the epochs that you want"
            raise PublishError(f"{path} is not usable: {why}{advice}")
    missing = [str(epoch) for epoch in wanted.epochs if epoch not in loras]
    if missing or not loras:
        here = ", ".join(map(str, sorted(loras))) or "none yet"
        raise PublishError(f"{run} has no LoRA of epoch {', '.join(missing) or 'any'}; it has: {here}")
    for epoch in wanted.epochs or sorted(loras):
        _refuse_useless(loras[epoch])
        full = lora_name(name, epoch)
        side_car = _side_car(recipe, book, epoch, wanted)
        prompt = prompt_template(recipe.tags, full, wanted.weight)
        yield _Item(epoch, loras[epoch], full, results.sample_of(run / OUTPUT_FOLDER, epoch), side_car, prompt)


def _refuse_useless(path: Path) -> None:
    try:
        found = lora.inspect(path)
    except lora.LoraError as error:
        raise PublishError(f"{path} is not usable: {error}") from error
    if not found.finite:
        raise PublishError(f"{path} holds NaN or infinite numbers and would only make black pictures")
    if not found.learned:
        raise PublishError(f"{path} has learned nothing: all its up matrices are zero")


def _side_car(recipe: Recipe, book: Ledger, epoch: int, wanted: Wanted) -> dict[str, Any]:
    """What the WebUI shows and fills in, with the run's own figures as notes."""
    saved = book.saved.get(epoch)
    loss = f", loss {saved.loss:.4g}" if saved and saved.loss is not None else ""
    base = Path(recipe.pretrained_model_name_or_path).name
    notes = (
        f"{NOTE} {__version__} (sd-scripts) on {base}: epoch {epoch} of {book.epochs}, "
        f"{epoch * book.steps_per_epoch} steps{loss}; rank {recipe.network_dim}, alpha {recipe.network_alpha:g}, "
        f"resolution {recipe.resolution}, seed {recipe.seed}."
    )
    return {
        "description": wanted.description or f"{recipe.output_name}, epoch {epoch} of {book.epochs}",
        "sd version": "SD2" if recipe.v2 else "SD1",
        "activation text": ", ".join(recipe.tags),
        "preferred weight": wanted.weight,
        "negative text": "",
        "notes": notes,
    }


def _is_free(item: _Item, folder: Path) -> bool:
    target = folder / f"{item.name}.safetensors"
    try:
        return not os.path.lexists(target) or _same(item.lora, target)
    except OSError as error:
        raise PublishError(f"{target} is there, stays as it is, and cannot be read: {error.strerror}") from error


def _same(one: Path, other: Path) -> bool:
    from lib_prodshot.downloads import sha256_of

    return one.stat().st_size == other.stat().st_size and sha256_of(one) == sha256_of(other)


def _place_all(items: Collection[_Item], folder: Path) -> list[Published]:
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
                _put(temporary, target)
            preview = next((path for path in (folder / f"{item.name}{end}" for end in PREVIEWS) if path.exists()), None)
            file = folder / f"{item.name}.safetensors"
            kept = "" if _says(item.side_car, file.with_suffix(".json")) else f"{item.name}.json"
            published.append(Published(item.epoch, file, was_there, preview, item.prompt, kept))
        return published


def _says(side_car: dict[str, Any], file: Path) -> bool:
    """Whether a side-car says what ours would; one that cannot be read does not."""
    try:
        return bool(json.loads(file.read_text(encoding="utf-8")) == side_car)
    except (OSError, ValueError, RecursionError):
        return False


@contextmanager
def _temporary(folder: Path) -> Iterator[Any]:
    """Gives names for files in `folder` that no WebUI takes for a LoRA; what is left of them goes at the end."""
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


def _written(told: dict[str, Any], temporary: Path) -> Path:
    temporary.write_text(json.dumps(told, indent=4, ensure_ascii=False), encoding="utf-8")
    return _flushed(temporary)


def _flushed(path: Path) -> Path:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return path


def _put(temporary: Path, target: Path) -> None:
    """Give a file its name, never over one that has appeared meanwhile.

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
