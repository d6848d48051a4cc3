"""Our tabs in a real browser, under whichever gradio the environment has: a folder job from start to report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("playwright.sync_api", reason="Playwright drives the browser")

from tests.api.tools import dark, noise
from tests.jobs.tools import digests, lines_of
from tests.panel.axe import grave
from tests.panel.on_page import unfold
from tests.panel.served import served

F = "#prodshot_folder_"
NAMES = ("a.png", "b.png", "new/<img src=x onerror=alert(1)>.png", "new/ü & #1%.png")
COUNTS = "6 of 6 pictures: 4 found, 1 skipped, 1 failed"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served("tests.panel.tabs_server", tmp_path_factory.mktemp("tabs")) as started:
        yield started


@pytest.fixture(scope="module")
def open_page(address: str) -> Callable[[Any], Any]:
    def opened(made: Any) -> Any:
        made.goto(address, wait_until="domcontentloaded")
        made.locator("#tabs button", has_text="Prodshot folder").first.click(timeout=60_000)
        made.wait_for_selector(f"{F}state .prodshot-dot", timeout=60_000)
        return made

    return opened


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        path = tmp_path / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(number)).save(path)
    Image.fromarray(dark()).save(tmp_path / "shop" / "dark.png")
    (tmp_path / "shop" / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    return tmp_path / "shop"


def fill(page: Any, shop: Path, out: Path) -> None:
    for name, text in (("folder", shop), ("out", out), ("products", "handbag")):
        page.fill(f"{F}{name} textarea", str(text))
    unfold(page, f"{F}advanced")
    page.check(f"{F}recursive input")


def wait_for(page: Any, words: str) -> None:
    page.wait_for_selector(f"{F}job_line :text('{words}')", timeout=60_000)


def test_the_finders_state_and_the_hidden_buttons(used: Any) -> None:
    assert "lite finder is ready" in used.inner_text(f"{F}state")
    assert used.is_hidden(f"{F}refresh") and used.is_hidden(f"{F}job_refresh")


def test_a_job_from_start_to_report(page: Any, shop: Path, tmp_path: Path) -> None:
    before = digests(shop)
    fill(page, shop, tmp_path / "done")
    page.click(f"{F}job_start")
    page.wait_for_selector(f"{F}job_line progress", timeout=30_000)
    # the counts are whole a moment before the report is
    wait_for(page, "Done")
    assert COUNTS in page.inner_text(f"{F}job_line") and page.locator(f"{F}job_line progress").count() == 0
    assert digests(shop) == before
    assert sorted(line["file"] for line in lines_of(tmp_path / "done")) == sorted([*NAMES, "dark.png", "torn.jpg"])
    with page.context.expect_page() as opened:
        page.click(f"{F}job_line a:text('Contact sheet')")
    sheet = opened.value
    sheet.on("dialog", lambda dialog: pytest.fail(f"a file's name ran as a script: {dialog.message}"))
    sheet.wait_for_selector("article", state="attached")
    assert sheet.locator("article").count() == 6 and sheet.locator("article h2 img").count() == 0
    sheet.check("input[value=found]")
    assert sheet.locator("article:visible").count() == 4
    assert sheet.evaluate("() => { try { return localStorage.length } catch { return 'apart' } }") == "apart"
    sheet.locator("article", has_text="ü & #1%.png").locator("figure a").last.click()
    sheet.wait_for_url("**/new/%C3%BC%20%26%20%231%25.png")
    sheet.close()


def test_a_second_page_sees_it_and_stop_stops(page: Any, browser: Any, address: str, tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / "many").mkdir(exist_ok=True)
        Image.fromarray(noise(number)).save(tmp_path / "many" / f"{number}.png")
    fill(page, tmp_path / "many", tmp_path / "done")
    page.click(f"{F}job_start")
    page.wait_for_selector(f"{F}job_line progress", timeout=30_000)
    other = browser.new_page()
    other.goto(address, wait_until="domcontentloaded")
    other.locator("#tabs button", has_text="Prodshot folder").first.click(timeout=60_000)
    other.wait_for_selector(f"{F}job_line :text('Running')", timeout=30_000)
    other.click(f"{F}job_stop")
    page.wait_for_selector(f"{F}job_line :text('Stopped')", timeout=30_000)
    page.bring_to_front()
    other.close()
    done = len(lines_of(tmp_path / "done"))
    assert 0 < done < 60
    page.click(f"{F}job_start")
    wait_for(page, "60 of 60 pictures: 60 found")
    assert json.loads((tmp_path / "done" / "summary.json").read_text())["done_before"] == done


def test_what_is_wrong_is_said_beside_what_was(page: Any, shop: Path, tmp_path: Path) -> None:
    fill(page, shop, shop)
    page.click(f"{F}job_start")
    page.wait_for_selector(f"{F}job_message :text('choose another')", timeout=30_000)
    page.fill(f"{F}out textarea", str(tmp_path / "done"))
    page.check(f"{F}dry_run input")
    page.click(f"{F}job_start")
    wait_for(page, COUNTS)
    assert page.inner_text(f"{F}job_message").strip() == ""
    assert not list((tmp_path / "done").rglob("*.png"))


def test_what_a_field_of_the_folder_inherits_is_said(used: Any) -> None:
    unfold(used, f"{F}advanced")
    used.locator(f"{F}tabs button", has_text="Enhance").first.click()
    unfold(used, f"{F}fold_sampling")
    for name, told in (("steps", "20"), ("cfg_scale", "7"), ("sampler", "DPM++ 2M"), ("scheduler", "Karras")):
        used.wait_for_selector(f"{F}{name} :text('by default: {told}')", timeout=10_000)
    used.wait_for_selector(f"{F}seed :text('each picture has its own')", timeout=10_000)
    used.wait_for_selector(f"{F}resolution :text('by default: 512×512')", timeout=10_000)


def test_what_is_not_shown_leaves_no_gap(used: Any) -> None:
    unfold(used, f"{F}advanced")
    used.locator(f"{F}engine label", has_text="inpaint").click()
    used.locator(f"{F}tabs button", has_text="Enhance").first.click()
    unfold(used, f"{F}fold_controlnet")
    rows = used.locator(f"{F}fold_controlnet .prodshot-row")
    for choice, shown in (("off", 1), ("preferred", rows.count())):
        used.locator(f"{F}control label", has_text=choice).first.click()
        used.wait_for_function(
            "([rows, shown]) => [...document.querySelectorAll(rows)].filter(row => row.offsetParent).length === shown",
            arg=[f"{F}fold_controlnet .prodshot-row", shown],
            timeout=10_000,
        )
    # and every field's name begins where the field does
    indents = used.evaluate(
        """fold => [...document.querySelectorAll(`${fold} .prodshot-field [data-testid=block-info]`)]
        .filter(name => name.offsetParent).map(name => Math.round(name.getBoundingClientRect().left
        - name.closest('.prodshot-field').getBoundingClientRect().left))""",
        f"{F}fold_controlnet",
    )
    assert len(indents) > 5 and set(indents) == {0}


def test_engines_and_presets_work_as_on_the_panel(used: Any) -> None:
    unfold(used, f"{F}advanced")
    used.locator(f"{F}tabs button", has_text="Enhance").first.click()
    used.locator(f"{F}engine label", has_text="retouch").click()
    used.wait_for_selector(f"{F}strength", state="visible", timeout=10_000)
    used.wait_for_selector(f"{F}padding", state="hidden", timeout=10_000)
    used.fill(f"{F}products textarea", "watch")
    used.locator(f"{F}tabs button", has_text="Presets").first.click()
    used.fill(f"{F}preset_name :is(input, textarea)", "Folders")
    used.click(f"{F}preset_save")
    used.wait_for_selector(f"{F}preset_message :text('Saved Folders')")
    used.fill(f"{F}products textarea", "something else")
    used.click(f"{F}preset_load")
    used.wait_for_selector(f"{F}preset_message :text('Loaded Folders')")
    assert used.input_value(f"{F}products textarea") == "watch"


def test_a_folder_is_picked_from_a_list(used: Any, shop: Path) -> None:
    used.fill(f"{F}folder textarea", str(shop))
    used.click(f"{F}folder_browse")
    used.locator(f"{F}folder_choice label", has_text="shop/new").first.click(timeout=10_000)
    used.wait_for_function(
        "([field, path]) => document.querySelector(field).value === path",
        arg=[f"{F}folder textarea", str(shop / "new")],
        timeout=10_000,
    )


def test_the_sheet_stands_below_and_chosen_pictures_are_done_again(page: Any, shop: Path, tmp_path: Path) -> None:
    fill(page, shop, tmp_path / "sheet")
    page.click(f"{F}job_start")
    wait_for(page, COUNTS)
    sheet = page.frame_locator(f"{F}sheet iframe")
    sheet.locator("article").nth(5).wait_for()
    sheet.locator("input[value=review]").check()
    # the failed one, and those whose colours the backend has inverted; the sheet may be drawn once more meanwhile
    sheet.locator("article:visible").nth(4).wait_for()
    assert sheet.locator("article:visible").count() == 5
    sheet.locator("input[value='']").check()
    first = sheet.locator("article", has_text="a.png")
    first.locator(".compare").click()
    sheet.locator("dialog h2:text-is('a.png')").wait_for(timeout=10_000)
    sheet.locator("#at").fill("20")
    assert "80%" in sheet.locator("dialog .before").evaluate("e => getComputedStyle(e).clipPath")
    shown = sheet.locator("dialog .before").get_attribute("src")
    sheet.locator("#marks").check()
    assert sheet.locator("dialog .before").get_attribute("src") not in (shown, None)
    sheet.locator("dialog .close").click()
    assert sheet.locator("article", has_text="torn.jpg").locator(".compare").count() == 0
    first.locator(".again input").check()
    page.wait_for_function(
        "field => document.querySelector(field).value === 'a.png'", arg=f"{F}only textarea", timeout=10_000
    )
    before = {line["file"]: line["settings"] for line in lines_of(tmp_path / "sheet")}
    page.locator(f"{F}engine label", has_text="retouch").click()
    page.click(f"{F}job_start")
    wait_for(page, "1 of 1 pictures: 1 found")
    after = {line["file"]: line["settings"] for line in lines_of(tmp_path / "sheet")}
    assert [name for name in before if before[name] != after[name]] == ["a.png"]


def test_nothing_of_the_tabs_is_out_of_reach(used: Any) -> None:
    unfold(used, f"{F}advanced")
    # nor do the lines pale while they ask for themselves anew: the answers are held back meanwhile
    used.route("**/run/predict*", lambda request: None)
    for button in ("refresh", "job_refresh"):
        used.evaluate("button => document.querySelector(button).click()", F + button)
    used.wait_for_selector(f"{F}state .pending .prodshot-dot", timeout=10_000)
    used.wait_for_timeout(500)
    found = grave(used, "#prodshot_folder")
    used.unroute("**/run/predict*")
    assert found == []
