"""img2img: the script looks at the input first. Absent: nothing is sampled, and the input comes back as it is."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_prodshot.errors import PictureError
from lib_prodshot.hosts.generation import recent
from tests.hosts.conftest import Double, noise_picture, outcomes, parameters, pixels

CAR = {"products": "car"}


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_absent_returns_the_very_input_without_sampling(webui: Double, mode: str) -> None:
    webui.detector.darkest = 300
    given = noise_picture(mode)
    looked = webui.run_script(CAR, init_images=[given], n_iter=2, batch_size=2)
    assert webui.samplings == []
    (image,) = looked.images
    assert (image.mode, image.size) == (given.mode, given.size)
    assert np.array_equal(pixels(image), pixels(given))
    assert parameters(webui, looked)["Prodshot"] == "skipped: no car found (best score 0.07 for car, threshold 0.30)"
    (written,) = (webui.folder / "out").iterdir()
    with Image.open(written) as file:
        assert file.mode == given.mode and np.array_equal(pixels(file), pixels(given))
    assert outcomes(looked)[0]["status"] == "skipped"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_present_takes_one_pass_and_keeps_size_mode_and_alpha(webui: Double, mode: str) -> None:
    given = noise_picture(mode)
    looked = webui.run_script(CAR, init_images=[given])
    assert len(webui.samplings) == 1
    (image,) = looked.images
    assert (image.mode, image.size) == (given.mode, given.size)
    if mode == "RGBA":
        assert np.array_equal(pixels(image)[..., 3], pixels(given)[..., 3])
    assert outcomes(looked)[0]["audit"]["changed_outside"] == 0
    difference = np.abs(pixels(image) - pixels(given)).reshape(80, 96, -1)[..., :3].max(axis=2)
    assert (difference[:8] == 0).all() and (difference[30:50, 40:60] > 0).mean() > 0.9


def test_the_pass_is_built_from_the_generation(webui: Double) -> None:
    webui.run_script(
        {**CAR, "prompt": "[class], [prompt]", "negative_prompt": "", "control": "off"},
        init_images=[noise_picture()],
        prompt="my studio",
        negative_prompt="blurry",
        steps=9,
        cfg_scale=5.5,
        sampler_name="DDIM",
        scheduler="Karras",
        seed=41,
    )
    (inner,) = webui.samplings
    assert (inner.prompt, inner.negative_prompt, inner.seed) == ("car, my studio", "blurry", 41)
    assert (inner.steps, inner.cfg_scale, inner.sampler_name, inner.scheduler) == (9, 5.5, "DDIM", "Karras")
    assert (inner.denoising_strength, inner.inpainting_fill, inner.batch_size, inner.n_iter) == (0.75, 1, 1, 1)
    assert inner.image_mask.mode == "L" and set(np.unique(pixels(inner.image_mask))) == {0, 255}
    assert inner.init_images[0].size == inner.image_mask.size == (inner.width, inner.height)
    assert inner.do_not_save_samples and inner.do_not_save_grid


def test_what_is_set_goes_before_the_generation(webui: Double) -> None:
    settings = {"steps": 3, "cfg_scale": 2.0, "sampler": "DPM++ 2M Karras", "seed": 5, "denoising_strength": 0.25}
    webui.run_script({**CAR, **settings, "inpainting_fill": "latent noise"}, init_images=[noise_picture()])
    (inner,) = webui.samplings
    assert (inner.steps, inner.cfg_scale, inner.sampler_name, inner.scheduler) == (3, 2.0, "DPM++ 2M", "Karras")
    assert (inner.seed, inner.denoising_strength, inner.inpainting_fill) == (5, 0.25, 2)


def test_variants_differ_and_the_finder_runs_once(webui: Double) -> None:
    looked = webui.run_script(CAR, init_images=[noise_picture()] * 2, n_iter=2, batch_size=2)
    assert len(looked.images) == len(webui.samplings) == 4
    assert webui.detector.calls == 1
    assert [p.seed for p in webui.samplings] == [7, 8, 9, 10]
    assert len({image.tobytes() for image in looked.images}) == 4
    assert [text.split("Seed: ")[1].split(",")[0] for text in looked.infotexts] == ["7", "8", "9", "10"]


def test_several_pictures_are_each_looked_at(webui: Double) -> None:
    dark = Image.new("RGB", (64, 64))
    webui.detector.darkest = 20
    looked = webui.run_script(CAR, init_images=[dark, noise_picture()], batch_size=2, n_iter=2)
    assert [outcome["status"] for outcome in outcomes(looked)] == ["skipped", "found", "found"]
    assert [image.size for image in looked.images] == [(64, 64), (96, 80), (96, 80)]


def test_one_generation_for_many_files(webui: Double) -> None:
    """The Batch tab runs the script again and again on one processing object, with other file names."""
    p = webui.generation(is_img2img=True, init_images=[noise_picture(seed=1)])
    webui.state.begin("batch")
    webui.state.job_count = 2
    names = []
    for number, darkest in enumerate((0, 300)):
        p.init_images = [noise_picture(seed=number)]
        p.override_settings["samples_filename_pattern"] = f"picture-{number}"
        webui.detector.darkest = darkest
        looked = webui.run_on(p, CAR)
        names.append((parameters(webui, looked)["Prodshot"], outcomes(looked)[0]["status"]))
    assert names == [("found car 0.80", "found"), (names[1][0], "skipped")]
    assert sorted(path.name for path in (webui.folder / "out").iterdir()) == ["picture-0.png", "picture-1.png"]
    assert webui.shared.opts.samples_filename_pattern == ""
    assert webui.state.job_count == 1


NEVER_RAN = {"Steps", "Sampler", "Schedule type", "CFG scale", "Seed", "Size-1", "Model", "Denoising strength"}


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({"box_threshold": 0.9}, "skipped"),
        ({"sampler": "Zorro"}, "failed"),
        ({"products": " "}, "failed"),
        ({"engine": "retouch"}, "found"),
    ],
)
def test_an_infotext_claims_no_sampling_that_never_was(webui: Double, settings: dict[str, object], status: str) -> None:
    looked = webui.run_script(
        {**CAR, **settings}, init_images=[noise_picture()], prompt="my, studio", negative_prompt="blurry"
    )
    assert webui.samplings == []
    told = parameters(webui, looked)
    assert told["Prodshot"].startswith(status) and told["Script"] == "Prodshot" and told["Prodshot version"]
    assert not NEVER_RAN & set(told) and "Prodshot ran" not in told
    assert looked.infotexts[0].startswith("my, studio\nNegative prompt: blurry\nProdshot: ")
    # nor does the response
    assert (looked.steps, looked.sampler_name) == (0, None)
    assert (looked.width, looked.height) == looked.images[0].size


SHOPS = """{"wide": {"title": "Wide", "make": {"size": {"value": "64x32"}, "format": {"value": "jpeg"}},
  "rules": {"width": {"measure": "width", "min": 64, "level": "fail"}}},
 "tall": {"like": "wide", "make": {"size": {"value": "32x64"}}}}"""


def test_packshots_are_checked_and_each_comes_back(
    webui: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shops.json").write_text(SHOPS)
    monkeypatch.setenv("PRODSHOT_MARKETPLACES", str(tmp_path / "shops.json"))
    kept: list[recent.Result] = []
    monkeypatch.setattr(recent, "remember", lambda result, _infotexts: kept.append(result))
    made = webui.run_script(
        {**CAR, "make": "packshot", "marketplace": "wide, tall", "edges": "hard"}, init_images=[noise_picture()]
    )
    # the last is the result, the others stand behind it
    assert [image.size for image in made.images] == [(32, 64), (64, 32)] and webui.samplings == []
    assert ["prodshot-wide" in path.name for path in sorted((webui.folder / "out").iterdir())].count(True) == 1
    (told,) = outcomes(made)
    assert [(each["marketplace"], each["passed"]) for each in told["packshots"]] == [("wide", True), ("tall", False)]
    assert "tall would refuse it: width" in told["needs_review"]
    assert [each["output"] for each in told["packshots"]] == [None, None]
    (result,) = kept
    assert {market: file.name for market, file in result.files.items()} == {
        "wide": "packshot-wide.jpg",
        "tall": "packshot-tall.jpg",
    }
    assert Image.open(io.BytesIO(result.files["wide"].data)).size == (64, 32)
    assert all(each.result is None and each.alpha is None for each in result.outcome.packshots)


def test_the_audit_is_shown_and_a_large_shift_warned_of(webui: Double) -> None:
    looked = webui.run_script({**CAR, "warn_delta_e": 5.0}, init_images=[noise_picture()])
    audit = outcomes(looked)[0]["audit"]
    assert audit["delta_e_mean"] > 5 and 0.9 < audit["changed_inside_share"] <= 1
    told = parameters(webui, looked)
    assert told["Prodshot audit"].startswith("outside 0 pixels changed; inside ")
    assert f"ΔE {audit['delta_e_mean']:.1f} mean" in told["Prodshot audit"]
    warning = f"the product's colours moved by ΔE2000 {audit['delta_e_mean']:.1f} on average"
    assert warning in told["Prodshot notes"] and warning in looked.comments
    for limit in (99.0, 0.0):
        quiet = webui.run_script({**CAR, "warn_delta_e": limit, "fidelity": "off"}, init_images=[noise_picture()])
        assert "Prodshot notes" not in parameters(webui, quiet)


def test_the_paste_arrow_finds_the_run(webui: Double) -> None:
    (webui.folder / "params.txt").write_text("an older generation")
    looked = webui.run_script(CAR, init_images=[noise_picture()])
    assert (webui.folder / "params.txt").read_text(encoding="utf-8") == looked.infotexts[0]
    webui.shared.cmd_opts.no_prompt_history = True
    (webui.folder / "params.txt").unlink()
    webui.run_script(CAR, init_images=[noise_picture()])
    assert not (webui.folder / "params.txt").exists()


def test_a_drawn_mask_limits_what_is_enhanced(webui: Double) -> None:
    given, drawn = noise_picture(), Image.new("L", (96, 80))
    drawn.paste(255, (0, 0, 48, 80))
    looked = webui.run_script(CAR, init_images=[given], mask=drawn)
    difference = np.abs(pixels(looked.images[0]) - pixels(given)).max(axis=2)
    assert difference[:, :36].any() and not difference[:, 60:].any()
    webui.samplings.clear()
    corner = Image.new("L", (96, 80))
    corner.paste(255, (0, 0, 5, 5))
    looked = webui.run_script(CAR, init_images=[given], mask=corner)
    assert outcomes(looked)[0]["status"] == "skipped" and webui.samplings == []


def test_files_hold_the_very_pixels(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forge hides the infotext in the lowest bits of what it saves, in the picture itself, unless told not to."""
    real = webui.images.save_image

    def stealthy(image: Image.Image, *args: object, **kwargs: object) -> object:
        if webui.shared.opts.data.get("stealth_pnginfo_option", "Alpha") != "None":
            image.putalpha(254)
        image.putpixel((0, 0), 0)
        return real(image, *args, **kwargs)

    monkeypatch.setattr(webui.images, "save_image", stealthy)
    webui.detector.darkest, given = 300, noise_picture("RGBA")
    looked = webui.run_script(CAR, init_images=[given])
    assert np.array_equal(pixels(looked.images[0]), pixels(given))
    (written,) = (webui.folder / "out").iterdir()
    with Image.open(written) as file:
        assert np.array_equal(pixels(file)[1:], pixels(given)[1:])
    assert looked.images[0].already_saved_as == str(written)
    assert "stealth_pnginfo_option" not in webui.shared.opts.data


