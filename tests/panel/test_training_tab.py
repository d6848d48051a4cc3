"""The tab "Prodshot training": what is drawn, what its fields become, what it says."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")

import gradio as gr
import numpy as np
from PIL import Image

from lib_prodshot.errors import ProdshotError, RequestError
from lib_prodshot.training.dataset.check import Problem
from lib_prodshot.training.errors import TrainerError, TrainerMissing
from lib_prodshot.training.recipe.presets import FAMILY_PRESETS, NAMES, preset
from lib_prodshot.training.recipe.recipe import SETTINGS, Recipe
from lib_prodshot.training.trainer import sd_scripts, setup
from lib_prodshot.webui import tabs
from lib_prodshot.webui.jobs import box as job_box
from lib_prodshot.webui.jobs import table as job_table
from lib_prodshot.webui.jobs.table import Job, JobTable
from lib_prodshot.webui.panel import fields
from lib_prodshot.webui.training import boxes as training_boxes
from lib_prodshot.webui.training import captions as training_captions
from lib_prodshot.webui.training import check as training_check
from lib_prodshot.webui.training import comparing as training_comparing
from lib_prodshot.webui.training import form as training_form
from lib_prodshot.webui.training import jobs as training_jobs
from lib_prodshot.webui.training import page as training_page
from lib_prodshot.webui.training import publishing as training_publishing
from lib_prodshot.webui.training import tab as training_tab
from lib_prodshot.webui.training import view as training_view
from lib_prodshot.webui.training.form import elem_id
from tests.api.local_host import LocalHost
from tests.training.comparing.drawn import bag, ground, make_run, red_finder
from tests.training.photographs import TAG, make_folder
from tests.training.rigs import make_checkpoint_file, unet
from tests.training.trainers import STAND_IN

PREFIX = elem_id("")
TABLES = "[[subsets]]\nimage_dir = 'more'\nnum_repeats = 2\n\n[extra]\nmax_grad_norm = 0.5\n"


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> JobTable:
    fresh = JobTable()
    for module in (job_box, training_page, training_boxes, job_table):
        monkeypatch.setattr(module, "JOBS", fresh)
    monkeypatch.setattr(training_jobs, "POLL_SECONDS", 0.02)
    return fresh


@pytest.fixture
def shop(tmp_path: Path, host: LocalHost, table: JobTable, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of photographs in the WebUI's data folder, a checkpoint, and the stand-in as trainer."""
    monkeypatch.setenv("PRODSHOT_TRAINER", str(tmp_path / "trainer"))
    monkeypatch.setattr(sd_scripts, "find", lambda *_: STAND_IN)
    checkpoint = host.training().checkpoint_file("tiny.safetensors")
    checkpoint.parent.mkdir(parents=True)
    make_checkpoint_file(checkpoint)
    return make_folder(tmp_path / "photos", size=(128, 128))


def draw() -> dict[str, Any]:
    """The tab's components by their ids, without the tab's prefix."""
    ((page, title, ident),) = [tab for tab in tabs.draw_tabs() if tab[2] == "prodshot_training"]
    assert (title, ident) == ("Prodshot training", "prodshot_training")
    ids = [block.elem_id for block in page.blocks.values() if getattr(block, "elem_id", None)]
    assert [found for found, count in Counter(ids).items() if count > 1] == []
    return {
        block.elem_id.removeprefix(PREFIX): block
        for block in page.blocks.values()
        if str(getattr(block, "elem_id", "")).startswith(PREFIX)
    }


def form(tables: str = "", **changed: Any) -> list[Any]:
    """What the recipe's components hold, as gradio gives it."""
    texts = {known.name: "" for known in SETTINGS if known.many}
    return [*(changed.get(one.name, texts.get(one.name, one.default)) for one in SETTINGS), tables]


def small(**changed: Any) -> list[Any]:
    told = {"output_name": "bag", "image_dir": " photos ", "pretrained_model_name_or_path": "tiny.safetensors"}
    told |= {"activation_tag": TAG, "resolution": 64, "min_bucket_reso": 64, "max_bucket_reso": 128, "num_repeats": 2}
    told |= {"max_train_epochs": 2, "output_dir": "", "sample_prompts": "bag --w 64\n\n"}
    told |= FAMILY_PRESETS["sd15"]["cpu"]
    return form(**{**told, "resolution": 64, **changed})


