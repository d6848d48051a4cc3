"""What the extension costs a WebUI that does not use it, and that it comes and goes the owner's way.

Times are compared within one run: the machine may be busy, and an absolute time means nothing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.webui.presets import PresetStore
from tests.webui import server as servers
from tests.webui.browser import Tab, opened, photograph
from tests.webui.conftest import accordion, installation_of, txt2img
from tests.webui.server import Installation, Server

MOST_MILLISECONDS = 100
"""What the extension may add to the WebUI's 'load scripts' time."""


def test_nothing_heavy_is_loaded_before_first_use(
    installation: Installation, tiny_models: Path, models_dir: Path, tmp_path: Path
) -> None:
    """Nothing that the WebUI does not load by itself (reForge has onnxruntime in memory from the start)."""
    loaded = {}
    for ours in (True, False):
        data = tmp_path / f"data-{ours}"
        servers.lay_out(installation, data, tiny_models, models_dir, ours=ours)
        # the other extensions load finders' packages of their own
        (data / "extensions" / "sd-webui-controlnet").unlink(missing_ok=True)
        server = servers.start(installation, data)
        try:
            loaded[ours] = server.counts()["loaded"]
        finally:
            server.stop()
    print(f"loaded with us {loaded[True]}, without {loaded[False]}")
    assert loaded[True] == loaded[False]
    assert not {"groundingdino", "segment_anything"} & set(loaded[True])


def test_the_time_to_load_our_scripts(
    installation: Installation, tiny_models: Path, models_dir: Path, tmp_path: Path
) -> None:
    """With bytecode kept, as on any user's machine from the second start on: processor time of this one script, for
    on a busy machine any other varies by more than that. What the WebUI's own clock says of our script and of all
    scripts, with and without us, is printed for the reader."""
    spent, ours, whole = [], [], {"with": [], "without": []}
    for attempt in ("warm", "with", "without", "with", "without", "with", "without"):
        data = tmp_path / f"data-{attempt}"
        servers.lay_out(installation, data, tiny_models, models_dir, ours=attempt != "without")
        server = servers.start(installation, data, PYTHONDONTWRITEBYTECODE="")
        try:
            records = server.get("/internal/profile-startup")["records"]
            loaded = server.get("/harness/loaded")
        finally:
            server.stop()
        assert ("prodshot.py" in loaded) == (attempt != "without")
        if attempt != "warm":
            whole[attempt].append(round(records["load scripts"], 3))
        if attempt == "with":
            spent.append(round(loaded["prodshot.py"], 1))
            ours.append(round(records["load scripts/prodshot.py"], 3))
    print(f"our script {spent} ms of processor time, {ours} s by the clock; all scripts {whole} s by the clock")
    assert min(spent) < MOST_MILLISECONDS


def test_the_accordion_switched_off_costs_nothing(clean: Server) -> None:
    """A B B A …: with the accordion off, and with its hooks told so by the API, the same generation costs the server as
    much processor time. What else the machine does can only add to it, so the least of eight rounds counts."""

    def seconds(**values: Any) -> float:
        start = clean.get("/harness/spent")
        txt2img(clean, n_iter=4, **values)
        return float(clean.get("/harness/spent") - start)

    seconds()
    spent: dict[bool, list[float]] = {False: [], True: []}
    for number in range(8):
        for told in (False, True) if number % 2 == 0 else (True, False):
            spent[told].append(seconds(**(accordion(False) if told else {})))
    ratios = sorted(round(off / plain, 3) for off, plain in zip(spent[True], spent[False], strict=True))
    least = min(spent[True]) / min(spent[False])
    print(f"with the accordion off / plain: {least:.3f}; round by round {ratios}")
    assert least < 1.05


