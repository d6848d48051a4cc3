"""A WebUI double for each test: the real door and host code, arithmetic in the place of diffusion."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.finding.finder import Finder
from lib_prodshot.hosts import active, finder_cache
from lib_prodshot.request import WEBUI_BASE, settings
from tests.finders import fixed_finder

DOUBLE = ROOT / "tests" / "double"


@dataclass
class Double:
    """The double with Prodshot's door in both runners, and a finder with known answers."""

    folder: Path
    finder: Finder
    control: Any
    door: ModuleType

    def __getattr__(self, name: str) -> ModuleType:
        return importlib.import_module(f"modules.{name}")

    @property
    def detector(self) -> Any:
        return self.finder.detector

    def runner(self, is_img2img: bool) -> Any:
        return self.scripts.scripts_img2img if is_img2img else self.scripts.scripts_txt2img

    def script(self, is_img2img: bool, title: str, alwayson: bool) -> Any:
        scripts = self.runner(is_img2img).scripts
        return next(one for one in scripts if one.title() == title and one.alwayson == alwayson)

    def generation(self, is_img2img: bool = False, **values: Any) -> Any:
        """A processing object as the WebUI's page makes it; `accordion` are the accordion's arguments."""
        accordion: Sequence[Any] = values.pop("accordion", ())
        units: Sequence[Any] = values.pop("units", ())
        kinds = self.processing
        kind = kinds.StableDiffusionProcessingImg2Img if is_img2img else kinds.StableDiffusionProcessingTxt2Img
        plain = {"seed": 7, "subseed": 7, "steps": 4, "width": 64, "height": 64, "sampler_name": "Euler"}
        p = kind(**{**plain, "prompt": "a photo", "outpath_samples": str(self.folder / "out"), **values})
        p.outpath_grids = str(self.folder / "grids")
        runner = self.runner(is_img2img)
        arguments: list[Any] = [0] + [None] * (max(script.args_to for script in runner.scripts) - 1)
        self._put(arguments, self.script(is_img2img, "Prodshot", True), accordion)
        if self.control is not None:
            self._put(arguments, self.script(is_img2img, "ControlNet", True), units)
        p.scripts, p.script_args = runner, arguments
        return p

    @staticmethod
    def _put(arguments: list[Any], script: Any, values: Sequence[Any]) -> None:
        arguments[script.args_from : script.args_from + len(values)] = values

    def generate(self, **values: Any) -> Any:
        """A txt2img or img2img generation with the accordion (or without it)."""
        self.state.begin("test")
        return self.processing.process_images(self.generation(**values))

    def run_script(self, *arguments: Any, is_img2img: bool = True, **values: Any) -> Any:
        """The selectable script, as the page calls it: every component's value, ours in the first places."""
        self.state.begin("test")
        p = self.generation(is_img2img=is_img2img, **values)
        return self.run_on(p, *arguments, is_img2img=is_img2img)

    def run_on(self, p: Any, *arguments: Any, is_img2img: bool = True) -> Any:
        script = self.script(is_img2img, "Prodshot", False)
        given = [*arguments, *[None] * (script.args_to - script.args_from - len(arguments))]
        return script.run(p, *given)

    @property
    def state(self) -> Any:
        return self.shared.state

    @property
    def samplings(self) -> list[Any]:
        return self.processing.samplings  # type: ignore[no-any-return]


@pytest.fixture(params=["mikubill"])
def dialect(request: pytest.FixtureRequest) -> str | None:
    """Which ControlNet is installed; parametrize indirectly for another one, or None."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def webui(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dialect: str | None) -> Iterator[Double]:
    _forget()
    monkeypatch.syspath_prepend(str(DOUBLE))
    monkeypatch.setattr(active, "_HOST", [])
    finder = fixed_finder()
    _give_finder(monkeypatch, finder)
    from modules import paths

    paths.data_path, paths.models_path = str(tmp_path), str(tmp_path / "models")
    control = importlib.import_module("tests.double.controlnet")
    made = Double(tmp_path, finder, control if dialect else None, _load_door(monkeypatch))
    for is_img2img in (False, True):
        runner = made.runner(is_img2img)
        if dialect:
            runner.add(control.install(dialect, monkeypatch), 3)
        runner.add(made.door.ProdshotAccordion(), 1 + len(settings()))
        runner.add(made.door.ProdshotScript(), len(settings()))
    monkeypatch.setitem(sys.modules, "networks", _loras("ppzocketv2-10"))
    yield made
    _forget()


def _forget() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "modules"]:
        del sys.modules[name]
    sys.modules.pop("tests.double.controlnet", None)


def _give_finder(monkeypatch: pytest.MonkeyPatch, finder: Finder) -> None:
    backend = SimpleNamespace(name="fixed", load=lambda models_dir: finder)
    monkeypatch.setattr(finder_cache, "choose", lambda name, models_dir: SimpleNamespace(backend=backend))
    monkeypatch.setattr(finder_cache, "_CACHE", {})


def _load_door(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`scripts/prodshot.py`, loaded by path as the WebUI does; its panel is not drawn, for there is no gradio here."""
    panel, callbacks = ModuleType("lib_prodshot.webui.panel.panel"), ModuleType("lib_prodshot.webui.callbacks")
    options = ModuleType("lib_prodshot.webui.options")
    options.SHOW = ("script and accordion", "script", "accordion")  # type: ignore[attr-defined]
    panel.TITLE = "Prodshot"  # type: ignore[attr-defined]
    panel.draw_panel = _no_panel  # type: ignore[attr-defined]
    panel.draw_hidden = lambda is_img2img, elem_id: ["hidden"]  # type: ignore[attr-defined]
    callbacks.register = lambda: None  # type: ignore[attr-defined]
    package = ModuleType("lib_prodshot.webui")
    package.callbacks, package.options = callbacks, options  # type: ignore[attr-defined]
    for module in (package, panel, callbacks, options):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    spec = importlib.util.spec_from_file_location("prodshot.py", ROOT / "scripts" / "prodshot.py")
    assert spec is not None and spec.loader is not None
    door = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(door)
    return door


def _no_panel(is_img2img: bool, elem_id: Any, with_enabled: bool) -> Any:
    values = [SimpleNamespace(value=known.default) for known in settings(WEBUI_BASE)]
    components = [SimpleNamespace(value=False), *values] if with_enabled else values
    return SimpleNamespace(components=components, infotext_fields=[], paste_field_names=[])


def _loras(*names: str) -> ModuleType:
    networks = ModuleType("networks")
    networks.available_networks = dict.fromkeys(names)  # type: ignore[attr-defined]
    networks.available_network_aliases = {}  # type: ignore[attr-defined]
    networks.list_available_networks = lambda: None  # type: ignore[attr-defined]
    return networks


def noise_picture(mode: str = "RGB", size: tuple[int, int] = (96, 80), seed: int = 3) -> Image.Image:
    """A picture of random samples in `mode`, width × height."""
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    samples = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], *channels), dtype=np.uint8)
    return Image.fromarray(samples, mode)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def parameters(webui: Double, processed: Any, number: int = 0) -> dict[str, str]:
    """The parsed infotext of a result's picture."""
    return webui.infotext_utils.parse_generation_parameters(processed.infotexts[number])  # type: ignore[no-any-return]


def outcomes(processed: Any) -> list[dict[str, Any]]:
    """What the API tells machines, after a trip through JSON."""
    return json.loads(processed.js())["extra_generation_params"]["Prodshot outcomes"]  # type: ignore[no-any-return]