def run(*flags: bool, **changed: Any) -> Job:
    given = [*flags, *[False] * (len(training_jobs.SETTINGS) - len(flags))]
    return training_page._begin_run(*given, *small(**changed))


def until_over(job: Job) -> Job:
    end = time.monotonic() + 60
    while not job.is_over and time.monotonic() < end:
        time.sleep(0.02)
    assert job.is_over
    return job


def test_every_setting_of_the_recipe_is_drawn_at_its_default(host: LocalHost) -> None:
    drawn = draw()
    for known in SETTINGS:
        component = drawn[known.name]
        assert component.label == fields.caption(known)
        assert component.info.startswith(known.help)
        assert component.value == ("" if known.many else known.default), known.name
    for prefix, settings in (
        ("run", training_jobs.SETTINGS),
        ("caption", [one for one in training_captions.SETTINGS if one.name not in training_page._SHARED_WITH_RECIPE]),
        ("check", [one for one in training_check.SETTINGS if one.name == "fix"]),
        ("compare", [one for one in training_comparing.SETTINGS if one.name not in ("output_name", "output_dir")]),
        ("publish", [one for one in training_publishing.SETTINGS if one.name not in ("output_name", "output_dir")]),
    ):
        for one in settings:
            assert drawn[f"{prefix}_{one.name}"].value == one.default
    presets = [choice[1] if isinstance(choice, tuple) else choice for choice in drawn["preset"].choices]
    assert presets == ["", *NAMES]


def test_nothing_of_it_goes_into_the_webuis_defaults(host: LocalHost) -> None:
    kinds = (gr.Slider, gr.Radio, gr.Checkbox, gr.Textbox, gr.Number, gr.Dropdown, gr.Button)
    assert all(block.do_not_save_to_config for block in draw().values() if isinstance(block, kinds))


def test_without_its_packages_or_host_it_says_why(host: LocalHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_tab, "REQUIRED_PACKAGES", {"no_such_module": "no-such-package"})
    (page, *_) = next(tab for tab in tabs.draw_tabs() if tab[2] == "prodshot_training")
    (told,) = [block.value for block in page.blocks.values() if isinstance(block, gr.HTML)]
    assert "training needs no-such-package" in told
    monkeypatch.undo()


def test_the_form_is_the_recipe_and_comes_back_from_it() -> None:
    told = training_page.form_values(form(TABLES, output_name="bag", sample_prompts="a\n\n b \n", unet_lr=1, seed=7.0))
    recipe = Recipe.of(told, complete=False)
    assert (recipe.output_name, recipe.sample_prompts, recipe.unet_lr, recipe.seed) == ("bag", ("a", "b"), 1.0, 7)
    assert recipe.subsets[0].image_dir == "more" and recipe.extra == {"max_grad_norm": 0.5}
    shown = training_form.form_updates(recipe)
    assert Recipe.of(training_page.form_values(shown), complete=False) == recipe


def test_a_recipe_goes_out_as_toml_and_comes_in(host: LocalHost) -> None:
    message, text = training_page._show_toml(*form(TABLES, output_name="bag", max_train_epochs=7))
    assert "to be copied" in message and "max_train_epochs = 7" in text
    loaded = training_page._load_toml(text)
    assert len(loaded) == 1 + training_form.COMPONENTS and "Loaded" in loaded[0]
    assert training_page.form_values(loaded[1:])["max_train_epochs"] == 7
    for wrong, said in (("x = ", "not TOML"), ("max_epochs = 3", "unknown setting"), ("seed = 'a'", "seed")):
        answer = training_page._load_toml(wrong)
        assert said in answer[0] and len(answer) == 1 + training_form.COMPONENTS
    message, _ = training_page._show_toml(*form("output_name = 'x'"))
    assert "field of its own" in message


