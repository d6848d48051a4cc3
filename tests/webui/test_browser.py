"""The same in a real browser: the panel, generations, the Batch tab, paste-back, errors on the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.webui.browser import Tab, opened, photograph
from tests.webui.conftest import seed_picture
from tests.webui.server import Server


@pytest.fixture
def page(clean: Server, tmp_path: Path) -> Iterator[Any]:
    with opened(clean, tmp_path / "profile") as made:
        yield made
        assert not [text for text in made.complaints if "prodshot" in text.lower()]


def car(seed_dir: Path) -> Path:
    return seed_dir / "filter_image_inputs" / "car.png"


def test_img2img_with_the_script_and_back_by_the_paste_arrow(page: Any, clean: Server, seed_dir: Path) -> None:
    before, files = clean.counts(), clean.outputs()
    tab = Tab(page, "img2img")
    tab.small()
    tab.give_picture(car(seed_dir))
    tab.choose_script()
    tab.write("products", "car")
    tab.open("Enhance")
    tab.write("prompt", "[class], a test")
    tab.open("Output")
    tab.ours("save_masks").locator("input").check()
    infotext = tab.generate()
    photograph(page, f"{clean.installation.host}-img2img")
    assert "Prodshot: found car" in infotext and "Script: Prodshot" in infotext, infotext + tab.log()
    assert clean.counts()["samplings"] - before["samplings"] == 1
    written = [path for path in clean.outputs() - files if "prodshot" not in path.name]
    with Image.open(written[0]) as file, Image.open(car(seed_dir)) as given:
        assert file.size == given.size and not np.array_equal(np.asarray(file), np.asarray(given))
    assert any("-prodshot-mask" in path.name for path in clean.outputs() - files)
    tab.write("products", "zorro")
    tab.ours("save_masks").locator("input").uncheck()
    page.fill("#img2img_prompt textarea", "")
    page.locator("#tab_img2img #paste").click()
    tab.wait_for_text("products", "car")
    tab.wait_for_text("prompt", "[class], a test")
    assert tab.ours("save_masks").locator("input").is_checked()
    assert tab.script() == "Prodshot"


def test_txt2img_with_the_accordion_and_back_by_png_info(page: Any, clean: Server) -> None:
    tab = Tab(page, "txt2img", "accordion")
    tab.small()
    page.fill("#txt2img_prompt textarea", "a photo")
    # opening it switches it on, as with the WebUI's own accordions
    page.locator(f"#{tab.prefix}enabled .label-wrap").first.click()
    page.wait_for_timeout(800)
    tab.write("products", "handbag, shoe")
    files = clean.outputs()
    infotext = tab.generate()
    assert "Prodshot: " in infotext and "Prodshot products: handbag, shoe" in infotext.replace('"', ""), tab.log()
    assert "Script:" not in infotext
    (written,) = clean.outputs() - files
    page.locator("#tabs > .tab-nav button", has_text="PNG Info").first.click()
    page.set_input_files("#pnginfo_image input[type=file]", str(written))
    page.wait_for_timeout(2000)
    page.locator("#tab_pnginfo button", has_text="txt2img").first.click()
    tab.wait_for_text("products", "handbag, shoe")


def test_the_batch_tab_goes_picture_by_picture(page: Any, clean: Server, seed_dir: Path, tmp_path: Path) -> None:
    given, results = tmp_path / "given", tmp_path / "results"
    given.mkdir()
    # neo brings other sizes to multiples of 64 before any script sees them
    moon_given = seed_picture(seed_dir, "unknown").crop((0, 0, 576, 576))
    moon_given.save(given / "unknown.png")
    seed_picture(seed_dir, "car").save(given / "car.png")
    before = clean.counts()
    tab = Tab(page, "img2img")
    tab.small()
    page.locator("#mode_img2img button", has_text="Batch").first.click()
    page.wait_for_timeout(500)
    source = page.locator("#img2img_batch_source button, #mode_img2img button", has_text="from directory")
    if source.count():
        source.first.click()
        page.wait_for_timeout(300)
    page.fill("#img2img_batch_input_dir textarea, #img2img_batch_input_dir input", str(given))
    page.fill("#img2img_batch_output_dir textarea, #img2img_batch_output_dir input", str(results))
    tab.choose_script()
    tab.write("products", "car")
    tab.generate()
    assert clean.counts()["samplings"] - before["samplings"] == 1
    # how a batch's files are named is the WebUI's own affair, and differs
    written = {file.size: file for file in map(Image.open, results.iterdir())}
    moon, car_ = written[(576, 576)], written[(512, 512)]
    assert np.array_equal(np.asarray(moon), np.asarray(moon_given))
    assert "skipped" in moon.info["parameters"]
    assert "Prodshot: found car" in car_.info["parameters"]
    assert len(written) == len(list(results.iterdir())) == 2


def test_a_failure_is_seen_on_the_page(page: Any, clean: Server, seed_dir: Path) -> None:
    tab = Tab(page, "img2img")
    tab.small()
    tab.give_picture(car(seed_dir))
    tab.choose_script()
    infotext = tab.generate()
    assert "failed: products: no product is named" in infotext
    assert "no product is named" in tab.log()
    assert tab.gallery() >= 1
    tab.write("products", "car")
    assert "Prodshot: found car" in tab.generate()
