"""The script and the accordion over the API of a real WebUI, with the real lite finder on real photographs."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_prodshot import provenance
from lib_prodshot.infotext import value_in
from lib_prodshot.pictures import xmp
from lib_prodshot.request import WEBUI_BASE
from lib_prodshot.request import settings as every_setting
from tests.hosts import round_trip
from tests.webui.conftest import SMALL, Answer, accordion, img2img, none_module, own_unit, same, seed_picture, txt2img
from tests.webui.server import Server, encode

CAR = {"products": "car", "finder": "lite"}
BARE = {"prompt": "[class] on oak", "control": "off"}


def parameters(infotext: str) -> dict[str, str]:
    found = re.findall(r'(\w[\w \-/]+): ("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)', infotext.splitlines()[-1])
    return {key: value.strip('"') for key, value in found}


def test_the_car_takes_exactly_one_sampling(clean: Server, seed_dir: Path) -> None:
    picture = seed_picture(seed_dir, "car")
    before, files = clean.counts(), clean.outputs()
    answer = img2img(clean, picture, {**CAR, **none_module(clean)}, save_images=True)
    after = clean.counts()
    assert after["samplings"] - before["samplings"] == 1
    assert 0 < after["steps"] - before["steps"] <= 4
    (outcome,) = answer.outcomes
    assert outcome["status"] == "found" and outcome["finder"] == "lite"
    assert [found["label"] for found in outcome["detections"]] == ["car"]
    assert outcome["audit"]["changed_outside"] == 0
    assert answer.images[0].size == picture.size
    (written,) = clean.outputs() - files
    with Image.open(written) as file:
        assert np.array_equal(np.asarray(file), np.asarray(answer.images[0]))
        assert "Prodshot: found car" in file.info["parameters"]
        # the file, and the picture that the API sends, say how they were made
        for info in (file.info, answer.images[0].info):
            said = xmp.values(info["XML:com.adobe.xmp"].encode())
            assert said[provenance.SOURCE_TYPE] == provenance.address(provenance.COMPOSITE)
            assert re.search(r"^\S+ [0-9a-f]{10}, .*lite-coco 9f6c4ad221", said[provenance.VERSION])
    told = parameters(answer.infotexts[0])
    assert told["Prodshot products"] == "car" and told["Script"] == "Prodshot"
    # the model as the host lists it: classic and neo have no hash in its name
    assert own_unit(clean)["model"] in told["Prodshot ran"] and "weight 1" in told["Prodshot ran"]


def test_the_mask_and_the_unit_are_really_used(clean: Server, seed_dir: Path) -> None:
    picture = seed_picture(seed_dir, "car")
    control = none_module(clean)
    runs = {
        weight: img2img(clean, picture, {**CAR, **control, "control_weight": weight, "save_masks": True})
        for weight in (0.0, 1.0)
    }
    off = img2img(clean, picture, {**CAR, "control": "off", "save_masks": True})
    mask = np.asarray(runs[1.0].images[1])
    inside = mask == 255
    assert 0.05 < inside.mean() < 0.6
    difference = np.abs(runs[0.0].pixels() - runs[1.0].pixels())
    assert difference[inside].mean() > 0.2
    assert np.abs(off.pixels() - runs[0.0].pixels())[inside].mean() < 0.05
    original = np.asarray(picture).astype(int)
    for answer in runs.values():
        changed = (answer.pixels() != original).any(axis=2)
        reach = _dilate(inside, 10)
        assert not (changed & ~reach).any()
        assert changed[inside].mean() > 0.9


def _dilate(mask: np.ndarray, pixels: int) -> np.ndarray:
    """A square of that many pixels around every pixel, without any of the project's own code."""
    padded = np.pad(mask, pixels)
    height, width = mask.shape
    grown = np.zeros_like(mask)
    for row in range(2 * pixels + 1):
        grown |= padded[row : row + height, pixels : pixels + width]
    padded, wide = np.pad(grown, pixels), np.zeros_like(mask)
    for column in range(2 * pixels + 1):
        wide |= padded[pixels : pixels + height, column : column + width]
    return wide


