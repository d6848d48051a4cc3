"""Registration of the WebUI's callbacks without the cost of its public functions.

`script_callbacks.on_…` determines its caller by `inspect.stack()`, which goes through every module loaded since the
last call: 200 ms and more once ControlNet is loaded. `add_callback` with a file name skips that; classic has neither.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal

Kind = Literal["app_started", "before_ui", "ui_settings", "ui_tabs", "image_saved", "script_unloaded"]


def register(kind: Kind, callback: Callable[..., Any], file: str) -> None:
    """Register `callback`; `file` is the extension's own file that does so."""
    try:
        callbacks = import_module("modules.script_callbacks")
    except ImportError as error:
        _print_missing(kind, error)
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
        _print_missing(kind)
        return
    take(callback)


def _print_missing(kind: Kind, error: Exception | None = None) -> None:
    why = f" ({error})" if error else ""
    print(f"Prodshot: this WebUI has no callback {kind}{why}; what hangs on it is missing. Please report its version.")
