"""The panel: every setting drawn once and truly, for script and accordion alike, as often as the WebUI asks."""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")

import gradio as gr

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.finding import registry
from lib_prodshot.hosts import active
from lib_prodshot.request import WEBUI_BASE, Request, check, settings
from lib_prodshot.webui import options
from lib_prodshot.webui.panel import fields, layout
from lib_prodshot.webui.panel.form import applies, running
from lib_prodshot.webui.panel.panel import draw_hidden, draw_panel, why_retouch
from tests.api.local_host import LocalHost
from tests.api.tools import BACKENDS
from tests.panel.drawing import draw_bare, draw_page, draw_script, elem_id

TABLE = settings(WEBUI_BASE)


def shown_choices(component: Any) -> list[Any]:
    return [choice[1] if isinstance(choice, tuple) else choice for choice in component.choices]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """A panel's components, drawn once: gradio builds an application of its own each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(active, "_HOST", [LocalHost(tmp_path_factory.mktemp("host"))])
        patch.setattr(registry, "backends", lambda: BACKENDS)
        return draw_bare().components


def test_components_are_the_schema_in_its_order(drawn: list[Any]) -> None:
    assert [component.label for component in drawn] == [fields.caption(known) for known in TABLE]
    assert [component.value for component in drawn] == [known.default for known in TABLE]


def test_the_accordion_has_its_switch_first_and_off(host: LocalHost, drawn: list[Any]) -> None:
    enabled, *components = draw_bare(with_enabled=True).components
    assert isinstance(enabled, gr.Checkbox) and enabled.value is False
    assert [component.value for component in components] == [component.value for component in drawn]


def test_the_hidden_accordion_takes_arguments_all_the_same(host: LocalHost) -> None:
    with gr.Blocks():
        enabled, *components = draw_hidden(True, elem_id("img2img"))
    assert enabled.value is False and enabled.elem_id == "script_img2img_prodshot_accordion_enabled"
    assert [component.value for component in components] == [known.default for known in TABLE]
    assert all(component.do_not_save_to_config for component in (enabled, *components))


@pytest.mark.parametrize("with_enabled", [True, False])
def test_a_host_that_moved_is_told_instead_of_drawn(
    host: LocalHost, monkeypatch: pytest.MonkeyPatch, with_enabled: bool
) -> None:
    def moved() -> Any:
        raise AttributeError("module 'modules.sd_models' has no attribute 'checkpoints_list'")

    monkeypatch.setattr(host, "names", moved)
    with gr.Blocks() as page:
        panel = draw_panel(True, elem_id("img2img"), with_enabled)
    assert panel.components == [] and panel.infotext_fields == []
    (told,) = [block.value for block in page.blocks.values() if isinstance(block, gr.HTML)]
    assert "no attribute &#x27;checkpoints_list&#x27;" in told and "please report it" in told


def test_the_values_are_a_request(drawn: list[Any]) -> None:
    values = [component.value for component in drawn]
    assert Request.from_arguments(values) == Request(**WEBUI_BASE)


@pytest.mark.parametrize("known", TABLE, ids=lambda known: known.name)
def test_each_setting_is_drawn_as_it_is(drawn: list[Any], known: Any) -> None:
    component = drawn[[one.name for one in TABLE].index(known.name)]
    assert component.info == known.help
    if isinstance(component, gr.Slider):
        assert (component.minimum, component.maximum, component.step) == (known.minimum, known.maximum, known.step)
    elif known.kind == "choice":
        assert shown_choices(component) == list(known.choices)
    elif known.kind == "flag":
        assert isinstance(component, gr.Checkbox)
    elif known.kind == "text":
        assert isinstance(component, (gr.Textbox, gr.Dropdown))
    else:
        assert isinstance(component, gr.Number)


def test_what_the_webui_knows_can_be_chosen(drawn: list[Any]) -> None:
    named = {known.name: component for known, component in zip(TABLE, drawn)}
    assert shown_choices(named["sampler"]) == ["", "Euler", "DPM++ 2M"]
    assert "control_v11f1p_sd15_depth [cfd03158]" in shown_choices(named["control_model"])
    assert shown_choices(named["control_module"]) == ["", "depth_midas", "none", "canny"]
    assert named["checkpoint"].allow_custom_value


def test_ids_are_unique_and_stable(host: LocalHost) -> None:
    page, _ = draw_page()
    ids = Counter(block.elem_id for block in page.blocks.values() if getattr(block, "elem_id", None))
    assert [found for found, count in ids.items() if count > 1] == []
    for known in TABLE:
        assert (
            ids[f"script_img2img_prodshot_{known.name}"] == ids[f"script_txt2img_prodshot_accordion_{known.name}"] == 1
        )


def test_nothing_but_settings_goes_into_the_webuis_defaults(host: LocalHost) -> None:
    page, panels = draw_page()
    ours = {id(component) for panel in panels.values() for component in panel.components}
    for block in page.blocks.values():
        kinds = (gr.Slider, gr.Radio, gr.Checkbox, gr.Textbox, gr.Number, gr.Dropdown, gr.Button)
        if isinstance(block, kinds) and id(block) not in ours:
            assert getattr(block, "do_not_save_to_config", False), block.elem_id


def test_drawing_is_cheap_and_leaves_no_trace(host: LocalHost) -> None:
    first = draw_bare()
    start = time.process_time()
    for _ in range(5):
        again = draw_bare()
    spent = (time.process_time() - start) / 5
    print(f"one panel: {spent * 1000:.0f} ms")
    assert [component.value for component in again.components] == [component.value for component in first.components]
    assert spent < 1.0


def test_every_setting_has_a_place_and_one_row() -> None:
    front = [layout.PRODUCTS, *layout.WHAT_TO_MAKE, *layout.STRENGTHS.values(), *(one.name for one in layout.kept())]
    front += layout.PACKSHOT
    placed = [known.name for tab in layout.tabs() for known in layout.on_tab(tab)]
    assert sorted([*placed, *front]) == sorted(known.name for known in TABLE)
    for tab in layout.tabs():
        rows = fields.rows(layout.on_tab(tab), lambda known: False)
        assert sum(map(len, rows)) == len(layout.on_tab(tab)) > 0
        assert all(len(row) <= 2 for row in rows)
        assert all(len(row) == 1 for row in rows for known in row if known.kind == "text")


def test_what_decides_over_a_field_is_a_setting_with_such_values() -> None:
    named = {known.name: known for known in TABLE}
    for known in TABLE:
        for other, values in known.when:
            assert {named[other].default} | set(values) <= set(named[other].choices or (True, False)), known.name


def block_of(page: Any, item: str) -> Any:
    return next(block for block in page.blocks.values() if block.elem_id == f"script_img2img_prodshot_{item}")


def test_groups_follow_the_engine(host: LocalHost) -> None:
    page = draw_script()
    for engine in ("inpaint", "retouch"):
        for part in ("engine", "strength"):
            assert block_of(page, f"{part}_{engine}").visible == (engine == WEBUI_BASE["engine"])


def test_fields_without_a_meaning_are_not_shown(host: LocalHost) -> None:
    host.options["prodshot_preset"] = "Best"
    options.preset_store().save("Best", {"instances": "index", "inpaint_area": "whole picture", "control": "off"})
    page = draw_script()
    shown = {name: block_of(page, name).visible for name in ("instance_index", "padding", "control", "control_weight")}
    assert shown == {"instance_index": True, "padding": False, "control": True, "control_weight": False}
    host.options["prodshot_preset"] = ""
    assert not block_of(draw_script(), "instance_index").visible


def test_a_packshots_settings_stand_in_an_enhancements_place(host: LocalHost) -> None:
    page = draw_script()
    assert block_of(page, "engine").visible and not block_of(page, "marketplace").visible
    host.options["prodshot_preset"] = "Shop"
    options.preset_store().save("Shop", {"make": "packshot", "ground": "sweep", "edges": "feather"})
    page = draw_script()
    front = {name: block_of(page, name).visible for name in layout.PACKSHOT}
    assert [name for name, is_shown in front.items() if not is_shown] == ["ground_picture", "scene"]
    assert block_of(page, "edge_feather").visible and not block_of(page, "shadow_colour").visible
    for hidden in ("engine", "strength", "strength_retouch", "strength_inpaint", "engine_inpaint", "prompt"):
        assert not block_of(page, hidden).visible, hidden
    assert block_of(page, "front_packshot").visible and block_of(page, "engine_packshot").visible
    options.preset_store().save("Shop", {"make": "packshot", "ground": "scene"})
    page = draw_script()
    shown = ("scene", "engine_inpaint", "sampler", "control", "engine_packshot")
    assert all(block_of(page, name).visible for name in shown)
    assert not any(block_of(page, name).visible for name in ("prompt", "denoising_strength", "inpaint_area", "engine"))
    # a typed list of names is kept by a text field alone: gradio 3's dropdown drops what is not ended by Enter
    assert isinstance(block_of(page, "marketplace"), gr.Textbox)


def test_a_tab_without_a_setting_for_what_is_made_is_hidden() -> None:
    script = (ROOT / "javascript" / "prodshot_notes.js").read_text(encoding="utf-8")
    told = re.search(r"EMPTY_TABS = \{(.*)\};", script)
    assert told is not None
    hidden = {make: re.findall(r"'(\w+)'", names) for make, names in re.findall(r"(\w+): \[(.*?)\]", told[1])}
    cases = {"enhance": ("enhance", "auto"), "packshot": ("packshot", "auto"), "scene": ("packshot", "scene")}
    for made, (make, ground) in cases.items():
        values = {known.name: known.default for known in settings()} | {"make": make, "ground": ground}
        groups = ("", *running(make, "inpaint", ground))
        empty = []
        for tab in layout.tabs():
            known = [each for each in layout.on_tab(tab) if layout.runs_with(each) in groups and applies(each, values)]
            empty += [] if known else [tab.lower()]
        assert hidden[made] == empty


def test_retouch_is_where_one_begins_without_a_checkpoint(host: LocalHost, monkeypatch: pytest.MonkeyPatch) -> None:
    assert block_of(draw_script(), "engine").value == "inpaint" and why_retouch() == ""
    monkeypatch.setattr(host, "no_inpainting", lambda: "this WebUI has no checkpoint yet")
    page = draw_script()
    assert block_of(page, "engine").value == "retouch" and block_of(page, "strength_retouch").visible
    assert "this WebUI has no checkpoint yet" in why_retouch()
    assert [component.value for component in draw_bare().components] == [known.default for known in TABLE]


def test_the_settings_page_sets_the_panels_start_and_not_the_apis(host: LocalHost) -> None:
    options.preset_store().save("Bags", {"products": "handbag", "padding": 64, "save_masks": False})
    host.options |= {"prodshot_finder": "lite", "prodshot_save": ["masks", "overlays"]}
    _, panels = draw_page()
    values = dict(zip([known.name for known in TABLE], [c.value for c in panels["img2img", False].components]))
    assert (values["finder"], values["save_masks"], values["save_overlays"]) == ("lite", True, True)
    host.options["prodshot_preset"] = "Bags"
    _, panels = draw_page()
    values = dict(zip([known.name for known in TABLE], [c.value for c in panels["img2img", True].components[1:]]))
    assert (values["products"], values["padding"], values["save_masks"]) == ("handbag", 64, False)
    assert [component.value for component in draw_bare().components] == [known.default for known in TABLE]


def test_the_webuis_defaults_do_not_stand_above_the_settings_page(host: LocalHost) -> None:
    """ui-config.json keeps a page's first values, and no field is hidden or shown by what it puts back later."""
    _, panels = draw_page()
    switches = [panel.components[0] for (_, with_enabled), panel in panels.items() if with_enabled]
    settings_drawn = [each for panel in panels.values() for each in panel.components if each not in switches]
    assert len(settings_drawn) == len(panels) * len(TABLE) and len(switches) == 2
    assert all(getattr(component, "do_not_save_to_config", False) for component in settings_drawn)
    assert not any(getattr(component, "do_not_save_to_config", False) for component in switches)


def test_a_lost_default_preset_does_not_stop_the_page(host: LocalHost) -> None:
    host.options["prodshot_preset"] = "gone"
    draw_page()
    assert any("gone" in warning for warning in host.warnings)


def test_numbers_that_sliders_send_are_taken(host: LocalHost) -> None:
    assert check({"padding": 32.0, "seed": 4294967295, "instance_index": 1.0})["padding"] == 32
