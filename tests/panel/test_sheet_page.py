"""The contact sheet of a folder job with 5,000 rows, in a real browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="Playwright drives the browser")

from lib_prodshot.jobs.report.contact_sheet import PART_ROWS, parts_folder, write_job_page
from lib_prodshot.jobs.report.thumbnails import Thumbnails, encode
from tests.jobs.photographs import make_picture

pytestmark = pytest.mark.any_host

ROWS = 5000
HOSTILE = '"><script>document.title="run"</script><img src=x onerror="document.title=1">'


def line(number: int) -> dict[str, Any]:
    """Two of three are found; every hundredth has a name that would run, were it not text."""
    status = "found" if number % 3 else "skipped" if number % 50 else "failed"
    score = number * 37 % 1000 / 1000
    return {
        "file": f"new/{HOSTILE} {number}.jpg" if number % 100 == 1 else f"new/IMG_{number:05}.jpg",
        "status": status,
        "reason": f"mug {score:.2f}" if status == "found" else HOSTILE,
        "products": ["mug"],
        "detections": [{"label": "mug", "score": score, "box": [1, 2, 30, 40], "area": 500}]
        if status == "found"
        else [],
        "audit": None,
        "output": f"new/IMG_{number:05}.png",
        "mask": f"new/IMG_{number:05}.mask.png",
        "seconds": {"find": 0.1},
        "finder": "lite",
        "notes": [],
    }


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sheet") / "index.html"
    drawn = [encode(Thumbnails(*(make_picture(number + more, 160) for more in range(3)))) for number in range(12)]
    # a browser that has shown a picture once shows it again everywhere: the last row has its own
    last = encode(Thumbnails(*(make_picture(100 + number, 160) for number in range(3))))
    lines = [line(number) for number in range(ROWS)]
    pictures = {str(one["file"]): drawn[number % len(drawn)] for number, one in enumerate(lines)}
    pictures[str(lines[-1]["file"])] = last
    write_job_page(path, lines, lambda one: pictures[str(one["file"])], "Prodshot: mug")
    return path


@pytest.fixture
def page(browser: Any, sheet: Path) -> Iterator[Any]:
    made = browser.new_page()
    made.asked = []
    made.set_default_timeout(30_000)
    made.on("request", lambda request: made.asked.append(request.url))
    made.goto(sheet.as_uri(), wait_until="load")
    yield made
    made.close()


def names(page: Any, most: int = 5) -> list[str]:
    """What stands at the top of the sheet."""
    return page.evaluate(
        "most => [...document.querySelectorAll('article')].slice(0, most).map(row => row.dataset.name)", most
    )


def until(page: Any, name: str) -> None:
    """Wait until this row is the first: rows come from files beside the page."""
    end = time.monotonic() + 30
    # the page's own policy forbids what Playwright's waiting would evaluate in it
    while names(page, 1) != [name]:
        assert time.monotonic() < end, names(page)
        page.wait_for_timeout(20)


def test_no_name_runs_and_only_the_parts_are_loaded(page: Any, sheet: Path) -> None:
    until(page, line(0)["file"])
    assert page.locator("article").count() == PART_ROWS and page.inner_text("#pages") == "of 100"
    assert page.title() == "Prodshot: mug" and page.locator("article script, article img[src='x']").count() == 0
    asked = [url for url in page.asked if not url.startswith("data:")]
    assert len(asked) == 2 and asked[0] == sheet.as_uri() and "/index.rows/000000.js?" in asked[1]


def test_it_can_be_filtered_sorted_searched_and_turned(page: Any) -> None:
    page.check("input[value=found]")
    found = sum(line(number)["status"] == "found" for number in range(ROWS))
    assert page.inner_text("#count") == f"{found} shown"
    page.select_option("#sort", "best")
    scores = [number * 37 % 1000 for number in range(ROWS)]
    best = max((number for number in range(ROWS) if number % 3), key=lambda number: (scores[number], -number))
    until(page, line(best)["file"])
    page.select_option("#sort", "worst")
    worst = min((number for number in range(ROWS) if number % 3), key=lambda number: (scores[number], number))
    until(page, line(worst)["file"])
    page.fill("#name", "img_0123")
    assert page.inner_text("#count") == "6 shown" and not page.is_visible(".pager")
    fitting = [number for number in range(1230, 1240) if number % 3]
    until(page, line(min(fitting, key=lambda number: scores[number]))["file"])
    assert names(page, 20) == sorted(names(page, 20), key=lambda name: scores[int(name[8:13])])
    page.fill("#name", "")
    page.check("input[value='']")
    page.select_option("#sort", "gravest")
    until(page, line(0)["file"])
    assert names(page, 3) == [line(number)["file"] for number in (0, 150, 300)], "those that failed"
    page.select_option("#sort", "order")
    until(page, line(0)["file"])
    assert page.inner_text("#count") == ""
    page.click("#next")
    until(page, line(50)["file"])
    page.fill("#page", "100")
    until(page, line(4950)["file"])
    assert page.is_disabled("#next")


def test_pictures_far_below_wait_until_they_are_scrolled_to(page: Any) -> None:
    page.fill("#page", "100")
    until(page, line(4950)["file"])
    assert page.evaluate("[...document.images].every(image => image.loading === 'lazy')")
    assert not page.evaluate("[...document.images].at(-1).complete")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    end = time.monotonic() + 30
    while not page.evaluate("[...document.images].at(-1).naturalWidth > 0"):
        assert time.monotonic() < end
        page.wait_for_timeout(50)


def test_a_part_that_is_missing_is_told(page: Any, sheet: Path) -> None:
    part = parts_folder(sheet) / "000001.js"
    text = part.read_bytes()
    part.unlink()
    try:
        page.click("#next")
        end = time.monotonic() + 30
        while "index.rows belongs beside this page" not in page.inner_text("main"):
            assert time.monotonic() < end
            page.wait_for_timeout(20)
    finally:
        part.write_bytes(text)
