"""The tab "Prodshot training": photographs → captions → recipe → run → compare → publish, on the same objects as the
command line."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr

from lib_prodshot.errors import ProdshotError
from lib_prodshot.hosts.server_paths import open_for_page
from lib_prodshot.schema import Setting
from lib_prodshot.training.dataset.looking import LOOK
from lib_prodshot.training.recipe import files as recipe_files
from lib_prodshot.training.recipe.presets import NAMES
from lib_prodshot.training.recipe.recipe import Recipe
from lib_prodshot.webui.gradio_compat import copy_button, small_button, unsaved
from lib_prodshot.webui.jobs.table import JOBS, Job
from lib_prodshot.webui.messages import said
from lib_prodshot.webui.panel import fields
from lib_prodshot.webui.training import captions as training_captions
from lib_prodshot.webui.training import check as training_check
from lib_prodshot.webui.training import comparing as training_comparing
from lib_prodshot.webui.training import form as training_form
from lib_prodshot.webui.training import jobs as training_jobs
from lib_prodshot.webui.training import publishing as training_publishing
from lib_prodshot.webui.training import view as training_view
from lib_prodshot.webui.training.boxes import CaptionBox, CompareBox, LookBox, RunBox, SetupBox
from lib_prodshot.webui.training.form import Form, elem_id
from lib_prodshot.webui.training.recipe import CHECKPOINT

_LOG = logging.getLogger("prodshot")

_QUIET = {"show_progress": False, "queue": False}


def draw() -> None:
    """Draw the tab into the current gradio context."""
    form = Form()
    setup = SetupBox()
    setup.draw_all()
    with gr.Accordion("1. Photographs", open=True, elem_id=elem_id("step_photographs")):
        check = _draw_photographs(form)
    with gr.Accordion("2. Captions", open=False, elem_id=elem_id("step_captions")):
        captions, caption_box = _draw_captions()
    with gr.Accordion("3. Recipe", open=True, elem_id=elem_id("step_recipe")):
        recipe = _draw_recipe(form)
    with gr.Accordion("4. Run", open=True, elem_id=elem_id("step_run")):
        flags, run_box = _draw_run()
    with gr.Accordion("5. Which epoch", open=False, elem_id=elem_id("step_compare")):
        comparing, compare_box = _draw_compare()
    with gr.Accordion("6. Publish", open=True, elem_id=elem_id("step_publish")):
        publishing = _draw_publish()
    setup.connect_all()
    check["button"].click(_check, [*form.components, *check["fields"]], [check["report"]], **_QUIET)
    check["look"].connect(_begin_look, [*form.components, *check["fields"]])
    shared = [form.one(name) for name in ("image_dir", "activation_tag", "caption_extension")]
    caption_box.connect(_begin_captions, [*shared, *captions])
    _connect_recipe(form, recipe)
    run_box.connect_all(_begin_run, [*flags, *form.components])
    compare_box.connect(_begin_compare, [form.one("output_name"), form.one("output_dir"), *comparing])
    publishing["button"].click(
        _publish,
        [form.one("output_name"), form.one("output_dir"), *publishing["fields"]],
        [publishing["done"], publishing["prompt"]],
        **_QUIET,
    )


def _draw_photographs(form: Form) -> dict[str, Any]:
    with gr.Row(elem_classes=["prodshot-row"]):
        form.one("image_dir")
        form.one("activation_tag")
        button = unsaved(gr.Button("Check", elem_id=elem_id("check"), elem_classes=["prodshot-find"]))
    components = _draw_settings(training_check.SETTINGS, _CHECK_ROWS, "check")
    report = unsaved(gr.HTML("", elem_id=elem_id("report"), elem_classes=["prodshot-message"]))
    look = LookBox("training_check", ())
    look.draw("Look at each photograph")
    return {"button": button, "fields": components, "report": report, "look": look}


def _draw_captions() -> tuple[list[Any], CaptionBox]:
    components = _draw_settings(training_captions.SETTINGS, _CAPTION_ROWS, "caption")
    box = CaptionBox("training_captions", ())
    box.draw("Write captions")
    return components, box


_SHARED_WITH_RECIPE = ("image_dir", "activation_tag", "caption_extension")
_CAPTION_ROWS = (
    ("captioner", "captions"),
    ("remove", "search", "replacement"),
    ("need_all", "new_first", "anew", "dry_run"),
)
_CHECK_ROWS = (("fix",),)
_RUN_ROWS = (tuple(known.name for known in training_jobs.SETTINGS),)
_RUN = ("output_name", "output_dir")
_COMPARE_ROWS = (
    ("products", "finder", "box_threshold"),
    ("source", "name", "weight"),
    ("prompts",),
    ("seed", "seeds", "steps"),
)
_PUBLISH_ROWS = (("epochs", "name", "weight"), ("description",))


def _draw_recipe(form: Form) -> dict[str, Any]:
    with gr.Row(elem_classes=["prodshot-row"]):
        preset = unsaved(
            gr.Dropdown(
                ["", *NAMES],
                value="",
                label="Preset",
                info="Values for a card of so much memory, or for none, and for the checkpoint's family; empty: that "
                "family's own, for Stable Diffusion 1.x the seed author's recipe.",
                elem_id=elem_id("preset"),
                elem_classes=["prodshot-field"],
                interactive=True,
            )
        )
        for name in training_form.HEAD:
            form.one(name)
    form.draw_front()
    with gr.Accordion("All settings", open=False, elem_id=elem_id("fold_all")):
        form.draw_rest()
    with gr.Accordion("Recipe as TOML", open=False, elem_id=elem_id("fold_toml")):
        text = unsaved(
            gr.Textbox(
                "",
                label="Recipe",
                info="Show writes what is set above, for `prodshot train run --recipe`; Load reads what was pasted.",
                lines=6,
                max_lines=20,
                **copy_button(),
                elem_id=elem_id("toml"),
                elem_classes=["prodshot-field"],
                interactive=True,
            )
        )
        with gr.Row(elem_classes=["prodshot-row"]):
            show = small_button("Show", elem_id("toml_show"))
            load = small_button("Load", elem_id("toml_load"))
        message = unsaved(gr.HTML("", elem_id=elem_id("toml_message"), elem_classes=["prodshot-message"]))
    return {"preset": preset, "text": text, "show": show, "load": load, "message": message}


def _connect_recipe(form: Form, parts: Mapping[str, Any]) -> None:
    changed = [form.one(name) for name in training_form.preset_names()]
    told = [parts["preset"], form.one("family"), form.one(CHECKPOINT)]
    for component in (parts["preset"], form.one("family")):
        component.input(training_form.preset_updates, told, changed, **_QUIET)
    parts["show"].click(_show_toml, form.components, [parts["message"], parts["text"]], **_QUIET)
    parts["load"].click(_load_toml, [parts["text"]], [parts["message"], *form.components], **_QUIET)


def _draw_run() -> tuple[list[Any], RunBox]:
    flags = _draw_settings(training_jobs.SETTINGS, _RUN_ROWS, "run")
    box = RunBox("training", (("log", "Log"), ("losses", "Loss as CSV"), ("recipe", "Recipe")))
    box.draw_all()
    return flags, box


def _draw_compare() -> tuple[list[Any], CompareBox]:
    components = _draw_settings(training_comparing.SETTINGS, _COMPARE_ROWS, "compare")
    box = CompareBox("training_compare", (("page", "Page"), ("report", "JSON")))
    box.draw("Compare epochs")
    return components, box


def _draw_publish() -> dict[str, Any]:
    components = _draw_settings(training_publishing.SETTINGS, _PUBLISH_ROWS, "publish")
    with gr.Row(elem_classes=["prodshot-job-row"]):
        button = unsaved(gr.Button("Publish", variant="primary", elem_id=elem_id("publish")))
    done = unsaved(gr.HTML("", elem_id=elem_id("published"), elem_classes=["prodshot-message"]))
    prompt = unsaved(
        gr.Textbox(
            "",
            label="Prompt",
            info="Calls the LoRA: for txt2img, or for Prodshot's own prompt per class, which offers it too.",
            **copy_button(),
            interactive=False,
            elem_id=elem_id("prompt"),
            elem_classes=["prodshot-field"],
        )
    )
    return {"fields": components, "button": button, "done": done, "prompt": prompt}


def _draw_settings(table: Sequence[Setting], rows: Sequence[Sequence[str]], prefix: str) -> list[Any]:
    """One component for each setting that stands in `rows`; they come back in the table's order."""
    known = {one.name: one for one in table}
    drawn: dict[str, Any] = {}
    for row in rows:
        with gr.Row(elem_classes=["prodshot-row"]):
            for name in row:
                drawn[name] = unsaved(fields.draw(known[name], known[name].default, elem_id(f"{prefix}_{name}")))
    return [drawn[one.name] for one in table if one.name in drawn]


