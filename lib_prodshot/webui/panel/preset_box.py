"""The panel's Presets tab: load, save, delete, and pass on as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from lib_prodshot.errors import ProdshotError
from lib_prodshot.request import settings
from lib_prodshot.webui import options, presets
from lib_prodshot.webui.gradio_compat import copy_button, javascript, small_button, unsaved
from lib_prodshot.webui.messages import said

CONFIRM = "(...args) => confirm('Delete this preset?') ? args : ['']"
"""In the browser, before a preset is deleted: without consent the server is sent no name."""


@dataclass(frozen=True)
class PresetBox:
    """The tab's own components; `connect` ties them to the settings'."""

    preset: Any
    load: Any
    delete: Any
    name: Any
    save: Any
    share: Any
    message: Any
    text: Any
    take: Any

    def connect(self, components: Sequence[Any]) -> None:
        """Let the buttons read and write the settings' components (in schema order)."""
        quiet = {"show_progress": False, "queue": False}
        self.load.click(_load, [self.preset], [self.message, self.name, *components], **quiet)
        self.take.click(_take, [self.text], [self.message, self.name, *components], **quiet)
        self.share.click(_share, [self.name, *components], [self.message, self.text], **quiet)
        self.save.click(_save, [self.name, *components], [self.message, self.preset], **quiet)
        self.delete.click(_delete, [self.preset], [self.message, self.preset], **quiet, **javascript(CONFIRM))


def draw(elem_id: Callable[[str], str]) -> PresetBox:
    """Draw the tab's content."""
    with gr.Row(elem_classes=["prodshot-row"]):
        # a preset that another tab of the browser has saved meanwhile is none of the choices drawn here
        preset = gr.Dropdown(
            ["", *options.preset_store().names()],
            value="",
            label="Preset",
            info="Saved settings of the whole panel.",
            allow_custom_value=True,
            elem_id=elem_id("preset"),
            elem_classes=["prodshot-field"],
            interactive=True,
        )
        load = small_button("Load", elem_id("preset_load"))
        delete = small_button("Delete", elem_id("preset_delete"))
    with gr.Row(elem_classes=["prodshot-row"]):
        name = gr.Textbox(
            "",
            label="Name",
            info="The name under which Save keeps the panel's settings; a preset of that name is replaced.",
            max_lines=1,
            elem_id=elem_id("preset_name"),
            elem_classes=["prodshot-field"],
            interactive=True,
        )
        save = small_button("Save", elem_id("preset_save"))
        share = small_button("Share", elem_id("preset_share"))
    trouble = options.preset_store().trouble()
    message = gr.HTML(
        said(trouble, is_error=True) if trouble else "",
        elem_id=elem_id("preset_message"),
        elem_classes=["prodshot-message"],
    )
    with gr.Row(elem_classes=["prodshot-row"]):
        text = gr.Textbox(
            "",
            label="Preset as JSON",
            info="Share writes the panel's settings here, to be copied; Apply reads what was pasted here.",
            lines=2,
            max_lines=10,
            **copy_button(),
            elem_id=elem_id("preset_text"),
            elem_classes=["prodshot-field"],
            interactive=True,
        )
        take = small_button("Apply", elem_id("preset_apply"))
    for component in (preset, name, text):
        unsaved(component)
    return PresetBox(preset, load, delete, name, save, share, message, text, take)


def _unchanged(error: ProdshotError) -> list[Any]:
    return [said(str(error), is_error=True), gr.update(), *(gr.update() for _ in settings())]


def _filled(preset: presets.Preset, text: str) -> list[Any]:
    values = preset.request.to_dict()
    # a preset that names no products is for any
    keep = {"products"} if not values["products"].strip() else set()
    updates = (gr.update() if name in keep else gr.update(value=value) for name, value in values.items())
    return [said(text), gr.update(value=preset.name), *updates]


def _load(name: str) -> list[Any]:
    try:
        preset = options.preset_store().load(name)
    except ProdshotError as error:
        return _unchanged(error)
    return _filled(preset, f"Loaded {preset.name}.")


def _take(text: str) -> list[Any]:
    try:
        preset = presets.from_text(text)
    except ProdshotError as error:
        return _unchanged(error)
    return _filled(preset, f"Applied {preset.name}; save it to keep it.")


def _share(name: str, *values: Any) -> tuple[Any, Any]:
    try:
        preset = presets.Preset(presets.check_name(name or "Shared"), _request(values))
    except ProdshotError as error:
        return said(str(error), is_error=True), gr.update()
    return said("Copy the JSON below."), gr.update(value=preset.to_text())


def _save(name: str, *values: Any) -> tuple[Any, Any]:
    try:
        preset = options.preset_store().save(name, _request(values).to_dict())
    except ProdshotError as error:
        return said(str(error), is_error=True), gr.update()
    return said(f"Saved {preset.name}."), gr.update(choices=["", *options.preset_store().names()], value=preset.name)


def _delete(name: str) -> tuple[Any, Any]:
    if not name:
        return gr.update(), gr.update()
    try:
        options.preset_store().delete(name)
    except ProdshotError as error:
        return said(str(error), is_error=True), gr.update()
    return said(f"Deleted {name}."), gr.update(choices=["", *options.preset_store().names()], value="")


def _request(values: Sequence[Any]) -> Any:
    from lib_prodshot.request import Request

    return Request.from_arguments(values)
