"""Adapters for ControlNet: Mikubill's extension on AUTOMATIC1111 and the built-in one of the Forge family.

Both suppress their own errors, so a probe script inside a pass checks whether its unit was applied.
"""

from __future__ import annotations

import copy
import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol
from urllib.error import URLError

from lib_prodshot.inpainting import ControlLists
from lib_prodshot.request import setting_named

LOGGER = "ControlNet"
"""The name of both extensions' logger."""

DISABLED = {"enabled": False}
"""A unit that is switched off, in both extensions; it fills every slot but ours."""


class ControlNet(Protocol):
    """Adapter for one ControlNet extension."""

    def lists(self, slots: int, refresh: bool) -> ControlLists:
        """List models and preprocessors; `refresh` rescans the models' folder."""

    def translate(self, unit: Mapping[str, Any]) -> dict[str, Any]:
        """Convert our unit to the extension's values."""

    def isolated(self, script: Any, parent: Any) -> Any:
        """A context that yields a copy of ControlNet's script for a nested pass, and then restores the parent's own."""

    def was_applied(self, script: Any) -> bool:
        """Whether the copy's unit is applied at this moment."""


def find_script(runner: Any) -> Any | None:
    """ControlNet's always-on script in a script runner, or None. Both extensions keep it in a file of that name; its
    title may be in the page's language."""
    scripts = getattr(runner, "alwayson_scripts", None) or []
    return next((script for script in scripts if script_stem(script) == "controlnet"), None)


def script_stem(script: Any) -> str:
    """The name of the file that a script was loaded from, without .py."""
    return str(getattr(script, "filename", "")).replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".py")


def slots_of(script: Any) -> tuple[int, int]:
    """Where a script's arguments begin and end. A tab that no browser has opened yet has given none out (forge-again):
    then the first place, for one unit."""
    return (1, 2) if script.args_from is None else (script.args_from, script.args_to)


def pick_controlnet() -> ControlNet:
    """Select the adapter for this host; whether ControlNet is installed is told by `find_script`."""
    if "lib_controlnet.external_code" in sys.modules:
        return ForgeControlNet()
    return MikubillControlNet()


def _mode(values: list[str], ours: str) -> str:
    """The host's value for our control mode: values differ between forks, their order does not."""
    place = setting_named("control_mode").choices.index(ours)
    return values[place] if ours not in values and place < len(values) else ours


class ForgeControlNet:
    """Adapter for the built-in ControlNet of Forge, reForge, classic and neo."""

    def lists(self, slots: int, refresh: bool) -> ControlLists:
        """List models and preprocessors; `refresh` rescans the models' folder."""
        state = import_module("lib_controlnet.global_state")
        if refresh:
            state.update_controlnet_filenames()
        models = [name for name in state.get_all_controlnet_names() if name != "None"]
        return ControlLists(tuple(models), tuple(state.get_all_preprocessor_names()), "None", slots)

    def translate(self, unit: Mapping[str, Any]) -> dict[str, Any]:
        """Convert our unit; modes are strings here, an enum member would silently mean Balanced."""
        code = import_module("lib_controlnet.external_code")
        return {**unit, "control_mode": _mode([mode.value for mode in code.ControlMode], unit["control_mode"])}

    @contextmanager
    def isolated(self, script: Any, parent: Any) -> Iterator[Any]:
        """Yield a shallow copy: `process` sets its own parameters, the parent's object keeps those it has."""
        yield copy.copy(script)

    def was_applied(self, script: Any) -> bool:
        """Whether parameters are set: `process` does so after preprocessor and model succeeded."""
        return bool(getattr(script, "current_params", None))


