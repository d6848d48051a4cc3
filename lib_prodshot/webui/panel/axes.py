"""X/Y/Z plot: every setting that changes the result, as an axis of the WebUI's own script."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lib_prodshot.errors import RequestError
from lib_prodshot.hosts.compatibility import webui_modules
from lib_prodshot.hosts.generation.arguments import OVERRIDES
from lib_prodshot.infotext import typed
from lib_prodshot.request import Setting, check, settings
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
    return [_axis(known, option) for known in settings() if not known.webui_only]


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
