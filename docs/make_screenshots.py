"""Make the screenshots of docs/images/ anew: `python -m docs.make_screenshots [SCENE…]`, with real WebUIs in a real
browser.

As for `tests/webui`, PRODSHOT_WEBUI_DIR names an installed WebUI of AUTOMATIC1111, PRODSHOT_FORGE_DIR a Forge,
PRODSHOT_CLASSIC_DIR and PRODSHOT_NEO_DIR the others that are shown; a scene whose WebUI is not named is passed by,
and its picture stays. Playwright and a Chromium are needed, and a network for the first run, which fetches the lite
finder as a new owner's does. Checkpoints are the suite's tiny ones, so the pictures are made by retouch; the
photographs are those that scikit-image ships. A training run is photographed by `tests/webui/test_training.py`, where
PRODSHOT_SCREENSHOTS names a folder.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lib_prodshot import weights
from lib_prodshot.commands.demo import find_photographs
from tests.webui import server as servers
from tests.webui.browser import LONG, Tab, opened
from tests.webui.server import Installation, Server

IMAGES = Path(__file__).parent / "images"
STYLE = Path(__file__).parent.parent / "style.css"
DIRECTORIES = {
    "a1111": "PRODSHOT_WEBUI",
    "forge": "PRODSHOT_FORGE",
    "classic": "PRODSHOT_CLASSIC",
    "neo": "PRODSHOT_NEO",
}
PRODUCT, PHOTOGRAPH = "coffee cup", "coffee.png"
ADDRESS = "https://github.com/…/sd-webui-prodshot"
WIDE = {"width": 1400, "height": 1150}


def main(names: list[str]) -> None:
    """Draw the scenes of these names, or all."""
    with tempfile.TemporaryDirectory() as made:
        for scene in SCENES:
            if not names or scene.__name__ in names:
                scene(Path(made))


def first_run(work: Path) -> None:
    """A new owner's four clicks: install, get the finder, Find, Generate; and Generate before there is a finder. The
    suite's checkpoint paints nothing that one would like to see, so retouch is chosen. Prints the clicks that it took
    from the WebUI's page to the result, without those on `no-finder`'s way."""
    with _webui("a1111", work / "first", finder=None) as server, _page(server, work) as page:
        if page is None:
            return
        page.locator("#tabs > .tab-nav button", has_text="Extensions").first.click()
        page.locator("#tabs_extensions button", has_text="Install from URL").first.click()
        page.fill("#tabs_extensions label:has-text('URL for extension') :is(textarea, input)", ADDRESS)
        _shoot(page, "first-1-install", WIDE | {"height": 560})
        _count_clicks(page)
        tab = _with_picture(page)
        tab.ours("get_lite").wait_for(state="visible", timeout=LONG)
        _shoot(page, "first-2-finder", tab.prefix)
        clicks = _clicks(page)
        tab.write("products", PRODUCT)
        page.locator(f"#{tab.prefix}engine label", has_text="retouch").click()
        tab.generate()
        page.locator(".prodshot-offer").wait_for(state="visible", timeout=LONG)
        page.evaluate("scrollTo(0, 0)")
        _shoot(page, "no-finder", WIDE)
        _count_clicks(page)
        tab.ours("get_lite").click()
        page.wait_for_selector(f"#{tab.prefix}state .prodshot-ready", timeout=LONG * 3)
        _find(tab)
        _shoot(page, "first-3-find", tab.prefix)
        tab.generate()
        print("clicks after the restart:", clicks + _clicks(page), flush=True)
        page.evaluate("scrollTo(0, 0)")
        _shoot(page, "first-4-generate", WIDE)


def _count_clicks(page: Any) -> None:
    """Count the user's own clicks from now on; a program's are not trusted, and those are none."""
    page.evaluate(
        """() => { window.clicks = 0; document.onpointerdown = (event) => { window.clicks += event.isTrusted; }; }"""
    )


def _clicks(page: Any) -> int:
    return int(page.evaluate("window.clicks"))


def panel(work: Path) -> None:
    """The panel after Find in both themes, the Enhance tab, a generation, and the tabs, in AUTOMATIC1111's WebUI."""
    with _webui("a1111", work / "panel") as server:
        for theme in ("light", "dark"):
            with _page(server, work, theme) as page:
                if page is None:
                    return
                tab = _with_picture(page)
                tab.write("products", PRODUCT)
                _find(tab)
                dark = "-dark" * (theme == "dark")
                _shoot(page, f"panel-find{dark}", tab.prefix)
                if theme == "dark":
                    _right_to_left(page, tab)
                else:
                    _shoot(page, "hosts-a1111", tab.prefix)
                _packshot(page, tab, f"result-card{dark}")
                if theme == "dark":
                    continue
                page.locator(f"#{tab.prefix}make label", has_text="enhance").click()
                tab.open("Enhance")
                page.wait_for_timeout(1500)
                _shoot(page, "panel-enhance", tab.prefix)
                page.locator(f"#{tab.prefix}engine label", has_text="retouch").click()
                tab.generate()
                page.evaluate("scrollTo(0, 0)")
                _shoot(page, "img2img", WIDE)
                _folder(page, work)
                page.locator("#tabs > .tab-nav button", has_text="Prodshot training").first.click()
                page.wait_for_timeout(1500)
                _shoot(page, "training", WIDE)