def test_a_lossy_file_format_is_said(webui: Double) -> None:
    webui.shared.opts.data["samples_format"] = "jpg"
    looked = webui.run_script(CAR, init_images=[noise_picture()])
    assert "the WebUI writes jpg, which changes pixels everywhere" in parameters(webui, looked)["Prodshot notes"]


def test_no_picture_is_an_error_in_words(webui: Double) -> None:
    with pytest.raises(PictureError, match="put one on the img2img canvas"):
        webui.run_script(CAR, init_images=[None])


def test_a_wrong_request_on_the_page_returns_the_input(webui: Double) -> None:
    given = noise_picture()
    looked = webui.run_script({"products": " "}, init_images=[given])
    assert np.array_equal(pixels(looked.images[0]), pixels(given)) and webui.samplings == []
    assert parameters(webui, looked)["Prodshot"].startswith("failed: products: no product is named")


def api_run(webui: Double, script_args: list[object], **values: object) -> object:
    """As `Api.img2imgapi` does it: the given arguments in place of the script's slots, not filled up."""
    p = webui.generation(is_img2img=True, init_images=[noise_picture()], **values)
    script = webui.script(True, "Prodshot", False)
    neighbour = webui.runner(True).add(copy.copy(script), 5)
    arguments = [*p.script_args, *["neighbour's"] * 5]
    arguments[script.args_from : script.args_to] = script_args
    p.is_api = True
    p.script_args = arguments
    webui.state.begin("api")
    try:
        return script.run(p, *arguments[script.args_from : script.args_to])
    finally:
        webui.runner(True).scripts.remove(neighbour)


@pytest.mark.parametrize("given", [[CAR], ["car"], ["car", "auto", 0.4, {"grow": 2}], [CAR, {"grow": 2}]])
def test_the_api_may_give_fewer_arguments(webui: Double, given: list[object]) -> None:
    looked = api_run(webui, given)
    told = parameters(webui, looked)
    assert told["Prodshot"] == "found car 0.80"
    assert told.get("Prodshot grow", "0") == ("2" if {"grow": 2} in given else "0")


def test_the_api_gets_422_with_every_field(webui: Double) -> None:
    fastapi = pytest.importorskip("fastapi", reason="FastAPI comes with a WebUI")
    with pytest.raises(fastapi.HTTPException) as caught:
        api_run(webui, [{"products": "car", "zorro": 1, "feather": -1}])
    assert caught.value.status_code == 422
    assert [problem["field"] for problem in caught.value.detail] == ["zorro", "feather"]
    json.dumps(caught.value.detail)
