"""Enhancers: each takes a picture with a mask and gives new colours for what is inside."""

from __future__ import annotations

from lib_prodshot.enhancing.interface import Enhanced, Enhancer, Task
from lib_prodshot.errors import EnhanceError

__all__ = ["Enhanced", "Enhancer", "NoEngine", "Task", "load_enhancer"]


class NoEngine:
    """What a packshot is given: the run is no dry run, and no step asks for new colours."""

    name = "packshot"

    def enhance(self, task: Task) -> Enhanced:
        """Raises `EnhanceError`: nothing calls it."""
        raise EnhanceError("a packshot is made without an engine")


def load_enhancer(engine: str) -> Enhancer:
    """The enhancer of that name (`Request.running_engine`) that runs without a WebUI.

    Raises `EnhanceError` for an engine that needs one.
    """
    if engine == "retouch":
        from lib_prodshot.enhancing.retouch import Retouch

        return Retouch()
    if engine == "packshot":
        return NoEngine()
    raise EnhanceError(f"the engine {engine!r} runs inside a WebUI only; here use 'retouch'")