def _right_to_left(page: Any, tab: Tab) -> None:
    """The panel as a language that is written from right to left has it."""
    page.evaluate("document.documentElement.dir = 'rtl'")
    page.wait_for_timeout(500)
    _shoot(page, "panel-rtl", tab.prefix)
    page.evaluate("document.documentElement.dir = 'ltr'")


def _packshot(page: Any, tab: Tab, name: str) -> None:
    """The panel for a packshot (in the light theme), and its result card."""
    page.locator(f"#{tab.prefix}result .prodshot-close").first.click()
    page.locator(f"#{tab.prefix}make label", has_text="packshot").click()
    tab.write("marketplace", "amazon")
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(1500)
    if not name.endswith("dark"):
        _shoot(page, "panel-packshot", tab.prefix)
    tab.generate()
    card = page.locator("#prodshot_card_img2img .prodshot-card")
    card.wait_for(timeout=LONG)
    # the WebUI's results stick to the window, which cuts off what is taller
    page.set_viewport_size(WIDE | {"height": 3600})
    page.wait_for_timeout(6000)
    _keep(card, name)
    page.set_viewport_size(WIDE)
    tab.write("marketplace", "")


def _folder(page: Any, work: Path) -> None:
    """The folder's tab with a job that is done, and its contact sheet."""
    photographs = work / "photographs"
    photographs.mkdir(exist_ok=True)
    for name in ("coffee.png", "motorcycle_left.png", "chelsea.png"):
        shutil.copy(_photograph(name), photographs / name)
    page.locator("#tabs > .tab-nav button", has_text="Prodshot folder").first.click()
    for field, text in (("folder", "photographs"), ("out", "done"), ("products", "coffee cup, motorcycle")):
        page.fill(f"#prodshot_folder_{field} :is(textarea, input)", str(work / text) if field != "products" else text)
    page.locator("#prodshot_folder_engine label", has_text="retouch").click()
    page.click("#prodshot_folder_job_start")
    page.wait_for_selector("#prodshot_folder_job_line .prodshot-job-done", timeout=LONG)
    page.wait_for_timeout(3000)
    for field, text in (("folder", "photographs"), ("out", "done")):
        page.fill(f"#prodshot_folder_{field} :is(textarea, input)", text)
    _shoot(page, "folder", WIDE)
    with page.context.expect_page() as opened_sheet:
        page.locator("#prodshot_folder_job_line a", has_text="Contact sheet").first.click()
    sheet = opened_sheet.value
    sheet.wait_for_selector("article", state="attached")
    _shoot(sheet, "folder-sheet", {"width": 1300, "height": 800})
    sheet.locator(".compare").first.click()
    _shoot(sheet, "folder-card", {"width": 1300, "height": 800})
    sheet.close()


def forge(work: Path) -> None:
    """The panel after Find in Forge, in both themes."""
    _after_find("forge", work, ("light", "dark"))


def classic(work: Path) -> None:
    """The same in classic."""
    _after_find("classic", work, ("light",))


def neo(work: Path) -> None:
    """The same in neo."""
    _after_find("neo", work, ("dark",))


def _after_find(host: str, work: Path, themes: tuple[str, ...]) -> None:
    with _webui(host, work / host) as server:
        for theme in themes:
            with _page(server, work, theme) as page:
                if page is None:
                    return
                tab = _with_picture(page)
                tab.write("products", PRODUCT)
                _find(tab)
                _shoot(page, f"hosts-{host}" + "-dark" * (theme == "dark"), tab.prefix)


SCENES: tuple[Callable[[Path], None], ...] = (first_run, panel, forge, classic, neo)


