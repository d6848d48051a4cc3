"""Doubles of the two ControlNets: Mikubill's, which hooks the UNet, and the Forge family's, which keeps parameters.

Both leave the unit's weight in the result, and both swallow what goes wrong, as `modules.scripts` makes them.
"""

from __future__ import annotations

import enum
import logging
import sys
from types import ModuleType
from typing import Any
from urllib.error import URLError

import numpy as np
from modules import scripts

MODELS = ("control_v11f1p_sd15_depth [cfd03158]", "control_v11p_sd15_canny [d14c016b]")
PREPROCESSORS = ("none", "depth_midas", "canny", "depth_broken")


class Hook:
    """The one UNet's hook: whichever was set last is at work, until it is restored."""

    at_work: Hook | None = None

    def __init__(self, unit: dict[str, Any]) -> None:
        self.unit = unit
        Hook.at_work = self

    def restore(self) -> None:
        if Hook.at_work is self:
            Hook.at_work = None


class MikubillScript(scripts.Script):
    filename = "extensions/sd-webui-controlnet/scripts/controlnet.py"

    def __init__(self) -> None:
        self.latest_network: Hook | None = None
        self.latest_model_hash = ""
        self.noise_modifier: Any = None
        self.enabled_units: list[Any] = []
        self.detected_map: list[Any] = []
        self.post_processors: list[Any] = []

    def title(self) -> str:
        return "ControlNet"

    def show(self, is_img2img: bool) -> Any:
        return scripts.AlwaysVisible

    def process(self, p: Any, *args: Any) -> None:
        if self.latest_network is not None:
            self.latest_network.restore()
        self.enabled_units = [unit for unit in args if unit and unit.get("enabled")]
        if not self.enabled_units:
            self.latest_network = None
            return
        unit = self.enabled_units[0]
        _check(unit, "none")
        self.latest_model_hash = "5f4cf4601d"
        self.latest_network = Hook(unit)
        self.detected_map = [np.zeros((8, 8, 3), np.uint8)] if unit.get("save_detected_map", True) else []

    def postprocess_batch_list(self, p: Any, pp: Any, *args: Any, **kwargs: Any) -> None:
        if Hook.at_work is not None:
            pp.images = [_marked(image, Hook.at_work.unit) for image in pp.images]

    def postprocess(self, p: Any, processed: Any, *args: Any) -> None:
        self.enabled_units.clear()
        if self.latest_network is None:
            return
        from PIL import Image

        processed.images.extend(Image.fromarray(found) for found in self.detected_map)
        self.latest_network.restore()
        self.latest_network = None
        self.detected_map.clear()


class ForgeScript(scripts.Script):
    filename = "extensions-builtin/sd_forge_controlnet/scripts/controlnet.py"

    def title(self) -> str:
        return "ControlNet"

    def show(self, is_img2img: bool) -> Any:
        return scripts.AlwaysVisible

    def process(self, p: Any, *args: Any) -> None:
        self.current_params: dict[int, Any] = {}
        for place, unit in enumerate(unit for unit in args if unit and unit.get("enabled", True)):
            if unit["model"] not in MODELS:
                raise KeyError(unit["model"])
            _check(unit, "None")
            if unit["control_mode"] not in [mode.value for mode in ControlMode]:
                raise ValueError(unit["control_mode"])
            self.current_params[place] = unit

    def process_before_every_sampling(self, p: Any, *args: Any, **kwargs: Any) -> None:
        for place, _ in enumerate(unit for unit in args if unit and unit.get("enabled", True)):
            self.current_params[place]

    def postprocess_batch_list(self, p: Any, pp: Any, *args: Any, **kwargs: Any) -> None:
        for unit in self.current_params.values():
            pp.images = [_marked(image, unit) for image in pp.images]

    def postprocess(self, p: Any, processed: Any, *args: Any) -> None:
        self.current_params = {}


class ControlMode(enum.Enum):
    BALANCED = "Balanced"
    PROMPT = "Prefer Prompt"
    CONTROL = "Prefer ControlNet"


def _check(unit: dict[str, Any], none: str) -> None:
    if unit["module"] not in (none, *PREPROCESSORS[1:]):
        raise AttributeError(unit["module"])
    if unit["module"] == "depth_broken":
        logging.getLogger("ControlNet").info("Loading preprocessor: depth_broken")
        logging.getLogger("ControlNet").warning("loading %s", unit["module"])
        _fail_to_download(none)
    if unit["model"] not in MODELS:
        raise RuntimeError(f"model not found: {unit['model']}")


def _fail_to_download(none: str) -> None:
    """As torch.hub does for Mikubill's, and as requests does for Forge's, here with an address where nobody listens."""
    if none == "none":
        raise URLError("no network")
    import requests

    requests.get("http://127.0.0.1:1/annotator.pt", proxies={"http": ""}, timeout=5)


def _marked(image: np.ndarray, unit: dict[str, Any]) -> np.ndarray:
    shift = round(unit["weight"] * 40)
    return np.clip(image.astype(int) + shift, 0, 255).astype(np.uint8)


def install(dialect: str, monkeypatch: Any) -> scripts.Script:
    """Make this dialect the one that can be imported; returns its script, to be added to a runner."""
    for name, module in (_mikubill() if dialect == "mikubill" else _forge()).items():
        monkeypatch.setitem(sys.modules, name, module)
    Hook.at_work = None
    return MikubillScript() if dialect == "mikubill" else ForgeScript()


def _mikubill() -> dict[str, ModuleType]:
    code = ModuleType("internal_controlnet.external_code")
    code.get_models = lambda update=False: ["None", *MODELS]
    code.get_modules = lambda alias_names=False: list(PREPROCESSORS)
    return {"internal_controlnet": ModuleType("internal_controlnet"), code.__name__: code}


def _forge() -> dict[str, ModuleType]:
    state, code = ModuleType("lib_controlnet.global_state"), ModuleType("lib_controlnet.external_code")
    state.update_controlnet_filenames = lambda: None
    state.get_all_controlnet_names = lambda: ["None", *MODELS]
    state.get_all_preprocessor_names = lambda: ["None", *PREPROCESSORS[1:]]
    code.ControlMode = ControlMode
    package = ModuleType("lib_controlnet")
    package.__path__ = []
    return {"lib_controlnet": package, state.__name__: state, code.__name__: code}
