"""The panel: drawn once for the script and once for the accordion, on both tabs, from the schema alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from lib_prodshot.hosts.current import host, why_unfit
from lib_prodshot.hosts.interface import Names
from lib_prodshot.request import WEBUI_BASE, Setting, setting_named, settings
from lib_prodshot.webui import fields, find_box, layout, options, preset_box
from lib_prodshot.webui.gradio_kit import in_page, input_accordion, unsaved
from lib_prodshot.webui.infotext import Pasted, is_enabled
from lib_prodshot.webui.preset_box import said

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
    and then every component stands at the defaults of the WebUI's doors, whatever the settings page says. In a WebUI
    that Prodshot cannot work in, the panel says why and has no components.
    """
    why = why_unfit()
    if why:
        return _draw_reason(why, with_enabled)
    # script and accordion share a title, and with it the ids that the WebUI makes of it
    named = (lambda item: elem_id(f"accordion_{item}")) if with_enabled else elem_id
    drawing = _Drawing(named, _start_values(), host().names())
    frame: Any = input_accordion(TITLE, named("enabled")) if with_enabled else nullcontext()
    with frame as enabled, gr.Column(elem_classes=["prodshot"], elem_id=named("panel")):
        _draw_inside(drawing, "img2img" if is_img2img else "txt2img")
    components = [drawing.components[known.name] for known in settings()]
    pasted = [(drawing.components[known.name], Pasted(known)) for known in settings(WEBUI_BASE)]
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


def _start_values() -> dict[str, Any]:
    values = {known.name: known.default for known in settings(WEBUI_BASE)}
    return {**values, **options.start_values()} if in_page() else values


def _draw_inside(drawing: _Drawing, tab: str) -> None:
    with gr.Row(elem_classes=["prodshot-head"]):
        drawing.draw_one(setting_named("products"))
        find = find_box.draw(drawing.elem_id, tab)
    find.draw_state()
    find.draw_result()
    engine = drawing.draw_one(setting_named("engine"))
    with gr.Tabs(elem_id=drawing.elem_id("tabs"), elem_classes=["prodshot-tabs"]):
        for title in layout.TABS:
            with gr.Tab(title, elem_id=drawing.elem_id(f"tab_{title.lower()}")):
                drawing.draw_engines(layout.on_tab(title), engine)
                if title == layout.TABS[0]:
                    find.draw_picture()
        with gr.Tab("Presets", elem_id=drawing.elem_id("tab_presets")):
            presets = preset_box.draw(drawing.elem_id)
    components = [drawing.components[known.name] for known in settings()]
    find.connect(components)
    presets.connect(components)


@dataclass
class _Drawing:
    """The panel in the making: what has been drawn so far, by setting."""

    elem_id: Callable[[str], str]
    values: Mapping[str, Any]
    names: Names
    components: dict[str, Any] = field(default_factory=dict)

    def draw_one(self, known: Setting) -> Any:
        """One setting at its start value."""
        component = fields.draw(known, self.values[known.name], self.elem_id(known.name), self._choices(known))
        self.components[known.name] = component
        return component

    def draw_engines(self, wanted: Sequence[Setting], engine: Any) -> None:
        """Settings by engine: those of an engine are shown while it is chosen."""
        shown: dict[str, Any] = {}
        for name, group in layout.grouped(wanted, lambda place: place.engine).items():
            if not name:
                self._draw_folds(group)
                continue
            with gr.Column(visible=self.values["engine"] == name, elem_id=self.elem_id(f"engine_{name}")) as column:
                self._draw_folds(group)
            shown[name] = column
        if shown:
            _show_chosen(engine, shown)

    def _draw_folds(self, wanted: Sequence[Setting]) -> None:
        for title, group in layout.grouped(wanted, lambda place: place.fold).items():
            if not title:
                self._draw_rows(group)
                continue
            with gr.Accordion(title, open=False, elem_id=self.elem_id(f"fold_{title.lower()}")):
                self._draw_rows(group)

    def _draw_rows(self, wanted: Sequence[Setting]) -> None:
        for row in fields.rows(wanted, lambda known: self._choices(known) is not None):
            with gr.Row(elem_classes=["prodshot-row"]):
                for known in row:
                    self.draw_one(known)

    def _choices(self, known: Setting) -> Sequence[str] | None:
        """What a text setting can be filled with, where the WebUI knows."""
        control = self.names.control
        return {
            "sampler": self.names.samplers,
            "scheduler": self.names.schedulers,
            "checkpoint": self.names.checkpoints,
            "control_module": control.modules if control else (),
            "control_model": control.models if control else (),
        }.get(known.name)


def _show_chosen(engine: Any, shown: Mapping[str, Any]) -> None:
    engine.change(
        lambda chosen: [gr.update(visible=chosen == name) for name in shown] if len(shown) > 1 else gr.update(),
        inputs=[engine],
        outputs=list(shown.values()),
        show_progress=False,
        queue=False,
    )
