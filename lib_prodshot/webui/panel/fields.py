"""One gradio component for each setting of the schema, and how several of them share a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import gradio as gr

from lib_prodshot.request import Setting

_RADIO_LETTERS = 40
"""Choices whose words are no longer than this together stand side by side; others fold into a dropdown."""

_SLIDER_POSITIONS = 10_000
"""A slider with more positions than this (a seed) cannot be set by hand; it becomes a number field."""


def caption(known: Setting) -> str:
    """The setting's label as the panel writes it, with its unit."""
    return f"{known.label} ({known.unit})" if known.unit else known.label


def draw(known: Setting, value: Any, elem_id: str, names: Sequence[str] | None = None, visible: bool = True) -> Any:
    """The component of one setting, standing at `value`; its help is shown as a tooltip by our style sheet.

    `names` gives what a text setting may be filled with (samplers, checkpoints): it then becomes a dropdown that
    also takes typed text. Called whenever the page is drawn.
    """
    common: dict[str, Any] = {
        "label": caption(known),
        "info": known.help,
        "elem_id": elem_id,
        "elem_classes": ["prodshot-field", f"prodshot-{known.kind}", *_inheriting(known)],
        "interactive": True,
        "visible": visible,
    }
    if known.kind == "flag":
        return gr.Checkbox(value, **common)
    if known.kind == "choice":
        return _draw_choice(known, value, common)
    if known.kind == "text":
        return _draw_text(known, value, common, names)
    return _draw_number(known, value, common)


def _inheriting(known: Setting) -> list[str]:
    """The class by which our script says what the field's value is while it stands for the generation's own."""
    if known.inherits is None:
        return []
    return [f"prodshot-inherits-{known.inherits if isinstance(known.inherits, str) else format(known.inherits, 'g')}"]


def _draw_choice(known: Setting, value: Any, common: Mapping[str, Any]) -> Any:
    choices = list(known.choices)
    if sum(map(len, choices)) <= _RADIO_LETTERS:
        return gr.Radio(choices, value=value, **common)
    return gr.Dropdown(choices, value=value, **common)


def _draw_text(known: Setting, value: Any, common: Mapping[str, Any], names: Sequence[str] | None) -> Any:
    if names is not None:
        choices = list(dict.fromkeys(["", str(value), *names]))
        return gr.Dropdown(choices, value=value, allow_custom_value=True, **common)
    height = {"lines": known.lines, "max_lines": max(known.lines, 8)}
    return gr.Textbox(value, placeholder=known.example or None, **height, **common)


def _draw_number(known: Setting, value: Any, common: Mapping[str, Any]) -> Any:
    if known.minimum is None or known.maximum is None or known.step is None:
        raise TypeError(f"the setting {known.name} is a number without a range")
    if (known.maximum - known.minimum) / known.step > _SLIDER_POSITIONS:
        return gr.Number(value, precision=0 if known.kind == "integer" else None, **common)
    return gr.Slider(known.minimum, known.maximum, value, step=known.step, **common)


def rows(wanted: Iterable[Setting], is_dropdown: Callable[[Setting], bool]) -> list[list[Setting]]:
    """Settings as the rows they are drawn in: text fields alone, all others two in a row, in schema order but for a
    text field that would leave half a row empty: it steps behind the row.

    `is_dropdown` tells of a text setting whether it is drawn as one and so shares rows.
    """
    drawn: list[list[Setting]] = []
    half: list[Setting] = []
    waiting: list[list[Setting]] = []
    for known in wanted:
        if known.kind == "text" and not is_dropdown(known):
            (waiting if half else drawn).append([known])
            continue
        half.append(known)
        if len(half) == 2:
            drawn += [half, *waiting]
            half, waiting = [], []
    return [*drawn, *([half] if half else []), *waiting]
