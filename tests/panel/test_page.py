"""The panel in a real browser: what our script and style sheet do, under whichever gradio the environment has."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("playwright.sync_api", reason="Playwright drives the browser")

from lib_prodshot.corrections import parse_edits
from lib_prodshot.hosts.generation.session import NO_FINDER_ADVICE
from tests.api.tools import dark, noise
from tests.panel.axe import grave
from tests.panel.on_page import (
    FAINT,
    LEFT,
    RIGHT,
    Card,
    S,
    advanced,
    cut_off,
    find,
    find_card,
    give,
    least_gap,
    masked,
    saved,
    take_away,
    unfold,
)
from tests.panel.served import served


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served("tests.panel.page_server", tmp_path_factory.mktemp("page")) as started:
        yield started


@pytest.fixture(scope="module")
def open_page(address: str) -> Callable[[Any], Any]:
    def opened(made: Any) -> Any:
        made.goto(address, wait_until="domcontentloaded")
        made.wait_for_selector(f"{S}products textarea", timeout=60_000)
        made.wait_for_selector(f"{S}state .prodshot-dot", timeout=60_000)
        return made

    return opened


SEEDS = count(100)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """One that no page has seen."""
    return saved(tmp_path / "bag.png", noise(next(SEEDS), (80, 120)))


@pytest.fixture(scope="module")
def finding(browser: Any, open_page: Callable[[Any], Any]) -> Iterator[Any]:
    """One page for all tests that begin with another picture: with it what the last one had is forgotten."""
    made = open_page(browser.new_page())
    made.set_viewport_size({"width": 900, "height": 1600})
    yield made
    made.close()


@pytest.fixture
def given(finding: Any, picture: Path) -> Any:
    """That page, with a picture that it has not seen in img2img."""
    finding.bring_to_front()
    give(finding, picture)
    return finding


def test_a_new_page_shows_what_every_picture_needs_and_asks_for_its_state_by_itself(page: Any) -> None:
    assert "The lite finder is ready." in page.inner_text(f"{S}state")
    assert page.is_visible(f"{S}get_langsam") and page.inner_text(f"{S}get_langsam").startswith("Get LangSAM (")
    assert page.is_hidden(f"{S}get_lite") and page.is_hidden(f"{S}refresh")
    for front in ("products", "find", "engine", "denoising_strength", "save_masks"):
        assert page.is_visible(f"{S}{front}"), front
    for folded in ("picture", "box_threshold", "prompt", "preset"):
        assert page.is_hidden(f"{S}{folded}"), folded


def test_find_takes_img2imgs_picture(given: Any) -> None:
    find(given)
    assert "handbag 0.80" in given.inner_text(f"{S}result") and "120×80" in given.inner_text(f"{S}result")


def test_an_uploaded_picture_goes_first(page: Any, picture: Path, tmp_path: Path) -> None:
    page.set_input_files("#img2img_image input[type=file]", str(picture))
    advanced(page)
    page.locator(f"{S}fold_picture .label-wrap").click()
    page.set_input_files(f"{S}picture input[type=file]", str(saved(tmp_path / "dark.png", dark((40, 60)))))
    page.wait_for_selector(f"{S}picture img")
    page.wait_for_timeout(500)
    find(page)
    assert "Skipped" in page.inner_text(f"{S}result") and "60×40" in page.inner_text(f"{S}result")


def test_without_a_picture_it_says_so_until_there_is_one(page: Any, picture: Path) -> None:
    find(page)
    assert "no picture to look at" in page.inner_text(f"{S}result")
    page.set_input_files("#img2img_image input[type=file]", str(picture))
    page.wait_for_selector(f"{S}result [data-cause=picture]", state="hidden", timeout=10_000)


def test_what_is_wrong_with_a_field_goes_when_the_field_changes(given: Any) -> None:
    find(given, "")
    given.wait_for_selector(f"{S}result [data-cause=settings]")
    given.fill(f"{S}products textarea", "bag")
    given.wait_for_selector(f"{S}result [data-cause=settings]", state="hidden", timeout=10_000)
    find(given, "")
    given.wait_for_selector(f"{S}result [data-cause=settings]", timeout=10_000)


def test_layers_by_click_and_key(given: Any) -> None:
    find(given)
    boxes, mask = given.locator(f"{S}result .prodshot-boxes"), given.locator(f"{S}result .prodshot-mask")
    given.locator(f"{S}result .prodshot-verdict").click()
    assert boxes.is_visible() and mask.is_visible()
    given.keyboard.press("b")
    assert boxes.is_hidden() and mask.is_visible()
    given.keyboard.press("m")
    assert mask.is_hidden()
    given.locator(f"{S}result label", has_text="Boxes").click()
    assert boxes.is_visible()
    given.focus(f"{S}products textarea")
    given.keyboard.type("bmbm")
    assert boxes.is_visible() and given.input_value(f"{S}products textarea").endswith("bmbm")
    given.locator(f"{S}result .prodshot-verdict").click()
    given.keyboard.press("Escape")
    assert given.locator(f"{S}result .prodshot-preview").is_hidden()
    find(given)
    given.wait_for_timeout(300)
    given.locator(f"{S}result .prodshot-close").click()
    assert given.locator(f"{S}result .prodshot-preview").is_hidden()


def test_help_is_a_tooltip(used: Any) -> None:
    advanced(used)
    tip = used.locator(f'{S}box_threshold [data-testid="block-info"] + div')
    assert tip.evaluate("e => getComputedStyle(e).opacity") == "0"
    used.hover(f'{S}box_threshold [data-testid="block-info"]')
    used.wait_for_function("e => getComputedStyle(e).opacity == '1'", arg=tip.element_handle(), timeout=5_000)


@pytest.mark.parametrize(
    ("engine", "shown", "hidden"),
    [("retouch", ("strength", "over_limit"), ("padding", "lora")), ("inpaint", ("padding", "lora"), ("strength",))],
)
def test_an_engines_settings_show_with_it(used: Any, engine: str, shown: Any, hidden: Any) -> None:
    advanced(used, "Enhance")
    used.locator(f"{S}engine label", has_text=engine).click()
    for name in shown:
        used.wait_for_selector(f"{S}{name}", state="visible", timeout=10_000)
    for name in hidden:
        used.wait_for_selector(f"{S}{name}", state="hidden", timeout=10_000)


def test_a_field_shows_where_another_gives_it_a_meaning(used: Any) -> None:
    advanced(used)
    assert used.is_hidden(f"{S}instance_index")
    used.locator(f"{S}instances label", has_text="index").click()
    used.wait_for_selector(f"{S}instance_index", state="visible", timeout=10_000)


def test_a_packshot_has_its_own_fields_and_tabs(used: Any) -> None:
    used.locator(f"{S}make label", has_text="packshot").click()
    for name in ("marketplace", "ground", "edges", "shadow"):
        used.wait_for_selector(f"{S}{name}", state="visible", timeout=10_000)
    for name in ("engine", "denoising_strength", "ground_colour"):
        used.wait_for_selector(f"{S}{name}", state="hidden", timeout=10_000)
    unfold(used, f"{S}advanced")
    tabs = used.locator(f"{S}tabs > .tab-nav button:visible")
    used.wait_for_function(
        "tabs => [...document.querySelectorAll(tabs)].filter(one => one.offsetParent)"
        ".map(one => one.innerText.trim()).join() === 'Find,Mask,Output,Packshot,Presets'",
        arg=f"{S}tabs > .tab-nav button",
        timeout=10_000,
    )
    tabs.nth(3).click()
    used.wait_for_selector(f"{S}fill", state="visible", timeout=10_000)
    used.locator(f"{S}make label", has_text="enhance").click()
    used.wait_for_selector(f"{S}denoising_strength", state="visible", timeout=10_000)
    # the tab that was open has gone with what it was for
    used.wait_for_selector(f"{S}box_threshold", state="visible", timeout=10_000)


def test_what_a_field_takes_from_the_tab_is_said(used: Any) -> None:
    advanced(used, "Enhance")
    unfold(used, f"{S}fold_sampling")
    used.wait_for_selector(f"{S}steps :text('from the tab: 33')", timeout=10_000)
    used.wait_for_selector(f"{S}sampler .prodshot-note", timeout=10_000)
    below = used.evaluate(
        """fold => [...document.querySelectorAll(`${fold} .prodshot-note`)].map(note =>
        note.getBoundingClientRect().bottom - note.parentElement.getBoundingClientRect().bottom)""",
        f"{S}fold_sampling",
    )
    assert len(below) > 3 and max(below) <= 1
    used.fill("#img2img_steps input[type=number]", "21")
    used.wait_for_selector(f"{S}steps :text('from the tab: 21')", timeout=10_000)
    used.fill(f"{S}steps input[type=number]", "5")
    used.wait_for_selector(f"{S}steps .prodshot-note", state="detached", timeout=10_000)
    used.wait_for_selector(f"{S}denoising_strength :text('this one counts')", timeout=10_000)
    used.wait_for_selector("#img2img_denoising_strength :text('not used')", timeout=10_000)


def test_text_pasted_into_a_dropdown_is_used(used: Any) -> None:
    advanced(used, "Enhance")
    unfold(used, f"{S}fold_sampling")
    used.locator(f"{S}sampler input").first.fill("Pasted")
    used.locator(f"{S}tabs button", has_text="Presets").first.click()
    used.click(f"{S}preset_share")
    used.wait_for_function("s => document.querySelector(s).value.includes('{')", arg=f"{S}preset_text textarea")
    assert json.loads(used.input_value(f"{S}preset_text textarea"))["settings"]["sampler"] == "Pasted"


def test_the_accordion_says_that_the_script_is_chosen(used: Any) -> None:
    accordion = "#script_img2img_prodshot_accordion_"
    used.locator(f"{accordion}enabled .label-wrap").first.click()
    used.wait_for_selector(f"{accordion}panel :text('The script Prodshot is chosen')", timeout=10_000)
    assert used.is_hidden(f"{accordion}products")
    used.locator("#script_list input").fill("")
    used.wait_for_selector(f"{accordion}products", state="visible", timeout=10_000)


def test_a_generation_without_a_finder_offers_the_button(used: Any) -> None:
    used.fill("#told textarea", f"failed: there is no finder here yet; {NO_FINDER_ADVICE}")
    used.press("#told textarea", "Tab")
    used.wait_for_selector("#html_log_img2img :text('no finder')", timeout=10_000)
    used.wait_for_selector(".prodshot-note-ready", timeout=10_000)
    used.evaluate("document.querySelectorAll('.prodshot-dot').forEach((dot) => dot.className = 'prodshot-dot')")
    used.wait_for_selector(".prodshot-offer:text('Get LangSAM')", timeout=10_000)


def test_a_preset_comes_back(page: Any) -> None:
    page.fill(f"{S}products textarea", "watch: dial")
    advanced(page, "Presets")
    page.fill(f"{S}preset_name :is(input, textarea)", "Watches")
    page.click(f"{S}preset_save")
    page.wait_for_selector(f"{S}preset_message :text('Saved Watches')")
    page.fill(f"{S}products textarea", "something else")
    page.click(f"{S}preset_load")
    page.wait_for_selector(f"{S}preset_message :text('Loaded Watches')")
    assert page.input_value(f"{S}products textarea") == "watch: dial"
    page.click(f"{S}preset_share")
    page.wait_for_function(
        "s => document.querySelector(s).value.includes('watch: dial')", arg=f"{S}preset_text textarea"
    )
    page.on("dialog", lambda dialog: dialog.dismiss())
    page.click(f"{S}preset_delete")
    page.wait_for_timeout(500)
    assert "Deleted" not in page.inner_text(f"{S}preset_message")


def test_enter_in_products_finds(given: Any) -> None:
    given.fill(f"{S}products textarea", "shoe")
    given.press(f"{S}products textarea", "Enter")
    given.wait_for_selector(f"{S}result :text('shoe 0.80')", timeout=60_000)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_of_the_panel_is_out_of_reach(page: Any, picture: Path, theme: str) -> None:
    page.evaluate("theme => document.body.classList.toggle('dark', theme === 'dark')", theme)
    page.set_input_files("#img2img_image input[type=file]", str(picture))
    page.wait_for_selector("#img2img_image img")
    find_card(page)
    advanced(page)
    page.wait_for_timeout(1500)
    assert grave(page, f"{S}panel") == []
    assert cut_off(page) == []
    page.evaluate("theme => { document.documentElement.dir = theme === 'dark' ? 'rtl' : 'ltr'; }", theme)
    assert cut_off(page) == []
    close, card = (page.locator(f"{S}result .prodshot-{part}").bounding_box() for part in ("close", "preview"))
    assert (close["x"] < card["x"] + card["width"] / 2) == (theme == "dark")
    assert least_gap(page) >= 4
    area = page.locator(f"{S}result .prodshot-preview td").last
    # gradio 4 has margins for buttons and black lines for rows of its own
    for part, trait in ((".prodshot-tool", "marginBottom"), ("tr", "borderLeftWidth")):
        found = page.locator(f"{S}result {part}")
        assert set(found.evaluate_all("(all, trait) => all.map(one => getComputedStyle(one)[trait])", trait)) == {"0px"}
    # beneath its heading
    assert area.evaluate("cell => getComputedStyle(cell).textAlign") == ("right" if theme == "dark" else "left")
    for tab in ("Mask", "Enhance", "Presets"):
        page.locator(f"{S}tabs button", has_text=tab).first.click()
        page.wait_for_timeout(300)
        assert grave(page, f"{S}tabs") == [], tab


# --- Find as picker and editor ----------------------------------------------------------------------------------------


@pytest.fixture
def card(given: Any) -> Card:
    return Card(given)


@pytest.fixture
def card_alone(page: Any, picture: Path) -> Card:
    """On a page of its own, for settings that outlive the picture."""
    page.set_viewport_size({"width": 900, "height": 1600})
    give(page, picture)
    return Card(page)


def test_rows_and_boxes_are_taken_and_left(card: Card) -> None:
    card.take(1)
    assert card.setting("boxes") == "handbag 30 20 90 60"
    card.assert_mask(masked(LEFT))
    card.take(2)
    card.assert_mask(masked(LEFT, FAINT))
    card.part.locator("g[data-row='0'] rect").first.click(position={"x": 4, "y": 30})
    card.assert_mask(masked(FAINT))
    card.part.locator(".prodshot-canvas").focus()
    card.page.keyboard.press("Enter")
    card.assert_mask(masked(LEFT, FAINT))
    card.part.locator(".prodshot-undo").click()
    card.assert_mask(masked(FAINT))
    card.part.locator(".prodshot-canvas").focus()
    card.page.keyboard.press("Control+z")
    card.assert_mask(masked(LEFT, FAINT))


def test_nothing_taken_is_skipped_and_all_taken_is_no_choice(card: Card) -> None:
    card.take(0)
    card.take(1)
    assert card.setting("boxes") == "none" and "no detection was taken" in card.generated()[0]
    card.take(0)
    card.take(1)
    assert card.setting("boxes") == ""


def test_the_threshold_moves_without_finding_again(card_alone: Card) -> None:
    card = card_alone
    slider = card.part.locator(".prodshot-threshold")
    slider.fill("0.7")
    slider.dispatch_event("change")
    assert card.part.locator("tr.prodshot-left").count() == 2
    assert card.setting("boxes") == "" and card.page.locator(f"{S}box_threshold input").first.input_value() == "0.7"
    card.assert_mask(masked(LEFT))
    slider.fill("0.1")
    slider.dispatch_event("change")
    assert card.part.locator("tr.prodshot-left").count() == 0
    card.assert_mask(masked(LEFT, RIGHT, FAINT))


def test_a_stroke_is_the_mask_that_is_generated(card: Card) -> None:
    card.part.locator(".prodshot-brush").fill("5")
    card.tool("add")
    card.draw((40, 70), (70, 74))
    card.tool("erase")
    card.draw((60, 40))
    edits = parse_edits(card.setting("mask_edits"))
    assert [stroke.adds for stroke in edits.strokes] == [True, False] and len(edits.picture) == 8
    expected = masked(LEFT, RIGHT, strokes=edits.strokes)
    assert expected[72, 55] and not expected[40, 60]
    assert np.array_equal(card.drawn(), expected)
    card.assert_mask(expected)
    assert any("corrected by hand (2 edits)" in note for note in card.generated()[1])
    sent = []
    card.page.on("request", lambda request: sent.append(len(request.post_data or "")))
    with card.page.expect_request(lambda request: bool(request.post_data)):
        card.find()
    assert max(sent) < 20_000 and any(sent), "a picture that was seen is not sent again"
    # found again, the edits are still there; a second download would need the user's leave on a slow machine
    card.assert_mask(expected)
    card.part.locator(".prodshot-canvas").focus()
    card.tool("add")
    card.part.locator(".prodshot-canvas").focus()
    card.page.keyboard.press("Space")
    assert len(parse_edits(card.setting("mask_edits")).strokes) == 3
    card.part.locator(".prodshot-undo").click()
    card.assert_mask(expected)


def test_a_finger_draws_as_a_mouse_does(card: Card) -> None:
    card.part.locator(".prodshot-brush").fill("5")
    card.tool("add")
    touch = card.page.context.new_cdp_session(card.page)
    touch.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
    scrolled = card.page.evaluate("scrollY")
    for kind, point in (("touchStart", (40, 70)), ("touchMove", (55, 72)), ("touchMove", (70, 74)), ("touchEnd", None)):
        x, y = card.at(*point) if point else (0, 0)
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}] if point else []})
    touch.detach()
    (stroke,) = parse_edits(card.setting("mask_edits")).strokes
    assert stroke.adds and stroke.radius == 5 and stroke.points[0] == (40, 70) and stroke.points[-1] == (70, 74)
    assert card.page.evaluate("scrollY") == scrolled, "the page does not scroll below the brush"
    card.assert_mask(masked(LEFT, RIGHT, strokes=(stroke,)))


def test_a_box_drawn_around_what_does_not_belong_is_removed(card_alone: Card) -> None:
    card = card_alone
    card.tool("remove")
    card.draw((40, 60), (10, 70))
    assert card.setting("remove") == "10 60 41 71"
    card.page.keyboard.press("Space")
    card.page.keyboard.press("ArrowLeft")
    card.page.keyboard.press("Enter")
    assert card.setting("remove") == "10 60 41 71; 8 70 11 71" and card.part.locator(".prodshot-removed").count() == 2
    card.part.locator(".prodshot-undo").click()
    assert card.setting("remove") == "10 60 41 71" and card.setting("mask_edits") == ""
    card.page.evaluate("document.querySelector('.prodshot-preview').classList.add('the-first')")
    find(card.page)
    # found again, the box is still there
    card.page.wait_for_selector(
        f"{S}result .prodshot-preview[data-ready]:not(.the-first) .prodshot-removed", state="attached", timeout=30_000
    )
    card.page.wait_for_timeout(300)
    card.page.click("#work")
    card.page.wait_for_selector("#prodshot_card_img2img :text('removed 1 box')", timeout=30_000)


def test_edits_are_forgotten_with_their_picture(card: Card, tmp_path: Path) -> None:
    card.take(1)
    card.tool("add")
    card.draw((10, 10), (20, 10))
    assert card.setting("boxes") and card.setting("mask_edits")
    take_away(card.page)
    other = saved(tmp_path / "other.png", noise(9, (80, 120)))
    card.page.set_input_files("#img2img_image input[type=file]", str(other))
    card.page.wait_for_selector(f"{S}result .prodshot-stale", timeout=10_000)
    assert card.setting("boxes") == card.setting("mask_edits") == ""
    assert "The picture has changed" in card.part.inner_text()
    card.assert_mask(masked(LEFT, RIGHT))


def test_picture_and_mask_are_sent_to_inpaint(card: Card) -> None:
    card.take(1)
    card.part.locator(".prodshot-send").click()
    card.page.wait_for_selector("#img_inpaint_mask img", timeout=20_000)
    card.page.wait_for_selector("#img_inpaint_base img", timeout=20_000)
    shown = card.page.evaluate(
        """async (id) => { const image = document.querySelector('#img_inpaint_mask img'); await image.decode();
        const canvas = document.createElement('canvas'); [canvas.width, canvas.height] = [120, 80];
        const context = canvas.getContext('2d'); context.drawImage(image, 0, 0);
        return [...context.getImageData(0, 0, 120, 80).data.filter((_, place) => place % 4 === 0)]; }"""
    )
    assert np.array_equal(np.array(shown, np.uint8).reshape(80, 120), masked(LEFT))


def test_the_result_card_compares_and_gives_back_the_old_one(page: Any, picture: Path) -> None:
    page.set_input_files("#img2img_image input[type=file]", str(picture))
    page.wait_for_selector("#img2img_image img")
    page.fill(f"{S}products textarea", "handbag")
    page.wait_for_timeout(300)
    page.click("#work")
    card = page.locator("#prodshot_card_img2img .prodshot-card")
    card.wait_for(timeout=30_000)
    text = card.inner_text()
    assert "handbag 0.80" in text and "Pixels changed outside the mask" in text and "ΔE2000" in text
    assert card.locator("tr", has_text="outside the mask").locator("td").inner_text() == "0"
    assert card.locator(".prodshot-again").count() == 0, "a retouch has no seed"
    before, mask = card.locator(".prodshot-before"), card.locator(".prodshot-mask")
    card.locator(".prodshot-compare").fill("20")
    assert "80%" in before.evaluate("e => getComputedStyle(e).clipPath")
    frame = card.locator(".prodshot-canvas")
    frame.click(position={"x": 0.75 * frame.bounding_box()["width"], "y": 5})
    assert card.locator(".prodshot-compare").input_value() == "75"
    # a browser extension that writes into the page does not have it drawn anew
    page.evaluate(
        "panel => document.querySelectorAll(`${panel}card label`).forEach(one => { one.style.color = 'red'; })", S
    )
    page.wait_for_timeout(1200)
    assert card.locator(".prodshot-compare").input_value() == "75"
    assert mask.is_hidden()
    card.locator("label", has_text="Mask").click()
    assert mask.is_visible()
    card.locator(".prodshot-keep").click()
    page.wait_for_selector("#prodshot_card_img2img :text('The old picture was kept.')", timeout=10_000)
    assert page.locator("#prodshot_card_img2img .prodshot-before").count() == 0
    page.click("#work")
    page.wait_for_selector("#prodshot_card_img2img .prodshot-before", state="attached", timeout=30_000)
