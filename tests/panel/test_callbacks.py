"""What hangs into the WebUI besides the script: settings page, X/Y/Z axes, and routes only where there is an API."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")

import gradio as gr

from lib_prodshot.hosts.generation.arguments import OVERRIDES, request_from
from lib_prodshot.request import settings
from lib_prodshot.training.publishing.prompts import NOTES_PREFIX
from lib_prodshot.webui import callbacks, options
from lib_prodshot.webui.panel.fields import caption
from tests.api.local_host import LocalHost
from tests.api.tools import DOUBLE, forget_webui


class AxisOption:
    """X/Y/Z plot's own, as far as it is called."""

    def __init__(self, label: str, type: Any, apply: Any, confirm: Any = None, choices: Any = None, **_: Any) -> None:
        self.label, self.type, self.apply, self.confirm, self.choices = label, type, apply, confirm, choices


@pytest.fixture
def double(host: LocalHost, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    forget_webui()
    monkeypatch.syspath_prepend(str(DOUBLE))
    from modules import script_callbacks, scripts, shared

    plot = ModuleType("xyz_grid.py")
    plot.AxisOption, plot.axis_options = AxisOption, []  # type: ignore[attr-defined]
    monkeypatch.setattr(scripts, "scripts_data", [SimpleNamespace(path="/webui/scripts/xyz_grid.py", module=plot)])
    callbacks.register()
    yield SimpleNamespace(plot=plot, registered=script_callbacks.registered, shared=shared, scripts=scripts)
    forget_webui()


def call(double: SimpleNamespace, name: str, *arguments: Any) -> None:
    for callback in double.registered[name]:
        callback(*arguments)


def axis(double: SimpleNamespace, label: str) -> AxisOption:
    return next(one for one in double.plot.axis_options if one.label == f"[Prodshot] {label}")


def test_the_settings_page(double: SimpleNamespace) -> None:
    call(double, "ui_settings")
    labels = {key: info for key, info in double.shared.opts.data_labels.items() if key.startswith("prodshot_")}
    assert {"prodshot_show", "prodshot_models_dir", "prodshot_keep_loaded", "prodshot_finder"} <= labels.keys()
    assert all(info.section == options.SECTION for info in labels.values())
    with gr.Blocks():
        for info in labels.values():
            if info.component is not None:
                arguments = info.component_args() if callable(info.component_args) else info.component_args or {}
                info.component(label=info.label, value=info.default, **arguments)
    assert labels["prodshot_models_dir"].restrict_api and labels["prodshot_api_megabytes"].restrict_api


def test_the_axes(double: SimpleNamespace) -> None:
    call(double, "before_ui")
    call(double, "before_ui")
    assert [one.label for one in double.plot.axis_options].count("[Prodshot] Padding (pixels)") == 1
    swept = [known for known in settings() if not known.webui_only]
    labels = [f"[Prodshot] {caption(known)}" for known in swept]
    assert [one.label for one in double.plot.axis_options] == [*labels, "[Prodshot] Trained LoRA"]


def test_a_cell_has_its_own_values(double: SimpleNamespace) -> None:
    call(double, "before_ui")
    parent = SimpleNamespace()
    cells = []
    for padding in (0, 64):
        cell = copy.copy(parent)
        axis(double, "Padding (pixels)").apply(cell, padding, [0, 64])
        axis(double, "Denoising strength").apply(cell, 0.5, [0.5])
        cells.append(cell)
    assert [getattr(cell, OVERRIDES)["padding"] for cell in cells] == [0, 64]
    assert not hasattr(parent, OVERRIDES)
    request = request_from(cells[1], [{"products": "car", "padding": 8}])
    assert (request.padding, request.denoising_strength) == (64, 0.5)


def test_the_axis_of_trained_loras_exchanges_them_in_every_prompt(double: SimpleNamespace, host: LocalHost) -> None:
    call(double, "before_ui")
    folder = host.trains.lora_folder()
    folder.mkdir(parents=True)
    told = {"activation text": "bag", "preferred weight": 0.8, "notes": f"{NOTES_PREFIX} 0.2.0"}
    for name in ("bag-05", "bag-10"):
        (folder / f"{name}.json").write_text(json.dumps(told))
        (folder / f"{name}.safetensors").write_bytes(b"")
    one = axis(double, "Trained LoRA")
    assert one.choices() == ["bag-05", "bag-10"]
    one.confirm(None, one.choices())
    with pytest.raises(RuntimeError, match="no published LoRA 'bag-07'; published are: bag-05, bag-10"):
        one.confirm(None, ["bag-05", "bag-07"])
    parent = SimpleNamespace(prompt="a bag <lora:bag-10:0.7> <lora:else-10:1>", hr_prompt="")
    plain = SimpleNamespace(prompt="a bag")
    cells = []
    for name in ("bag-05", "bag-10"):
        cell = copy.copy(parent)
        one.apply(cell, name, ["bag-05", "bag-10"])
        cells.append(cell)
    assert [cell.prompt for cell in cells] == [
        f"a bag <lora:{name}:0.7> <lora:else-10:1>" for name in ("bag-05", "bag-10")
    ]
    one.apply(plain, "bag-05", [])
    assert plain.prompt == "a bag, <lora:bag-05:0.8>"
    # and in the prompts of our own passes
    arguments = [{"products": "bag", "class_prompts": "bag: [class] <lora:bag-10:1>"}]
    assert request_from(cells[0], arguments).class_prompts == "bag: [class] <lora:bag-05:1>"
    assert request_from(parent, arguments).class_prompts == "bag: [class] <lora:bag-10:1>"


def test_an_axis_confirms_its_values_before_anything_is_generated(double: SimpleNamespace) -> None:
    call(double, "before_ui")
    one = axis(double, "Control weight")
    one.confirm(None, [0.0, 1.0, 2.0])
    with pytest.raises(RuntimeError, match="control_weight"):
        one.confirm(None, [0.5, 3.0])
    assert axis(double, "Engine").choices() == ["retouch", "inpaint", "edit"]
    assert axis(double, "Padding (pixels)").type is int and axis(double, "Feather (pixels)").type is float


def test_without_the_plot_nothing_happens(double: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(double.scripts, "scripts_data", [])
    call(double, "before_ui")


@pytest.mark.parametrize(
    ("flags", "served"),
    [({"api": True}, True), ({"nowebui": True}, True), ({}, False), ({"api": False, "nowebui": False}, False)],
)
def test_routes_only_where_the_owner_wants_an_api(
    double: SimpleNamespace, host: LocalHost, flags: dict[str, bool], served: bool
) -> None:
    from fastapi import FastAPI

    host.flags = flags
    app = FastAPI()
    call(double, "app_started", None, app)
    assert any("/prodshot/v1/" in getattr(route, "path", "") for route in app.routes) == served
