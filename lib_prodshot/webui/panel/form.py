"""The settings as a form: drawn from the schema for the panel on txt2img and img2img, and for the folder tab."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from lib_prodshot.hosts.active import host
from lib_prodshot.hosts.interface import Names
from lib_prodshot.request import WEBUI_BASE, Setting, settings
from lib_prodshot.webui import options
from lib_prodshot.webui.gradio_compat import in_page
from lib_prodshot.webui.panel import fields, layout


@dataclass
class Form:
    """A form in the making: what has been drawn so far, by setting."""

    elem_id: Callable[[str], str]
    values: Mapping[str, Any]
    names: Names
    components: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def begin(cls, elem_id: Callable[[str], str]) -> Form:
        """An empty form. On a page it stands at the values that the settings page gives; where the WebUI's API asks
        for defaults, at those of the WebUI's entry points."""
        values = {known.name: known.default for known in settings(WEBUI_BASE)}
        return cls(elem_id, {**values, **options.start_values()} if in_page() else values, host().names())

    def in_order(self) -> list[Any]:
        """All components in schema order. Raises KeyError when a setting was not drawn."""
        return [self.components[known.name] for known in settings()]

    def draw_one(self, known: Setting) -> Any:
        """One setting at its start value."""
        component = fields.draw(known, self.values[known.name], self.elem_id(known.name), self._choices(known))
        self.components[known.name] = component
        return component

    def draw_tab(self, title: str) -> None:
        """The settings of one tab of `layout.tabs()`; those of an engine are shown while it is chosen."""
        shown: dict[str, Any] = {}
        for name, group in layout.grouped(layout.on_tab(title), lambda known: known.engine).items():
            if not name:
                self._draw_folds(group)
                continue
            with gr.Column(visible=self.values["engine"] == name, elem_id=self.elem_id(f"engine_{name}")) as column:
                self._draw_folds(group)
            shown[name] = column
        if shown:
            _show_chosen(self.components["engine"], shown)

    def _draw_folds(self, wanted: Sequence[Setting]) -> None:
        for title, group in layout.grouped(wanted, lambda known: known.fold).items():
            if not title:
                self.draw_rows(group)
                continue
            with gr.Accordion(title, open=False, elem_id=self.elem_id(f"fold_{title.lower()}")):
                self.draw_rows(group)

    def draw_rows(self, wanted: Sequence[Setting]) -> None:
        """These settings, up to two in a row."""
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