def test_a_default_preset_chosen_later_counts_at_the_next_start(
    installation: Installation, tiny_models: Path, tmp_path: Path
) -> None:
    """What the first start writes into ui-config.json is not put over it, nor over another finder."""
    data = tmp_path / "data"
    servers.lay_out(installation, data, tiny_models, None, ours=True)
    values = {"products": "watch: dial", "engine": "retouch", "strength": 0.25, "grow": 7}
    panels: list[dict[str, Any]] = []
    chosen: dict[str, str]
    for chosen in ({}, {"prodshot_preset": "Later"}):
        config = data / "config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), **chosen}))
        server = servers.start(installation, data)
        try:
            drawn = [part["props"] for part in server.get("/config")["components"]]
        finally:
            server.stop()
        panels.append({props.get("elem_id"): props.get("value") for props in drawn})
        PresetStore(data / "prodshot-presets").save("Later", values)
    remembered = json.loads((data / "ui-config.json").read_text())
    assert remembered and not [key for key in remembered if "Products/value" in key or "Retouch strength/value" in key]
    for part in ("script_img2img_prodshot_", "script_txt2img_prodshot_accordion_"):
        first, later = ([panel[part + name] for name in ("products", "strength", "grow")] for panel in panels)
        assert first != later == ["watch: dial", 0.25, 7]


@pytest.fixture
def a1111_overlay(bare: Installation, tmp_path: Path) -> Installation:
    """AUTOMATIC1111 on which nothing of ours was ever installed."""
    if bare.host != "a1111":
        pytest.skip("AUTOMATIC1111's page; Forge's is the same code")
    return servers.overlaid(installation_of("a1111"), tmp_path / "overlay")


def test_installed_the_owners_way(
    a1111_overlay: Installation, tiny_models: Path, models_dir: Path, tmp_path: Path
) -> None:
    """Extensions, Install from URL, Apply and restart: the script is there. Folder deleted: it is gone."""
    repository = tmp_path / "sd-webui-prodshot.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", str(ROOT), str(repository)], check=True)
    data = tmp_path / "data"
    servers.lay_out(a1111_overlay, data, tiny_models, models_dir, ours=False)
    flags = ("--enable-insecure-extension-access",)
    restarting = {"SD_WEBUI_RESTART": str(tmp_path / "restart")}
    server = servers.start(a1111_overlay, data, *flags, **restarting)
    try:
        before = scripts_of(server)
        with opened(server, tmp_path / "profile") as page:
            install(page, f"file://{repository}")
            assert (data / "extensions" / "sd-webui-prodshot" / "scripts" / "prodshot.py").is_file()
            apply_and_restart(page)
        server.process.wait(60)
        said = server.text()
    finally:
        server.stop()
        (a1111_overlay.folder / "tmp" / "restart").unlink(missing_ok=True)
    assert "Error" not in said.partition("Cloning")[2], said[-3000:]
    assert "Prodshot: installed; no other package was changed" in said
    print("\n".join(line for line in said.splitlines() if "rodshot" in line or "nstall" in line))
    # what webui.sh does when the WebUI has ended with a wish to be restarted
    server = servers.start(a1111_overlay, data, *flags, **restarting)
    try:
        assert {"prodshot"} == scripts_of(server) - before
        with opened(server, tmp_path / "profile") as page:
            tab = Tab(page, "img2img")
            tab.choose_script()
            assert tab.ours("products").is_visible()
            photograph(page, "a1111-installed")
    finally:
        server.stop()
    shutil.rmtree(data / "extensions" / "sd-webui-prodshot")
    server = servers.start(a1111_overlay, data, *flags)
    try:
        assert scripts_of(server) == before
        assert "rodshot" not in server.text()
    finally:
        server.stop()


def scripts_of(server: Server) -> set[str]:
    listed = server.get("/sdapi/v1/scripts")
    return {*listed["txt2img"], *listed["img2img"]}


def install(page: Any, url: str) -> None:
    page.locator("#tabs > .tab-nav button", has_text="Extensions").first.click()
    page.wait_for_timeout(1000)
    page.locator("#tabs_extensions button", has_text="Install from URL").first.click()
    page.wait_for_timeout(500)
    page.get_by_label("URL for extension's git repository").fill(url)
    page.locator("#tab_extensions button:visible", has_text="Install").last.click()
    page.wait_for_selector("text=Installed into", timeout=300_000)


def apply_and_restart(page: Any) -> None:
    page.locator("#tabs_extensions button", has_text="Installed").first.click()
    page.wait_for_timeout(500)
    page.locator("#extensions_installed_top button", has_text="Apply and restart UI").click()
    page.wait_for_timeout(3000)
