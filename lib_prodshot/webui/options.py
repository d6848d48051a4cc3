"""The settings page: what belongs to this installation and not to one request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from lib_prodshot.errors import ProdshotError
from lib_prodshot.hosts.active import host
from lib_prodshot.hosts.compatibility import webui_modules
from lib_prodshot.request import setting_named, settings
from lib_prodshot.webui.presets import SHIPPED, PresetStore

SECTION = ("prodshot", "Prodshot")

SHOW = ("script and accordion", "script", "accordion")

API_MEGABYTES = 64
"""What one request to our routes may weigh unless the settings page says otherwise."""


def add_options() -> None:
    """Add our page to the WebUI's settings (its `on_ui_settings` callback)."""
    shared = webui_modules.shared()
    for key, info in _options(shared.OptionInfo).items():
        info.section = SECTION
        shared.opts.add_option(key, info)


def _options(option: Any) -> dict[str, Any]:
    """The page, in its order; `option` is the WebUI's OptionInfo."""
    finder = setting_named("finder")
    size = {"minimum": 1, "maximum": 1024, "step": 1}
    return {
        "prodshot_show": option(SHOW[0], "Show Prodshot as", gr.Radio, {"choices": list(SHOW)})
        .info("the script in the Script dropdown, the accordion that works beside other scripts, or both")
        .needs_reload_ui(),
        "prodshot_models_dir": option("", "Folder for the finders' weights", restrict_api=True).info(
            "empty: prodshot in the WebUI's models folder"
        ),
        "prodshot_keep_loaded": option(True, "Keep the finder loaded between pictures").info(
            "off: load it anew each time, to save memory"
        ),
        "prodshot_finder": option(finder.default, "Default finder", gr.Radio, {"choices": list(finder.choices)})
        .info(finder.help)
        .needs_reload_ui(),
        "prodshot_save": option([], "Keep by default", gr.CheckboxGroup, {"choices": list(_kept())})
        .info("what the panel starts with")
        .needs_reload_ui(),
        "prodshot_preset": option("", "Default preset", gr.Dropdown, lambda: {"choices": ["", *preset_store().names()]})
        .info("what the panel starts with; the API always starts from the schema's defaults")
        .needs_reload_ui(),
        "prodshot_api_megabytes": option(
            API_MEGABYTES, "Largest request to /prodshot/v1, in MB", gr.Slider, size, restrict_api=True
        ),
    }


def preset_store() -> PresetStore:
    """The WebUI's presets, in its data folder, where updates of the extension do not touch them, and the shipped ones
    whose LoRA is installed."""
    shipped = tuple(known.preset for known in SHIPPED if host().has_lora(known.lora))
    return PresetStore(host().data_path() / "prodshot-presets", shipped)


def start_values() -> dict[str, Any]:
    """What the settings page puts over the schema's defaults when the panel is drawn, and retouch where there is
    nothing to inpaint with; the preset has the last word.

    A preset that cannot be read counts as none, for the page must be drawn; the console says so.
    """
    values: dict[str, Any] = {"finder": host().option("prodshot_finder", setting_named("finder").default)}
    if host().no_inpainting():
        values["engine"] = "retouch"
    kept = set(host().option("prodshot_save", []) or [])
    values.update({name: True for label, name in _kept().items() if label in kept})
    name = host().option("prodshot_preset", "")
    if not name:
        return values
    try:
        return {**values, **preset_store().load(name).request.to_dict()}
    except ProdshotError as error:
        host().warn(f"Prodshot's default preset was not loaded: {error}")
        return values


def models_dir() -> Path:
    """The folder for weights: the settings page's, else ours in the WebUI's models folder."""
    text = str(host().option("prodshot_models_dir", "") or "").strip()
    return Path(text).expanduser() if text else host().models_path() / "prodshot"


def _kept() -> dict[str, str]:
    """The schema's save_… flags by the words of the settings page ('masks')."""
    names = [known.name for known in settings() if known.name.startswith("save_")]
    return {name.removeprefix("save_"): name for name in names}
