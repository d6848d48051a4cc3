"""Fixtures: our routes on a plain FastAPI application, and a whole WebUI double behind a real server."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.finding import registry
from lib_prodshot.hosts import active, finder_cache
from tests.api.local_host import LocalHost
from tests.api.tools import BACKENDS, DOUBLE, WebUI, forget_webui, serve
from tests.finders import fixed_finder


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalHost:
    local = LocalHost(tmp_path)
    monkeypatch.setattr(active, "_HOST", [local])
    monkeypatch.setattr(registry, "backends", lambda: BACKENDS)
    return local


@pytest.fixture
def client(host: LocalHost) -> Iterator[Any]:
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from lib_prodshot.webui.api.routes import add_routes

    app = FastAPI()
    add_routes(app)
    with TestClient(app, raise_server_exceptions=True) as made:
        yield made


@pytest.fixture
def server(host: LocalHost) -> Iterator[str]:
    """Our routes alone, on a real server."""
    from fastapi import FastAPI

    from lib_prodshot.webui.api.routes import add_routes

    app = FastAPI()
    add_routes(app)
    with serve(app) as address:
        yield address


@pytest.fixture
def webui(drawn_webui: WebUI) -> WebUI:
    """AUTOMATIC1111's double with Mikubill's ControlNet and the real door, its panels drawn by the real gradio: nothing
    generated yet."""
    drawn_webui.samplings.clear()
    finder_cache._CACHE.clear()
    return drawn_webui


@pytest.fixture(scope="module")
def drawn_webui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebUI]:
    """The double that `webui` gives, one for a module: drawing four panels takes longer than most tests with them."""
    import gradio
    from fastapi import FastAPI

    from tests.api.webui_api import add_api

    forget_webui()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOUBLE))
        patch.setattr(active, "_HOST", [])
        patch.setattr(registry, "backends", lambda: BACKENDS)
        finder = fixed_finder(darkest=20)
        chosen = SimpleNamespace(backend=SimpleNamespace(name="lite", load=lambda _: finder))
        patch.setattr(finder_cache, "choose", lambda *_: chosen)
        patch.setattr(finder_cache, "_CACHE", {})
        from modules import paths, processing, script_callbacks, scripts

        data = tmp_path_factory.mktemp("webui")
        paths.data_path, paths.models_path = str(data), str(data / "models")
        control = importlib.import_module("tests.double.controlnet")
        spec = importlib.util.spec_from_file_location("prodshot.py", ROOT / "scripts" / "prodshot.py")
        assert spec and spec.loader
        door = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(door)
        for callback in script_callbacks.registered["ui_settings"]:
            callback()
        components = {}
        for is_img2img, runner in ((False, scripts.scripts_txt2img), (True, scripts.scripts_img2img)):
            runner.add(control.install("mikubill", patch), 3)
            for script in (door.ProdshotAccordion(), door.ProdshotScript()):
                with gradio.Blocks():
                    script.tabname = "img2img" if is_img2img else "txt2img"
                    drawn = script.ui(is_img2img)
                runner.add(script, len(drawn)).defaults = [component.value for component in drawn]
                components[type(script).__name__, is_img2img] = drawn
        networks = ModuleType("networks")
        networks.available_networks = {"ppzocketv2-10": None}  # type: ignore[attr-defined]
        networks.list_available_networks = lambda: None  # type: ignore[attr-defined]
        patch.setitem(sys.modules, "networks", networks)
        app = FastAPI()
        add_api(app)
        for callback in script_callbacks.registered["app_started"]:
            callback(None, app)
        with serve(app) as address:
            yield WebUI(address, finder, processing.samplings, script_callbacks.registered, components)
    forget_webui()
