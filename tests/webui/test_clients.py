"""The real WebUIs as programs see them: our routes, a client that nobody here wrote, the command line."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.request import WEBUI_BASE, settings
from tests.webui.conftest import SMALL, none_module, own_unit, seed_picture
from tests.webui.server import Server, decode, encode

LITE = {"finder": "lite", "prompt": "[class] on oak", "control": "off"}


# ---- our own routes


def test_our_routes_stand_in_the_hosts_own_description(webui: Server) -> None:
    paths = webui.get("/openapi.json")["paths"]
    assert {"/prodshot/v1/detect", "/prodshot/v1/enhance", "/prodshot/v1/status", "/prodshot/v1/jobs"} <= paths.keys()
    assert paths.keys() >= webui.get("/prodshot/v1/openapi.json")["paths"].keys()
    status = webui.get("/prodshot/v1/status")
    assert {"lite": True}.items() <= {known["name"]: known["ready"] for known in status["finders"]}.items()
    assert status["lacks"] == [] and status["family"] == "sd15"


def test_detect(clean: Server, seed_dir: Path) -> None:
    before = clean.counts()
    images = [encode(seed_picture(seed_dir, name)) for name in ("car", "unknown")]
    car, moon = clean.post("/prodshot/v1/detect", {"images": images, "products": "car", "finder": "lite"})["outcomes"]
    assert clean.counts() == before | {"loaded": clean.counts()["loaded"]}
    assert (car["status"], moon["status"]) == ("found", "skipped")
    assert decode(car["mask"]).size == (512, 512) and decode(car["overlay"]).size == (512, 512)


@pytest.mark.parametrize("engine", ["inpaint", "retouch"])
def test_enhance(clean: Server, seed_dir: Path, engine: str) -> None:
    before = clean.counts()["samplings"]
    images = [encode(seed_picture(seed_dir, name)) for name in ("car", "unknown")]
    sampling = {"steps": 3, "resolution": 192, "sampler": "Euler", **none_module(clean)} if engine == "inpaint" else {}
    body = {"images": images, "products": "car", "finder": "lite", "engine": engine, **sampling}
    car, moon = clean.post("/prodshot/v1/enhance", body)["outcomes"]
    assert clean.counts()["samplings"] - before == (engine == "inpaint")
    assert car["status"] == "found" and car["audit"]["changed_outside"] == 0
    assert not np.array_equal(np.asarray(decode(car["output"])), np.asarray(seed_picture(seed_dir, "car")))
    assert moon["status"] == "skipped" and moon["output"] == images[1]
    if engine == "inpaint":
        assert "control_v11f1p_sd15_depth" in car["infotext"] and "not confirmed" not in car["infotext"]


# ---- webuiapi


def positional(**changed: Any) -> list[Any]:
    return [{**{known.name: known.default for known in settings(WEBUI_BASE)}, **changed}[s.name] for s in settings()]


def named(**changed: Any) -> list[Any]:
    return [changed]


@pytest.fixture
def api(clean: Server) -> Any:
    client = pytest.importorskip("webuiapi").WebUIApi(baseurl=f"{clean.url}/sdapi/v1")
    client.session.trust_env = False
    return client


def statuses(result: Any) -> list[str]:
    return [outcome["status"] for outcome in result.info["extra_generation_params"]["Prodshot outcomes"]]


@pytest.mark.parametrize("write", [named, positional])
def test_webuiapi_on_img2img(api: Any, seed_dir: Path, write: Any) -> None:
    pictures = [seed_picture(seed_dir, name) for name in ("car", "unknown")]
    given = write(products="car", **LITE)
    car, moon = (
        api.img2img(images=[picture], script_name="prodshot", script_args=given, **SMALL) for picture in pictures
    )
    assert (statuses(car), statuses(moon)) == (["found"], ["skipped"])
    assert np.array_equal(np.asarray(moon.image), np.asarray(pictures[1]))
    beside = api.img2img(images=[pictures[0]], alwayson_scripts={"prodshot": {"args": [True, *given]}}, **SMALL)
    assert statuses(beside) and statuses(beside)[0] in ("found", "skipped")


@pytest.mark.parametrize("write", [named, positional])
def test_webuiapi_on_txt2img(api: Any, write: Any) -> None:
    given = write(products="car, watch", **LITE)
    values = {**SMALL, "batch_size": 2}
    assert statuses(api.txt2img(script_name="prodshot", script_args=given, **values)) == ["skipped"] * 2
    beside = api.txt2img(alwayson_scripts={"prodshot": {"args": [True, *given]}}, **values)
    assert statuses(beside) == ["skipped"] * 2
    with pytest.raises(RuntimeError, match="422"):
        api.txt2img(script_name="prodshot", script_args=write(products="car", **{**LITE, "feather": -1}), **values)


# ---- the command line with a WebUI for its passes


def enhance(webui: Server, out: Path, *options: str) -> list[dict[str, Any]]:
    if importlib.util.find_spec("onnxruntime") is None:
        pytest.skip("the command line's own Python has no onnxruntime for the lite finder")
    fixed = ["--finder", "lite", "--engine", "inpaint", "--webui", webui.url, "--steps", "3", "--resolution", "192"]
    command = [sys.executable, "-m", "lib_prodshot", "enhance", "--products", "car", "--sampler", "Euler", *fixed]
    done = subprocess.run([*command, "--out", str(out), *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (out / "report.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_command_line_against_a_real_webui(clean: Server, seed_dir: Path, tmp_path: Path) -> None:
    pictures = [seed_dir / "filter_image_inputs" / f"{name}.png" for name in ("car", "unknown")]
    before = clean.counts()["samplings"]
    control = ["--control", "required", "--control-module", "none", "--control-model", "control_v11f1p_sd15_depth"]
    car, moon = enhance(clean, tmp_path / "out", *map(str, pictures), *control)
    assert clean.counts()["samplings"] - before == 1
    assert (car["status"], moon["status"]) == ("found", "skipped")
    assert (tmp_path / "out" / "unknown.png").read_bytes() == pictures[1].read_bytes()
    given, made, alpha = (np.asarray(Image.open(path)) for path in (pictures[0], car["output"], alpha_of(car)))
    assert np.array_equal(given[alpha == 0], made[alpha == 0]) and (given != made).any()


def alpha_of(line: dict[str, Any]) -> Path:
    return Path(line["mask"].replace(".mask.", ".alpha."))


def test_a_remote_pass_knows_whether_control_took_part(clean: Server, seed_dir: Path) -> None:
    """On the Forge family only Prodshot over there can tell."""
    pytest.importorskip("httpx")
    from lib_prodshot.hosts.remote import RemoteWebUI
    from lib_prodshot.hosts.remote.inpainting import RemoteInpaintingBackend
    from lib_prodshot.inpainting import InpaintPass

    picture = np.asarray(seed_picture(seed_dir, "car").convert("RGB").resize((192, 192)))
    mask = np.zeros((192, 192), np.uint8)
    mask[48:144, 48:144] = 255
    fixed: dict[str, Any] = {"mask_blur": 4, "prompt": "a car", "negative_prompt": "", "seed": 5, "steps": 3}
    fixed |= {"cfg_scale": 4.0, "sampler": "Euler", "scheduler": "", "denoising_strength": 0.7, "inpainting_fill": 1}
    unit = {key: value for key, value in own_unit(clean).items() if key != "save_detected_map"}
    with RemoteWebUI(clean.url) as remote:
        backend = RemoteInpaintingBackend(remote)
        held = backend.inpaint(InpaintPass(picture, mask, **fixed, control=unit))
        lost = backend.inpaint(InpaintPass(picture, mask, **fixed, control={**unit, "model": "zorro"}))
        free = backend.inpaint(InpaintPass(picture, mask, **fixed))
    assert (held.control_ran, lost.control_ran, free.control_ran) == (True, False, None)
    assert not np.array_equal(held.picture, free.picture)
