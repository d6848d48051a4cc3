"""The registered kinds of jobs, each in a module of its own that is imported when its first job is started."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from lib_prodshot.webui.jobs.table import JOBS, Kind, Work

KINDS = {
    "folder": "lib_prodshot.webui.folder.jobs",
    "training": "lib_prodshot.webui.training.jobs",
    "training_captions": "lib_prodshot.webui.training.captions",
    "training_check": "lib_prodshot.webui.training.check",
    "training_compare": "lib_prodshot.webui.training.comparing",
    "training_publish": "lib_prodshot.webui.training.publishing",
}
"""By name: the module whose `work_from` is the kind."""


def register() -> None:
    """Register every kind, without importing its module."""
    for name, module in KINDS.items():
        JOBS.register(name, _imported(module))


def _imported(module: str) -> Kind:
    def kind(settings: Mapping[str, Any]) -> Work:
        work: Work = import_module(module).work_from(settings)
        return work

    return kind
