"""The routes on a plain FastAPI application: the environment's version, a host of our own."""

from __future__ import annotations

import base64
import importlib
import importlib.util
import io
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the routes are tested where FastAPI is: the WebUIs' environments")

from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.finding import registry
from lib_prodshot.finding.interface import Finder
from lib_prodshot.hosts import current, finders
from tests.api.local_host import LocalHost
from tests.api.webui_api import add_api
from tests.finders import fixed_finder

DOUBLE = ROOT / "tests" / "double"

BACKENDS = (
    registry.Backend("langsam", lambda _: ("put dino.pth into /srv/models/prodshot",), lambda _: fixed_finder()),
    registry.Backend("lite", lambda _: (), lambda _: fixed_finder()),
)
"""One finder that is not ready and one that is, whatever weights this machine has."""

DETECT = "/prodshot/v1/detect"
ENHANCE = "/prodshot/v1/enhance"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalHost:
    local = LocalHost(tmp_path)
    monkeypatch.setattr(current, "_HOST", [local])
    monkeypatch.setattr(registry, "backends", lambda: BACKENDS)
    return local


@pytest.fixture
def client(host: LocalHost) -> Iterator[TestClient]:
    from lib_prodshot.webui.routes import add_routes

    app = FastAPI()
    add_routes(app)
    with TestClient(app, raise_server_exceptions=True) as made:
        yield made


@contextmanager
def serve(app: FastAPI) -> Iterator[str]:
    """The application on a real server; yields its address."""
    uvicorn = pytest.importorskip("uvicorn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        running.should_exit = True
        thread.join(10)


@pytest.fixture
def server(host: LocalHost) -> Iterator[str]:
    """Our routes alone, on a real server."""
    from lib_prodshot.webui.routes import add_routes

    app = FastAPI()
    add_routes(app)
    with serve(app) as address:
        yield address


@dataclass
class WebUI:
    """The double with its API and our routes on a real server, and what tests look at from behind."""

    address: str
    finder: Finder
    samplings: list[Any]
    callbacks: Mapping[str, list[Any]]
    components: dict[tuple[str, bool], list[Any]]


@pytest.fixture
def webui(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebUI]:
    """AUTOMATIC1111's double with Mikubill's ControlNet and the real door, its panels drawn by the real gradio."""
    gradio = pytest.importorskip("gradio", reason="the door draws its panel: it is tested where gradio is")
    _forget_webui()
    monkeypatch.syspath_prepend(str(DOUBLE))
    monkeypatch.setattr(current, "_HOST", [])
    monkeypatch.setattr(registry, "backends", lambda: BACKENDS)
    finder = fixed_finder(darkest=20)
    monkeypatch.setattr(
        finders, "choose", lambda *_: SimpleNamespace(backend=SimpleNamespace(name="lite", load=lambda _: finder))
    )
    monkeypatch.setattr(finders, "_KEPT", {})
    from modules import paths, processing, script_callbacks, scripts

    paths.data_path, paths.models_path = str(tmp_path), str(tmp_path / "models")
    processing.samplings.clear()
    control = importlib.import_module("tests.double.controlnet")
    spec = importlib.util.spec_from_file_location("prodshot.py", ROOT / "scripts" / "prodshot.py")
    assert spec and spec.loader
    door = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(door)
    for callback in script_callbacks.registered["ui_settings"]:
        callback()
    components = {}
    for is_img2img, runner in ((False, scripts.scripts_txt2img), (True, scripts.scripts_img2img)):
        runner.add(control.install("mikubill", monkeypatch), 3)
        for script in (door.ProdshotAccordion(), door.ProdshotScript()):
            with gradio.Blocks():
                script.tabname = "img2img" if is_img2img else "txt2img"
                drawn = script.ui(is_img2img)
            runner.add(script, len(drawn)).defaults = [component.value for component in drawn]
            components[type(script).__name__, is_img2img] = drawn
    networks = ModuleType("networks")
    networks.available_networks = {"ppzocketv2-10": None}  # type: ignore[attr-defined]
    networks.list_available_networks = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "networks", networks)
    app = FastAPI()
    add_api(app)
    for callback in script_callbacks.registered["app_started"]:
        callback(None, app)
    with serve(app) as address:
        yield WebUI(address, finder, processing.samplings, script_callbacks.registered, components)
    _forget_webui()


def _forget_webui() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "modules"]:
        del sys.modules[name]
    sys.modules.pop("tests.double.controlnet", None)


def noise(seed: int = 0, size: tuple[int, int] = (48, 64), lowest: int = 60) -> np.ndarray:
    """A bright H×W×3 picture that the fixed finder finds a product in."""
    return np.random.default_rng(seed).integers(lowest, 255, (*size, 3), dtype=np.uint8)


def dark(size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A picture that the fixed finder finds nothing in."""
    return np.random.default_rng(5).integers(0, 12, (*size, 3), dtype=np.uint8)


def as_file(samples: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(samples).save(file, kind, **options)
    return file.getvalue()


def as_code(data: bytes) -> str:
    return base64.b64encode(data).decode()


def opened(code: str) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(code)))
    image.load()
    return image


def body(*pictures: bytes, **settings: Any) -> dict[str, Any]:
    return {"images": [as_code(data) for data in pictures], "products": "handbag", **settings}
