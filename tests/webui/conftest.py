"""One running server for each installed host, shared by all end-to-end tests."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.webui import server as servers
from tests.webui.server import Installation, Server, decode, encode

HOSTS = {
    "a1111": "PRODSHOT_WEBUI",
    "forge": "PRODSHOT_FORGE",
    "reforge": "PRODSHOT_REFORGE",
    "classic": "PRODSHOT_CLASSIC",
    "neo": "PRODSHOT_NEO",
}


def installation_of(host: str) -> Installation:
    """The host that the environment names; skips where it names none."""
    folder = os.environ.get(f"{HOSTS[host]}_DIR", "")
    if not folder:
        pytest.skip(f"{HOSTS[host]}_DIR names no installed WebUI")
    place = Path(folder).resolve()
    python = Path(os.environ.get(f"{HOSTS[host]}_PYTHON", place / "venv" / "bin" / "python"))
    if not (place / "launch.py").is_file() or not python.is_file():
        pytest.skip(f"{place} has no launch.py, or {python} is no Python; set {HOSTS[host]}_PYTHON")
    return Installation(host, place, python)


@pytest.fixture(scope="session", params=list(HOSTS))
def bare(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The host with a Python of its own on top of its venv, so that what is installed changes nothing of it."""
    return servers.overlaid(installation_of(request.param), tmp_path_factory.mktemp(f"{request.param}-python"))


@pytest.fixture(scope="session")
def installation(bare: Installation) -> Installation:
    """The host after `install.py`, run as the WebUI runs it."""
    servers.run_installer(bare)
    return bare


@pytest.fixture(scope="session")
def tiny_models(request: pytest.FixtureRequest) -> Path:
    """The tiny models, which AUTOMATIC1111's own code makes; Forge runs on the same ones."""
    folder = request.config.cache.mkdir("prodshot-tiny-models")
    servers.make_tiny_models(installation_of("a1111"), folder)
    return folder


@pytest.fixture(scope="session")
def prepared(
    installation: Installation, tiny_models: Path, models_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A data folder with everything in it."""
    data = tmp_path_factory.mktemp(installation.host)
    servers.lay_out(installation, data, tiny_models, models_dir, ours=True)
    return data


@pytest.fixture(scope="session")
def webui(installation: Installation, prepared: Path) -> Iterator[Server]:
    server = servers.start(installation, prepared)
    try:
        warm_up(server)
        yield server
    finally:
        server.stop()


def warm_up(server: Server) -> None:
    """A WebUI's very first plain generation on a CPU differs from the next, equal one by single grey levels, and so
    do its first inpaint pass and its first with ControlNet: have them behind us."""
    picture, mask = (encode(Image.new(mode, (512, 512), colour)) for mode, colour in (("RGB", "grey"), ("L", 255)))
    txt2img(server)
    body = {**SMALL, "init_images": [picture], "mask": mask, "prompt": "a photo", "width": 512, "height": 512}
    for scripts in ({}, {"controlnet": {"args": [own_unit(server)]}}):
        server.post("/sdapi/v1/img2img", {**body, "alwayson_scripts": scripts})


@pytest.fixture
def clean(webui: Server) -> Iterator[Server]:
    """The server with nothing set to break, before and after."""
    webui.post("/harness/faults", {})
    yield webui
    webui.post("/harness/faults", {})


def same(server: Server, one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two generations' pixels are equal. Of classic single grey levels are let pass: on a CPU two equal plain
    inpaint passes of its own, without Prodshot, differ by as much at times."""
    most = 1 if server.installation.host == "classic" else 0
    return int(np.abs(one - other).max()) <= most


def own_unit(server: Server) -> dict[str, Any]:
    """A ControlNet unit as a user of that host writes it."""
    module = "none" if server.installation.host == "a1111" else "None"
    models = server.get("/controlnet/model_list")["model_list"]
    model = next(model for model in models if "depth" in model)
    return {"enabled": True, "module": module, "model": model, "processor_res": 192, "save_detected_map": False}


def seed_picture(seed_dir: Path, name: str) -> Image.Image:
    return Image.open(seed_dir / "filter_image_inputs" / f"{name}.png")


class Answer:
    """What the API gave: pictures, infotexts, parameters, outcomes."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.codes: list[str] = body["images"]
        self.images = [decode(text) for text in self.codes]
        self.info = json.loads(body["info"])
        self.infotexts: list[str] = self.info["infotexts"]
        self.outcomes: list[dict[str, Any]] = self.info["extra_generation_params"].get("Prodshot outcomes", [])

    def pixels(self, number: int = 0) -> np.ndarray:
        return np.asarray(self.images[number]).astype(int)


def none_module(server: Server) -> dict[str, Any]:
    """Control that needs no weights of a preprocessor: the picture itself is the hint."""
    return {"control_module": "none", "control_model": "control_v11f1p_sd15_depth", "control": "required"}


SMALL = {"seed": 5, "steps": 3, "width": 192, "height": 192, "sampler_name": "Euler", "cfg_scale": 4}


def img2img(server: Server, image: Image.Image, *script_args: Any, **values: Any) -> Answer:
    """The script on a picture."""
    body = {"init_images": [encode(image)], "prompt": "studio photo", **SMALL, "script_name": "prodshot"}
    return Answer(server.post("/sdapi/v1/img2img", {**body, "script_args": list(script_args), **values}))


def txt2img(server: Server, **values: Any) -> Answer:
    return Answer(server.post("/sdapi/v1/txt2img", {"prompt": "a photo", **SMALL, **values}))


def accordion(*arguments: Any) -> dict[str, Any]:
    """The accordion over the API."""
    return {"alwayson_scripts": {"prodshot": {"args": list(arguments)}}}
