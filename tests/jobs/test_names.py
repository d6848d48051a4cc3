"""Files with names that nobody foresaw: a job does them all, and neither page nor table does what a name says."""

from __future__ import annotations

import csv
import os
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from tests.jobs.photographs import make_picture
from tests.jobs.tools import digests, lines_of, run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such file names")

NAMES = (
    b"<script>document.title=1<!-- .png",
    b"'\" onerror=alert(1) x='.png",
    b"&lt;b&gt; %2e%2e%2f #frag ?query.png",
    b"=cmd|' !A0.png",
    b"-1+1.png",
    b"+1.png",
    b"@sum(1).png",
    b"\t=1.png",
    b'line\nbreak,"comma".png',
    b"caf\xe9 in latin-1.png",
    "鞋 \u202e gnp.exe.png".encode(),
    b"{{title}} <!-- rows -->.png",
    b"~ $HOME `id` $(id).png",
    b"con.mask.png",
    b"x" * 240 + b".png",
)
FOLDER = b"</article><img src=x onerror=alert(2)>".replace(b"/", b"")


class Page(HTMLParser):
    """The tags of a page, and what they link to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attributes if name == "href"]
        self.handlers += [name for name, _ in attributes if name.startswith("on")]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder and what came of it."""
    folder = tmp_path_factory.mktemp("names")
    inputs = os.fsencode(folder / "in")
    os.makedirs(os.path.join(inputs, FOLDER))  # noqa: PTH103, PTH118 - these names are bytes
    for number, name in enumerate((*NAMES, os.path.join(FOLDER, NAMES[0]))):  # noqa: PTH118
        make_picture(number % 2, 48).save(os.fsdecode(os.path.join(inputs, name)))  # noqa: PTH118
    run(folder / "in", folder / "out")
    return folder / "in", folder / "out"


def test_all_are_done_and_once(job: tuple[Path, Path]) -> None:
    inputs, out = job
    before = digests(inputs)
    lines = lines_of(out)
    assert sorted(line["file"] for line in lines) == sorted(before)
    assert {line["status"] for line in lines} == {"found"}
    assert len({line["output"] for line in lines}) == len(lines)
    assert all((out / line[key]).is_file() for line in lines for key in ("output", "mask"))
    assert run(inputs, out).before == len(lines) and digests(inputs) == before


def test_the_table_has_a_row_for_each_and_no_formula(job: tuple[Path, Path]) -> None:
    with (job[1] / "report.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert len(rows) == len(NAMES) + 2 and len({len(row) for row in rows}) == 1
    assert not [cell for row in rows for cell in row if cell[:1] in ("=", "+", "-", "@", "\t", "\r")]


def test_the_page_has_one_row_for_each_and_links_to_their_results(job: tuple[Path, Path]) -> None:
    page = Page((job[1] / "index.html").read_text(encoding="utf-8"))
    count = len(NAMES) + 1
    assert page.tags.count("article") == count and page.tags.count("script") == 1 and not page.handlers
    assert page.tags.count("img") == 3 * count and len(page.links) == 2 * count
    for link in page.links:
        assert link.startswith("./") and not set("\"'<>?# ") & set(link)
        assert os.path.isfile(os.path.join(os.fsencode(job[1]), unquote_to_bytes(link)))  # noqa: PTH113, PTH118
