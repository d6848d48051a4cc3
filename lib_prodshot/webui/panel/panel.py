"""The panel: drawn once for the script and once for the accordion, on both tabs, from the schema alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import gradio as gr

from lib_prodshot.hosts.active import host, incompatibility
from lib_prodshot.request import WEBUI_BASE, setting_named, settings
from lib_prodshot.webui.gradio_compat import input_accordion, unsaved
from lib_prodshot.webui.messages import said
from lib_prodshot.webui.panel import find_box, layout, lora_prompts, preset_box, result_card
from lib_prodshot.webui.panel.form import Form
from lib_prodshot.webui.panel.infotext import Pasted, is_enabled

TITLE = "Prodshot"


@dataclass(frozen=True)
class Panel:
    """What a script needs of its panel.

    `components` is what `ui()` returns: for the accordion its checkbox first, then one for each setting in schema
    order. `infotext_fields` and `paste_field_names` are the script attributes of these names.
    """

    components: list[Any]
    infotext_fields: list[tuple[Any, Any]]
    paste_field_names: list[str]


def draw_panel(is_img2img: bool, elem_id: Callable[[str], str], with_enabled: bool) -> Panel:
    """Draw the panel into the current gradio context; `with_enabled` makes it the always-on accordion.

    `elem_id` is the script's own. Also called outside of the page (the API asks for defaults): cheap, re-entrant,
    and then every component stands at the defaults of the WebUI's entry points, whatever the settings page says. In a
    WebUI that Prodshot cannot work in, the panel says why and has no components.
    """
    why = incompatibility()
    if why:
        return _draw_reason(why, with_enabled)
    # script and accordion share a title, and with it the ids that the WebUI makes of it
    named = (lambda item: elem_id(f"accordion_{item}")) if with_enabled else elem_id
    form = Form.begin(named)
    frame: Any = input_accordion(TITLE, named("enabled")) if with_enabled else nullcontext()
    with frame as enabled, gr.Column(elem_classes=["prodshot"], elem_id=named("panel")):
        _draw_inside(form, "img2img" if is_img2img else "txt2img")
    components = form.in_order()
    pasted = [(form.components[known.name], Pasted(known)) for known in settings(WEBUI_BASE)]
    names = [known.infotext for known in settings()]
    if enabled is None:
        return Panel(components, list(pasted), names)
    return Panel([enabled, *components], [(enabled, is_enabled), *pasted], names)


def draw_hidden(is_img2img: bool, elem_id: Callable[[str], str]) -> list[Any]:
    """The accordion's components where the settings page hides it: the API still takes its arguments, for a WebUI
    drops what has no component. Nothing is pasted into them or remembered, so that nobody switches it on unseen."""
    with gr.Column(visible=False):
        enabled = gr.Checkbox(False, label=TITLE, elem_id=elem_id("accordion_enabled"))
        panel = draw_panel(is_img2img, lambda item: elem_id(f"accordion_{item}"), with_enabled=False)
    return [unsaved(component) for component in (enabled, *panel.components)]


def _draw_reason(why: str, with_enabled: bool) -> Panel:
    with gr.Accordion(TITLE, open=False) if with_enabled else nullcontext():
        gr.HTML(said(why, is_error=True), elem_classes=["prodshot"])
    return Panel([], [], [])


def _draw_inside(form: Form, tab: str) -> None:
    with gr.Row(elem_classes=["prodshot-head"]):
        form.draw_one(setting_named(layout.PRODUCTS))
        find = find_box.draw(form.elem_id, tab)
    find.draw_state()
    find.draw_result()
    form.draw_front()
    why = unsaved(gr.HTML("", elem_id=form.elem_id("why"), elem_classes=["prodshot-why"]))
    form.draw_kept()
    with gr.Accordion("Advanced", open=False, elem_id=form.elem_id("advanced"), elem_classes=["prodshot-advanced"]):
        loras, presets = _draw_advanced(form, find)
    result_card.ResultCard.draw(form.elem_id, tab)
    components = form.in_order()
    form.connect()
    find.connect(components)
    assert find.line is not None
    find.line.refresh.click(why_retouch, [], [why], show_progress=False, queue=False)
    presets.connect(components)
    loras.connect(form.components["products"], form.components["class_prompts"])


def _draw_advanced(form: Form, find: find_box.FindBox) -> tuple[lora_prompts.LoraBox, preset_box.PresetBox]:
    """Every other setting, on the tab of its step; then the presets of all."""
    loras: list[lora_prompts.LoraBox] = []
    prompts = setting_named("class_prompts")
    with gr.Tabs(elem_id=form.elem_id("tabs"), elem_classes=["prodshot-tabs"]):
        for title in layout.tabs():
            with gr.Tab(title, elem_id=form.elem_id(f"tab_{title.lower()}")):
                draw_loras = {prompts.engine: lambda: loras.append(lora_prompts.draw(form.elem_id))}
                form.draw_tab(title, draw_loras if title == prompts.tab else None)
                if title == setting_named(layout.PRODUCTS).tab:
                    with gr.Accordion("Find on another picture", open=False, elem_id=form.elem_id("fold_picture")):
                        find.draw_picture()
        with gr.Tab("Presets", elem_id=form.elem_id("tab_presets")):
            presets = preset_box.draw(form.elem_id)
    return loras[0], presets


def why_retouch() -> str:
    """Why the panel begins with retouch; empty where inpaint can be had."""
    why = host().no_inpainting()
    return said(f"Retouch to begin with: {why}.") if why else ""
