"""Detection of changed WebUI interfaces: tells them from every other error and reports them in one sentence."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lib_prodshot.hosts.interface import HostUnavailable

_THEIRS = ("modules", "modules_forge", "backend", "ldm_patched", "lib_controlnet", "internal_controlnet")
"""Packages of the WebUIs, and of their ControlNets."""

_HOSTS = Path(__file__).parent.parent


def incompatibility_message(error: Exception) -> str:
    """The message to the user about a changed interface."""
    told = " ".join(str(error).split()) or type(error).__name__
    return f"this WebUI's interface is not the one Prodshot knows ({told}); please report it with the WebUI's version"


def describe_change(error: Exception) -> str:
    """The message, if `error` shows that something of the WebUI's is gone or takes other arguments than ours; empty for
    any other error: what is raised inside the WebUI is not an interface change."""
    if isinstance(error, ImportError):
        return incompatibility_message(error) if (error.name or "").split(".")[0] in _THEIRS else ""
    if isinstance(error, (AttributeError, TypeError)) and _raised_here(error):
        return incompatibility_message(error)
    return ""


def _raised_here(error: Exception) -> bool:
    """Whether the error was raised by a line of `hosts` itself, not by something that it called."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and _HOSTS in Path(frames[-1].filename).parents


@contextmanager
def interface_changes_reported() -> Iterator[None]:
    """Context or decorator for calls into the WebUI: a changed interface raises `HostUnavailable`."""
    try:
        yield
    except (ImportError, AttributeError, TypeError) as error:
        message = describe_change(error)
        if not message:
            raise
        raise HostUnavailable(message) from error