def test_the_moon_costs_no_sampling_and_comes_back_as_it_is(clean: Server, seed_dir: Path) -> None:
    moon = seed_picture(seed_dir, "unknown")
    assert moon.mode == "RGBA"
    before, files = clean.counts(), clean.outputs()
    answer = img2img(clean, moon, CAR, save_images=True)
    after = clean.counts()
    assert (after["samplings"], after["steps"]) == (before["samplings"], before["steps"])
    assert answer.images[0].mode == "RGBA"
    assert np.array_equal(np.asarray(answer.images[0]), np.asarray(moon))
    (written,) = clean.outputs() - files
    with Image.open(written) as file:
        assert np.array_equal(np.asarray(file), np.asarray(moon))
    assert parameters(answer.infotexts[0])["Prodshot"].startswith("skipped: no car found")


@pytest.mark.parametrize(("name", "products"), [("handbag", "handbag"), ("shoes", "shoe"), ("watch", "watch")])
def test_the_other_products_of_the_seed(clean: Server, seed_dir: Path, name: str, products: str) -> None:
    answer = img2img(clean, seed_picture(seed_dir, name), {**CAR, **BARE, "products": products})
    assert answer.outcomes[0]["status"] == "found"
    assert answer.outcomes[0]["audit"]["changed_outside"] == 0


def test_equal_requests_give_equal_pictures(clean: Server, seed_dir: Path) -> None:
    picture = seed_picture(seed_dir, "car")
    first, second = (img2img(clean, picture, {**CAR, **none_module(clean)}) for _ in range(2))
    assert same(clean, first.pixels(), second.pixels())


def test_transparent_pictures_keep_their_alpha(clean: Server, seed_dir: Path) -> None:
    picture = seed_picture(seed_dir, "car").convert("RGBA")
    alpha = np.full((512, 512), 255, np.uint8)
    alpha[:100] = 90
    picture.putalpha(Image.fromarray(alpha))
    answer = img2img(clean, picture, {**CAR, **BARE})
    assert answer.outcomes[0]["status"] == "found"
    assert np.array_equal(np.asarray(answer.images[0])[..., 3], alpha)


def test_noise_is_skipped(clean: Server) -> None:
    """A tiny random checkpoint paints noise: the right verdict is that there is no product in it."""
    plain = txt2img(clean, batch_size=2, n_iter=2)
    before = clean.counts()
    looked = txt2img(clean, batch_size=2, n_iter=2, **accordion(True, {**CAR, **BARE}))
    assert clean.counts()["samplings"] - before["samplings"] == 2
    assert [outcome["status"] for outcome in looked.outcomes] == ["skipped"] * 4
    for number in range(4):
        assert np.array_equal(plain.pixels(number), looked.pixels(number))
        assert "Prodshot: skipped" in looked.infotexts[number] or 'Prodshot: "skipped' in looked.infotexts[number]


ALWAYS = {"box_threshold": 0.0, "instances": "best", "over_limit": "reduce"}
"""With a threshold of 0 the finder's best guess counts, so that noise has a 'product' to work on."""


def test_the_accordion_enhances_outputs_and_leaves_the_rest(clean: Server) -> None:
    plain = txt2img(clean, batch_size=2, n_iter=2)
    settings = {**CAR, **none_module(clean), **ALWAYS, "save_masks": True, "prompt": "[class]"}
    looked = txt2img(clean, batch_size=2, n_iter=2, **accordion(True, settings))
    statuses = [outcome["status"] for outcome in looked.outcomes]
    assert len(statuses) == 4 and set(statuses) <= {"found", "skipped"}
    if "found" not in statuses:
        pytest.skip("the finder sees nothing at all in this noise")
    found = [number for number, status in enumerate(statuses) if status == "found"]
    for place, number in enumerate(found):
        mask = np.asarray(looked.images[4 + place]) == 255
        changed = (looked.pixels(number) != plain.pixels(number)).any(axis=2)
        assert not (changed & ~_dilate(mask, 10)).any() and changed.any()


def test_the_parent_is_as_before(clean: Server, seed_dir: Path) -> None:
    state, params = clean.get("/harness/state"), clean.data / "params.txt"
    txt2img(clean, prompt="the parent's own prompt", n_iter=2, **accordion(True, {**CAR, **ALWAYS, **BARE}))
    assert clean.get("/harness/state") == state
    assert params.read_text(encoding="utf-8").startswith("the parent's own prompt")
    answer = img2img(clean, seed_picture(seed_dir, "car"), {**CAR, **BARE})
    assert params.read_text(encoding="utf-8") == answer.infotexts[0]
    assert clean.get("/harness/state") == state


