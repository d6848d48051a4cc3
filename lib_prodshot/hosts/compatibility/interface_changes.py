"""A WebUI from the future: telling its moved interface apart from every other error, and saying so in one sentence."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lib_prodshot.hosts.interface import HostUnavailable

_THEIRS = ("modules", "modules_forge", "backend", "ldm_patched", "lib_controlnet", "internal_controlnet")
"""Packages of the WebUIs, and of their ControlNets."""

_HOSTS = Path(__file__).parent.parent


def sentence(error: Exception) -> str:
    """What a user is told of an interface that moved."""
    told = " ".join(str(error).split()) or type(error).__name__
    return f"this WebUI's interface is not the one Prodshot knows ({told}); please report it with the WebUI's version"


def moved(error: Exception) -> str:
    """The sentence, where something of the WebUI's is gone or takes other arguments than these rooms give it. Empty
    for any other error: what is raised within the WebUI is its own affair."""
    if isinstance(error, ImportError):
        return sentence(error) if (error.name or "").split(".")[0] in _THEIRS else ""
    if isinstance(error, (AttributeError, TypeError)) and _raised_here(error):
        return sentence(error)
    return ""


def _raised_here(error: Exception) -> bool:
    """Whether a line of these rooms stumbled, and not something that it called."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and _HOSTS in Path(frames[-1].filename).parents


@contextmanager
def told_if_moved() -> Iterator[None]:
    """Around what speaks to the WebUI, also as a decorator: a moved interface becomes `HostUnavailable`."""
    try:
        yield
    except (ImportError, AttributeError, TypeError) as error:
        told = moved(error)
        if not told:
            raise
        raise HostUnavailable(told) from error
