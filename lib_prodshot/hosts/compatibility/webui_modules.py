"""Lazy imports of the WebUI's modules that the panel and the settings page use."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any


def shared() -> ModuleType:
    """The WebUI's `modules.shared`: its options and their class. Raises ImportError outside a WebUI."""
    from modules import shared

    return shared


def loaded_scripts() -> ModuleType:
    """The WebUI's `modules.scripts`, which lists what was loaded. Raises ImportError outside a WebUI."""
    from modules import scripts

    return scripts


def input_accordion() -> Callable[..., Any] | None:
    """The WebUI's accordion with a checkbox (a class here, a function there: only call it); None where it has none."""
    try:
        from modules.ui_components import InputAccordion
    except ImportError:
        return None
    return InputAccordion