def test_a_class_in_the_prompt_generates_each_product(clean: Server) -> None:
    values = {"script_name": "Prodshot", "script_args": [{**CAR, **BARE, "products": "handbag, shoe, car"}]}
    answer = txt2img(clean, prompt="studio photo of a [class]", **values)
    prompts = [text.splitlines()[0] for text in answer.infotexts]
    assert prompts == [f"studio photo of a {name}" for name in ("handbag", "shoe", "car")]
    assert [outcome["products"] for outcome in answer.outcomes] == [["handbag"], ["shoe"], ["car"]]
    assert len({image.tobytes() for image in answer.images}) == 3


def test_a_lora_is_applied_and_a_missing_one_left_out(clean: Server, seed_dir: Path) -> None:
    picture = seed_picture(seed_dir, "car")
    control = {"control": "off"}
    bare = img2img(clean, picture, {**CAR, **control, "prompt": "[class]"})
    with_lora = img2img(clean, picture, {**CAR, **control, "prompt": "[class] <lora:tiny:1>"})
    missing = img2img(clean, picture, {**CAR, **control, "prompt": "[class] <lora:zorro:1>"})
    assert np.abs(bare.pixels() - with_lora.pixels()).mean() > 0.05
    assert same(clean, bare.pixels(), missing.pixels())
    assert "LoRA not installed, left out of the prompt: zorro" in missing.outcomes[0]["notes"]


def test_each_instance_and_each_prompt_has_its_pass(clean: Server, seed_dir: Path) -> None:
    picture = Image.new("RGB", (1024, 512))
    picture.paste(seed_picture(seed_dir, "car").convert("RGB"), (0, 0))
    picture.paste(seed_picture(seed_dir, "handbag").convert("RGB"), (512, 0))
    settings = {**CAR, "products": "car, handbag", "control": "off", "prompt": "[class]"}
    passes = {}
    ways = {"together": {"passes": "together"}, "each": {"passes": "each"}, "own": {"class_prompts": "car: a red car"}}
    for name, more in ways.items():
        before = clean.counts()["samplings"]
        answer = img2img(clean, picture, {**settings, **more})
        labels = {found["label"] for found in answer.outcomes[0]["detections"]}
        assert labels == {"car", "handbag"}
        passes[name] = (clean.counts()["samplings"] - before, len(answer.outcomes[0]["detections"]))
    assert passes["together"][0] == 1 and passes["own"][0] == 2
    assert passes["each"][0] == passes["each"][1] >= 2


def test_interrupting_a_pass(clean: Server, seed_dir: Path) -> None:
    picture = seed_picture(seed_dir, "car")
    answers: list[Answer] = []
    settings = {**CAR, **BARE, "steps": 150, "denoising_strength": 1.0}
    before = clean.counts()["steps"]
    run = threading.Thread(target=lambda: answers.append(img2img(clean, picture, settings)))
    run.start()
    end = time.monotonic() + 120
    while clean.counts()["steps"] < before + 3 and time.monotonic() < end:
        time.sleep(0.1)
    clean.post("/sdapi/v1/interrupt", {})
    run.join(120)
    (answer,) = answers
    assert clean.counts()["steps"] < before + 150
    assert answer.outcomes[0]["reason"] == "interrupted"
    assert np.array_equal(answer.pixels(), np.asarray(picture).astype(int))
    again = img2img(clean, picture, {**CAR, **BARE})
    assert again.outcomes[0]["status"] == "found"


