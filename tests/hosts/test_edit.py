"""The engine edit in a WebUI: one pass of an edit model as neo runs it, and every host or checkpoint that has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_prodshot.hosts.active import host
from tests.double import neo
from tests.hosts.conftest import Double, outcomes, parameters, pixels

SKIMAGE = Path(pytest.importorskip("skimage").__file__).parent / "data"
EDIT = {"products": "car", "engine": "edit", "edit_resolution": 512, "edit_instruction": "put new leather on [class]"}


def photograph() -> Image.Image:
    with Image.open(SKIMAGE / "coffee.png") as image:
        return image.convert("RGB").resize((480, 320), Image.Resampling.LANCZOS)


def edited(webui: Double, **settings: Any) -> tuple[dict[str, Any], Any]:
    """The outcome of the script on one picture, and what the WebUI answers."""
    looked = webui.run_script({**EDIT, **settings}, init_images=[photograph()], width=480, height=320)
    return outcomes(looked)[0], looked


def test_an_edit_of_the_product(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    model = neo.install(webui, monkeypatch)
    outcome, looked = edited(webui)
    assert outcome["status"] == "found", outcome["reason"]
    assert outcome["audit"]["changed_outside"] == 0
    (sampled,) = model.passes
    assert (sampled.denoising_strength, sampled.image_mask, sampled.prompt) == (1.0, None, "put new leather on car")
    assert sampled.width % 64 == sampled.height % 64 == 0 and sampled.width / sampled.height == pytest.approx(1.5, 0.05)
    # the input is the one reference, whatever is in the masked middle of it
    (seen,) = model.seen
    assert len(seen) == 1
    report = next(step for step in outcome["steps"] if step["step"] == "edit")
    assert report["drift"] == pytest.approx(3.6 * 480 / sampled.width, abs=0.4) and report["drift_left"] < 0.5
    assert report["light"] > 2 * report["light_left"]
    # the middle, which the model turned into its negative, has come; its light is the input's again
    before, after = pixels(photograph()), pixels(looked.images[0])
    inside = slice(130, 190), slice(190, 290)
    assert np.abs(after[inside] - (255 - before[inside])).mean() < 8
    told = parameters(webui, looked)
    assert told["Prodshot edit instruction"] == "put new leather on [class]"
    assert told["Prodshot ran"].startswith(f"edit {sampled.width}x{sampled.height}, 4 steps Euler")


def test_a_scene_keeps_the_product(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    neo.install(webui, monkeypatch).of_scene = True
    outcome, looked = edited(webui, edit_scope="scene", edit_colour_match=0.0)
    assert outcome["status"] == "found", outcome["reason"]
    assert outcome["audit"]["changed_outside"] == 0
    before, after = pixels(photograph()), pixels(looked.images[0])
    product = slice(100, 220), slice(140, 340)
    assert np.array_equal(before[product], after[product]) and (before[:60] != after[:60]).mean() > 0.8


def test_further_references_go_through_the_image_stitch(
    webui: Double, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = neo.install(webui, monkeypatch)
    for number, size in enumerate(((33, 77), (130, 21))):
        Image.new("RGB", size, (number, 50, 90)).save(tmp_path / f"{number}.png")
    names = "\n".join(str(tmp_path / f"{number}.png") for number in range(2))
    outcome, _ = edited(webui, edit_references=names)
    assert outcome["status"] == "found", outcome["reason"]
    assert [tuple(picture.shape[:2]) for picture in model.seen[0][1:]] == [(77, 33), (21, 130)]
    # what the page's own stitch remembers, and what the model keeps for it, are as they were
    assert [script.cached_parameters for script in model.stitches] == [None, None] and model.model.ref_latents == []


def test_the_references_of_the_generation_around_it_stay_its_own(
    webui: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = neo.install(webui, monkeypatch)
    own, conditioned = [np.zeros((8, 8, 3), np.uint8)], [np.ones((8, 8, 3), np.uint8)]
    model.model.ref_latents, model.args.ref_latents = own, conditioned
    assert edited(webui)[0]["status"] == "found"
    assert len(model.seen[0]) == 1
    assert model.model.ref_latents is own and model.args.ref_latents is conditioned


def test_without_an_image_stitch_it_is_said(webui: Double, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    neo.install(webui, monkeypatch, stitch=False)
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    outcome, _ = edited(webui, edit_references=str(tmp_path / "a.png"))
    assert outcome["status"] == "found" and any("no image stitch" in note for note in outcome["notes"])


@pytest.mark.parametrize(
    ("option", "value"), [("klein_no_reference", True), ("klein_do_reference", False)], ids=["older", "newer"]
)
def test_a_switched_off_reference_is_switched_on_for_the_pass(
    webui: Double, monkeypatch: pytest.MonkeyPatch, option: str, value: bool
) -> None:
    model = neo.install(webui, monkeypatch)
    webui.shared.opts.add_option(option, neo.OptionInfo(value))
    webui.shared.opts.data[option] = value
    assert edited(webui)[0]["status"] == "found" and len(model.seen) == 1
    assert webui.shared.opts.data[option] is value


def test_qwen_image_21_is_told_by_the_class_that_runs_it(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    model = neo.install(webui, monkeypatch, neo.QWEN21)
    webui.shared.opts.data["qwen21_do_reference"] = False
    assert host().edit_support().model == "Qwen-Image 2.1"
    assert edited(webui)[0]["status"] == "found" and len(model.seen) == 1
    # the places of its references go with the references
    assert model.args.image_slots is None and webui.shared.opts.data["qwen21_do_reference"] is False
    # its first version took none, and had no such option
    del webui.shared.opts.data["qwen21_do_reference"]
    assert host().edit_support().model == ""


def test_frozen_settings_that_switch_it_off_are_told(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    neo.install(webui, monkeypatch)
    webui.shared.opts.data["klein_no_reference"] = True
    webui.shared.cmd_opts.freeze_settings = True
    outcome, _ = edited(webui)
    assert outcome["status"] == "failed" and "(klein_do_reference, klein_no_reference)" in outcome["reason"]
    assert "frozen" in outcome["reason"]


def test_sampling_is_the_generations_the_settings_or_the_presets(
    webui: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = neo.install(webui, monkeypatch)
    edited(webui)
    edited(webui, edit_steps=6, edit_cfg_scale=2.5)
    edited(webui, edit_checkpoint="other.safetensors")
    told = [(p.steps, p.cfg_scale, p.sampler_name, p.scheduler) for p in model.passes]
    # the generation's own are the double's; with a checkpoint of its own the host's preset for the model counts
    assert told[0][:3] == (4, 7.0, "Euler") and told[1][:2] == (6, 2.5)
    assert told[2] == (4, 1.0, "Euler", "Karras")


def test_kontext_has_the_presets_distilled_cfg(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    model = neo.install(webui, monkeypatch, "kontext")
    _, looked = edited(webui, edit_checkpoint="other.safetensors")
    (sampled,) = model.passes
    assert (sampled.steps, sampled.cfg_scale, sampled.distilled_cfg_scale) == (5, 1.0, 3.0)
    assert "distilled CFG 3" in parameters(webui, looked)["Prodshot ran"]


@pytest.mark.parametrize("kind", ["", "krea2"])
def test_another_checkpoint_is_refused(webui: Double, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    neo.install(webui, monkeypatch, kind)
    outcome, looked = edited(webui)
    assert outcome["status"] == "failed" and "checkpoint tiny-sd15 is none" in outcome["reason"]
    assert "engine inpaint" in outcome["reason"] and not webui.samplings
    assert np.array_equal(pixels(looked.images[0]), pixels(photograph()))


def test_a_host_without_edit_models_says_so(webui: Double) -> None:
    outcome, looked = edited(webui)
    assert outcome["status"] == "failed" and "runs no edit models" in outcome["reason"] and not webui.samplings
    assert np.array_equal(pixels(looked.images[0]), pixels(photograph()))


def test_a_result_that_was_composed_anew_is_refused(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    neo.install(webui, monkeypatch).shift = (60, 0)
    outcome, looked = edited(webui)
    assert outcome["status"] == "failed" and "ask for less" in outcome["reason"]
    assert np.array_equal(pixels(looked.images[0]), pixels(photograph()))


def test_what_the_host_tells(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not host().edit_support().supported
    neo.install(webui, monkeypatch, "edit")
    told = host().edit_support()
    assert (told.supported, told.model, told.stitch) == (True, "Qwen-Image-Edit", "Bilder aneinander")
    neo.not_loaded(webui, monkeypatch)
    assert host().edit_support().model is None
