"""ControlNet's unit in both dialects: really used, validated before, probed during, and the parent's own kept."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from lib_prodshot.hosts.active import host
from lib_prodshot.inpainting import InpaintPass
from tests.hosts.conftest import Double, noise_picture, outcomes, parameters, pixels

pytestmark = pytest.mark.any_host

CAR = {"products": "car"}
BOTH = pytest.mark.parametrize("dialect", ["mikubill", "forge"], indirect=True)


@BOTH
def test_the_unit_is_used(webui: Double) -> None:
    given = noise_picture()
    runs = {}
    for weight in (0.0, 1.0):
        looked = webui.run_script({**CAR, "control_weight": weight}, init_images=[given])
        runs[weight] = pixels(looked.images[0])[35:45, 45:55]
        told = parameters(webui, looked)["Prodshot ran"]
        assert f", depth_midas control_v11f1p_sd15_depth [cfd03158] weight {weight:g}, prompt " in told
    assert runs[1.0].mean() - runs[0.0].mean() > 10
    off = webui.run_script({**CAR, "control": "off"}, init_images=[given])
    assert np.array_equal(pixels(off.images[0])[35:45, 45:55], runs[0.0])
    assert parameters(webui, off)["Prodshot ran"].count("no ControlNet") == 1


@BOTH
def test_the_slots_hold_one_plain_unit(webui: Double) -> None:
    webui.run_script({**CAR, "control_guidance_end": 0.8}, init_images=[noise_picture()])
    (inner,) = webui.samplings
    script = webui.script(True, "ControlNet", True)
    unit, *others = inner.script_args[script.args_from : script.args_to]
    assert others == [{"enabled": False}] * 2
    assert (unit["module"], unit["model"]) == ("depth_midas", "control_v11f1p_sd15_depth [cfd03158]")
    assert (unit["weight"], unit["guidance_start"], unit["guidance_end"]) == (1.0, 0.0, 0.8)
    assert (unit["resize_mode"], unit["control_mode"], unit["processor_res"]) == ("Crop and Resize", "Balanced", 512)
    assert unit["pixel_perfect"] is False and unit["save_detected_map"] is False and "image" not in unit


@BOTH
def test_it_is_found_under_whatever_title(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork may show titles in the page's language; the file keeps its name."""
    p, script = webui.generation(True, init_images=[noise_picture()]), webui.script(True, "ControlNet", True)
    monkeypatch.setattr(type(script), "title", lambda self: "控制网络")
    webui.run_on(p, {**CAR, "control": "required"})
    (inner,) = webui.samplings
    assert inner.script_args[script.args_from]["model"] == "control_v11f1p_sd15_depth [cfd03158]"


@pytest.mark.parametrize("dialect", ["forge"], indirect=True)
def test_modes_and_none_in_the_forks_words(webui: Double) -> None:
    settings = {**CAR, "control_mode": "My prompt is more important", "control_module": "none", "control": "required"}
    looked = webui.run_script({**settings, "control_model": "control_v11p_sd15_canny"}, init_images=[noise_picture()])
    assert outcomes(looked)[0]["status"] == "found"
    (inner,) = webui.samplings
    script = webui.script(True, "ControlNet", True)
    unit = inner.script_args[script.args_from]
    assert (unit["control_mode"], unit["module"]) == ("Prefer Prompt", "None")


@BOTH
def test_a_silent_failure_is_noticed(webui: Double, dialect: str) -> None:
    if dialect == "forge":
        pytest.importorskip("requests")
    given = noise_picture()
    looked = webui.run_script({**CAR, "control_module": "depth_broken"}, init_images=[given])
    assert outcomes(looked)[0]["status"] == "found"
    reason = "did not take part: loading depth_broken; what its preprocessor needs cannot be downloaded "
    reason += {"mikubill": "(<urlopen error no network>)", "forge": "(Failed to establish a new connection: "}[dialect]
    assert f"without ControlNet: the WebUI's ControlNet {reason}" in parameters(webui, looked)["Prodshot notes"]
    assert reason in outcomes(looked)[0]["notes"][0] and reason in looked.comments
    assert "KeyError" not in outcomes(looked)[0]["notes"][0]  # what a hook of Forge's raises after the one that failed
    assert parameters(webui, looked)["Prodshot ran"].count("no ControlNet") == 1
    looked = webui.run_script({**CAR, "control_module": "depth_broken", "control": "required"}, init_images=[given])
    assert np.array_equal(pixels(looked.images[0]), pixels(given))
    assert reason in outcomes(looked)[0]["reason"] and reason in parameters(webui, looked)["Prodshot"]
    # the script of the page is as it was, and nothing listens any longer
    assert "process" not in vars(webui.script(True, "ControlNet", True))
    assert logging.getLogger("ControlNet").handlers == []
    assert "reason" not in str(outcomes(webui.run_script(CAR, init_images=[given]))[0]["notes"])