def _answering(work: Callable[..., Any]) -> Callable[..., Any]:
    """Turn what a user can cause into a sentence, and what nobody foresaw into one that says so."""

    def answer(*values: Any) -> Any:
        try:
            return work(*values)
        except ProdshotError as error:
            return said(str(error), is_error=True)
        except Exception:
            _LOG.exception("the training tab could not do what was asked")
            words = "This failed for a reason nobody foresaw; the console has the details. Please report it."
            return said(words, is_error=True)

    return answer


def _check(*values: Any) -> str:
    count = training_form.COMPONENTS
    own = dict(zip(("fix",), (value or "" for value in values[count:])))

    def run() -> str:
        check_result = training_check.run_check({**form_values(values[:count]), **own}, open_for_page)
        return training_view.check_result(check_result)

    return str(_answering(run)())


def _begin_look(*values: Any) -> Job:
    count = training_form.COMPONENTS
    own = dict(zip(("fix",), (value or "" for value in values[count:])))
    settings = {**form_values(values[:count]), **own, LOOK.name: True}
    return JOBS.put("training_check", training_check.work_from(settings, open_for_page))


def form_values(values: Sequence[Any]) -> dict[str, Any]:
    """The recipe's settings that are set; an empty text stands for the default."""
    named = training_form.read(values)
    return {name: value for name, value in named.items() if value not in ("", None)}


