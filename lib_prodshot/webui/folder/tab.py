"""The tab "Prodshot folder": the folder job of `prodshot batch`, with the panel's settings, in the WebUI."""

from __future__ import annotations

from typing import Any

import gradio as gr

from lib_prodshot.hosts.active import incompatibility
from lib_prodshot.jobs.settings import SETTINGS, folder_setting
from lib_prodshot.request import setting_named, settings
from lib_prodshot.webui.jobs.box import JobBox
from lib_prodshot.webui.jobs.table import JOBS, Job
from lib_prodshot.webui.messages import said
from lib_prodshot.webui.panel import fields, layout, preset_box
from lib_prodshot.webui.panel.find_box import StateLine
from lib_prodshot.webui.panel.form import Form
from lib_prodshot.webui.server_paths import open_for_page

_LINKS = (("report", "Contact sheet"), ("table", "report.csv"), ("lines", "report.jsonl"), ("summary", "summary.json"))


def elem_id(item: str) -> str:
    """Return the id of one of the tab's components."""
    return f"prodshot_folder_{item}"


def draw() -> None:
    """Draw the tab into the current gradio context. In a WebUI that Prodshot cannot work in it says why."""
    why = incompatibility()
    if why:
        gr.HTML(said(why, is_error=True))
        return
    form = Form.begin(elem_id)
    own = _draw_own()
    form.draw_one(setting_named("products"))
    line = StateLine.draw(elem_id)
    form.draw_one(setting_named("engine"))
    with gr.Tabs(elem_id=elem_id("tabs"), elem_classes=["prodshot-tabs"]):
        for title in filter(_is_used, layout.tabs()):
            with gr.Tab(title, elem_id=elem_id(f"tab_{title.lower()}")):
                form.draw_tab(title)
        with gr.Tab("Presets", elem_id=elem_id("tab_presets")):
            presets = preset_box.draw(elem_id)
    # hidden, because presets hold all settings
    with gr.Column(visible=False):
        for title in layout.tabs():
            if not _is_used(title):
                form.draw_tab(title)
    box = JobBox("folder", _LINKS)
    box.draw("Start")
    line.connect(form.components["finder"])
    presets.connect(form.in_order())
    box.connect(begin, [*own, *form.in_order()])


def _draw_own() -> list[Any]:
    """Draw the job's own settings, folders first; return them in the order of `SETTINGS`, as `begin` takes them."""
    drawn = {}
    for row in (("folder", "out"), ("recursive", "dry_run", "keep_times", "limit")):
        with gr.Row(elem_classes=["prodshot-row"]):
            for known in map(folder_setting, row):
                drawn[known.name] = fields.draw(known, known.default, elem_id(known.name))
    return [drawn[known.name] for known in SETTINGS]


def _is_used(title: str) -> bool:
    """Return whether a folder job uses any setting of this tab of the panel."""
    return any(not known.webui_only for known in layout.on_tab(title))


def begin(*values: Any) -> Job:
    """Queue the job that the tab's fields describe: the folder job's settings, then the request's.

    Raises `RequestError`.
    """
    from lib_prodshot.webui.folder import jobs as folder_jobs

    names = [known.name for known in (*SETTINGS, *settings())]
    given = {name: value for name, value in zip(names, values) if value is not None}
    return JOBS.put("folder", folder_jobs.work_from(given, open_for_page))