@BOTH
def test_a_pass_of_its_own_before_a_browser_has_opened_the_tab(webui: Double) -> None:
    """ControlNet's script has no arguments given out then (forge-again): it takes one unit in the first place."""
    for one in webui.runner(True).scripts:
        one.args_from = one.args_to = None
    backend = host().inpainting_backend()
    lists = backend.control_lists()
    assert lists is not None and lists.slots == 1
    unit = {"enabled": True, "module": lists.none_module, "model": lists.models[0], "weight": 1.0}
    picture, mask = np.zeros((64, 64, 3), np.uint8), np.full((64, 64), 255, np.uint8)
    fixed: dict[str, Any] = {"mask_blur": 0, "prompt": "a car", "negative_prompt": "", "seed": 1, "steps": 2}
    fixed |= {"cfg_scale": 4.0, "sampler": "Euler", "scheduler": "", "denoising_strength": 0.5, "inpainting_fill": 1}
    fixed["control"] = {**unit, "control_mode": "Balanced"}
    assert backend.inpaint(InpaintPass(picture, mask, **fixed)).control_ran
    (inner,) = webui.samplings
    assert inner.script_args[1]["model"] == lists.models[0]
    assert webui.script(True, "ControlNet", True).args_from is None


@pytest.mark.parametrize("dialect", [None], indirect=True)
def test_without_controlnet(webui: Double) -> None:
    given = noise_picture()
    looked = webui.run_script(CAR, init_images=[given])
    assert outcomes(looked)[0]["status"] == "found"
    assert "without ControlNet: it is not installed" in parameters(webui, looked)["Prodshot notes"]
    looked = webui.run_script({**CAR, "control": "required"}, init_images=[given])
    assert parameters(webui, looked)["Prodshot"].startswith("failed: ControlNet is required, but it is not installed")
    assert np.array_equal(pixels(looked.images[0]), pixels(given))


def parents_unit(webui: Double) -> dict[str, Any]:
    model = webui.control.MODELS[1]
    return {"enabled": True, "module": "canny", "model": model, "weight": 1.5, "control_mode": "Balanced"}


@BOTH
def test_the_parents_own_controlnet_goes_on(webui: Double) -> None:
    """Every batch of the parent is held by its own unit, before and after each of our passes."""
    values: dict[str, Any] = {"n_iter": 3, "do_not_save_grid": True, "units": [parents_unit(webui)]}
    plain = webui.generate(**values)
    bare = webui.generate(n_iter=3, do_not_save_grid=True)
    looked = webui.generate(**values, accordion=[True, CAR])
    assert len(looked.images) == len(plain.images)
    for number in range(3):
        assert not np.array_equal(pixels(bare.images[number]), pixels(plain.images[number]))
        assert np.array_equal(pixels(looked.images[number])[:6], pixels(plain.images[number])[:6])
    assert webui.control.Hook.at_work is None
    assert [outcome["status"] for outcome in outcomes(looked)] == ["found"] * 3


def test_our_pass_is_free_of_the_parents_unit(webui: Double) -> None:
    free = webui.generate(accordion=[True, {**CAR, "control": "off"}])
    held = webui.generate(accordion=[True, {**CAR, "control": "off"}], units=[{**parents_unit(webui), "weight": 0.0}])
    assert np.array_equal(pixels(free.images[0]), pixels(held.images[0]))


def test_controlnet_keeps_its_models_between_passes(webui: Double) -> None:
    """The extension drops its cache when the checkpoint's hash is not the one it saw last; a copy must tell it."""
    webui.run_script(CAR, init_images=[noise_picture()])
    assert webui.script(True, "ControlNet", True).latest_model_hash == "5f4cf4601d"
