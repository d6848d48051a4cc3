"""Validates what a recipe trains on before anything starts: its checkpoint, and the other files of its family."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lib_prodshot.errors import FieldProblem
from lib_prodshot.training import checkpoint
from lib_prodshot.training.checkpoint import PICKLE_SUFFIXES, SD2, NoCheckpoint
from lib_prodshot.training.recipe.families import FAMILIES
from lib_prodshot.training.recipe.recipe import Recipe

FIELD = "pretrained_model_name_or_path"

AE_CHANNELS = 16
"""Latent channels of FLUX.1's autoencoder; that of Stable Diffusion has 4, and tensors of the same names."""

_AE_LATENTS = "decoder.conv_in.weight"


def problems(recipe: Recipe) -> Iterator[FieldProblem]:
    """What is wrong with the files that a recipe of a known family trains on: there is none, it is damaged, or it is
    another than the recipe says. A name on the model hub is the trainer's business."""
    yield from _checkpoint_problems(recipe)
    for name, (tensor, what) in recipe.model.files.items():
        wrong = _file_problem(Path(getattr(recipe, name)), name, tensor, what)
        if wrong:
            yield FieldProblem(name, wrong, what)


def _checkpoint_problems(recipe: Recipe) -> Iterator[FieldProblem]:
    name, model = recipe.pretrained_model_name_or_path, recipe.model
    path, allowed = Path(name), f"a checkpoint of {model.title}"
    if not path.exists():
        if model.name == "flux" or not checkpoint.may_be_hub_name(name):
            yield FieldProblem(FIELD, f"there is no file or folder {name}", allowed)
        return
    try:
        kind = checkpoint.kind_of(path)
    except NoCheckpoint as error:
        yield FieldProblem(FIELD, f"{path.name} {error}", allowed)
        return
    if kind and kind not in model.kinds:
        yield _other_family(path.name, kind, recipe)
    elif model.name == "sd15" and kind and (kind == SD2) != recipe.v2:
        wanted = "true" if kind == SD2 else "false"
        yield FieldProblem("v2", f"{path.name} is {kind}: set v2 to {wanted}", wanted)
    elif model.name == "flux" and (path.is_dir() or path.suffix.lower() in PICKLE_SUFFIXES):
        yield FieldProblem(FIELD, f"{path.name} is no file that {model.script} reads", "flux1-dev.safetensors")


def _other_family(name: str, kind: str, recipe: Recipe) -> FieldProblem:
    """What to say of a checkpoint of another family than the recipe's."""
    right = next((family for family in FAMILIES.values() if kind in family.kinds), None)
    if right is None:
        titles = ", ".join(family.title for family in FAMILIES.values())
        return FieldProblem(FIELD, f"{name} is {kind}, which is not trained here", titles)
    message = f"{name} is {kind}, and this recipe trains {recipe.model.title}"
    return FieldProblem(FIELD, f"{message}: set family to {right.name} (or auto), or name another", right.name)


def _file_problem(path: Path, name: str, tensor: str, what: str) -> str:
    """What is wrong with a further file: sd-scripts loads any, and leaves out what it does not find in it."""
    if not path.is_file():
        return f"there is no file {path}"
    try:
        shapes = checkpoint.tensors(path)
    except NoCheckpoint as error:
        return f"{path.name} {error}"
    channels = shapes.get(_AE_LATENTS, [])[1:2]
    if tensor not in shapes or (name == "ae" and channels != [AE_CHANNELS]):
        return f"{path.name} is not {what}: it has not that model's tensors"
    return ""
