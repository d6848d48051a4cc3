"""What to warn of in a recipe before anything is looked at: what it does that nobody may have meant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lib_prodshot.training.recipe.families import AUTO, is_unread
from lib_prodshot.training.recipe.recipe import Recipe, setting_named, with_family

_OF_MASKS = ("conditioning_data_dir", "unmasked_weight", "mask_grow")
_OF_THE_FINDER = ("products", "finder")


def remarks(recipe: Recipe, looks: bool = False) -> Iterator[tuple[str, str]]:
    """Kind and message of each; `looks`: a finder looks at the photographs, for which products are named too."""
    name = recipe.pretrained_model_name_or_path
    if recipe.family == AUTO and is_unread(name):
        told = Path(name).name if Path(name).exists() else name
        yield "family_unread", f"the family cannot be read from {told}; taken as sd15; set family where it is another"
    if not recipe.masked_loss:
        names = (*_OF_MASKS, *(() if looks else _OF_THE_FINDER))
        without = [one for one in names if getattr(recipe, one) != setting_named(one).default]
        if without:
            verb = "has" if len(without) == 1 else "have"
            yield "no_effect", f"{', '.join(without)} {verb} no effect on the training without masked_loss"
    model = with_family(recipe).model
    usual = model.defaults.get("resolution", 0)
    if recipe.resolution < usual:
        message = f"resolution {recipe.resolution} is below the {usual} pixels that {model.title} is made for"
        yield "low_resolution", f"{message}: without need of the memory set it to {usual}"
