"""Find on the real page: it takes what the tab shows, generates nothing, and can be read in both themes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.webui.browser import LONG, Tab, opened, photograph
from tests.webui.server import Server

LEAST_CONTRAST = 4.5
"""WCAG 2's for text (success criterion 1.4.3, level AA)."""

CONTRAST = """(element) => {
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const over = (top, under) => top.slice(0, 3).map((c, i) => c * (top[3] ?? 1) + under[i] * (1 - (top[3] ?? 1)));
    const light = (rgb) => rgb.map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (at) => {
        if (!at) return [255, 255, 255];
        const own = parts(getComputedStyle(at).backgroundColor);
        return (own[3] ?? 1) === 1 ? own.slice(0, 3) : over(own, behind(at.parentElement));
    };
    const ground = behind(element);
    const pair = [light(ground), light(over(parts(getComputedStyle(element).color), ground))].sort((a, b) => b - a);
    return (pair[0] + 0.05) / (pair[1] + 0.05);
}"""
"""The contrast of an element's text with whatever lies behind it, as WCAG computes it."""

TEXTS = (
    ".prodshot-state > .prose > span:not(.prodshot-dot), .prodshot-state > span:not(.prodshot-dot)",
    ".prodshot-preview .prodshot-verdict b",
    ".prodshot-preview .prodshot-verdict span",
    ".prodshot-preview label",
    ".prodshot-preview kbd",
    ".prodshot-preview td",
    ".prodshot-preview th",
    ".prodshot-preview .prodshot-remark",
    ".prodshot-field [data-testid='block-info']",
    ".prodshot-said-error",
)


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, clean: Server, tmp_path: Path) -> Iterator[Any]:
    with opened(clean, tmp_path / "profile", request.param) as made:
        made.theme = request.param
        yield made
        assert not [text for text in made.complaints if "prodshot" in text.lower()]


def seed_file(seed_dir: Path, name: str) -> str:
    return str(seed_dir / "filter_image_inputs" / f"{name}.png")


def find(tab: Tab, products: str) -> Any:
    """Press Find; the preview, or the complaint in its place."""
    tab.write("products", products)
    answer = f"#{tab.prefix}result :is(.prodshot-preview, .prodshot-said-error)"
    for former in tab.page.locator(answer).all():
        former.evaluate("element => { element.dataset.former = 1; }")
    tab.ours("find").click()
    tab.page.wait_for_selector(f"{answer}:not([data-former])", timeout=LONG)
    return tab.page.locator(answer)


def test_find_on_img2img(page: Any, clean: Server, seed_dir: Path) -> None:
    before = clean.counts()
    tab = Tab(page, "img2img")
    tab.choose_script()
    assert "no picture to look at" in find(tab, "car").inner_text()
    complaint = page.locator(f"#{tab.prefix}result .prodshot-said-error")
    assert complaint.evaluate(CONTRAST) > LEAST_CONTRAST
    tab.give_picture(Path(seed_file(seed_dir, "car")))
    shown = find(tab, "car")
    assert "Found" in shown.inner_text() and "512×512" in shown.inner_text()
    boxes, mask = (page.locator(f"#{tab.prefix}result .prodshot-{name}") for name in ("boxes", "mask"))
    assert boxes.is_visible() and mask.is_visible()
    photograph(page, f"{clean.installation.host}-find-{page.theme}", f"#{tab.prefix}panel")
    shown.locator(".prodshot-verdict").click()
    page.keyboard.press("b")
    page.keyboard.press("m")
    assert boxes.is_hidden() and mask.is_hidden()
    page.keyboard.press("Escape")
    assert page.locator(f"#{tab.prefix}result .prodshot-preview").is_hidden()
    after = clean.counts()
    assert (after["samplings"], after["steps"]) == (before["samplings"], before["steps"])