@pytest.mark.parametrize(
    ("faults", "settings", "reason"),
    [
        ({"pass": "zorro was here"}, BARE, "the inpaint pass failed: RuntimeError: zorro was here"),
        ({"pass": "memory"}, BARE, "ran out of memory"),
        ({"nan": "yes"}, BARE, "NaN"),
        ({}, {**BARE, "grow": -500}, "the mask is empty after shrinking"),
        ({}, {**BARE, "sampler": "Zorro"}, "there is no sampler 'Zorro'"),
        ({}, {"control": "required", "control_model": "zorro"}, "the model 'zorro' is not installed"),
        ({}, {"control": "required", "control_module": "zorro"}, "the preprocessor 'zorro' is not installed"),
        ({}, {"control": "required", "control_module": "depth_midas"}, "did not take part"),
    ],
)
def test_trouble_leaves_the_picture_and_the_server(
    clean: Server, seed_dir: Path, faults: dict[str, str], settings: dict[str, Any], reason: str
) -> None:
    picture = seed_picture(seed_dir, "car")
    state = clean.get("/harness/state")
    clean.post("/harness/faults", faults)
    answer = img2img(clean, picture, {**CAR, **settings})
    clean.post("/harness/faults", {})
    assert answer.outcomes[0]["status"] == "failed" and reason in answer.outcomes[0]["reason"]
    assert np.array_equal(answer.pixels(), np.asarray(picture).astype(int))
    assert "Prodshot: failed" in answer.infotexts[0] or 'Prodshot: "failed' in answer.infotexts[0]
    assert reason in clean.text()
    assert clean.get("/harness/state") == state
    assert img2img(clean, picture, {**CAR, **BARE}).outcomes[0]["status"] == "found"


def test_preferred_control_that_fails_is_said(clean: Server, seed_dir: Path) -> None:
    """depth_midas fetches weights that cannot be had here: the extension fails, and tells nobody."""
    answer = img2img(clean, seed_picture(seed_dir, "car"), {**CAR, "control": "preferred"})
    (outcome,) = answer.outcomes
    assert outcome["status"] == "found"
    assert any(
        note.startswith("without ControlNet: the WebUI's ControlNet did not take part") for note in outcome["notes"]
    )
    assert "no ControlNet" in parameters(answer.infotexts[0])["Prodshot ran"]


def test_another_script_raising(clean: Server, seed_dir: Path) -> None:
    clean.post("/harness/faults", {"hook": "not ours"})
    assert img2img(clean, seed_picture(seed_dir, "car"), {**CAR, **BARE}).outcomes[0]["status"] == "found"


@pytest.mark.parametrize("settings", [{"zorro": 1}, {"box_threshold": 3}, {"products": ""}, {"grow": "much"}])
def test_a_wrong_request_is_refused_by_name(clean: Server, seed_dir: Path, settings: dict[str, Any]) -> None:
    body = {"init_images": [encode(seed_picture(seed_dir, "car"))], "steps": 2, "script_name": "Prodshot"}
    status, answer = clean.refused("/sdapi/v1/img2img", {**body, "script_args": [{**CAR, **settings}]})
    assert status == 422
    assert [problem["field"] for problem in answer["detail"]] == list(settings)


@pytest.mark.parametrize("route", ["txt2img", "img2img"])
@pytest.mark.parametrize(
    ("settings", "message"),
    [({"zorro": 1}, "unknown setting"), ({"products": "car, qxz, handbagg"}, "'qxz', 'handbagg' (nearest known names")],
)
def test_the_same_422_everywhere(
    clean: Server, seed_dir: Path, route: str, settings: dict[str, Any], message: str
) -> None:
    picture, sent = encode(seed_picture(seed_dir, "car")), {**CAR, **settings}
    body = {"prompt": "a photo", "steps": 2, "width": 64, "height": 64}
    if route == "img2img":
        body["init_images"] = [picture]
    before = clean.counts()["samplings"]
    for more in ({"script_name": "prodshot", "script_args": [sent]}, accordion(True, sent)):
        status, answer = clean.refused(f"/sdapi/v1/{route}", {**body, **more})
        assert status == 422 and message in answer["detail"][0]["message"]
    status, answer = clean.refused("/prodshot/v1/detect", {"image": picture, **sent})
    assert status == 422 and message in answer["detail"][0]["message"]
    assert clean.counts()["samplings"] == before


def test_unknown_products_are_left_out(clean: Server, seed_dir: Path) -> None:
    asked = {**CAR, "products": "qxz, car", "unknown": "leave out", **BARE}
    answer = img2img(clean, seed_picture(seed_dir, "car"), asked)
    assert answer.outcomes[0]["status"] == "found"
    assert any(note.startswith("left out: the lite finder does not know 'qxz'") for note in answer.outcomes[0]["notes"])


