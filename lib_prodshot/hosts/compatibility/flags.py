"""Advice that names a flag of the command line: one that this WebUI has, and that does something there.

The Forge family parses flags for its models in a module of its own; Forge and reForge still take AUTOMATIC1111's old
ones beside them, and pay them no heed; neo has neither.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import Any

_LESS_MEMORY = ("always_low_vram", "medvram", "lowvram")
"""Flags that sample in less GPU memory: of Forge, reForge and classic, of AUTOMATIC1111, of neo."""

_EXACT_VAE = ("vae_in_fp32", "fp32_vae", "no_half_vae")
"""Flags that run the VAE in float32: of Forge, reForge and classic, of neo, of AUTOMATIC1111."""


def memory_advice() -> str:
    """What to do about a pass that ran out of GPU memory, as a clause."""
    flag = _first_of(_LESS_MEMORY)
    return f"lower the resolution, or start the WebUI with {flag}" if flag else "lower the resolution"


def vae_advice() -> str:
    """What to do about a VAE that overflows in float16, as a clause."""
    flag = _first_of(_EXACT_VAE)
    return f"start the WebUI with {flag}, or use another VAE" if flag else "use another VAE"


def _first_of(names: tuple[str, ...]) -> str:
    """The first of these flags that the WebUI knows, as it is written; empty for none."""
    parsed = _parsed()
    found = next((name for name in names if hasattr(parsed, name)), "")
    return f"--{found.replace('_', '-')}" if found else ""


def _parsed() -> Any:
    """The parsed flags that decide how models are run here."""
    with suppress(ImportError, AttributeError):
        return import_module("backend.args").args
    with suppress(ImportError, AttributeError):
        return import_module("ldm_patched.modules.args_parser").args
    return import_module("modules.shared").cmd_opts