def test_find_on_inpaints_canvas(page: Any, clean: Server, seed_dir: Path) -> None:
    """The tab that is open counts, whatever stands in the others."""
    tab = Tab(page, "img2img")
    tab.choose_script()
    tab.give_picture(Path(seed_file(seed_dir, "car")))
    page.locator("#mode_img2img button", has_text="Inpaint").first.click()
    page.wait_for_timeout(500)
    page.set_input_files("#img2maskimg input[type=file]", seed_file(seed_dir, "handbag"))
    page.wait_for_timeout(2000)
    assert "Found handbag" in " ".join(find(tab, "handbag").inner_text().split())


def test_find_on_txt2imgs_gallery(page: Any, clean: Server) -> None:
    tab = Tab(page, "txt2img")
    tab.small()
    page.fill("#txt2img_prompt textarea", "a photo")
    tab.generate()
    tab.choose_script()
    before = clean.counts()["samplings"]
    shown = find(tab, "car")
    assert "Skipped" in shown.inner_text() and "192×192" in shown.inner_text()
    assert clean.counts()["samplings"] == before


def test_every_text_can_be_read(page: Any, seed_dir: Path) -> None:
    tab = Tab(page, "img2img")
    tab.choose_script()
    tab.give_picture(Path(seed_file(seed_dir, "car")))
    find(tab, "car")
    page.wait_for_timeout(1500)
    weak = {}
    for text in TEXTS:
        for found in page.locator(f"#{tab.prefix}panel").locator(text).all():
            if found.is_visible() and found.inner_text().strip():
                contrast = found.evaluate(CONTRAST)
                if contrast < LEAST_CONTRAST:
                    weak[f"{text}: {found.inner_text()[:30]}"] = round(contrast, 2)
    assert not weak


def test_corrected_by_hand_generated_compared_and_sent_on(page: Any, clean: Server, seed_dir: Path) -> None:
    """What is taken and painted in the card is what the next Generate works on; its result can be compared."""
    tab = Tab(page, "img2img")
    tab.small()
    tab.choose_script()
    tab.give_picture(Path(seed_file(seed_dir, "car")))
    shown = find(tab, "car")
    page.wait_for_selector(f"#{tab.prefix}result .prodshot-preview[data-ready]")
    shown.locator(".prodshot-kinds input[value=erase]").check()
    page.wait_for_selector(f"#{tab.prefix}result canvas.prodshot-mask", state="attached")
    frame = shown.locator(".prodshot-canvas")
    frame.scroll_into_view_if_needed()
    frame.focus()
    page.keyboard.press("Space")
    assert tab.text("mask_edits").input_value().startswith("of ")
    photograph(page, f"{clean.installation.host}-correct-{page.theme}", f"#{tab.prefix}panel")
    infotext = tab.generate()
    assert "Prodshot: found car" in infotext, infotext + tab.log()
    assert "Prodshot mask edits" in infotext and "corrected by hand (1 edit)" in infotext, infotext
    card = page.locator("#prodshot_card_img2img .prodshot-card")
    card.wait_for(timeout=LONG)
    assert card.locator("tr", has_text="outside the mask").locator("td").inner_text() == "0"
    card.scroll_into_view_if_needed()
    photograph(page, f"{clean.installation.host}-result-{page.theme}", "#prodshot_card_img2img")
    photograph(page, f"{clean.installation.host}-result-page-{page.theme}")
    card.locator(".prodshot-again").click()
    page.wait_for_function(
        "(old) => { const now = document.querySelector('#html_info_img2img').innerText; return now && now !== old; }",
        arg=tab.infotext(),
        timeout=LONG,
    )
    assert "Prodshot seed" in tab.infotext() and "Prodshot mask edits" in tab.infotext()
    page.wait_for_timeout(3000)
    before = clean.outputs()
    card.locator(".prodshot-keep").click()
    page.wait_for_selector("#prodshot_card_img2img :text('The old picture was kept.')", timeout=LONG)
    assert any("-prodshot-rejected" in path.name for path in clean.outputs() - before)
    shown.locator(".prodshot-send").click()
    page.wait_for_selector("#img_inpaint_mask img", timeout=LONG)
    page.wait_for_selector("#img_inpaint_base img", timeout=LONG)