def test_every_setting_comes_back(clean: Server, seed_dir: Path) -> None:
    """Through a PNG and the WebUI's own PNG Info, at every entry point."""
    picture = seed_picture(seed_dir, "car")
    small = {"init_images": [encode(picture)], **SMALL}
    listed = [each["name"] for each in clean.get("/sdapi/v1/upscalers")]
    for drawn in (round_trip.rounds()[0], round_trip.rounds()[-1]):
        # an upscaler that is there: the hosts list different ones
        chosen = {**drawn, "upscaler": next(name for name in listed if name not in ("None", "Lanczos", "Nearest"))}
        made = [
            img2img(clean, picture, chosen),
            txt2img(clean, script_name="prodshot", script_args=[chosen]),
            txt2img(clean, **accordion(True, chosen)),
            Answer(clean.post("/sdapi/v1/img2img", {**small, **accordion(True, chosen)})),
        ]
        for answer in made:
            told = clean.post("/sdapi/v1/png-info", {"image": answer.codes[0]})["parameters"]
            back = {known.name: value_in(told, known) for known in every_setting(WEBUI_BASE)}
            assert {name: back[name] for name in chosen} == chosen, answer.infotexts[0]


def test_a_skipped_picture_claims_no_sampling(clean: Server, seed_dir: Path) -> None:
    answer = img2img(clean, seed_picture(seed_dir, "unknown"), {**CAR, **BARE})
    told = parameters(answer.infotexts[0])
    assert told["Prodshot"].startswith("skipped") and told["Script"] == "Prodshot"
    assert not {"Steps", "Sampler", "CFG scale", "Seed", "Size", "Model"} & set(told)
    assert (answer.info["steps"], answer.info["sampler_name"]) == (0, None)


def test_products_far_apart_have_their_own_passes(clean: Server, seed_dir: Path) -> None:
    car = seed_picture(seed_dir, "car").convert("RGB").resize((256, 256))
    picture = Image.new("RGB", (2048, 256), "white")
    picture.paste(car, (0, 0))
    picture.paste(car, (1792, 0))
    answer = img2img(clean, picture, {**CAR, **BARE})
    (outcome,) = answer.outcomes
    ran = parameters(answer.infotexts[0])["Prodshot ran"].split("; ")
    assert len(outcome["detections"]) >= 2 and len(ran) == 2
    assert outcome["audit"]["changed_outside"] == 0 and 0 < outcome["audit"]["changed_inside_share"] <= 1
    together = img2img(clean, picture, {**CAR, **BARE, "passes": "together"})
    assert len(parameters(together.infotexts[0])["Prodshot ran"].split("; ")) == 1


@pytest.mark.parametrize("size", [(40, 30), (1000, 90)])
def test_odd_sizes(clean: Server, seed_dir: Path, size: tuple[int, int]) -> None:
    picture = seed_picture(seed_dir, "car").convert("RGB").resize(size)
    answer = img2img(clean, picture, {**CAR, **BARE, **ALWAYS})
    assert answer.images[0].size == size
    assert answer.outcomes[0]["status"] in ("found", "skipped")


def test_the_script_s_arguments_are_described(clean: Server) -> None:
    infos = [info for info in clean.get("/sdapi/v1/script-info") if info["name"] == "prodshot"]
    assert {(info["is_alwayson"], info["is_img2img"]) for info in infos} == {
        (alwayson, is_img2img) for alwayson in (True, False) for is_img2img in (True, False)
    }
    accordion_info = next(info for info in infos if info["is_alwayson"])
    assert accordion_info["args"][0]["value"] is False


BREAKING = {
    "overlay_inpaint": False,
    "img2img_color_correction": True,
    "upscaler_for_img2img": "Lanczos",
    "return_mask": True,
    "return_mask_composite": True,
    "save_mask": True,
    "save_mask_composite": True,
    "save_init_img": True,
    "img2img_background_color": "#ff0000",
}
"""Settings under which a plain inpaint of the WebUI would change or add to the picture."""


def test_settings_that_would_break_the_promise_are_overridden(clean: Server, seed_dir: Path) -> None:
    picture = seed_picture(seed_dir, "car")
    settings = {**CAR, **none_module(clean)}
    plain, files = img2img(clean, picture, settings), clean.outputs()
    before = clean.post("/harness/options", BREAKING)
    try:
        odd = img2img(clean, picture, settings)
        soft = {"soft inpainting": {"args": [True, 1.0, 0.5, 4.0, 0.0, 0.5, 2.0]}}
        softened = img2img(clean, picture, settings, alwayson_scripts=soft)
    finally:
        clean.post("/harness/options", before)
    for answer in (odd, softened):
        assert len(answer.images) == 1 and answer.outcomes[0]["audit"]["changed_outside"] == 0
        assert np.array_equal(answer.pixels(), plain.pixels())
    assert clean.outputs() == files


