"""Enhancers: each takes a picture with a mask and gives new colours for what is inside."""

from __future__ import annotations

from lib_prodshot.enhancing.interface import Enhanced, Enhancer, Task
from lib_prodshot.errors import EnhanceError

__all__ = ["Enhanced", "Enhancer", "Task", "load_enhancer"]


def load_enhancer(engine: str) -> Enhancer:
    """The enhancer of that name (`Request.engine`) that runs without a WebUI.

    Raises `EnhanceError` for an engine that needs one.
    """
    if engine == "retouch":
        from lib_prodshot.enhancing.retouch import Retouch

        return Retouch()
    raise EnhanceError(f"the engine {engine!r} runs inside a WebUI only; here use 'retouch'")