def test_a_preset_fills_what_it_changes_and_puts_the_rest_back(host: LocalHost, shop: Path) -> None:
    names = training_form.preset_names()
    seeds = {name: getattr(Recipe(), name) for name in names}

    def filled(name: str, family: str, checkpoint: str) -> dict[str, Any]:
        return dict(zip(names, training_form.preset_updates(name, family, checkpoint)))

    assert filled("cpu", "auto", "") == filled("cpu", "sd15", "tiny.safetensors")
    assert filled("cpu", "auto", "") == {**seeds, **FAMILY_PRESETS["sd15"]["cpu"]}
    assert filled("", "auto", "") == seeds
    # the WebUI's own checkpoint says that it is SDXL
    make_checkpoint_file(host.training().checkpoint_file("tiny.safetensors"), **unet(2048))
    assert filled("12gb", "auto", "tiny.safetensors") == {**seeds, **preset("12gb", "sdxl")}
    assert filled("", "flux", "tiny.safetensors") == {**seeds, **preset("", "flux")}
    assert all("value" not in update for update in filled("6gb", "auto", "tiny.safetensors").values())


def test_the_folder_is_checked(host: LocalHost, shop: Path) -> None:
    (shop / "2.txt").write_bytes(b"caf\xe9")
    told = " ".join(training_page._check(*small()).split())
    assert "6 steps an epoch × 2 epochs = 12 steps" in told and "1 error, no warnings" in told
    assert "<b>2.txt</b><ul> <li class='prodshot-error'>the caption is not UTF-8" in told and "64×64" in told
    assert "prodshot-said-error" in training_page._check(*small(image_dir="nowhere"))
    assert "a folder is needed" in training_page._check(*small(image_dir=""))
    (shop / "<b>.jpg").write_bytes(b"no picture")
    told = training_page._check(*small())
    assert "<b>.jpg" not in told and "&lt;b&gt;.jpg" in told


def test_what_training_would_see_and_the_copies(host: LocalHost, shop: Path, tmp_path: Path) -> None:
    folder = shop.rename(shop.with_name("10_bag"))
    Image.fromarray(np.full((128, 128), 30_000, np.uint16)).save(folder / "deep.png")
    (folder / "1.txt").rename(folder / "1.jpg.txt")
    (folder / "<b>.txt").write_text("x")
    told = training_page._check(*small(image_dir="10_bag", num_repeats=6))
    assert "10_bag: 7 photographs × 10 (its name)" in told
    for words in (">deep.png</b>", "sd-scripts clips its 16-bit grey", "this caption of 1.jpg is not read"):
        assert words in told
    assert "<b>&lt;b&gt;.txt</b>" in told and "it belongs to no picture" in told
    told = training_page._check(*small(image_dir="10_bag", num_repeats=6), "fixed")
    assert "1 converted, 6 copied, 0 there already, 0 left out" in told and (tmp_path / "fixed" / "10_bag").is_dir()
    assert told.count("prodshot-training-report") == 2 and str(tmp_path) not in told
    refused = training_page._check(*small(image_dir="10_bag", num_repeats=6), "10_bag/fixed")
    assert "originals stay untouched" in refused and not (folder / "fixed").exists()


def test_an_unreadable_caption_is_shown_as_kept(host: LocalHost, shop: Path, table: JobTable) -> None:
    (shop / "1.txt").write_bytes("café".encode("utf-16"))
    names = [one.name for one in training_captions.SETTINGS if one.name not in training_page._SHARED_WITH_RECIPE]
    told = {one.name: one.default for one in training_captions.SETTINGS}
    job = until_over(training_page._begin_captions(str(shop), TAG, ".txt", *(told[name] for name in names)))
    shown = training_boxes.CaptionBox("training_captions", ()).html_of(job)
    assert (
        "0 captions written, 5 kept, 0 missing, 1 unread and kept" in shown and "<b>1.txt</b>: the caption is" in shown
    )