def test_a_picture_enlarged_by_hires_fix(clean: Server) -> None:
    # the one upscaler that every WebUI has without a model of its own: a plain resize
    values: dict[str, Any] = {"enable_hr": True, "hr_scale": 2, "hr_upscaler": "None", "denoising_strength": 0.5}
    if clean.installation.host in ("forge", "neo"):
        values["hr_additional_modules"] = ["Use same choices"]
    plain = txt2img(clean, **values)
    looked = txt2img(clean, **values, **accordion(True, {**CAR, **BARE, **ALWAYS, "save_masks": True}))
    assert looked.images[0].size == plain.images[0].size == (384, 384)
    (outcome,) = looked.outcomes
    assert outcome["status"] in ("found", "skipped")
    changed = (looked.pixels() != plain.pixels()).any(axis=2)
    inside = np.asarray(looked.images[1]) == 255 if outcome["status"] == "found" else np.zeros((384, 384), bool)
    assert not (changed & ~_dilate(inside, 10)).any()


def test_the_checkpoint_may_have_been_unloaded(clean: Server, seed_dir: Path) -> None:
    clean.post("/sdapi/v1/unload-checkpoint", {})
    answer = img2img(clean, seed_picture(seed_dir, "car"), {**CAR, **none_module(clean)})
    assert answer.outcomes[0]["status"] == "found"
    clean.post("/sdapi/v1/unload-checkpoint", {})
    before = clean.counts()
    moon = img2img(clean, seed_picture(seed_dir, "unknown"), CAR)
    assert moon.outcomes[0]["status"] == "skipped" and clean.counts()["samplings"] == before["samplings"]
    assert txt2img(clean).images


def test_a_parent_with_controlnet_of_its_own(clean: Server, seed_dir: Path) -> None:
    """Each batch of the parent is held by its own unit, although our passes come between."""
    picture = encode(seed_picture(seed_dir, "car").convert("RGB").resize((192, 192)))
    own = {"controlnet": {"args": [{**own_unit(clean), "image": picture}]}}
    bare = txt2img(clean, n_iter=3)
    held = txt2img(clean, n_iter=3, alwayson_scripts=own)
    settings = {**CAR, **none_module(clean), **ALWAYS, "save_masks": True}
    looked = txt2img(clean, n_iter=3, alwayson_scripts={**own, **accordion(True, settings)["alwayson_scripts"]})
    assert "found" in [outcome["status"] for outcome in looked.outcomes]
    masks = iter(looked.images[3:])
    for number, outcome in enumerate(looked.outcomes):
        assert not np.array_equal(bare.pixels(number), held.pixels(number))
        mask = next(masks) if outcome["status"] == "found" else Image.new("L", (192, 192))
        outside = ~_dilate(np.asarray(mask) == 255, 10)
        assert np.array_equal(looked.pixels(number)[outside], held.pixels(number)[outside])
    assert clean.get("/harness/state")["hooked"] is False


def test_xyz_plot_sweeps_our_settings(clean: Server) -> None:
    infos = clean.get("/sdapi/v1/script-info")
    known = next(info["args"] for info in infos if info["name"] == "x/y/z plot" and not info["is_img2img"])
    arguments = [argument["value"] for argument in known]
    arguments[0], arguments[1] = known[0]["choices"].index("[Prodshot] Box threshold"), "0.0, 0.99"
    arguments[3] = arguments[6] = 0
    # reForge's answer has the grid alone unless it is asked for its parts
    arguments[[argument["label"] for argument in known].index("Include Sub Images")] = True
    plot = {"script_name": "X/Y/Z plot", "script_args": arguments}
    answer = txt2img(clean, **plot, **accordion(True, {**CAR, **BARE, "instances": "best"}))
    told = [parameters(text) for text in answer.infotexts[-2:]]
    assert [each["Prodshot box threshold"] for each in told] == ["0.0", "0.99"]
    assert "threshold 0.99" in told[1]["Prodshot"]
