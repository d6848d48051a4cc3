"""A new step is on every surface of a WebUI by itself: panel, infotext and paste, X/Y/Z axes, API, presets."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")

import jsonschema
from fastapi import FastAPI
from fastapi.testclient import TestClient

from lib_prodshot.request import Request, setting_named, settings
from lib_prodshot.steps import registry
from lib_prodshot.webui import presets
from lib_prodshot.webui.api import openapi, routes
from lib_prodshot.webui.panel import axes
from tests.api.local_host import LocalHost
from tests.panel.drawing import draw_bare, draw_page
from tests.panel.test_infotext import infotext, pasted
from tests.steps.toy import WITH_TOY


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, host: LocalHost) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(registry, "STEPS", WITH_TOY)
        importlib.reload(openapi)
        yield
    importlib.reload(openapi)


def test_the_panel_has_a_tab_for_it(toy: None) -> None:
    page, _ = draw_page()
    assert any(block.elem_id == "script_img2img_prodshot_tab_lighten" for block in page.blocks.values())
    labels = [component.label for component in draw_bare().components]
    place = labels.index("Lighten amount (levels)")
    assert labels[place + 1] == "Lighten curve"


def test_its_settings_come_back_from_an_infotext(toy: None) -> None:
    text = infotext(Request(products="car", lighten_amount=7, lighten_curve="steep"))
    assert "Prodshot lighten amount: 7" in text
    named = {known.name: known for known in settings()}
    from lib_prodshot.infotext import value_in
    from tests.double.modules.infotext_utils import parse_generation_parameters

    parameters = parse_generation_parameters(text)
    assert value_in(parameters, named["lighten_amount"]) == 7
    assert value_in(parameters, named["lighten_curve"]) == "steep"
    assert pasted(text)["products"] == "car"


def test_it_has_axes(toy: None, monkeypatch: pytest.MonkeyPatch) -> None:
    plot = SimpleNamespace(AxisOption=lambda label, *_, **__: SimpleNamespace(label=label), axis_options=[])
    monkeypatch.setattr(axes, "_plot", lambda: plot)
    axes.add_axes()
    assert "[Prodshot] Lighten amount (levels)" in [axis.label for axis in plot.axis_options]


def test_the_api_tells_and_takes_it(toy: None) -> None:
    (route,) = (route for route in openapi.ROUTES if route.path == "/enhance")
    assert route.body is not None
    for sent in ({"lighten_amount": 3}, {"lighten": {"amount": 3}}):
        body = {"images": ["aGVsbG8="], "products": "car", **sent}
        jsonschema.validate(body, route.body)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"images": ["aGVsbG8="], "products": "car", "lighten": {"colour": 1}}, route.body)
    app = FastAPI()
    routes.add_routes(app)
    with TestClient(app) as client:
        told = {known["name"]: known for known in client.get("/prodshot/v1/schema").json()["settings"]}
        assert told["lighten_amount"]["owner"] == "lighten" and told["lighten_amount"]["field"] == "amount"
        wrong: dict[str, Any] = {"images": ["aGVsbG8="], "products": "car", "lighten": {"amount": 101}}
        reply = client.post("/prodshot/v1/enhance", json=wrong)
        assert reply.status_code == 422 and reply.json()["detail"][0]["field"] == "lighten_amount"


def test_presets_hold_it(toy: None) -> None:
    preset = presets.Preset("Bright", Request(products="car", lighten_amount=7))
    assert presets.from_text(preset.to_text()) == preset
    assert '"lighten_amount": 7' in preset.to_text()


def test_it_is_gone_again() -> None:
    with pytest.raises(KeyError):
        setting_named("lighten_amount")
