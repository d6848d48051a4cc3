"""A wrong request over the API is answered with 422 at every entry point, before anything is sampled."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lib_prodshot.errors import UnknownProducts
from tests.hosts.conftest import Double, noise_picture, outcomes, parameters

fastapi = pytest.importorskip("fastapi", reason="FastAPI comes with a WebUI")


def script(webui: Double, is_img2img: bool, sent: dict[str, Any]) -> Any:
    values = {"init_images": [noise_picture()]} if is_img2img else {}
    p = webui.generation(is_img2img=is_img2img, **values)
    p.is_api = True
    webui.state.begin("api")
    return webui.run_on(p, sent, is_img2img=is_img2img)


def accordion(webui: Double, is_img2img: bool, sent: dict[str, Any]) -> Any:
    values = {"init_images": [noise_picture()]} if is_img2img else {}
    p = webui.generation(is_img2img=is_img2img, accordion=[sent], **values)
    p.is_api = True
    webui.state.begin("api")
    return webui.processing.process_images(p)


ENTRY_POINTS = pytest.mark.parametrize(
    ("call", "is_img2img"),
    [(script, False), (script, True), (accordion, False), (accordion, True)],
    ids=["script txt2img", "script img2img", "accordion txt2img", "accordion img2img"],
)
Call = Callable[[Double, bool, dict[str, Any]], Any]


def test_a_tab_that_no_browser_has_opened_takes_no_arguments(webui: Double) -> None:
    """forge-again gives a script of img2img its arguments when its tab is first opened; until then the API overwrites
    the first of those it was sent, and hands every script all that are left."""
    p = webui.generation(is_img2img=True, init_images=[noise_picture()])
    p.is_api, p.script_args = True, [2, {"enabled": True, "products": "car"}]
    door = webui.script(True, "Prodshot", False)
    places = door.args_from, door.args_to
    for one in webui.runner(True).scripts:
        one.args_from = one.args_to = None
    with pytest.raises(fastapi.HTTPException) as refused:
        door.run(p, *p.script_args)
    assert refused.value.status_code == 422 and "open that tab once" in str(refused.value.detail)
    looked = webui.processing.process_images(p)
    assert len(looked.images) == 1 and "Prodshot" not in looked.infotexts[0]
    # once it is open they come through, at the end of a list that was made when there were no places
    door.args_from, door.args_to = places
    p.script_args = [2, {"products": "car"}]
    webui.state.begin("api")
    assert outcomes(door.run(p))[0]["status"] == "found"


PACKSHOT = {"products": "car", "make": "packshot"}


@pytest.fixture
def closed(webui: Double) -> Double:
    """A finder that knows cars only, and can say so without a picture."""

    def refuse_unknown(classes: Any) -> None:
        unknown = {item.name: ["car"] for item in classes if item.name != "car"}
        if unknown:
            raise UnknownProducts(unknown, "fixed", "name others")

    real = webui.detector.detect

    def detect(picture: Any, classes: Any, text_threshold: float) -> Any:
        refuse_unknown(classes)
        return real(picture, classes, text_threshold)

    webui.detector.refuse_unknown, webui.detector.detect = refuse_unknown, detect
    return webui


@ENTRY_POINTS
@pytest.mark.parametrize(
    ("sent", "fields"),
    [
        ({"products": "car", "zorro": 1, "feather": -1}, ["zorro", "feather"]),
        ({"products": " "}, ["products"]),
        ({"products": "car, qx, zx"}, ["products"]),
        ({"products": "qx", "unknown": "leave out"}, ["products"]),
        ({**PACKSHOT, "ground": "picture", "ground_picture": "gone.png"}, ["ground_picture"]),
        ({**PACKSHOT, "enlarge": "model", "upscaler": "x"}, ["upscaler"]),
    ],
)
def test_the_same_status_everywhere(
    closed: Double, call: Call, is_img2img: bool, sent: dict[str, Any], fields: list[str]
) -> None:
    with pytest.raises(fastapi.HTTPException) as caught:
        call(closed, is_img2img, sent)
    assert caught.value.status_code == 422
    assert [problem["field"] for problem in caught.value.detail] == fields
    json.dumps(caught.value.detail)
    assert closed.samplings == []
    if "qx, zx" in sent["products"]:
        assert "'qx' (nearest known names: car), 'zx'" in caught.value.detail[0]["message"]


@ENTRY_POINTS
def test_unknown_products_are_left_out(closed: Double, call: Call, is_img2img: bool) -> None:
    looked = call(closed, is_img2img, {"products": "qx, car", "unknown": "leave out"})
    assert outcomes(looked)[0]["status"] == "found"
    told = parameters(closed, looked)
    assert "left out: the fixed finder does not know 'qx'" in told["Prodshot notes"]
    assert (told["Prodshot products"], told["Prodshot unknown"]) == ("qx, car", "leave out")


def test_on_the_page_the_verdict_says_it(closed: Double) -> None:
    looked = closed.run_script({"products": "car, qx"}, is_img2img=False)
    assert len(closed.samplings) == 1
    assert "does not know 'qx'" in parameters(closed, looked)["Prodshot"]


def test_a_ground_picture_of_this_machine_on_the_page(closed: Double, tmp_path: Path) -> None:
    Image.new("RGB", (30, 20), (10, 20, 200)).save(tmp_path / "blue.png")
    sent = {**PACKSHOT, "ground": "picture", "ground_picture": str(tmp_path / "blue.png")}
    looked = closed.run_script(sent, is_img2img=False)
    assert outcomes(looked)[0]["status"] == "found"
    assert looked.images[0].convert("RGB").getpixel((0, 0)) == (10, 20, 200)
    missing = closed.run_script({**sent, "ground_picture": str(tmp_path / "gone.png")}, is_img2img=False)
    assert parameters(closed, missing)["Prodshot"].startswith("failed: ground_picture: ")
