"""Engines of a folder job: an enhancer in this process, or one in a WebUI, which may become unavailable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lib_prodshot.enhancing.interface import Enhanced, Enhancer, Task

BACKOFF = (5.0, 10.0, 20.0, 40.0)
"""Seconds before an engine that did not answer is tried again, the first time, the second …; then it is removed."""


class EngineUnavailable(Exception):
    """The engine did not answer; the picture is unchanged and can go to another engine."""


class Engine(Protocol):
    """Enhances one picture at a time. `address` is its URL, '' for this process."""

    address: str

    @property
    def name(self) -> str:
        """The enhancer's name."""

    def enhance(self, task: Task) -> Enhanced:
        """As `Enhancer.enhance`. Raises `EngineUnavailable` as well."""

    def interrupt(self) -> None:
        """Request that it abandons the current picture; it may take no notice."""


@dataclass(eq=False)
class LocalEngine:
    """An enhancer in this process."""

    enhancer: Enhancer
    address: str = ""
    on_interrupt: Callable[[], None] = lambda: None

    @property
    def name(self) -> str:
        """See `Engine`."""
        return self.enhancer.name

    def enhance(self, task: Task) -> Enhanced:
        """See `Engine`."""
        return self.enhancer.enhance(task)

    def interrupt(self) -> None:
        """See `Engine`."""
        self.on_interrupt()
