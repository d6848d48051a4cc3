"""The settings as a form: drawn from the schema for the panel on txt2img and img2img, and for the folder tab."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from lib_prodshot.hosts.active import host
from lib_prodshot.hosts.interface import Names
from lib_prodshot.request import WEBUI_BASE, Setting, setting_named, settings
from lib_prodshot.webui import options
from lib_prodshot.webui.gradio_compat import in_page, unsaved
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
        """One setting at its start value. The WebUI's ui-config.json does not remember it: that file keeps what was
        drawn at the very first start, and would put it over the settings page ever after, beside the wrong fields."""
        component = unsaved(
            fields.draw(
                known,
                self.values[known.name],
                self.elem_id(known.name),
                self._choices(known),
                visible=applies(known, self.values),
            )
        )
        self.components[known.name] = component
        return component

    def draw_front(self) -> None:
        """What to make, and how strongly, or for whom: the rows that every picture needs."""
        shown: dict[str, Any] = {}
        with gr.Row(elem_classes=["prodshot-row", "prodshot-what"]):
            for known in layout.what_to_make():
                self.draw_one(known)
            for engine, name in layout.STRENGTHS.items():
                with self._group("strength", engine) as shown[engine]:
                    self.draw_one(setting_named(name))
        with self._group("front", "packshot") as shown["packshot"]:
            self.draw_rows(layout.packshot())
        self._show_running(shown)

    def draw_kept(self) -> None:
        """What else is kept beside the result, in one row."""
        with gr.Row(elem_classes=["prodshot-row", "prodshot-kept"]):
            for known in layout.kept():
                self.draw_one(known)

    def draw_tab(self, title: str, within: Mapping[str, Callable[[], None]] | None = None) -> None:
        """The settings of one tab of `layout.tabs()`; those of an engine, or of packshots, are shown while it runs.

        `within` draws what else belongs to an engine, by its name.
        """
        shown: dict[str, Any] = {}
        for name, group in layout.grouped(layout.on_tab(title), layout.runs_with).items():
            if not name:
                self._draw_folds(group)
                continue
            with self._group("engine", name) as shown[name]:
                self._draw_folds(group)
                if within and name in within:
                    within[name]()
        self._show_running(shown)

    def _group(self, part: str, engine: str) -> Any:
        """A column that is shown while `engine` runs."""
        visible = engine in running(*(self.values[name] for name in layout.DECISIVE))
        return gr.Column(visible=visible, elem_id=self.elem_id(f"{part}_{engine}"), elem_classes=["prodshot-group"])

    def _show_running(self, shown: Mapping[str, Any]) -> None:
        """Show of these groups those of what runs."""
        if not shown:
            return

        def show(*chosen: str) -> Any:
            updates = [gr.update(visible=name in running(*chosen)) for name in shown]
            return updates if len(updates) > 1 else updates[0]

        decisive = [self.components[name] for name in layout.DECISIVE]
        for component in decisive:
            component.change(show, decisive, list(shown.values()), show_progress=False, queue=False)

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

    def connect(self) -> None:
        """Show each setting only where others give it a meaning. Called when all are drawn."""
        for name, component in self.components.items():
            dependent = [known for known in settings() if name in dict(known.when)]
            if not dependent:
                continue
            decisive = list(dict.fromkeys(other for known in dependent for other, _ in known.when))
            component.change(
                _visibility(dependent, decisive),
                inputs=[self.components[other] for other in decisive],
                outputs=[self.components[known.name] for known in dependent],
                show_progress=False,
                queue=False,
            )

    def _choices(self, known: Setting) -> Sequence[str] | None:
        """What a text setting can be filled with, where the WebUI knows."""
        control = self.names.control
        return {
            "sampler": self.names.samplers,
            "scheduler": self.names.schedulers,
            "checkpoint": self.names.checkpoints,
            "edit_sampler": self.names.samplers,
            "edit_scheduler": self.names.schedulers,
            "edit_checkpoint": self.names.checkpoints,
            "control_module": control.modules if control else (),
            "control_model": control.models if control else (),
        }.get(known.name)


def running(make: str, engine: str, ground: str) -> frozenset[str]:
    """The groups of settings that have a meaning: an engine's and its gates', a packshot's, and all of them where a
    scene is painted."""
    if make != "packshot":
        return frozenset({engine, layout.GATES})
    return frozenset({"packshot", "inpaint", layout.GATES} if ground == "scene" else {"packshot"})


def applies(known: Setting, values: Mapping[str, Any]) -> bool:
    """Whether the setting has a meaning beside these values of others."""
    return all(values[name] in allowed for name, allowed in known.when)


def _visibility(dependent: Sequence[Setting], decisive: Sequence[str]) -> Callable[..., Any]:
    def show(*chosen: Any) -> Any:
        values = dict(zip(decisive, chosen))
        updates = [gr.update(visible=applies(known, values)) for known in dependent]
        return updates if len(updates) > 1 else updates[0]

    return show
