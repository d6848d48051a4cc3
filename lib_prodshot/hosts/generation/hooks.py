"""Entry points that the WebUI calls in every generation; light, so that start and generations stay as fast as without.

What processes pictures is imported when a picture is processed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from lib_prodshot.hosts.generation.attributes import CONTROL_TOLD, REPORT_CONTROL, SESSION, XMP_TEXT
from lib_prodshot.outcome import CONTROL_APPLIED, CONTROL_REASON

_RECORDING = ExitStack()
"""Listens to ControlNet during a generation that reports on it."""


def before(parent: Any, arguments: Sequence[Any]) -> None:
    """The accordion's `before_process`."""
    # a generation that was broken off may have left it open
    _RECORDING.close()
    if _may_be_on(arguments) or hasattr(parent, SESSION):
        from lib_prodshot.hosts.generation import script_runs

        script_runs.before(parent, arguments)
    if any(isinstance(value, Mapping) and value.get(REPORT_CONTROL) is True for value in arguments):
        # after the session, which removes what an earlier one has left
        parent.extra_generation_params[CONTROL_APPLIED] = False
        from lib_prodshot.hosts.compatibility import controlnet

        recorded = controlnet.reasons_recorded(controlnet.find_script(parent.scripts))
        setattr(parent, CONTROL_TOLD, _RECORDING.enter_context(recorded))


def _may_be_on(arguments: Sequence[Any]) -> bool:
    """Whether the accordion is switched on, or a dict among the arguments may do so."""
    return bool(arguments) and (arguments[0] is True or any(isinstance(value, Mapping) for value in arguments))


def sampled(parent: Any) -> None:
    """The accordion's `post_sample`, while ControlNet's state is still available."""
    if CONTROL_APPLIED not in getattr(parent, "extra_generation_params", {}):
        return
    from lib_prodshot.hosts.compatibility import controlnet

    script = controlnet.find_script(parent.scripts)
    was_applied = script is not None and controlnet.pick_controlnet().was_applied(script)
    parent.extra_generation_params[CONTROL_APPLIED] = was_applied
    _RECORDING.close()
    reason = "" if was_applied else controlnet.in_words(getattr(parent, CONTROL_TOLD, ()))
    if reason:
        parent.extra_generation_params[CONTROL_REASON] = reason


def each_picture(parent: Any, shown: Any) -> None:
    """The accordion's `postprocess_image_after_composite`; `shown.image` is replaced."""
    if not hasattr(parent, SESSION):
        return
    from lib_prodshot.hosts.generation import script_runs

    script_runs.each_picture(parent, shown)


def after(parent: Any, processed: Any) -> None:
    """The accordion's `postprocess`."""
    _RECORDING.close()
    if not hasattr(parent, SESSION):
        return
    from lib_prodshot.hosts.generation import script_runs

    script_runs.after(parent, processed)


def image_saved(saved: Any) -> None:
    """The WebUI's callback of the same name: a file stands, of this or any other extension's picture."""
    if XMP_TEXT not in (getattr(saved.image, "info", None) or {}):
        return
    from lib_prodshot.hosts.generation import saved_files

    saved_files.after_saving(saved)


def run(parent: Any, script: Any, arguments: Sequence[Any]) -> Any:
    """The script's `run`: processes outputs on txt2img, inputs on img2img.

    Raises `HostUnavailable` on a WebUI whose interface has changed.
    """
    from lib_prodshot.hosts.compatibility.interface_changes import interface_changes_reported
    from lib_prodshot.hosts.generation import script_runs

    with interface_changes_reported():
        if hasattr(parent, "init_images"):
            return script_runs.run_on_input(parent, script, arguments)
        return script_runs.run_on_outputs(parent, script, arguments)
