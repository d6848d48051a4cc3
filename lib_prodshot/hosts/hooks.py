"""What the WebUI calls in every generation, ours or not: light, so that a WebUI starts and works as fast as without us.

Everything that looks at pictures is imported when a picture is to be looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SESSION = "_prodshot_session"
"""The attribute of a generation's processing object that holds its session; shallow copies share it."""


REPORT_CONTROL = "report_control"
"""Among the accordion's arguments, in a dict: tell in the answer's parameters whether ControlNet took part in this
generation. WebUIs swallow its failures, so a client that samples over there cannot know it otherwise."""

CONTROL = "Prodshot control"
"""The parameter of an answer that tells it: true or false."""


def before(parent: Any, arguments: Sequence[Any]) -> None:
    """The accordion's `before_process`."""
    if any(isinstance(value, Mapping) and value.get(REPORT_CONTROL) is True for value in arguments):
        parent.extra_generation_params[CONTROL] = False
    if not _may_be_on(arguments) and not hasattr(parent, SESSION):
        return
    from lib_prodshot.hosts import generation

    generation.before(parent, arguments)


def _may_be_on(arguments: Sequence[Any]) -> bool:
    """Whether the accordion is switched on, or a dict among the arguments may do so."""
    return bool(arguments) and (arguments[0] is True or any(isinstance(value, Mapping) for value in arguments))


def sampled(parent: Any) -> None:
    """The accordion's `post_sample`: ControlNet has not yet forgotten what it did."""
    if CONTROL not in getattr(parent, "extra_generation_params", {}):
        return
    from lib_prodshot.hosts import controlnet

    script = controlnet.find_script(parent.scripts)
    took_part = script is not None and controlnet.pick_controlnet().took_part(script)
    parent.extra_generation_params[CONTROL] = took_part


def each_picture(parent: Any, shown: Any) -> None:
    """The accordion's `postprocess_image_after_composite`; `shown.image` is replaced."""
    if not hasattr(parent, SESSION):
        return
    from lib_prodshot.hosts import generation

    generation.each_picture(parent, shown)


def after(parent: Any, processed: Any) -> None:
    """The accordion's `postprocess`."""
    if not hasattr(parent, SESSION):
        return
    from lib_prodshot.hosts import generation

    generation.after(parent, processed)


def run(parent: Any, script: Any, arguments: Sequence[Any]) -> Any:
    """The script's `run`: on txt2img outputs are looked at, on img2img the input is.

    Raises `HostUnavailable` on a WebUI whose interface has moved, for the page and the API's caller to read.
    """
    from lib_prodshot.hosts import generation
    from lib_prodshot.hosts.moved import told_if_moved

    with told_if_moved():
        if hasattr(parent, "init_images"):
            return generation.run_on_input(parent, script, arguments)
        return generation.run_on_outputs(parent, script, arguments)
