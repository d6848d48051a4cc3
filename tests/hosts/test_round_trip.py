"""No setting is lost between a generation and the panel, whichever entry point made the picture."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from lib_prodshot.hosts.generation.attributes import REPORT_CONTROL
from lib_prodshot.infotext import joined, value_in
from lib_prodshot.outcome import CONTROL_APPLIED, CONTROL_REASON, INFOTEXT_KEYS, VERDICT
from lib_prodshot.request import WEBUI_BASE, setting_named, settings
from lib_prodshot.schema import RESERVED_NAMES, setting
from lib_prodshot.steps import registry
from lib_prodshot.steps.interface import Step, StepSettings
from tests.hosts import round_trip
from tests.hosts.conftest import Double, noise_picture, parameters


def test_every_setting_comes_back_at_every_entry_point(webui: Double, tmp_path: Path) -> None:
    lost = {name: round_trip.lost(webui, name, tmp_path) for name in round_trip.ENTRY_POINTS}
    assert not any(lost.values()), lost
    page = round_trip.table(lost)
    if os.environ.get(round_trip.WRITE):
        round_trip.PAGE.write_text(page, encoding="utf-8")
    command = "python -m tests.hosts.round_trip"
    assert round_trip.PAGE.read_text(encoding="utf-8") == page, f"docs/infotext.md is out of date: run {command}"


def test_no_key_is_used_twice() -> None:
    keys = [*(known.infotext.lower() for known in settings()), *(key.lower() for key in INFOTEXT_KEYS)]
    assert len(set(keys)) == len(keys)
    names = [*(known.name for known in settings()), *(step.id for step in registry.STEPS), *RESERVED_NAMES]
    assert len(set(names)) == len(names)
    assert REPORT_CONTROL in RESERVED_NAMES
    # what an earlier picture has left in a generation's parameters is found by this
    assert all(key.startswith(VERDICT) for key in INFOTEXT_KEYS)


class _RanSettings(StepSettings):
    ran: str = setting("", help="Clashes with the infotext key of what ran.")


class _ImageSettings(StepSettings):
    image: str = setting("", help="Clashes with a field of the routes.")


@pytest.mark.parametrize("model", [_RanSettings, _ImageSettings])
def test_a_setting_that_clashes_is_refused(monkeypatch: pytest.MonkeyPatch, model: type[StepSettings]) -> None:
    clashing = type("Clashing", (Step,), {"id": "clash", "settings": model, "prefix": "", "tab": "", "run": None})
    monkeypatch.setattr(registry, "STEPS", (*registry.STEPS, clashing()))
    with pytest.raises(TypeError, match="share the name"):
        registry.settings_by_step()


@pytest.mark.parametrize("choice", ["required", "off"])
def test_the_report_for_remote_clients_leaves_the_setting_alone(webui: Double, choice: str) -> None:
    report = {REPORT_CONTROL: True}
    looked = webui.generate(accordion=[True, {"products": "car", "control": choice}, report])
    assert parameters(webui, looked)["Prodshot control"] == choice


def test_a_remote_client_is_told_of_controlnet(webui: Double) -> None:
    unit = {"enabled": True, "module": "canny", "model": webui.control.MODELS[1], "weight": 1.0}
    broken = {**unit, "module": "depth_broken"}
    why = "loading depth_broken; what its preprocessor needs cannot be downloaded (<urlopen error no network>)"
    why += ": go online, or choose another one"
    for units, applied, reason in (((), False, None), ([broken], False, why), ([unit], True, None)):
        looked = webui.generate(
            is_img2img=True,
            init_images=[noise_picture()],
            accordion=[False, {REPORT_CONTROL: True}],
            units=units,
        )
        assert looked.extra_generation_params[CONTROL_APPLIED] is applied
        assert looked.extra_generation_params.get(CONTROL_REASON) == reason
        # ControlNet's script is its own again, and nothing listens any longer
        assert "process" not in vars(webui.script(True, "ControlNet", True))
        assert logging.getLogger("ControlNet").handlers == []


@pytest.mark.parametrize(
    ("ran", "control"),
    [
        ("512x512, 20 steps Euler, CFG 7, seed 1, no ControlNet", "off"),
        ("512x512, 20 steps Euler, CFG 7, seed 1, depth_midas control_v11f1p_sd15_depth weight 1", "required"),
        ("", None),
    ],
)
def test_an_infotext_of_the_first_release_is_read(webui: Double, ran: str, control: str | None) -> None:
    """There 'Prodshot control: False' stood in place of the setting."""
    told = {"Prodshot": "found car 0.80", "Prodshot products": "car", "Prodshot ran": ran, "Prodshot control": "False"}
    read = webui.infotext_utils.parse_generation_parameters(f"a photo\n{joined(told)}")
    assert value_in(read, setting_named("control", WEBUI_BASE)) == control
    assert value_in(read, setting_named("products", WEBUI_BASE)) == "car"