def test_a_run_from_start_to_published(host: LocalHost, shop: Path, table: JobTable) -> None:
    job = until_over(run())
    assert job.state == "done", job.error
    assert host.trains.told == ["left the GPU"]
    box = training_boxes.RunBox("training", (("log", "Log"), ("losses", "Loss as CSV"), ("recipe", "Recipe")))
    curve, samples, seen = box.refresh_figures(("", 0, 0))
    assert "Loss: " in curve and curve.count("<line") == 1 and "12 steps" in curve
    assert samples.count("<img") == 2 and "epoch 1" in samples and "epoch 2" in samples
    assert f"prodshot/jobs/{job.key}/output/sample/bag_e000001_00_" in samples
    again = box.refresh_figures(seen)
    assert again[2] == seen and not isinstance(again[0], str) and not isinstance(again[1], str)
    line = box.html_of(job)
    assert "data-over='1'" in line and ">Log</a>" in line and ">Loss as CSV</a>" in line and ">Recipe</a>" in line
    done, prompt = training_page._publish("bag", "", "", "", 1, "")
    assert "2 LoRAs published" in done and prompt.endswith("<lora:bag-02:1>")
    assert host.trains.told[-1] == "looked at its LoRAs"
    assert (host.trains.lora_folder() / "bag-01.safetensors").is_file()
    wrong, _ = training_page._publish("bog", "", "", "", 1, "")
    assert "is no folder of a training run" in wrong


def test_the_run_says_what_is_wrong_before_it_starts(host: LocalHost, shop: Path, table: JobTable) -> None:
    for changed, field in (
        ({"output_name": ""}, "output_name"),
        ({"pretrained_model_name_or_path": ""}, "pretrained_model_name_or_path"),
        ({"mixed_precision": "fp16"}, "mixed_precision"),
        ({"image_dir": "nowhere"}, "image_dir"),
    ):
        with pytest.raises(RequestError) as raised:
            run(**changed)
        assert field in [problem.field for problem in raised.value.problems]
    host.trains.generating = True
    with pytest.raises(RequestError, match="the WebUI is generating"):
        run()
    assert table.list() == []
    # flags in their order: fresh, force, while_generating, publish
    job = until_over(run(False, False, True, True))
    assert job.state == "done" and len(job.result["published"]) == 2


def test_captions_are_shown_before_they_are_written(host: LocalHost, shop: Path, table: JobTable) -> None:
    (shop / "1.txt").write_text("a <b>bag</b>", encoding="utf-8")
    names = [one.name for one in training_captions.SETTINGS if one.name not in training_page._SHARED_WITH_RECIPE]
    told = {**{one.name: one.default for one in training_captions.SETTINGS}, "dry_run": True}
    job = until_over(training_page._begin_captions(str(shop), TAG, ".txt", *(told[name] for name in names)))
    shown = training_boxes.CaptionBox("training_captions", ()).html_of(job)
    assert "1 captions would be written, 5 kept, 0 missing" in shown
    assert "a &lt;b&gt;bag" in shown and "<b>bag" not in shown
    assert (shop / "1.txt").read_text() == "a <b>bag</b>"


def test_further_options_of_sd_scripts_only_from_a_trusted_page(host: LocalHost, shop: Path, table: JobTable) -> None:
    words = "[extra]\nmetadata_author = 'me'\n"
    given = [*[False] * len(training_jobs.SETTINGS), *small()[:-1], words]
    assert until_over(training_page._begin_run(*given)).state == "done"
    host.flags |= {"listen": True, "prodshot_allow_dir": [str(shop)]}
    given[len(training_jobs.SETTINGS) + [one.name for one in SETTINGS].index("image_dir")] = str(shop)
    with pytest.raises(RequestError, match="only numbers and flags"):
        training_page._begin_run(*given)
    with pytest.raises(TrainerError, match="open to others"):
        training_boxes.SetupBox._begin()