class MikubillControlNet:
    """Adapter for sd-webui-controlnet, which hooks the UNet from `process` until `postprocess`, the parent's too."""

    def lists(self, slots: int, refresh: bool) -> ControlLists:
        """List models and preprocessors (under both their names); `refresh` rescans the models' folder."""
        code = import_module("internal_controlnet.external_code")
        models = [name for name in code.get_models(update=refresh) if name != "None"]
        modules = dict.fromkeys([*code.get_modules(alias_names=True), *code.get_modules(alias_names=False)])
        return ControlLists(tuple(models), tuple(modules), "none", slots)

    def translate(self, unit: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of our unit, whose values are this extension's own."""
        return dict(unit)

    @contextmanager
    def isolated(self, script: Any, parent: Any) -> Iterator[Any]:
        """Yield a copy without the parent's state, while the parent's hook is removed from the UNet.

        ControlNet's own batch mode takes units from the batch instead of the arguments, so it is disabled as well.
        """
        hook = getattr(script, "latest_network", None)
        if hook is not None:
            hook.restore()
        own = copy.copy(script)
        own.latest_network, own.noise_modifier = None, None
        own.enabled_units, own.detected_map, own.post_processors = [], [], []
        try:
            with _batch_mode_disabled(script):
                yield own
        finally:
            # by this the extension knows whether its cached models fit; a stale one makes it load them all again
            script.latest_model_hash = own.latest_model_hash
            if hook is not None and parent is not None and parent.iteration < parent.n_iter - 1:
                _rehook(script, parent)

    def was_applied(self, script: Any) -> bool:
        """Whether a network is hooked: the copy started without one."""
        return getattr(script, "latest_network", None) is not None


def _rehook(script: Any, parent: Any) -> None:
    """Hook the parent's units to the UNet again, for its remaining batches."""
    noise = script.noise_modifier
    script.process(parent, *parent.script_args[script.args_from : script.args_to])
    # it was used up by the first batch, and would change the next one
    script.noise_modifier = noise


@contextmanager
def _batch_mode_disabled(script: Any) -> Iterator[None]:
    hijack = getattr(type(script).process, "__globals__", {}).get("batch_hijack")
    instance = getattr(hijack, "instance", None)
    if instance is None or not instance.is_batch:
        yield
        return
    instance.is_batch = False
    try:
        yield
    finally:
        instance.is_batch = True


@contextmanager
def reasons_recorded(script: Any | None) -> Iterator[list[str]]:
    """Context that collects what ControlNet warns of while it runs, and what the first of its script's hooks to fail
    raises, which a WebUI swallows: a later one fails for want of what that would have left (Forge's with a bare
    `KeyError: 0`). The hooks of `script` are its own again afterwards."""
    told: list[str] = []
    failed: list[Exception] = []
    handler = _Collector(told)
    logger = logging.getLogger(LOGGER)
    former = {name: vars(script).get(name) for name in _HOOKS if callable(getattr(script, name, None))}
    for name in former:
        setattr(script, name, _told_of(getattr(script, name), told, failed))
    logger.addHandler(handler)
    try:
        yield told
    finally:
        logger.removeHandler(handler)
        for name, own in former.items():
            # what was the class's own is that again
            delattr(script, name) if own is None else setattr(script, name, own)


_HOOKS = ("process", "process_before_every_sampling")


def in_words(told: Iterable[str]) -> str:
    """What was recorded, each once, as one text."""
    return "; ".join(dict.fromkeys(told))


class _Collector(logging.Handler):
    """Keeps the messages of warnings and errors."""

    def __init__(self, told: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message, on one line."""
        self._told.append(" ".join(record.getMessage().split()))


def _told_of(hook: Callable[..., Any], told: list[str], failed: list[Exception]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return hook(*args, **kwargs)
        except Exception as error:
            if not failed:
                told.append(_in_words(error))
            failed.append(error)
            raise

    return call


def _in_words(error: Exception) -> str:
    words = " ".join(str(error).split())
    # Mikubill's and classic's downloads are torch.hub's, by urllib; Forge's and neo's are made with requests
    requests = sys.modules.get("requests")
    if requests is not None and isinstance(error, requests.RequestException):
        words = _urllib3s_reason(error) or words
    elif not isinstance(error, URLError):
        return f"{type(error).__name__}: {words}" if words else type(error).__name__
    return f"what its preprocessor needs cannot be downloaded ({words}): go online, or choose another one"


def _urllib3s_reason(error: Exception) -> str:
    """Why the last attempt failed, without the connection object's description in front; '' where it is not told."""
    reason = getattr(error.args[0], "reason", "") if error.args else ""
    return re.sub(r"^(<.+?>|\w+\([^)]*\)): ", "", " ".join(str(reason).split()))


@dataclass
class ProbeResult:
    """Whether ControlNet was applied in a pass; None while the probe was not called."""

    control_ran: bool | None = None


def make_probe(control: ControlNet, script: Any | None, result: ProbeResult) -> Any:
    """A script for the nested runner that records after sampling whether ControlNet's copy was applied."""
    base = import_module("modules.scripts").Script

    class ProdshotProbe(base):  # type: ignore[misc, valid-type]
        """Reads ControlNet's state within the pass, which the host does not report."""

        filename = __file__
        args_from = 0
        args_to = 0
        alwayson = True

        def title(self) -> str:
            """Never shown."""
            return "Prodshot probe"

        def post_sample(self, p: Any, ps: Any, *args: Any) -> None:
            """Record the state after sampling, before ControlNet's `postprocess` clears it."""
            result.control_ran = script is not None and control.was_applied(script)

    return ProdshotProbe()
