"""The output files of a run: LoRAs and sample pictures, and their validation against the recipe."""

from __future__ import annotations

import os
from collections.abc import Collection
from itertools import count
from pathlib import Path

from lib_prodshot.jobs.files.reading import is_file, stamp_of
from lib_prodshot.training import lora
from lib_prodshot.training.errors import TrainingError
from lib_prodshot.training.recipe.recipe import Recipe
from lib_prodshot.training.trainer.config_files import OUTPUT_FOLDER
from lib_prodshot.training.trainer.ledger import epoch_file


def expected_epochs(recipe: Recipe) -> list[int]:
    """The epochs whose LoRA a finished run has: every n-th, of those the last so many, and the last one."""
    every, last = recipe.save_every_n_epochs, recipe.max_train_epochs
    numbered = list(range(every, last, every))
    return [*numbered[-recipe.save_last_n_epochs :], last]


def saved_loras(output: Path, name: str, epochs: int) -> dict[int, Path]:
    """Every complete LoRA in an output folder, by epoch."""
    return {epoch: path for epoch, (path, problem) in _read_loras(output, name, epochs).items() if not problem}


def damaged_loras(output: Path, name: str, epochs: int) -> dict[int, tuple[Path, str]]:
    """Every incomplete LoRA in an output folder, by epoch, with the reason."""
    return {epoch: found for epoch, found in _read_loras(output, name, epochs).items() if found[1]}


def _read_loras(output: Path, name: str, epochs: int) -> dict[int, tuple[Path, str]]:
    paths = {epoch: epoch_file(output, name, epoch, epochs) for epoch in range(1, epochs + 1)}
    return {epoch: (path, lora.header_problem(path)) for epoch, path in paths.items() if os.path.lexists(path)}


def lost_loras(recipe: Recipe, saved: Collection[int]) -> dict[int, Path]:
    """The LoRAs, by epoch, that a run once `saved` and that are not there: somebody took them away. The last epoch's is
    what a run is for, and not among them."""
    output, last = recipe.run_dir / OUTPUT_FOLDER, recipe.max_train_epochs
    epochs = [epoch for epoch in expected_epochs(recipe) if epoch in saved and epoch != last]
    paths = {epoch: epoch_file(output, recipe.output_name, epoch, last) for epoch in epochs}
    return {epoch: path for epoch, path in paths.items() if not os.path.lexists(path)}


def output_problem(recipe: Recipe, lost: Collection[int] = ()) -> str:
    """Validate the files of a finished run against its recipe, but for the epochs whose LoRA is `lost`: the first
    problem, empty when there is none."""
    output, last = recipe.run_dir / OUTPUT_FOLDER, recipe.max_train_epochs
    for epoch in expected_epochs(recipe):
        path = epoch_file(output, recipe.output_name, epoch, last)
        if epoch in lost:
            continue
        if not path.is_file():
            return f"the LoRA of epoch {epoch} was not written"
        try:
            found = lora.inspect(path)
        except lora.LoraError as error:
            return f"{path.name} is not usable: {error}"
        wrong = _wrong_numbers(found, recipe, epoch)
        if wrong:
            return f"{path.name} {wrong}"
    return ""


def samples(output: Path) -> list[Path]:
    """The sample pictures of a run, oldest first; dead links before all others."""
    return sorted((output / "sample").glob("*.png"), key=lambda path: ((stamp_of(path) or (0, 0))[1], path.name))


def sample_of(output: Path, epoch: int) -> Path | None:
    """The newest sample picture of an epoch's first prompt, None where none was made."""
    made = (path for path in reversed(samples(output)) if f"_e{epoch:06d}_00_" in path.name)
    return next((path for path in made if is_file(path)), None)


def move_aside(folder: Path) -> Path:
    """Rename a run folder to NAME.1, NAME.2, …, so that nothing of it is lost. Raises `TrainingError`."""
    target = next(
        path for number in count(1) if not os.path.lexists(path := folder.with_name(f"{folder.name}.{number}"))
    )
    try:
        return folder.rename(target)
    except OSError as error:
        raise TrainingError(f"{folder} cannot be set aside as {target.name}: {error.strerror}") from error


def _wrong_numbers(found: lora.Lora, recipe: Recipe, epoch: int) -> str:
    if not found.finite:
        return "holds NaN or infinite numbers"
    if not found.learned:
        return "has learned nothing: all its up matrices are zero"
    if found.epoch and found.epoch != epoch:
        return f"says it is of epoch {found.epoch} and should be of epoch {epoch}"
    base = found.metadata.get("ss_base_model_version", "")
    if base and not base.startswith(recipe.model.base):
        return f"says it is of {base} and should be of {recipe.model.title}"
    if not recipe.network_args and found.ranks != {recipe.network_dim}:
        return f"has rank {', '.join(map(str, sorted(found.ranks)))} instead of {recipe.network_dim}"
    return ""
