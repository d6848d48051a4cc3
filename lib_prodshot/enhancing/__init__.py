"""Enhancers: each takes a picture with a mask and gives new colours for what is inside."""

from __future__ import annotations

from collections.abc import Callable

from lib_prodshot.editing import PaintingBackend
from lib_prodshot.enhancing.interface import Enhanced, Enhancer, Task
from lib_prodshot.errors import EnhanceError

__all__ = ["Enhanced", "Enhancer", "NoEngine", "Task", "enhancer_on", "load_enhancer"]


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


def enhancer_on(backend: PaintingBackend, engine: str, say: Callable[[str], None] = lambda text: None) -> Enhancer:
    """The enhancer of an engine that is a WebUI's model (`Request.uses_webui`); `say` is told what it does now."""
    from lib_prodshot.enhancing.edit import EditEnhancer
    from lib_prodshot.enhancing.inpaint import InpaintEnhancer

    return EditEnhancer(backend, say=say) if engine == "edit" else InpaintEnhancer(backend, say=say)
