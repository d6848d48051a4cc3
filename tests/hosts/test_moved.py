"""A WebUI from the future: what moved is told in words, and nothing else of the WebUI breaks."""

from __future__ import annotations

import importlib
import json
import struct
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lib_prodshot.hosts import active, installed
from lib_prodshot.hosts.compatibility.interface_changes import describe_change
from lib_prodshot.hosts.interface import HostUnavailable
from tests.hosts.conftest import Double, _load_door, noise_picture, outcomes, pixels
from tests.hosts.touched import Touch, touched

pytestmark = pytest.mark.any_host

BAG = {"products": "bag", "box_threshold": 0.3}


def test_the_host_we_know_is_fit(webui: Double) -> None:
    assert active.incompatibility() == ""


def test_a_module_that_is_gone(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(active, "_HOST", [])
    monkeypatch.setitem(sys.modules, "modules.shared", None)
    assert "modules.shared" in active.incompatibility()
    # in the drop-down nevertheless, where its panel says why
    assert webui.door.ProdshotScript().show(False) is True


def test_a_list_that_is_gone(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(webui.sd_models, "checkpoints_list")
    told = active.incompatibility()
    assert "checkpoints_list" in told and "please report it" in told


def test_a_callback_that_is_gone(
    webui: Double, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lib_prodshot.hosts.compatibility.callbacks import register

    monkeypatch.delattr(webui.script_callbacks, "on_ui_settings")
    register("ui_settings", print, "/x/prodshot.py")
    assert "ui_settings" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "modules.script_callbacks", None)
    register("ui_tabs", print, "/x/prodshot.py")
    assert "ui_tabs" in capsys.readouterr().out


def test_generations_go_on_where_we_are_unfit(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(active, "_HOST", [])
    monkeypatch.setitem(sys.modules, "modules.launch_utils", None)
    monkeypatch.delattr(webui.sd_samplers, "all_samplers")
    made = webui.generate()
    assert len(made.images) == 1 and "Prodshot" not in made.infotexts[0]


@pytest.mark.parametrize(
    ("hook", "told"), [("postprocess_image_after_composite", "no finished picture"), ("post_sample", "took part")]
)
def test_a_hook_that_is_gone_is_said_in_the_state_line(
    webui: Double, monkeypatch: pytest.MonkeyPatch, hook: str, told: str
) -> None:
    assert active.host().missing_features() == ()
    monkeypatch.delattr(webui.scripts.Script, hook)
    (lack,) = active.host().missing_features()
    assert told in lack


# ---- each name that we touch, gone in its turn


def without(real: ModuleType, name: str) -> ModuleType:
    """A module of the WebUI as we see it, lacking a name; the WebUI itself still has it."""
    seen = ModuleType(real.__name__)
    vars(seen).update({key: value for key, value in vars(real).items() if key != name})
    return seen


def lacking(monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> None:
    """Let our rooms see `module` without `name`."""

    def import_module(wanted: str, package: str | None = None) -> ModuleType:
        found = importlib.import_module(wanted, package)
        return without(found, name) if wanted == module else found

    for ours in [loaded for loaded in sys.modules if loaded.startswith("lib_prodshot.hosts.")]:
        if hasattr(sys.modules[ours], "import_module"):
            monkeypatch.setattr(sys.modules[ours], "import_module", import_module)


IN_DOUBLE = sorted(touch for touch in touched() if touch[0] not in ("modules.ui_components",))


def test_there_are_names_to_lose() -> None:
    assert len(IN_DOUBLE) > 30


@pytest.mark.parametrize("touch", IN_DOUBLE, ids=".".join)
def test_a_name_that_is_gone_costs_no_generation(webui: Double, monkeypatch: pytest.MonkeyPatch, touch: Touch) -> None:
    plain = webui.generate()
    monkeypatch.setattr(active, "_HOST", [])
    lacking(monkeypatch, *touch)
    _load_door(monkeypatch)
    active.incompatibility()
    without_us = webui.generate()
    assert np.array_equal(pixels(without_us.images[0]), pixels(plain.images[0])) and not webui.errors.reported
    with_us = webui.generate(accordion=(True, BAG))
    assert len(with_us.images) == 1
    told = outcomes(with_us) if "Prodshot outcomes" in with_us.extra_generation_params else []
    if told and told[0]["status"] == "failed":
        assert np.array_equal(pixels(with_us.images[0]), pixels(plain.images[0]))
        assert touch[1] in told[0]["reason"] and "please report it" in told[0]["reason"]


@pytest.mark.parametrize("touch", IN_DOUBLE, ids=".".join)
def test_a_name_that_is_gone_is_told_by_the_script(
    webui: Double, monkeypatch: pytest.MonkeyPatch, touch: Touch
) -> None:
    """Its input comes back: enhanced, or as it was with the reason; or the page and the API's caller get the reason."""
    picture = noise_picture()
    monkeypatch.setattr(active, "_HOST", [])
    lacking(monkeypatch, *touch)
    try:
        made = webui.run_script(BAG, init_images=[picture])
    except HostUnavailable as error:
        assert touch[1] in str(error) and "please report it" in str(error)
        return
    (outcome,) = outcomes(made)
    assert outcome["status"] in ("found", "failed")
    if outcome["status"] == "failed":
        assert np.array_equal(pixels(made.images[0]), pixels(picture))
        assert touch[1] in outcome["reason"] and "please report it" in outcome["reason"]


def test_other_arguments_are_told_too(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    def fix_seed(p: Any, more: Any) -> None:
        pass

    monkeypatch.setattr(webui.processing, "fix_seed", fix_seed)
    with pytest.raises(HostUnavailable, match="fix_seed.*please report it"):
        webui.run_script(BAG, init_images=[noise_picture()])


def test_what_is_raised_within_the_webui_is_no_moved_interface(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    def process_images(p: Any) -> Any:
        return p.no_such_attribute

    monkeypatch.setattr(webui.processing, "process_images", process_images)
    (outcome,) = outcomes(webui.run_script(BAG, init_images=[noise_picture()]))
    assert outcome["reason"].startswith("the inpaint pass failed: AttributeError")
    assert describe_change(ImportError("x", name="cv2")) == "" and describe_change(ValueError("x")) == ""


def test_without_a_checkpoint_that_is_known_there_is_nothing_to_inpaint_with(
    webui: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert active.host().no_inpainting() == ""
    monkeypatch.setattr(installed, "family", lambda name: "other")
    assert "cannot be told" in active.host().no_inpainting()
    monkeypatch.setattr(installed, "checkpoints", lambda: ())
    assert "no checkpoint" in active.host().no_inpainting()


@pytest.mark.parametrize("chosen", ["", "gone.safetensors"])
def test_a_checkpoint_that_is_still_to_be_loaded_is_known_by_its_file(
    webui: Double, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chosen: str
) -> None:
    """At a first start no setting names it, and the page is drawn while it loads: the WebUI takes its first."""
    header = json.dumps({"cond_stage_model.transformer.text_model.x": {}}).encode()
    file = tmp_path / "first.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header)
    monkeypatch.setitem(webui.shared.opts.data, "sd_model_checkpoint", chosen)
    monkeypatch.setattr(webui.sd_models.model_data, "sd_model", None)
    assert "cannot be told" in active.host().no_inpainting()
    first = SimpleNamespace(title="first.safetensors", filename=str(file))
    monkeypatch.setattr(webui.sd_models, "checkpoints_list", {first.title: first, **webui.sd_models.checkpoints_list})
    assert active.host().no_inpainting() == "" and installed.family("") == "sd15"
