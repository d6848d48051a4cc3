"""The recipes in docs/training.md are recipes, and its tables say what the families and presets are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.training.recipe import files
from lib_prodshot.training.recipe.families import FAMILIES
from lib_prodshot.training.recipe.presets import FAMILY_PRESETS, NAMES, preset
from lib_prodshot.training.recipe.recipe import SETTINGS, Recipe

PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
RECIPES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
KEYS = {known.name for known in SETTINGS} | {"preset", "subsets", "extra"}


def test_there_are_some() -> None:
    assert len(RECIPES) >= 3


@pytest.mark.parametrize("text", RECIPES)
def test_every_recipe_of_the_page_is_one(text: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(text, encoding="utf-8")
    # no checkpoint is here to tell the family
    family = "flux" if "t5xxl" in text else "sd15"
    recipe = files.compose(file, {"family": family})
    said = files.read_toml(file)
    shown = recipe.to_dict()
    assert {name: shown[name] for name in said if name in shown and name not in ("subsets", *_paths())} == {
        name: value for name, value in said.items() if name in shown and name not in ("subsets", *_paths())
    }
    assert set(said) <= KEYS


def _paths() -> list[str]:
    return [known.name for known in SETTINGS if known.path]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_table_of_families_has_their_figures(name: str) -> None:
    recipe = Recipe.of({**preset("", name), "family": name}, complete=False)
    (row,) = re.findall(rf"^\| `{name}` \|.*$", PAGE, re.MULTILINE)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    shortest, longest = recipe.bucket_limits
    assert cells[1] == f"`{FAMILIES[name].script}`"
    assert cells[2] == f"{recipe.resolution}, {shortest} to {longest}"
    assert cells[3] == f"{recipe.network_dim}, {recipe.network_alpha:g}"
    rates = [f"{rate:f}".rstrip("0").rstrip(".") for rate in (recipe.unet_lr, recipe.text_encoder_lr)]
    assert cells[4] == f"{rates[0]}, text {rates[1]}"


@pytest.mark.parametrize("name", NAMES)
def test_the_table_of_presets_names_those_that_there_are(name: str) -> None:
    (row,) = re.findall(rf"^\| `{name}` \|.*$", PAGE, re.MULTILINE)
    cells = [cell.strip() for cell in row.strip("|").split("|")][1:]
    assert [bool(cell) for cell in cells] == [name in FAMILY_PRESETS[family] for family in FAMILIES]
    blocks = FAMILY_PRESETS["flux"].get(name, {}).get("blocks_to_swap")
    assert blocks is None or f"{blocks} blocks" in cells[2]