def test_what_lacks_is_said_and_can_be_fetched(
    host: LocalHost, table: JobTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(*_: Any) -> Any:
        raise TrainerMissing("sd-scripts is not here: `prodshot train setup` gets it")

    monkeypatch.setattr(sd_scripts, "find", find)
    drawn = draw()
    assert "<b>Missing</b> <span>sd-scripts" in drawn["trainer"].value and drawn["setup"].visible
    assert "<b>Here</b> <span>checkpoints to train on:</span> <span>1</span>" in drawn["trainer"].value
    assert "error" not in drawn["trainer"].value and "prodshot train" not in drawn["trainer"].value
    plan = setup.SetupPlan(tmp_path, tmp_path / "sd-scripts", True, "cpu", "python3")
    monkeypatch.setattr(setup, "plan", lambda: plan)
    info = sd_scripts.TrainerInfo("3.11", "2.6.0", (), {}, {})
    monkeypatch.setattr(setup, "install", lambda plan, tell: (tell("making"), (STAND_IN, info))[1])
    job = until_over(training_boxes.SetupBox._begin())
    assert job.state == "done" and job.result == {"torch": "2.6.0"}
    monkeypatch.setattr(sd_scripts, "find", lambda *_: STAND_IN)
    drawn = draw()
    assert "Missing" not in drawn["trainer"].value and not drawn["setup"].visible


def test_what_nobody_foresaw_is_said(host: LocalHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_view, "check_result", lambda _: [][0])
    monkeypatch.setattr(training_page.training_check, "run_check", lambda *_: None)
    assert "nobody foresaw" in training_page._check(*form())
    assert issubclass(TrainerMissing, ProdshotError)


def test_a_curve_needs_two_points() -> None:
    assert training_view.curve([], 10) == training_view.curve([[1, 1, 0.5]], 10) == ""
    flat = training_view.curve([[1, 1, 0.5], [2, 1, 0.5]], 10)
    assert "nan" not in flat and "10 steps" in flat


def test_a_faulty_photograph_is_shown_with_its_faults(tmp_path: Path) -> None:
    Image.new("RGB", (300, 200), "red").save(tmp_path / "<b>.png")
    problems = [Problem("error", "caption", str(tmp_path / name), f"wrong with {name}") for name in ("<b>.png", "gone")]
    problems.append(Problem("warning", "blur", problems[0].file, "it is soft"))
    shown = " ".join(str(training_view._macros().faulty(training_view.by_file(problems))).split())
    assert shown.count("<figure>") == 2 and shown.count("data:image/jpeg") == 1 and "<b><b>" not in shown
    assert "wrong with &lt;b&gt;.png</li> <li class='prodshot-warning'>it is soft" in shown


def test_epochs_are_compared_and_shown(host: LocalHost, table: JobTable, tmp_path: Path) -> None:
    host.finder = red_finder()
    make_run(tmp_path / "prodshot-training", {1: [ground(50)], 2: [bag(70)]})
    names = [one.name for one in training_comparing.SETTINGS if one.name not in ("output_name", "output_dir")]
    values = {one.name: one.default for one in training_comparing.SETTINGS} | {"products": "bag"}
    job = until_over(training_page._begin_compare(" bag ", "", *(values[name] for name in names)))
    assert job.state == "done", job.error
    shown = " ".join(training_boxes.CompareBox("training_compare", (("page", "Page"),)).html_of(job).split())
    assert "<b>Take epoch 2:</b> the product is on 1 of its 1 pictures" in shown
    assert "<tr class='prodshot-best'><td>2</td><td>1/1</td>" in shown and "none of its pictures shows" in shown
    assert "compare/compare.html" in shown and "src='prodshot/jobs/" in shown and "compare/grid.png" in shown
    with pytest.raises(RequestError, match="no product is named"):
        training_page._begin_compare("bag", "", *(values[name] if name != "products" else "" for name in names))


def test_the_photographs_are_looked_at(host: LocalHost, shop: Path, table: JobTable, tmp_path: Path) -> None:
    host.finder = red_finder()
    bag(1, size=(128, 128)).save(shop / "2.jpg", quality=98)
    ground(1, size=(128, 128)).save(shop / "3.jpg", quality=98)
    with pytest.raises(RequestError, match="no product is named"):
        training_page._begin_look(*small(), "")
    job = until_over(training_page._begin_look(*small(products="bag"), "copies"))
    assert job.state == "done", job.error
    shown = " ".join(training_boxes.LookBox("training_check", ()).html_of(job).split())
    seen = sum(one["found"] for one in job.result["views"])
    assert 0 < seen < 6 and f"<b>6 photographs</b>, {seen} with the product" in shown
    assert "<b>3.jpg</b>: the finder sees no product on it" in shown and "Copies in copies: " in shown
    assert (tmp_path / "copies" / "2.jpg").is_file()