def _begin_captions(*values: Any) -> Job:
    names = [*_SHARED_WITH_RECIPE]
    names += [known.name for known in training_captions.SETTINGS if known.name not in _SHARED_WITH_RECIPE]
    return JOBS.put("training_captions", training_captions.work_from(dict(zip(names, values)), open_for_page))


def _begin_run(*values: Any) -> Job:
    count = len(training_jobs.SETTINGS)
    flags = {known.name: value for known, value in zip(training_jobs.SETTINGS, values)}
    settings = {**form_values(values[count:]), **flags}
    return JOBS.put("training", training_jobs.work_from(settings, open_for_page))


def _begin_compare(output_name: str, output_dir: str, *values: Any) -> Job:
    names = [known.name for known in training_comparing.SETTINGS if known.name not in _RUN]
    settings = {**dict(zip(_RUN, (output_name.strip(), output_dir.strip()))), **dict(zip(names, values))}
    return JOBS.put("training_compare", training_comparing.work_from(settings, open_for_page))


def _show_toml(*values: Any) -> tuple[Any, Any]:
    answered = _answering(lambda: recipe_files.to_text(Recipe.of(form_values(values), complete=False)))()
    if answered.startswith("<span"):
        return answered, gr.update()
    return said("The recipe stands above, to be copied."), answered


def _load_toml(text: str) -> list[Any]:
    def load() -> list[Any]:
        values = recipe_files.parse_text(text)
        values.pop("preset", None)
        return [said("Loaded."), *training_form.form_updates(Recipe.of(values, complete=False))]

    answered = _answering(load)()
    if isinstance(answered, list):
        return answered
    return [answered, *(gr.update() for _ in range(training_form.COMPONENTS))]


def _publish(output_name: str, output_dir: str, *values: Any) -> tuple[Any, Any]:
    names = [known.name for known in training_publishing.SETTINGS if known.name not in _RUN]
    settings = {"output_name": output_name.strip(), "output_dir": output_dir.strip(), **dict(zip(names, values))}

    def publish() -> tuple[str, str]:
        run, options = training_publishing.read(settings, open_for_page)
        done = training_publishing.publish_here(run, options)
        return training_view.published(done), done[-1].prompt

    answered = _answering(publish)()
    return answered if isinstance(answered, tuple) else (answered, gr.update())
