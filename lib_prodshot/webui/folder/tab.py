"""The tab "Prodshot folder": the folder job of `prodshot batch`, with the panel's settings, in the WebUI."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import gradio as gr

from lib_prodshot.finding import registry
from lib_prodshot.hosts.active import incompatibility
from lib_prodshot.hosts.server_paths import open_for_page
from lib_prodshot.inpainting import PassDefaults
from lib_prodshot.jobs.settings import SETTINGS, folder_setting
from lib_prodshot.request import setting_named, settings
from lib_prodshot.webui import options
from lib_prodshot.webui.folder.box import FolderBox
from lib_prodshot.webui.folder.picker import FolderPicker
from lib_prodshot.webui.gradio_compat import small_button
from lib_prodshot.webui.jobs.table import JOBS, Job
from lib_prodshot.webui.messages import said
from lib_prodshot.webui.panel import fields, layout, preset_box
from lib_prodshot.webui.panel.finder_line import FinderLine
from lib_prodshot.webui.panel.form import Form

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
    own, pickers = _draw_folders()
    form.draw_one(setting_named(layout.PRODUCTS))
    line = FinderLine.draw(elem_id)
    form.draw_front()
    box = FolderBox("folder", _LINKS)
    box.draw("Start")
    box.draw_sheet()
    own |= _draw_own(("only",))
    with gr.Accordion("Advanced", open=False, elem_id=elem_id("advanced"), elem_classes=["prodshot-advanced"]):
        own |= _draw_own(("recursive", "dry_run", "keep_times", "limit"))
        with gr.Tabs(elem_id=elem_id("tabs"), elem_classes=["prodshot-tabs"]):
            for title in layout.tabs():
                with gr.Tab(title, elem_id=elem_id(f"tab_{title.lower()}")):
                    form.draw_tab(title)
            with gr.Tab("Presets", elem_id=elem_id("tab_presets")):
                presets = preset_box.draw(elem_id)
    # hidden, because presets hold all settings
    with gr.Column(visible=False):
        form.draw_kept()
    gr.HTML(_defaults(), elem_classes=["prodshot-hidden"])
    form.connect()
    for picker, field in pickers:
        picker.connect(field)
    line.connect(form.components["finder"])
    presets.connect(form.in_order())
    box.connect_all(begin, [*(own[known.name] for known in SETTINGS), *form.in_order()])


def _draw_folders() -> tuple[dict[str, Any], list[tuple[FolderPicker, Any]]]:
    """Draw the two folders, each with its list of folders to choose from below."""
    own: dict[str, Any] = {}
    pickers = []
    for known in map(folder_setting, ("folder", "out")):
        with gr.Row(elem_classes=["prodshot-row", "prodshot-head"]):
            own[known.name] = fields.draw(known, known.default, elem_id(known.name))
            browse = small_button("Browse", elem_id(f"{known.name}_browse"))
        pickers.append((FolderPicker.draw(browse, elem_id(f"{known.name}_choice")), own[known.name]))
    return own, pickers


def _defaults() -> str:
    """What the passes of a folder job inherit where a setting leaves it to the generation around it, for our script."""
    ours = PassDefaults()
    known = {**asdict(ours), "cfg_scale": f"{ours.cfg_scale:g}", "resolution": f"{ours.width}×{ours.height}"}
    # of seeds each picture has its own
    names = [each.name for each in settings() if each.inherits is not None and each.name in {*known} - {"seed"}]
    facts = " ".join(f"data-{name}='{html.escape(str(known[name]))}'" for name in names)
    return f"<div class='prodshot-defaults' {facts}></div>"


def _draw_own(names: Sequence[str]) -> dict[str, Any]:
    """Draw some of the job's own settings in one row, by name."""
    with gr.Row(elem_classes=["prodshot-row"]):
        return {
            known.name: fields.draw(known, known.default, elem_id(known.name)) for known in map(folder_setting, names)
        }


def begin(*values: Any) -> Job:
    """Queue the job that the tab's fields describe: the folder job's settings, then the request's.

    Raises `RequestError`.
    """
    from lib_prodshot.webui.folder import jobs as folder_jobs

    names = [known.name for known in (*SETTINGS, *settings())]
    given = {name: value for name, value in zip(names, values) if value is not None}
    # before it waits in the queue, and in the page's words
    registry.choose(given.get("finder", "auto"), options.models_dir())
    return JOBS.put("folder", folder_jobs.work_from(given, open_for_page))
