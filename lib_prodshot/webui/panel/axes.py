"""X/Y/Z plot: every setting that changes the result, and the LoRAs that were trained, as axes of the WebUI's own
script."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lib_prodshot.errors import RequestError
from lib_prodshot.hosts.active import host
from lib_prodshot.hosts.compatibility import webui_modules
from lib_prodshot.hosts.generation.arguments import OVERRIDES, REWRITES
from lib_prodshot.infotext import typed
from lib_prodshot.request import Setting, check, settings
from lib_prodshot.training.publishing.prompts import epochs_pattern, published_prompts
from lib_prodshot.webui.panel.fields import caption

_TYPES = {"number": float, "integer": int}


def add_axes() -> None:
    """Append our axes to X/Y/Z plot (the WebUI's `on_before_ui` callback); once, however often it is called."""
    plot = _plot()
    if plot is None:
        return
    known = {axis.label for axis in plot.axis_options}
    plot.axis_options.extend(axis for axis in _axes(plot.AxisOption) if axis.label not in known)


def _plot() -> Any:
    """The module of the WebUI's X/Y/Z plot; None where the user has removed it."""
    scripts = webui_modules.loaded_scripts()
    found = (data.module for data in scripts.scripts_data if Path(data.path).name == "xyz_grid.py")
    return next(found, None)


def _axes(option: Callable[..., Any]) -> list[Any]:
    axes = [_axis(known, option) for known in settings() if not known.webui_only]
    return [*axes, option(TRAINED_LORA, str, _take_lora, confirm=_confirm_loras, choices=lambda: [*_published()])]


def _axis(known: Setting, option: Callable[..., Any]) -> Any:
    names = ("true", "false") if known.kind == "flag" else known.choices
    choices = {"choices": lambda: list(names)} if names else {}
    kind = _TYPES.get(known.kind, str)
    return option(f"[Prodshot] {caption(known)}", kind, _apply(known), confirm=_confirm(known), **choices)


def _apply(known: Setting) -> Callable[[Any, Any, Sequence[Any]], None]:
    def apply(p: Any, value: Any, _values: Sequence[Any]) -> None:
        # the plot copies p for each cell without its attributes' contents: never change the former cell's table
        setattr(p, OVERRIDES, {**(getattr(p, OVERRIDES, None) or {}), **_checked(known, value)})

    return apply


def _confirm(known: Setting) -> Callable[[Any, Sequence[Any]], None]:
    def confirm(_p: Any, values: Sequence[Any]) -> None:
        for value in values:
            _checked(known, value)

    return confirm


def _checked(known: Setting, value: Any) -> Mapping[str, Any]:
    """The value under its setting's name. Raises RuntimeError, which the plot shows to the user."""
    try:
        return check({known.name: typed(known, value) if isinstance(value, str) else value})
    except RequestError as error:
        raise RuntimeError(f"Prodshot: {error}") from error


TRAINED_LORA = "[Prodshot] Trained LoRA"
"""The axis of published LoRAs, such as the epochs of one run."""


def _published() -> Mapping[str, str]:
    """The prompts of the LoRAs that Prodshot has published, by name."""
    return published_prompts(host().training().lora_folder())


def _take_lora(p: Any, value: Any, _values: Sequence[Any]) -> None:
    """Exchange the LoRA of this run in the generation's prompt and in ours; where the generation's has none, its tag is
    put behind it. Raises RuntimeError."""
    name = str(value)
    prompts = _known_loras([name])
    pattern, tag = epochs_pattern(name), f"<lora:{name}:"
    told = re.sub(pattern, tag, p.prompt)
    if tag not in told:
        weight = prompts[name].rpartition(":")[2].rstrip(">")
        told = f"{told}, {tag}{weight}>".removeprefix(", ")
    p.prompt = told
    if getattr(p, "hr_prompt", ""):
        p.hr_prompt = re.sub(pattern, tag, p.hr_prompt)
    # as above: the plot's copies share their attributes' contents
    setattr(p, REWRITES, {**(getattr(p, REWRITES, None) or {}), pattern: tag})


def _confirm_loras(_p: Any, values: Sequence[Any]) -> None:
    _known_loras(values)


def _known_loras(names: Sequence[Any]) -> Mapping[str, str]:
    """The prompts of all published LoRAs. Raises RuntimeError, which the plot shows to the user, for another name."""
    known = _published()
    unknown = [str(name) for name in names if str(name) not in known]
    if unknown:
        there = ", ".join(known) or "none yet"
        raise RuntimeError(f"Prodshot: there is no published LoRA {unknown[0]!r}; published are: {there}")
    return known
