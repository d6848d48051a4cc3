"""The recipe as a form: one component for each of its settings, drawn from the recipe's own table, and read back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.hosts.active import host
from lib_prodshot.training.recipe import files as recipe_files
from lib_prodshot.training.recipe.families import FAMILIES
from lib_prodshot.training.recipe.presets import FAMILY_PRESETS, preset
from lib_prodshot.training.recipe.recipe import SECTIONS, SETTINGS, Recipe, setting_named
from lib_prodshot.training.recipe.settings import RecipeSetting
from lib_prodshot.webui.gradio_compat import unsaved
from lib_prodshot.webui.panel import fields
from lib_prodshot.webui.training.recipe import CHECKPOINT, family_named

HEAD = ("output_name", CHECKPOINT, "family")
FRONT = (
    ("resolution", "num_repeats", "train_batch_size", "max_train_epochs"),
    ("unet_lr", "text_encoder_lr"),
    ("sample_prompts",),
)
"""Settings that stand open, in their rows; the others are folded away by section."""

ABOVE = ("image_dir", "activation_tag", *HEAD)
"""Settings that the tab draws itself: with the photographs, and next to the preset."""

_OPEN = {*ABOVE, *(name for row in FRONT for name in row)}

TABLES = ("subsets", "extra")
"""What has no component: it goes through the form only as TOML."""


COMPONENTS = len(SETTINGS) + 1
"""How many components a form has: the settings' and the tables'."""


def elem_id(name: str) -> str:
    """The id of a setting's component on the page."""
    return f"prodshot_training_{name}"


class Form:
    """All components by setting, in the table's order once everything is drawn."""

    def __init__(self) -> None:
        self._drawn: dict[str, Any] = {}
        self.tables: Any = None

    @property
    def components(self) -> list[Any]:
        """What an event takes to read the recipe: every setting's component, then the tables as TOML."""
        return [*(self._drawn[known.name] for known in SETTINGS), self.tables]

    def one(self, name: str) -> Any:
        """The component of one setting, drawn here unless it is there already."""
        if name not in self._drawn:
            self._drawn[name] = unsaved(_draw(setting_named(name)))
        return self._drawn[name]

    def draw_front(self) -> None:
        """The settings that most runs set."""
        for row in FRONT:
            with gr.Row(elem_classes=["prodshot-row"]):
                for name in row:
                    self.one(name)

    def draw_rest(self) -> None:
        """All others, by section, and what only TOML can say."""
        for section in SECTIONS:
            rest = [known for known in SETTINGS if known.section == section and known.name not in _OPEN]
            if rest:
                with gr.Accordion(section.capitalize(), open=False, elem_id=elem_id(f"fold_{section}")):
                    self._draw_rows(rest)
        with gr.Accordion("Further folders, options of sd-scripts", open=False, elem_id=elem_id("fold_tables")):
            self.tables = unsaved(
                gr.Textbox(
                    "",
                    label="As TOML",
                    info="[[subsets]] with image_dir, num_repeats, is_reg and class_tokens; [extra] with options.",
                    lines=4,
                    elem_id=elem_id("tables"),
                    elem_classes=["prodshot-field"],
                )
            )

    def _draw_rows(self, settings: Sequence[RecipeSetting]) -> None:
        for row in fields.rows(settings, lambda known: False):
            with gr.Row(elem_classes=["prodshot-row"]):
                for known in row:
                    self.one(known.name)


def read(values: Sequence[Any]) -> dict[str, Any]:
    """The recipe's values by name, as the components gave them. Raises `RequestError` for tables that are no TOML."""
    *plain, tables = values
    named = {known.name: _read_one(known, value) for known, value in zip(SETTINGS, plain)}
    return {**named, **_read_tables(tables or "")}


def _read_tables(text: str) -> dict[str, Any]:
    values = recipe_files.parse_text(text, "tables")
    wrong = [name for name in values if name not in TABLES]
    if wrong:
        allowed = ", ".join(TABLES)
        raise RequestError([FieldProblem(name, "this stands in a field of its own", allowed) for name in wrong])
    return values


def form_updates(recipe: Recipe) -> list[Any]:
    """Updates that make the form show `recipe`."""
    values = recipe.to_dict()
    tables = {name: values[name] for name in TABLES if name in values}
    shown = ["\n".join(values[known.name]) if known.many else values[known.name] for known in SETTINGS]
    return [*shown, recipe_files.dump(tables)]


def preset_updates(name: str, family: str, checkpoint: str) -> list[Any]:
    """Updates for the components of `preset_names`: the preset's values for the family, which the checkpoint tells
    where it is auto, and the recipe's defaults for the others. A preset that the family has not changes nothing."""
    chosen_family = family_named(family, checkpoint)
    if name and name not in FAMILY_PRESETS[chosen_family]:
        return [gr.update() for _ in preset_names()]
    chosen = preset(name, chosen_family)
    return [chosen.get(one, setting_named(one).default) for one in preset_names()]


def preset_names() -> list[str]:
    """Every setting that some preset or family changes."""
    defaults = [family.defaults for family in FAMILIES.values()]
    presets = [values for family in FAMILY_PRESETS.values() for values in family.values()]
    return list(dict.fromkeys(name for values in (*presets, *defaults) for name in values))


def _draw(known: RecipeSetting) -> Any:
    if known.many:
        return gr.Textbox(
            "",
            label=fields.caption(known),
            info=f"{known.help} One a line.",
            lines=2,
            elem_id=elem_id(known.name),
            elem_classes=["prodshot-field"],
        )
    names = host().names().checkpoints if known.name == CHECKPOINT else None
    return fields.draw(known, known.default, elem_id(known.name), names)


def _read_one(known: RecipeSetting, value: Any) -> Any:
    if known.many:
        return [line.strip() for line in (value or "").splitlines() if line.strip()]
    if known.kind == "text":
        return (value or "").strip()
    if known.kind == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value
