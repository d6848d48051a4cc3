"""The PyPI client `webuiapi`, which nobody here wrote, drives txt2img and img2img with Prodshot both ways: through
`script_name` and through `alwayson_scripts`. PRODSHOT_WEBUI_URL adds the same run against a real WebUI."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
from PIL import Image

from lib_prodshot.request import WEBUI_BASE, settings
from tests.api.tools import WebUI, dark, noise

webuiapi = pytest.importorskip("webuiapi")

FOUND = Image.fromarray(noise(4, (96, 128)))
ABSENT = Image.fromarray(dark((96, 128)))
QUICK = {"steps": 2, "width": 128, "height": 96, "seed": 7, "sampler_name": "Euler", "prompt": "a photo"}


@pytest.fixture
def api(webui: WebUI) -> Iterator[Any]:
    yield client_of(webui.address)


def client_of(address: str) -> Any:
    client = webuiapi.WebUIApi(baseurl=f"{address}/sdapi/v1")
    client.session.trust_env = False
    return client


def outcomes(result: Any) -> list[dict[str, Any]]:
    return list(result.info["extra_generation_params"]["Prodshot outcomes"])


def positional(**changed: Any) -> list[Any]:
    return [{**{known.name: known.default for known in settings(WEBUI_BASE)}, **changed}[s.name] for s in settings()]


def named(**changed: Any) -> list[Any]:
    return [changed]


def both(**changed: Any) -> list[Any]:
    return ["handbag", "auto", 0.4, {"feather": 2.0, **changed}]


@pytest.mark.parametrize("write", [named, positional, both])
def test_script_on_img2img_enhances_the_input(api: Any, webui: WebUI, write: Any) -> None:
    given = write(products="handbag", feather=2.0)
    result = api.img2img(images=[FOUND], script_name="prodshot", script_args=given, **QUICK)
    (outcome,) = outcomes(result)
    assert outcome["status"] == "found" and outcome["audit"]["changed_outside"] == 0
    before, after = np.asarray(FOUND), np.asarray(result.image.convert("RGB"))
    changed = np.argwhere((before != after).any(axis=2))
    assert len(changed) > 500 and changed[:, 0].min() >= 24 - 5 and changed[:, 1].min() >= 32 - 5
    assert len(webui.samplings) == 1
    assert "Prodshot: found handbag 0.80" in result.info["infotexts"][0].replace('"', "")


def test_script_on_img2img_skips_without_sampling(api: Any, webui: WebUI) -> None:
    result = api.img2img(images=[ABSENT], script_name="Prodshot", script_args=named(products="handbag"), **QUICK)
    assert outcomes(result)[0]["status"] == "skipped"
    assert np.array_equal(np.asarray(result.image.convert("RGB")), np.asarray(ABSENT))
    assert webui.samplings == []


@pytest.mark.parametrize("engine", ["inpaint", "retouch"])
def test_script_on_txt2img_looks_at_every_output(api: Any, webui: WebUI, engine: str) -> None:
    given = named(products="handbag", engine=engine)
    result = api.txt2img(script_name="prodshot", script_args=given, batch_size=2, n_iter=2, **QUICK)
    assert [outcome["status"] for outcome in outcomes(result)] == ["found"] * 4
    assert len(webui.samplings) == 2 + (4 if engine == "inpaint" else 0)


@pytest.mark.parametrize("tab", ["txt2img", "img2img"])
@pytest.mark.parametrize(
    "args",
    [
        [True, {"products": "handbag", "engine": "retouch"}],
        [{"enabled": True, "products": "handbag", "engine": "retouch"}],
        [{"products": "handbag", "engine": "retouch"}],
    ],
)
def test_accordion(api: Any, webui: WebUI, tab: str, args: list[Any]) -> None:
    given: dict[str, Any] = {"alwayson_scripts": {"Prodshot": {"args": args}}, **QUICK}
    if tab == "img2img":
        given |= {"images": [FOUND], "denoising_strength": 0.1}
    result = getattr(api, tab)(**given)
    assert [outcome["status"] for outcome in outcomes(result)] == ["found"]
    assert len(webui.samplings) == 1


def test_accordion_is_off_unless_switched_on(api: Any) -> None:
    for given in (
        {},
        {"alwayson_scripts": {"prodshot": {"args": []}}},
        {"alwayson_scripts": {"prodshot": {"args": [False]}}},
    ):
        result = api.txt2img(**QUICK, **given)
        assert "Prodshot outcomes" not in result.info["extra_generation_params"]
        assert "Prodshot" not in result.info["infotexts"][0]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"products": "handbag", "denoising": 0.5}, "denoising"),
        ({"products": "handbag", "denoising_strength": 2}, "denoising_strength"),
        ({"products": "handbag", "grow": "4"}, "grow"),
        ({"products": ""}, "products"),
        ({}, "products"),
    ],
)
@pytest.mark.parametrize("tab", ["txt2img", "img2img"])
def test_script_refuses_with_the_field(api: Any, webui: WebUI, tab: str, given: dict[str, Any], field: str) -> None:
    sent: dict[str, Any] = {"script_name": "prodshot", "script_args": [given], **QUICK}
    with pytest.raises(RuntimeError) as refused:
        getattr(api, tab)(**sent, **({"images": [FOUND]} if tab == "img2img" else {}))
    status, text = refused.value.args
    assert status == 422
    problem = json.loads(text)["detail"][0]
    assert problem["field"] == field and problem["allowed"]
    assert webui.samplings == []


def test_accordion_refuses_with_the_field(api: Any, webui: WebUI) -> None:
    given = {"alwayson_scripts": {"prodshot": {"args": [True, {"products": "handbag", "denoising": 0.5}]}}}
    with pytest.raises(RuntimeError) as refused:
        api.txt2img(**QUICK, **given)
    status, text = refused.value.args
    assert status == 422
    assert json.loads(text)["detail"][0]["field"] == "denoising"
    assert webui.samplings == []


def test_unknown_scripts_are_the_hosts_business(api: Any) -> None:
    with pytest.raises(RuntimeError) as refused:
        api.txt2img(script_name="prodshots", script_args=[], **QUICK)
    assert refused.value.args[0] == 422


# --- a real WebUI ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif("PRODSHOT_WEBUI_URL" not in os.environ, reason="PRODSHOT_WEBUI_URL names no running WebUI")
class TestRealWebUI:
    """The lite finder on real photographs: a cup there is one of, and the Moon."""

    @pytest.fixture
    def real(self) -> Any:
        return client_of(os.environ["PRODSHOT_WEBUI_URL"])

    @pytest.fixture
    def pictures(self) -> tuple[Image.Image, Image.Image]:
        data = pytest.importorskip("skimage.data", reason="its photographs are the input")
        cup = Image.fromarray(data.coffee()).resize((300, 200))
        moon = Image.fromarray(data.moon()).convert("RGB").resize((256, 256))
        return cup, moon

    @pytest.mark.parametrize("engine", ["retouch", "inpaint"])
    def test_script_on_img2img(self, real: Any, pictures: tuple[Image.Image, Image.Image], engine: str) -> None:
        given = named(products="cup", finder="lite", engine=engine, control="off", prompt="a [class]", resolution=128)
        result = real.img2img(images=[pictures[0]], script_name="prodshot", script_args=given, **QUICK)
        (outcome,) = outcomes(result)
        assert outcome["status"] == "found" and outcome["audit"]["changed_outside"] == 0, outcome
        assert not np.array_equal(np.asarray(result.image.convert("RGB")), np.asarray(pictures[0]))

    def test_script_skips_the_moon(self, real: Any, pictures: tuple[Image.Image, Image.Image]) -> None:
        given = named(products="cup", finder="lite")
        result = real.img2img(images=[pictures[1]], script_name="prodshot", script_args=given, **QUICK)
        assert outcomes(result)[0]["status"] == "skipped"
        assert np.array_equal(np.asarray(result.image.convert("RGB")), np.asarray(pictures[1]))

    @pytest.mark.parametrize("tab", ["txt2img", "img2img"])
    def test_accordion(self, real: Any, pictures: tuple[Image.Image, Image.Image], tab: str) -> None:
        given: dict[str, Any] = {
            "alwayson_scripts": {"prodshot": {"args": [True, {"products": "cup", "finder": "lite"}]}}
        }
        if tab == "img2img":
            given |= {"images": [pictures[1]], "denoising_strength": 0.0}
        result = getattr(real, tab)(**QUICK, **given)
        assert [outcome["status"] for outcome in outcomes(result)] == ["skipped"]

    def test_script_on_txt2img(self, real: Any) -> None:
        result = real.txt2img(
            script_name="prodshot", script_args=named(products="cup", finder="lite"), batch_size=2, **QUICK
        )
        assert [outcome["status"] for outcome in outcomes(result)] == ["skipped", "skipped"]

    @pytest.mark.parametrize("tab", ["txt2img", "img2img"])
    def test_refusal(self, real: Any, pictures: tuple[Image.Image, Image.Image], tab: str) -> None:
        extra = {"images": [pictures[0]]} if tab == "img2img" else {}
        with pytest.raises(RuntimeError) as refused:
            getattr(real, tab)(script_name="prodshot", script_args=[{"product": "cup"}], **QUICK, **extra)
        assert refused.value.args[0] == 422 and "product" in refused.value.args[1]
