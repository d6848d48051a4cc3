"""Prodshot: find a product named in words, skip pictures without it, enhance it, leave the rest bit-identical.

Importing this package loads nothing but the standard library; each name below loads its room on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_ROOMS = {
    "Request": "lib_prodshot.request",
    "parse_products": "lib_prodshot.request",
    "Outcome": "lib_prodshot.outcome",
    "Verdict": "lib_prodshot.outcome",
    "Detection": "lib_prodshot.outcome",
    "ProdshotError": "lib_prodshot.errors",
    "load_finder": "lib_prodshot.finding.registry",
    "run": "lib_prodshot.pipeline",
}

__all__ = ["__version__", *_ROOMS]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ROOMS[name]), name)
