"""The folder job on the real WebUIs: in their tab, and with them as `prodshot batch`'s engines, one killed half-way."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_prodshot.bootstrap import ROOT
from tests.jobs.photographs import make_folder
from tests.jobs.tools import digests, lines_of, timeless
from tests.webui import server as servers
from tests.webui.browser import LONG, opened, photograph
from tests.webui.conftest import txt2img, warm_up
from tests.webui.server import Server

F = "#prodshot_folder_"
PRODUCTS = "coffee cup, motorcycle"
COUNT, BROKEN = 24, 2


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folder") / "photos"
    make_folder(folder, COUNT, BROKEN, side=256)
    return folder


# --- in the WebUI's own tab -------------------------------------------------------------------------------------------


@pytest.fixture
def page(clean: Server, tmp_path: Path) -> Iterator[Any]:
    with opened(clean, tmp_path / "profile") as made:
        made.locator("#tabs > .tab-nav button", has_text="Prodshot folder").first.click()
        made.wait_for_selector(f"{F}state .prodshot-dot", timeout=60_000)
        yield made
        assert not [text for text in made.complaints if "prodshot" in text.lower()]


def write(page: Any, name: str, text: str) -> None:
    field = page.locator(f"{F}{name}").first.locator("textarea, input[type=number]").first
    field.fill(text)
    field.press("Tab")


def fill(page: Any, photos: Path, out: Path, finder: str = "lite") -> None:
    """Passes of three steps on few pixels, without ControlNet."""
    for name, text in (("folder", str(photos)), ("out", str(out)), ("products", PRODUCTS)):
        write(page, name, text)
    page.locator(f"{F}engine label", has_text="inpaint").click()
    page.locator(f"{F}advanced > .label-wrap").first.click()
    page.check(f"{F}recursive input")
    page.locator(f"{F}finder label", has_text=finder).click()
    page.locator(f"{F}tabs button", has_text="Enhance").first.click()
    page.locator(f"{F}fold_sampling .label-wrap").first.click()
    page.locator(f"{F}fold_controlnet .label-wrap").first.click()
    page.wait_for_timeout(500)
    for name, number in (("resolution", "192"), ("steps", "3")):
        write(page, name, number)
    page.locator(f"{F}control label", has_text="off").click()
    page.wait_for_timeout(300)


def test_a_folder_in_the_webuis_tab(page: Any, clean: Server, photos: Path, tmp_path: Path) -> None:
    """Stopped and gone on with, while the user generates; the report is looked at as a user does."""
    before, plain = digests(photos), txt2img(clean)
    fill(page, photos, tmp_path / "done")
    page.click(f"{F}job_start")
    page.wait_for_function(
        "selector => / [3-9] found/.test(document.querySelector(selector).innerText)",
        arg=f"{F}job_line",
        timeout=LONG,
    )
    photograph(page, f"{clean.installation.host}-folder-running")
    assert np.array_equal(txt2img(clean).pixels(), plain.pixels())
    page.click(f"{F}job_stop")
    page.wait_for_selector(f"{F}job_line :text('Stopped')", timeout=LONG)
    stopped = lines_of(tmp_path / "done")
    assert 3 <= len(stopped) < COUNT
    page.click(f"{F}job_start")
    page.wait_for_selector(f"{F}job_line :text('{COUNT} of {COUNT} pictures')", timeout=LONG)
    photograph(page, f"{clean.installation.host}-folder")
    summary = json.loads((tmp_path / "done" / "summary.json").read_text())
    assert summary["done_before"] == len(stopped) and summary["failed"] == BROKEN and summary["found"] > 3
    lines = lines_of(tmp_path / "done")
    assert len({line["file"] for line in lines}) == len(lines) == COUNT
    assert all(line["audit"]["changed_outside"] == 0 for line in lines if line["audit"])
    assert {line["worker"] for line in lines if line["status"] == "found"} == {"this WebUI"}
    assert digests(photos) == before
    with page.context.expect_page() as new:
        page.click(f"{F}job_line a:text('Contact sheet')")
    sheet = new.value
    sheet.wait_for_selector("article", state="attached")
    sheet.wait_for_timeout(1000)
    assert sheet.locator("article").count() == COUNT
    photograph(sheet, f"{clean.installation.host}-folder-sheet")


# --- as the engines of `prodshot batch` -------------------------------------------------------------------------------

SAMPLING = ("--engine", "inpaint", "--control", "off", "--steps", "6", "--resolution", "256", "--sampler", "Euler")
SETTINGS = ("--products", PRODUCTS, "--finder", "lite", "--prompt", "a [class]", *SAMPLING)


def batch(photos: Path, out: Path, *addresses: str) -> subprocess.Popen[str]:
    webuis = [part for address in addresses for part in ("--webui", address)]
    command = [sys.executable, "-m", "lib_prodshot", "batch", str(photos), "--out", str(out), "--recursive"]
    environment = servers.quiet_environment(PYTHONPATH=str(ROOT))
    return subprocess.Popen(
        [*command, *SETTINGS, *webuis],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )


def ended(process: subprocess.Popen[str], code: int = 1) -> str:
    """What the command said; it ends with 1 for the broken files."""
    said, _ = process.communicate(timeout=500)
    assert process.returncode == code and "Traceback" not in said, said
    return said


def until_done(out: Path, address: str, number: int, process: subprocess.Popen[str]) -> None:
    """Until this WebUI has done so many pictures."""
    end = time.monotonic() + 300
    while time.monotonic() < end and process.poll() is None:
        report = out / "report.jsonl"
        if report.exists() and report.read_text().count(address) >= number:
            return
        time.sleep(0.05)
    raise AssertionError(f"{address} did not do {number} pictures")


def workers(out: Path) -> Counter[str]:
    return Counter(line["worker"] for line in lines_of(out) if line["status"] == "found")


@contextmanager
def double(checkpoint: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "tests.jobs.webui_double", "0.3", checkpoint]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process
    finally:
        process.kill()
        process.wait()


def check(photos: Path, out: Path, before: dict[str, str]) -> None:
    lines = lines_of(out)
    assert len({line["file"] for line in lines}) == len(lines) == COUNT
    summary = json.loads((out / "summary.json").read_text())
    assert summary["failed"] == BROKEN and not any(line["retry"] for line in lines)
    assert all(line["audit"]["changed_outside"] == 0 for line in lines if line["audit"])
    assert digests(photos) == before and not list(out.rglob(".prodshot-*"))


def test_a_double_beside_the_real_one_is_killed_half_way(clean: Server, photos: Path, tmp_path: Path) -> None:
    before, out = digests(photos), tmp_path / "out"
    checkpoint = str(clean.get("/sdapi/v1/options")["sd_model_checkpoint"])
    sampled = clean.counts()["samplings"]
    with double(checkpoint) as (address, process):
        job = batch(photos, out, clean.url, address)
        until_done(out, address, 2, job)
        process.kill()
        said = ended(job)
    check(photos, out, before)
    shares = workers(out)
    print(said)
    assert set(shares) == {clean.url, address} and f"{address} {shares[address]}" in said
    assert clean.counts()["samplings"] - sampled == shares[clean.url], "the real WebUI did a picture twice"


@pytest.fixture
def second(clean: Server, prepared: Path) -> Iterator[Server]:
    """Another server of the same installation and data folder, to be killed."""
    (prepared / "second").mkdir(exist_ok=True)
    server = servers.start(clean.installation, prepared)
    try:
        warm_up(server)
        yield server
    finally:
        server.stop()


def test_one_of_two_real_ones_is_killed_half_way(clean: Server, second: Server, photos: Path, tmp_path: Path) -> None:
    """The same report as from one that was left alone, the same masks, and the same results up to single grey levels,
    by which a WebUI's first generation of a size on a CPU differs from its next ones."""
    before, out, alone = digests(photos), tmp_path / "out", tmp_path / "alone"
    ended(batch(photos, alone, clean.url))
    job = batch(photos, out, clean.url, second.url)
    until_done(out, second.url, 1, job)
    os.killpg(second.process.pid, signal.SIGKILL)
    said = ended(job)
    print(said)
    check(photos, out, before)
    shares = workers(out)
    assert set(shares) == {clean.url, second.url}, said
    assert [settled(line) for line in lines_of(out)] == [settled(line) for line in lines_of(alone)]
    results = {str(line["output"]) for line in lines_of(out) if line["status"] == "found"}
    others, theirs = digests(out), digests(alone)
    assert others.keys() == theirs.keys()
    own = {*results, "report.jsonl", "report.csv", "summary.json", "index.html"}
    assert [name for name in others.keys() - own if others[name] != theirs[name]] == []
    for name in results:
        made, expected = (np.asarray(Image.open(place / name).convert("RGB")).astype(int) for place in (out, alone))
        assert np.abs(made - expected).max() <= 1, name


def settled(line: dict[str, Any]) -> dict[str, Any]:
    """A report line without what single grey levels change: sizes of files and measured figures."""
    steps = [(step["step"], step["version"]) for step in line["steps"]]
    notes = [re.sub(r"-?\d+(\.\d+)?", "#", note) for note in line["notes"]]
    audit = line["audit"] and line["audit"]["changed_outside"]
    return {**timeless(line), "audit": audit, "bytes": None, "steps": steps, "notes": notes}
