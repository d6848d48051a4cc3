"""txt2img: the accordion and the script look at every output, and leave the generation as it was."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from lib_prodshot.request import Request
from tests.hosts.conftest import Double, noise_picture, outcomes, parameters, pixels

pytestmark = pytest.mark.any_host

PRODUCTS = {"products": "handbag, shoe"}


def outside(image: Image.Image) -> np.ndarray:
    """Where the fixed finder's box with its feather (10 pixels) does not reach."""
    height, width = image.height, image.width
    far = np.ones((height, width), bool)
    far[height // 4 - 10 : height - height // 4 + 10, width // 4 - 10 : width - width // 4 + 10] = False
    return far


def test_each_output_is_enhanced_and_nothing_outside_changes(webui: Double) -> None:
    plain = webui.generate(batch_size=2, n_iter=2, do_not_save_grid=True)
    webui.samplings.clear()
    looked = webui.generate(batch_size=2, n_iter=2, do_not_save_grid=True, accordion=[True, PRODUCTS])
    assert len(webui.samplings) == 2 + 4
    assert len(looked.images) == 4
    for before, after in zip(plain.images, looked.images):
        difference = np.abs(pixels(before) - pixels(after)).max(axis=2)
        assert (difference[outside(before)] == 0).all()
        assert (difference[~outside(before)] > 0).mean() > 0.3
    assert [outcome["audit"]["changed_outside"] for outcome in outcomes(looked)] == [0] * 4


def test_the_infotext_tells_verdict_request_and_what_ran(webui: Double) -> None:
    looked = webui.generate(accordion=[True, {**PRODUCTS, "padding": 8, "denoising_strength": 0.5}])
    told = parameters(webui, looked)
    assert told["Prodshot"] == "found handbag 0.80"
    assert told["Prodshot products"] == "handbag, shoe"
    assert (told["Prodshot padding"], told["Prodshot denoising strength"]) == ("8", "0.5")
    assert "Prodshot feather" not in told and "Script" not in told
    assert told["Prodshot ran"] == (
        "64x64, 4 steps Euler Automatic, CFG 7, denoising 0.5, seed 7, "
        "depth_midas control_v11f1p_sd15_depth [cfd03158] weight 1, "
        'prompt "a photo, handbag, product photography, studio lighting"'
    )
    # also where they stand at their defaults, for another version may have others
    assert told["Prodshot prompt"] == "[prompt], [class], product photography, studio lighting"
    assert told["Prodshot control"] == "preferred"


def test_the_verdict_stands_under_the_gallery(webui: Double) -> None:
    """An infotext is long; whether there was a product is what a user wants to see first."""
    looked = webui.run_script(PRODUCTS, init_images=[noise_picture()])
    told = parameters(webui, looked)
    assert looked.comments.splitlines()[0] == f"Prodshot: {told['Prodshot']} ({told['Prodshot audit']})"
    assert told["Prodshot audit"].startswith("outside 0 pixels changed; inside ")
    assert looked.comments.startswith("Prodshot: found handbag 0.80")
    webui.detector.score = 0.1
    skipped = webui.run_script(PRODUCTS, init_images=[noise_picture()])
    assert skipped.comments.startswith("Prodshot: skipped: none of handbag, shoe found (best score 0.10")
    several = webui.generate(accordion=[True, PRODUCTS], n_iter=2, batch_size=2)
    assert several.comments.startswith("Prodshot: found in 0 of 4 pictures")


def test_every_picture_has_its_own_seed_and_verdict(webui: Double) -> None:
    looked = webui.generate(n_iter=3, do_not_save_grid=True, accordion=[True, PRODUCTS])
    seeds = [parameters(webui, looked, number)["Prodshot ran"].split("seed ")[1].split(",")[0] for number in range(3)]
    assert seeds == ["7", "8", "9"]
    inner = [p for p in webui.samplings if hasattr(p, "init_images")]
    assert [p.seed for p in inner] == [7, 8, 9]


def test_files_on_disk_are_the_enhanced_ones(webui: Double) -> None:
    looked = webui.generate(accordion=[True, PRODUCTS])
    (written,) = sorted((webui.folder / "out").iterdir())
    with Image.open(written) as file:
        assert np.array_equal(pixels(file), pixels(looked.images[0]))
        assert "Prodshot: found handbag 0.80" in file.info["parameters"]


def test_a_picture_without_the_product_stays_as_it_is(webui: Double) -> None:
    plain = webui.generate()
    webui.samplings.clear()
    webui.detector.darkest = 300
    looked = webui.generate(accordion=[True, PRODUCTS])
    assert len(webui.samplings) == 1
    assert np.array_equal(pixels(plain.images[0]), pixels(looked.images[0]))
    assert parameters(webui, looked)["Prodshot"].startswith("skipped: none of handbag, shoe found")
    assert outcomes(looked)[0]["status"] == "skipped"


def test_off_costs_nothing_and_leaves_no_trace(webui: Double) -> None:
    looked = webui.generate(accordion=[False, PRODUCTS["products"]])
    assert webui.detector.calls == 0
    assert not any(key.startswith("Prodshot") for key in looked.extra_generation_params)
    assert "Prodshot" not in looked.infotexts[0]
    assert json.loads(looked.js())["extra_generation_params"] == {}


def test_the_generation_is_as_before_afterwards(webui: Double) -> None:
    options, shared = dict(webui.shared.opts.data), webui.shared
    shared.opts.data["token_merging_ratio"] = options["token_merging_ratio"] = 0.3
    p = webui.generation(n_iter=2, do_not_save_grid=True, tiling=True, accordion=[True, PRODUCTS])
    seen = []

    class Watcher(webui.scripts.Script):  # type: ignore[misc, name-defined]
        def title(self) -> str:
            return "Watcher"

        def show(self, is_img2img: bool) -> object:
            return webui.scripts.AlwaysVisible

        def process_before_every_sampling(self, p: object, *args: object, **kwargs: object) -> None:
            params = (webui.folder / "params.txt").read_text()
            seen.append((shared.sd_model.applied_token_merged_ratio, webui.sd_hijack.model_hijack.circular_enabled))
            seen.append(params.splitlines()[0])

    p.scripts.add(Watcher(), 0)
    arguments = list(p.script_args)
    webui.state.begin("test")
    webui.processing.process_images(p)
    # the watcher runs in the generation's own samplings only
    assert seen == [(0.3, True), "a photo"] * 2
    assert (webui.folder / "params.txt").read_text().startswith("a photo\n")
    assert shared.opts.data == options
    assert p.script_args == arguments
    assert (p.prompt, p.all_prompts) == ("a photo", ["a photo"] * 2)
    assert (webui.state.job_count, webui.state.job_no) == (4, 4)


def test_nested_passes_are_not_looked_at(webui: Double) -> None:
    looked = webui.generate(accordion=[True, PRODUCTS])
    (inner,) = [p for p in webui.samplings if hasattr(p, "init_images")]
    titles = [script.title() for script in inner.scripts.alwayson_scripts]
    assert titles == ["ControlNet", "Prodshot probe"]
    assert inner._ad_disabled is True
    assert webui.detector.calls == 1 and len(outcomes(looked)) == 1
    # even with ourselves in its runner, a pass of ours or ADetailer's is none of our business
    for mark in ("_prodshot_pass", "_ad_inner"):
        p = webui.generation(accordion=[True, PRODUCTS])
        setattr(p, mark, True)
        webui.processing.process_images(p)
    assert webui.detector.calls == 1


def test_early_calls_of_our_hooks_do_no_harm(webui: Double) -> None:
    """ADetailer calls postprocess with no pictures, and before_process and process with a copy of the generation."""
    import copy

    class Impatient(webui.scripts.Script):  # type: ignore[misc, name-defined]
        def title(self) -> str:
            return "Impatient"

        def show(self, is_img2img: bool) -> object:
            return webui.scripts.AlwaysVisible

        def postprocess_image(self, p: object, pp: object, *args: object) -> None:
            twin = copy.copy(p)
            p.scripts.postprocess(twin, webui.processing.Processed(twin, []))  # type: ignore[attr-defined]
            p.scripts.before_process(twin)  # type: ignore[attr-defined]

    p = webui.generation(batch_size=2, do_not_save_grid=True, accordion=[True, {**PRODUCTS, "save_masks": True}])
    p.scripts.add(Impatient(), 0)
    webui.state.begin("test")
    looked = webui.processing.process_images(p)
    assert len(outcomes(looked)) == 2
    assert len(looked.images) == 4
    assert parameters(webui, looked, 1)["Prodshot"] == "found handbag 0.80"


def test_originals_masks_and_overlays_go_along(webui: Double) -> None:
    kept = {"save_originals": True, "save_masks": True, "save_overlays": True}
    plain = webui.generate()
    looked = webui.generate(accordion=[True, {**PRODUCTS, **kept}])
    assert len(looked.images) == len(looked.infotexts) == 4
    assert np.array_equal(pixels(looked.images[1]), pixels(plain.images[0]))
    mask = pixels(looked.images[2])
    assert set(np.unique(mask)) == {0, 255} and mask[32, 32] == 255
    assert not np.array_equal(pixels(looked.images[3]), pixels(plain.images[0]))
    names = sorted(path.stem.partition("-prodshot-")[2] for path in (webui.folder / "out").iterdir())
    assert names == ["", "", "before", "mask", "overlay"]


def test_the_script_looks_at_outputs_too(webui: Double) -> None:
    looked = webui.run_script("handbag", is_img2img=False)
    told = parameters(webui, looked)
    assert (told["Prodshot"], told["Script"]) == ("found handbag 0.80", "Prodshot")


def test_a_class_in_the_prompt_generates_every_product_in_turn(webui: Double) -> None:
    values = {"prompt": "studio photo of a [class]", "n_iter": 2}
    settings = {"products": "Handbag: purse, shoe", "class_prompts": "shoe: only [class]"}
    looked = webui.run_script(settings, is_img2img=False, **values)
    assert [text.split("\n")[0] for text in looked.infotexts[1:]] == ["studio photo of a Handbag"] * 2 + [
        "studio photo of a shoe"
    ] * 2
    assert looked.index_of_first_image == 1 and len(looked.images) == 5
    assert [outcome["products"] for outcome in outcomes(looked)] == [["Handbag"], ["Handbag"], ["shoe"], ["shoe"]]
    assert parameters(webui, looked, 1)["Prodshot products"] == "Handbag: purse"
    assert parameters(webui, looked, 3)["Prodshot class prompts"] == "shoe: only [class]"
    inner = [p.prompt for p in webui.samplings if hasattr(p, "init_images")]
    assert inner[0].startswith("studio photo of a Handbag, Handbag, product") and inner[2] == "only shoe"
    assert looked.all_seeds == [7, 8, 7, 8]
    assert len(list((webui.folder / "grids").iterdir())) == 1


def test_an_overridden_setting_goes_before_the_arguments(webui: Double) -> None:
    """X/Y/Z plot sets the attribute on each cell's copy of the generation."""
    p = webui.generation(accordion=[True, {**PRODUCTS, "box_threshold": 0.5}])
    p.prodshot_overrides = {"box_threshold": 0.9}
    webui.state.begin("test")
    looked = webui.processing.process_images(p)
    assert outcomes(looked)[0]["status"] == "skipped"
    assert parameters(webui, looked)["Prodshot box threshold"] == "0.9"


@pytest.mark.parametrize(
    ("arguments", "enabled"),
    [
        ([True, "handbag"], True),
        ([PRODUCTS], True),
        ([{**PRODUCTS, "enabled": False}], False),
        ([False, {**PRODUCTS, "enabled": True}], True),
        ([None, "handbag"], False),
    ],
)
def test_how_the_accordion_is_switched_over_the_api(webui: Double, arguments: list[object], enabled: bool) -> None:
    webui.generate(accordion=arguments)
    assert webui.detector.calls == int(enabled)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([True, ""], "products: no product is named"),
        ([True, {**PRODUCTS, "box_threshold": 3}], "box_threshold: 3 is too large"),
        ([True, {**PRODUCTS, "zorro": 1}], "zorro: unknown setting"),
        ([{**PRODUCTS, "enabled": "yes"}], "enabled: 'yes' is neither true nor false"),
    ],
)
def test_a_wrong_request_leaves_the_picture_and_says_why(
    webui: Double, capsys: pytest.CaptureFixture[str], arguments: list[object], reason: str
) -> None:
    plain = webui.generate()
    looked = webui.generate(accordion=arguments)
    assert np.array_equal(pixels(plain.images[0]), pixels(looked.images[0]))
    assert parameters(webui, looked)["Prodshot"].startswith(f"failed: {reason}")
    assert f"Prodshot: failed: {reason}" in looked.comments
    assert f"Prodshot: failed: {reason}" in capsys.readouterr().out
    assert outcomes(looked)[0]["status"] == "failed"


def test_the_defaults_of_script_and_api_are_the_same(webui: Double) -> None:
    assert [component.value for component in webui.script(False, "Prodshot", True).ui(False)][1:] == [
        getattr(Request(engine="inpaint"), known) for known in Request(engine="inpaint").to_dict()
    ]


@pytest.mark.parametrize(("show", "accordion", "script"), [("script", False, True), ("accordion", True, False)])
def test_what_the_settings_page_hides_is_not_drawn(webui: Double, show: str, accordion: bool, script: bool) -> None:
    webui.shared.opts.data["prodshot_show"] = show
    always_on, selectable = webui.script(False, "Prodshot", True), webui.script(False, "Prodshot", False)
    assert always_on.show(False) is webui.scripts.AlwaysVisible
    assert (always_on.ui(False) != ["hidden"]) is accordion
    assert selectable.show(False) is script
    # its hooks serve the script all the same
    looked = webui.run_script("handbag", is_img2img=False)
    assert parameters(webui, looked)["Prodshot"] == "found handbag 0.80"
