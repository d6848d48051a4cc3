"""Callbacks hung into the WebUI without the price that its own way has.

`script_callbacks.on_…` asks who calls it by `inspect.stack()`, which goes through every module loaded since the last
time: 200 ms and more once ControlNet is in. Told the file by name, `add_callback` does not ask. classic does neither.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal

Kind = Literal["app_started", "before_ui", "ui_settings", "ui_tabs", "script_unloaded"]


def register(kind: Kind, callback: Callable[..., Any], file: str) -> None:
    """Hang `callback` in; `file` is the extension's own file that does so."""
    try:
        callbacks = import_module("modules.script_callbacks")
    except ImportError as error:
        _complain(kind, error)
        return
    known = getattr(callbacks, "callback_map", {}).get(f"callbacks_{kind}")
    try:
        callbacks.add_callback(known, callback, category=kind, filename=file)
    except (AttributeError, TypeError):
        # no such function, or one without these arguments: the public way
        _register_publicly(callbacks, kind, callback)


def _register_publicly(callbacks: Any, kind: Kind, callback: Callable[..., Any]) -> None:
    take = getattr(callbacks, f"on_{kind}", None)
    if take is None:
        _complain(kind)
        return
    take(callback)


def _complain(kind: Kind, error: Exception | None = None) -> None:
    why = f" ({error})" if error else ""
    print(f"Prodshot: this WebUI has no callback {kind}{why}; what hangs on it is missing. Please report its version.")
