"""The tab "Prodshot folder": what is drawn, what its fields become, and which folders the page may name."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")

import gradio as gr

from lib_prodshot.errors import RequestError
from lib_prodshot.hosts.server_paths import open_for_page
from lib_prodshot.jobs.settings import SETTINGS
from lib_prodshot.request import WEBUI_BASE, settings
from lib_prodshot.webui import tabs
from lib_prodshot.webui.folder import tab as folder_tab
from lib_prodshot.webui.jobs import box as job_box
from lib_prodshot.webui.jobs import kinds as job_kinds
from lib_prodshot.webui.jobs import table as job_table
from lib_prodshot.webui.jobs.table import Job, JobTable
from lib_prodshot.webui.panel import fields
from tests.api.local_host import LocalHost
from tests.api.tools import dark, noise
from tests.panel.drawing import elem_id


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> JobTable:
    fresh = JobTable()
    for module in (job_box, folder_tab, job_kinds, job_table):
        monkeypatch.setattr(module, "JOBS", fresh)
    return fresh


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    for number in range(3):
        Image.fromarray(noise(number)).save(tmp_path / "shop" / f"{number}.png")
    Image.fromarray(dark()).save(tmp_path / "shop" / "dark.png")
    return tmp_path / "shop"


def draw() -> dict[str, Any]:
    """The tab's components by their ids, without the tab's prefix."""
    ((page, title, ident),) = [tab for tab in tabs.draw_tabs() if tab[2] == "prodshot_folder"]
    assert (title, ident) == ("Prodshot folder", "prodshot_folder")
    ids = [block.elem_id for block in page.blocks.values() if getattr(block, "elem_id", None)]
    assert [found for found, count in Counter(ids).items() if count > 1] == []
    prefix = elem_of("")
    return {
        block.elem_id.removeprefix(prefix): block
        for block in page.blocks.values()
        if str(getattr(block, "elem_id", "")).startswith(prefix)
    }


def elem_of(item: str) -> str:
    return folder_tab.elem_id(item)


def values(**changed: Any) -> list[Any]:
    known = [*SETTINGS, *settings(WEBUI_BASE)]
    return [changed.get(one.name, one.default) for one in known]


def ancestors(block: Any) -> list[Any]:
    """The blocks around a component that have a say in whether it is seen."""
    parent = block.parent
    return [] if parent is None or isinstance(parent, gr.Blocks) else [parent, *ancestors(parent)]


def until_over(job: Job) -> Job:
    end = time.monotonic() + 30
    while not job.is_over and time.monotonic() < end:
        time.sleep(0.02)
    assert job.is_over
    return job


def test_every_setting_is_drawn_at_its_start_value(host: LocalHost) -> None:
    drawn = draw()
    for known in (*SETTINGS, *settings(WEBUI_BASE)):
        component = drawn[known.name]
        assert component.label == fields.caption(known) and component.info == known.help
        assert component.value == known.default, known.name
    assert drawn["engine_inpaint"].visible and not drawn["engine_retouch"].visible


def test_a_tab_that_does_not_matter_is_not_shown(host: LocalHost) -> None:
    drawn = draw()
    assert {name for name in drawn if name.startswith("tab_")} == {
        "tab_find",
        "tab_mask",
        "tab_enhance",
        "tab_output",
        "tab_packshot",
        "tab_presets",
    }
    assert not all(block.visible for block in ancestors(drawn["save_masks"]))
    assert all(block.visible for block in ancestors(drawn["feather"]))


def test_the_settings_page_sets_its_start_too(host: LocalHost) -> None:
    host.options["prodshot_finder"] = "lite"
    assert draw()["finder"].value == "lite"


def test_only_settings_go_into_the_webuis_defaults(host: LocalHost) -> None:
    names = {known.name for known in (*SETTINGS, *settings())}
    kinds = (gr.Slider, gr.Radio, gr.Checkbox, gr.Textbox, gr.Number, gr.Dropdown, gr.Button)
    for name, block in draw().items():
        if isinstance(block, kinds) and name not in names:
            assert getattr(block, "do_not_save_to_config", False), name


def test_a_host_that_moved_is_told_instead_of_drawn(host: LocalHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "names", lambda: [][0])
    (page, *_) = next(tab for tab in tabs.draw_tabs() if tab[2] == "prodshot_folder")
    (told,) = [block.value for block in page.blocks.values() if isinstance(block, gr.HTML)]
    assert "please report it" in told


def test_one_that_cannot_be_drawn_leaves_the_others(host: LocalHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabs, "TABS", (("Broken", "prodshot_broken", "lib_prodshot.webui.no_such_module"), *tabs.TABS))
    assert "prodshot_folder" in [ident for _, _, ident in tabs.draw_tabs()]


def test_what_the_button_sends_is_in_the_order_that_the_job_takes(
    host: LocalHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(job_box.JobBox, "connect", lambda self, begin, inputs: sent.extend(inputs))
    with gr.Blocks():
        folder_tab.draw()
    assert [component.label for component in sent] == [fields.caption(known) for known in (*SETTINGS, *settings())]


def test_the_fields_are_the_job(host: LocalHost, table: JobTable, shop: Path) -> None:
    given = values(folder=str(shop), out=f" {shop.parent / 'done'} ", products="handbag", engine="retouch", limit=2.0)
    job = until_over(folder_tab.begin(*given))
    assert (job.state, job.result["pictures"], job.result["found"]) == ("done", 2, 2)
    assert len(list((shop.parent / "done").glob("*.mask.png"))) == 2
    line = job_box.JobBox("folder", folder_tab._LINKS).html_of(job)
    assert "data-over='1'" in line and "2 of 2 pictures: 2 found, 0 skipped, 0 failed" in line
    assert [f">{words}</a>" in line for _, words in folder_tab._LINKS] == [True] * 4
    assert f"href='prodshot/jobs/{job.key}/index.html'" in line


def test_a_number_that_was_emptied_is_its_default(host: LocalHost, table: JobTable, shop: Path) -> None:
    given = values(folder=str(shop), out=str(shop.parent / "done"), products="handbag", dry_run=True)
    given[[known.name for known in SETTINGS].index("limit")] = None
    job = until_over(folder_tab.begin(*given))
    assert job.result["pictures"] == 4 and not list((shop.parent / "done").glob("*.png"))


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"folder": ""}, "folder"),
        ({"folder": "/nowhere/at/all"}, "folder"),
        ({"out": ""}, "out"),
        ({"products": ""}, "products"),
        ({"limit": -1}, "limit"),
        ({"grow": 9999}, "grow"),
    ],
)
def test_what_is_wrong_is_said_and_the_line_stays(
    host: LocalHost, table: JobTable, shop: Path, changed: dict[str, Any], field: str
) -> None:
    given = {"folder": str(shop), "out": str(shop.parent / "done"), "products": "handbag", **changed}
    with pytest.raises(RequestError) as raised:
        folder_tab.begin(*values(**given))
    assert field in [problem.field for problem in raised.value.problems]
    assert not table.list() and not (shop.parent / "done").exists()


def test_a_relative_folder_stands_in_the_webuis_data_folder(host: LocalHost, shop: Path) -> None:
    assert open_for_page("folder", "shop") == shop.resolve()
    assert open_for_page("folder", f"{shop}/../shop") == shop.resolve()
    for nothing in ("", "  ", "a\0b", 5):
        with pytest.raises(RequestError):
            open_for_page("folder", nothing)


@pytest.mark.parametrize(
    "flags",
    [{"listen": True}, {"share": True}, {"ngrok": "key"}, {"server_name": "0.0.0.0"}, {"hide_ui_dir_config": True}],
)
def test_where_others_may_come_only_allowed_folders_are_opened(
    host: LocalHost, shop: Path, flags: dict[str, Any]
) -> None:
    host.flags |= flags
    with pytest.raises(RequestError, match="prodshot-allow-dir"):
        open_for_page("folder", str(shop))
    host.flags["prodshot_allow_dir"] = [str(shop)]
    assert open_for_page("folder", str(shop)) == shop.resolve()
    with pytest.raises(RequestError, match="not a folder that the server's owner has allowed"):
        open_for_page("folder", str(shop.parent))


def test_a_server_for_this_machine_alone_opens_its_folders(host: LocalHost, shop: Path) -> None:
    host.flags |= {"server_name": "127.0.0.1", "listen": False, "share": False, "ngrok": None}
    assert open_for_page("folder", str(shop)) == shop.resolve()


def test_its_ids_are_none_of_the_panels(host: LocalHost) -> None:
    assert not elem_id("img2img")("products").startswith(elem_of(""))
