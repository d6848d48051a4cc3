"""A page of the WebUI in a real browser (Playwright driving a Chromium), and the moves that a user makes on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import browsers
from tests.webui.server import Server

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LONG = 180_000
"""Milliseconds for anything that samples."""


def chromium() -> str:
    """The browser's program; skips where there is none."""
    found = browsers.chromium()
    if found is None:
        pytest.skip("no Chromium here; PRODSHOT_CHROMIUM may name one")
    return found


@contextmanager
def opened(server: Server, profile: Path, theme: str = "light") -> Iterator[Any]:
    """The WebUI's page, ready to be used. What its own scripts complain of is kept in `page.complaints`."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with api.sync_playwright() as engine:
        context = engine.chromium.launch_persistent_context(
            str(profile),
            executable_path=chromium(),
            headless=True,
            args=list(ARGUMENTS),
            viewport={"width": 1400, "height": 1400},
        )
        page = context.new_page()
        page.complaints = []
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto(f"{server.url}/?__theme={theme}", wait_until="domcontentloaded")
        page.wait_for_selector("#txt2img_generate", timeout=LONG)
        page.wait_for_timeout(2500)
        try:
            yield page
        finally:
            context.close()


class Tab:
    """txt2img or img2img, with the script's panel or the accordion's."""

    def __init__(self, page: Any, name: str, part: str = "script") -> None:
        self.page = page
        self.name = name
        self.prefix = f"script_{name}_prodshot_" + ("accordion_" if part == "accordion" else "")
        page.locator("#tabs > .tab-nav button", has_text=name).first.click()
        page.wait_for_timeout(500)

    def ours(self, setting: str) -> Any:
        """The component of one of our settings."""
        return self.page.locator(f"#{self.prefix}{setting}").first

    def text(self, setting: str) -> Any:
        return self.ours(setting).locator("textarea, input").first

    def wait_for_text(self, setting: str, value: str) -> None:
        """Wait until one of our settings holds this text: a paste takes its time."""
        field = self.text(setting).element_handle()
        self.page.wait_for_function("([field, value]) => field.value === value", arg=[field, value], timeout=60_000)

    def write(self, setting: str, value: str) -> None:
        field = self.text(setting)
        field.fill(value)
        field.press("Tab")
        self.page.wait_for_timeout(200)

    def open(self, title: str) -> None:
        """One of the tabs under Advanced."""
        tab = self.page.locator(f"#{self.prefix}tabs button", has_text=title).first
        if not tab.is_visible():
            self.page.locator(f"#{self.prefix}advanced .label-wrap").first.click()
        tab.click()
        self.page.wait_for_timeout(300)

    def number(self, setting: str, value: float) -> None:
        """One of the WebUI's own sliders."""
        field = self.page.locator(f"#{self.name}_{setting} input[type=number]").first
        field.fill(str(value))
        field.press("Tab")
        self.page.wait_for_timeout(100)

    def small(self) -> None:
        """A generation that takes seconds."""
        for setting, value in (("steps", 3), ("width", 192), ("height", 192)):
            self.number(setting, value)

    def choose_script(self, title: str = "Prodshot") -> None:
        self.page.locator(f"#tab_{self.name} #script_list input").click()
        self.page.wait_for_timeout(400)
        self.page.locator("ul.options li:visible", has_text=title).first.click()
        self.page.wait_for_timeout(800)

    def script(self) -> str:
        return str(self.page.locator(f"#tab_{self.name} #script_list input").input_value())

    def give_picture(self, path: Path) -> None:
        self.page.set_input_files("#img2img_image input[type=file]", str(path))
        self.page.wait_for_timeout(1500)

    def generate(self) -> str:
        """Press Generate and wait; returns the infotext shown. Fails for an error on the page."""
        old = self.infotext()
        self.page.click(f"#{self.name}_generate")
        self.page.wait_for_function(
            "([id, old]) => { const info = document.querySelector('#html_info_' + id)?.innerText ?? '';"
            " return (info && info !== old) || document.querySelector(`#html_log_${id} .error`); }",
            arg=[self.name, old],
            timeout=LONG,
        )
        self.page.wait_for_timeout(1000)
        return self.infotext()

    def infotext(self) -> str:
        # gradio gives a component's id to its frame and to what is in it
        found = self.page.locator(f"#html_info_{self.name}")
        return str(found.first.inner_text()) if found.count() else ""

    def log(self) -> str:
        return str(self.page.locator(f"#html_log_{self.name}").first.inner_text())

    def gallery(self) -> int:
        """How many pictures the gallery shows."""
        return int(self.page.locator(f"#{self.name}_gallery .thumbnail-item").count()) or int(
            self.page.locator(f"#{self.name}_gallery img").count() > 0
        )


def photograph(page: Any, name: str, part: str = "") -> None:
    """Keep a screenshot in the folder that PRODSHOT_SCREENSHOTS names: of the page, or of the `part` selected."""
    folder = os.environ.get("PRODSHOT_SCREENSHOTS", "")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        path = str(Path(folder) / f"{name}.png")
        if part:
            page.locator(part).first.screenshot(path=path)
        else:
            page.screenshot(path=path, full_page=True)