@contextmanager
def _webui(host: str, data: Path, finder: str | None = "lite") -> Iterator[Server | None]:
    """A running WebUI with Prodshot in it; None where none is named."""
    installation = _installation(host)
    if installation is None:
        print(f"{DIRECTORIES[host]}_DIR names no WebUI: its pictures stay as they are")
        yield None
        return
    python = servers.overlaid(installation, data / "python")
    servers.run_installer(python)
    models = data.parent / "tiny"
    tiny = _installation("a1111")
    assert tiny is not None
    servers.make_tiny_models(tiny, models)
    folder = data / "data"
    servers.lay_out(python, folder, models, _fetched(finder) if finder else None, ours=True)
    environment = {"PRODSHOT_MODELS": str(folder / "models" / "prodshot"), "XDG_CACHE_HOME": str(data / "cache")}
    server = servers.start(python, folder, **environment)
    try:
        yield server
    finally:
        server.stop()


def _fetched(finder: str) -> Path:
    """The folder of the finder's weights."""
    paths = [weights.fetch(entry) for entry in weights.select([finder])]
    return paths[0].parent


def _installation(host: str) -> Installation | None:
    folder = os.environ.get(f"{DIRECTORIES[host]}_DIR", "")
    if not folder:
        return None
    place = Path(folder).resolve()
    return Installation(host, place, Path(os.environ.get(f"{DIRECTORIES[host]}_PYTHON", place / "venv/bin/python")))


@contextmanager
def _page(server: Server | None, work: Path, theme: str = "light") -> Iterator[Any]:
    if server is None:
        yield None
        return
    with opened(server, work / f"profile-{server.port}-{theme}", theme) as page:
        page.set_viewport_size(WIDE)
        yield page


def _with_picture(page: Any) -> Tab:
    """img2img with the photograph and the script chosen."""
    tab = Tab(page, "img2img")
    tab.give_picture(_photograph(PHOTOGRAPH))
    tab.choose_script()
    page.wait_for_selector(f"#{tab.prefix}state .prodshot-dot", timeout=LONG)
    return tab


def _find(tab: Tab) -> None:
    tab.ours("find").click()
    tab.page.wait_for_selector(f"#{tab.prefix}result .prodshot-preview", timeout=LONG)
    tab.page.wait_for_timeout(1500)


def _photograph(name: str) -> Path:
    return next(path for path in find_photographs() if path.name == name)


def _shoot(page: Any, name: str, part: str | dict[str, int]) -> None:
    """Keep a picture of the panel with this prefix of ids, or of the upper part of the page, in few colours."""
    if isinstance(part, str):
        _keep(page.locator(f"#{part}panel").first, name)
        return
    path = IMAGES / f"{name}.png"
    page.screenshot(path=str(path), clip={"x": 0, "y": 0, **part})
    _in_few_colours(path)


def _keep(part: Any, name: str) -> None:
    """Keep a picture of one element of the page."""
    path = IMAGES / f"{name}.png"
    part.screenshot(path=str(path))
    _in_few_colours(path)


def _in_few_colours(path: Path) -> None:
    with Image.open(path) as image:
        shown = image.convert("RGB")
    in_few_colours(shown).save(path, optimize=True)
    print(path.relative_to(IMAGES.parent.parent), flush=True)


FLAT_COLOURS = 48
"""How many of a picture's most frequent colours are kept as they are: the page's grounds, lines and texts."""


def in_few_colours(shown: Image.Image) -> Image.Image:
    """256 colours: the page's own marks, which would turn grey beside a photograph, the most frequent ones, of which
    Pillow would make one with their neighbours (of white 252), and the picture's others."""
    marks = re.findall(r"--prodshot-\w+: #(\w{6});", STYLE.read_text())
    counted = sorted(shown.getcolors(shown.width * shown.height) or [], reverse=True)
    frequent = [bytes(colour) for _, colour in counted[:FLAT_COLOURS]]
    exact = list(dict.fromkeys([*map(bytes.fromhex, marks), *frequent]))
    own = shown.quantize(256 - len(exact), kmeans=8).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette(bytes(own).ljust(768, b"\0")[: 768 - 3 * len(exact)] + b"".join(exact))
    few = shown.quantize(palette=palette, dither=Image.Dither.NONE)
    # Pillow looks a colour up by the upper six bits of its channels
    places, pixels = np.array(few), np.asarray(shown)
    for number, colour in enumerate(exact, 256 - len(exact)):
        places[(pixels == np.frombuffer(colour, np.uint8)).all(axis=2)] = number
    few.frombytes(places.tobytes())
    return few


if __name__ == "__main__":
    main(sys.argv[1:])
