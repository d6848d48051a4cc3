"""ControlNet's dialects: Mikubill's extension on AUTOMATIC1111 and the built-in one of the Forge family.

Both swallow what goes wrong in them, so a pass is watched from inside (`Probe`).
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from lib_prodshot.inpainting import ControlLists
from lib_prodshot.request import setting_named

DISABLED = {"enabled": False}
"""What every slot but ours holds: both dialects read it as a unit that is off."""


class ControlNet(Protocol):
    """One dialect."""

    def lists(self, slots: int, refresh: bool) -> ControlLists:
        """Models and preprocessors; `refresh` reads the models' folder again."""

    def translate(self, unit: Mapping[str, Any]) -> dict[str, Any]:
        """Our unit in the host's words."""

    def lent(self, script: Any, parent: Any) -> Any:
        """A context that yields a copy of ControlNet's script for a nested pass, and afterwards puts the parent's own
        ControlNet back to work."""

    def took_part(self, script: Any) -> bool:
        """Whether the copy's unit is at work right now."""


def find_script(runner: Any) -> Any | None:
    """ControlNet's always-on script in a script runner, or None."""
    scripts = getattr(runner, "alwayson_scripts", None) or []
    return next((script for script in scripts if script.title().lower() == "controlnet"), None)


def pick_controlnet() -> ControlNet:
    """The dialect spoken here. Both may be asked for without ControlNet being there: `find_script` tells that."""
    if "lib_controlnet.external_code" in sys.modules:
        return ForgeControlNet()
    return MikubillControlNet()


def _mode(values: list[str], ours: str) -> str:
    """Our control mode in the host's words: they differ between forks, their order does not."""
    place = setting_named("control_mode").choices.index(ours)
    return values[place] if ours not in values and place < len(values) else ours


class ForgeControlNet:
    """Forge, reForge, classic, neo."""

    def lists(self, slots: int, refresh: bool) -> ControlLists:
        """Models and preprocessors; `refresh` reads the models' folder again."""
        state = import_module("lib_controlnet.global_state")
        if refresh:
            state.update_controlnet_filenames()
        models = [name for name in state.get_all_controlnet_names() if name != "None"]
        return ControlLists(tuple(models), tuple(state.get_all_preprocessor_names()), "None", slots)

    def translate(self, unit: Mapping[str, Any]) -> dict[str, Any]:
        """Modes are strings here: an enum member would silently mean Balanced."""
        code = import_module("lib_controlnet.external_code")
        return {**unit, "control_mode": _mode([mode.value for mode in code.ControlMode], unit["control_mode"])}

    @contextmanager
    def lent(self, script: Any, parent: Any) -> Iterator[Any]:
        """A shallow copy: `process` gives it parameters of its own, the parent's object keeps those it has."""
        yield copy.copy(script)

    def took_part(self, script: Any) -> bool:
        """The parameters are filled by `process`, once preprocessor and model have worked."""
        return bool(getattr(script, "current_params", None))


class MikubillControlNet:
    """sd-webui-controlnet: hooks the UNet from `process` until `postprocess`, the parent's too."""

    def lists(self, slots: int, refresh: bool) -> ControlLists:
        """Models and preprocessors (under both their names); `refresh` reads the models' folder again."""
        code = import_module("internal_controlnet.external_code")
        models = [name for name in code.get_models(update=refresh) if name != "None"]
        modules = dict.fromkeys([*code.get_modules(alias_names=True), *code.get_modules(alias_names=False)])
        return ControlLists(tuple(models), tuple(modules), "none", slots)

    def translate(self, unit: Mapping[str, Any]) -> dict[str, Any]:
        """Our words are this dialect's own."""
        return dict(unit)

    @contextmanager
    def lent(self, script: Any, parent: Any) -> Iterator[Any]:
        """A copy with nothing of the parent's in it, while the parent's hook is off the UNet.

        In ControlNet's own batch mode units come from the batch and not from the arguments, so that is off as well.
        """
        hook = getattr(script, "latest_network", None)
        if hook is not None:
            hook.restore()
        own = copy.copy(script)
        own.latest_network, own.noise_modifier = None, None
        own.enabled_units, own.detected_map, own.post_processors = [], [], []
        try:
            with _outside_batch(script):
                yield own
        finally:
            # by this the extension knows whether its cached models fit; a stale one makes it load them all again
            script.latest_model_hash = own.latest_model_hash
            if hook is not None and parent is not None and parent.iteration < parent.n_iter - 1:
                _hook_again(script, parent)

    def took_part(self, script: Any) -> bool:
        """The copy began without a network: one that is there was hooked for this pass."""
        return getattr(script, "latest_network", None) is not None


def _hook_again(script: Any, parent: Any) -> None:
    """Batches of the parent are still to come: hook its units to the UNet as before."""
    noise = script.noise_modifier
    script.process(parent, *parent.script_args[script.args_from : script.args_to])
    # it was used up by the first batch, and would change the next one
    script.noise_modifier = noise


@contextmanager
def _outside_batch(script: Any) -> Iterator[None]:
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


@dataclass
class Watch:
    """What a probe saw of a pass: whether ControlNet took part; None as long as it was not called."""

    control_ran: bool | None = None


def make_probe(control: ControlNet, script: Any | None, watch: Watch) -> Any:
    """A script for the nested runner that looks, right after sampling, whether ControlNet's copy was at work."""
    base = import_module("modules.scripts").Script

    class ProdshotProbe(base):  # type: ignore[misc, valid-type]
        """Sees what the host does not report."""

        filename = __file__
        args_from = 0
        args_to = 0
        alwayson = True

        def title(self) -> str:
            """Never shown."""
            return "Prodshot probe"

        def post_sample(self, p: Any, ps: Any, *args: Any) -> None:
            """Sampling has ended; ControlNet's `postprocess`, which forgets all, comes later."""
            watch.control_ran = script is not None and control.took_part(script)

    return ProdshotProbe()
