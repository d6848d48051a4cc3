"""The report and the contact sheet: whole after every line, safe with hostile names, usable with thousands of rows."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_prodshot.errors import OutputError
from lib_prodshot.jobs.report import contact_sheet
from lib_prodshot.jobs.report.contact_sheet import write_contact_sheet
from lib_prodshot.jobs.report.report import Report, read_report
from lib_prodshot.jobs.report.summary import Summary
from lib_prodshot.jobs.report.thumbnails import thumbnails_of
from lib_prodshot.outcome import CSV_COLUMNS, Audit, Detection, Outcome, StepRecord, Verdict

HOSTILE = ["<script>alert(1)</script>.png", '" onload="alert(1).png', "=cmd|'.png", "a&b;鞋\u202e.png", "{{all}}.png"]


def found(file: str, score: float = 0.9, **changes: object) -> Outcome:
    outcome = Outcome(
        Verdict("found", f"shoe {score:.2f}"),
        ("shoe",),
        "lite",
        detections=(Detection("shoe", score, (10, 20, 60, 50), 1200),),
        audit=Audit(0, 0, 1.25, 3.5),
        seconds={"find": 0.5, "mask": 0.25},
        file=file,
    )
    for name, value in changes.items():
        setattr(outcome, name, value)
    return outcome


def verdict(file: str, status: str, reason: str = "no shoe found (best score 0.10)") -> Outcome:
    return Outcome(Verdict(status, reason), ("shoe",), "lite", file=file)  # type: ignore[arg-type]


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "report.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_line_is_on_disk_before_the_next_picture(tmp_path: Path) -> None:
    with Report(tmp_path) as report:
        for number in range(3):
            report.add(found(f"{number}.png"))
            assert [line["file"] for line in read_report(tmp_path)] == [f"{n}.png" for n in range(number + 1)]
            assert len(rows_of(tmp_path)) == number + 1
    assert read_report(tmp_path)[0]["detections"] == [
        {"label": "shoe", "score": 0.9, "box": [10, 20, 60, 50], "area": 1200}
    ]
    assert rows_of(tmp_path)[0]["delta_e_mean"] == "1.25"


def test_a_packshot_that_a_marketplace_refuses_is_one_to_look_at() -> None:
    line = {"status": "found", "audit": {"delta_e_mean": None}}
    assert not contact_sheet.needs_review(line)
    assert contact_sheet.needs_review({**line, "needs_review": ["amazon would refuse it: fill"]})
    # a line that somebody has edited
    assert contact_sheet.gravity({**line, "needs_review": ["fill"], "gravity": "high"}) == 1.0


@pytest.mark.parametrize(
    ("tries", "badge", "fact", "to_look_at"),
    [
        ([("pass", {})], "pass", "gates: pass", False),
        ([("fail", {"failed": "growth, text"}), ("pass", {"not_checked": "text"})], "pass", "text: not checked", False),
        ([("fail", {"failed": "growth, text"})], "fail", "gates: fail (growth: fail, text: fail)", True),
        ([("not checked", {"not_checked": "growth"})], "not-checked", "gates: not checked", False),
    ],
)
def test_gates_are_a_badge_of_the_sheet(tmp_path: Path, tries: Any, badge: str, fact: str, to_look_at: bool) -> None:
    steps = [StepRecord("gates", 1, {"try": n, "gates": said, **more}) for n, (said, more) in enumerate(tries, 1)]
    with Report(tmp_path) as report:
        report.add(found("a.png", steps=steps))
        report.add(verdict("b.png", "failed", "not the same product any more: growth"))
    (line, failed) = read_report(tmp_path)
    assert contact_sheet.needs_review(line) == to_look_at and contact_sheet.needs_review(failed)
    _, page = write_contact_sheet(tmp_path)
    shown = page.read_text(encoding="utf-8")
    assert shown.count(f'<span class="badge {badge}">gates ') == shown.count('<span class="badge') == 1
    assert fact in shown


def test_a_second_job_replaces_its_own_lines_and_keeps_the_others(tmp_path: Path) -> None:
    with Report(tmp_path) as report:
        for name in ("a.png", "=b.png", "c.png"):
            report.add(found(name))
    before = (tmp_path / "report.jsonl").read_text().splitlines()
    with Report(tmp_path) as report:
        assert [line["file"] for line in read_report(tmp_path)] == ["a.png", "=b.png", "c.png"]
        report.add(verdict("=b.png", "skipped"))
    after = (tmp_path / "report.jsonl").read_text().splitlines()
    assert after[:2] == [before[0], before[2]]
    assert [(row["file"], row["status"]) for row in rows_of(tmp_path)] == [
        ("a.png", "found"),
        ("c.png", "found"),
        ("'=b.png", "skipped"),
    ]


def test_a_line_that_a_killed_run_left_half_written_is_dropped(tmp_path: Path) -> None:
    with Report(tmp_path) as report:
        report.add(found("a.png"))
    for name in ("report.jsonl", "report.csv"):
        whole = (tmp_path / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(whole + whole.splitlines()[-1][:20], encoding="utf-8", newline="")
    assert [line["file"] for line in read_report(tmp_path)] == ["a.png"]
    with Report(tmp_path) as report:
        report.add(found("b.png"))
    assert [line["file"] for line in read_report(tmp_path)] == ["a.png", "b.png"]
    assert [row["file"] for row in rows_of(tmp_path)] == ["a.png", "b.png"]


@pytest.mark.parametrize("name", [*HOSTILE, "line\nbreak.png", "not-utf8-\udcff.png", 'comma, "quote".png'])
def test_hostile_names_come_back_and_stay_on_their_line(tmp_path: Path, name: str) -> None:
    with Report(tmp_path) as report:
        report.add(found(name))
        report.add(verdict("next.png", "failed", "first line\nsecond line"))
    assert [line["file"] for line in read_report(tmp_path)] == [name, "next.png"]
    rows = rows_of(tmp_path)
    assert [set(row) for row in rows] == [set(CSV_COLUMNS)] * 2
    assert rows[0]["file"][:1] not in "=+-@"
    with Report(tmp_path) as report:
        report.add(found(name, 0.5))
    assert [row["status"] for row in rows_of(tmp_path)] == ["failed", "found"]


def test_a_folder_that_cannot_be_written_is_a_plain_message(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write into"), Report(tmp_path / "absent"):
        pass
    with pytest.raises(OutputError, match=r"has no report\.jsonl"):
        read_report(tmp_path)


class Page(HTMLParser):
    """Collects what a browser would build."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def picture_of(attributes: dict[str, str | None]) -> Image.Image:
    kind, _, data = str(attributes["src"]).partition(",")
    assert kind == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.fixture()
def job(tmp_path: Path) -> Path:
    """A folder with the results of three pictures: red, found and made blue; skipped; failed."""
    folder, inputs = tmp_path / "job", tmp_path / "inputs"
    folder.mkdir()
    inputs.mkdir()
    Image.new("RGB", (400, 200), (200, 30, 30)).save(inputs / "red.png")
    Image.new("RGB", (400, 200), (30, 30, 200)).save(folder / "red.png")
    mask = np.zeros((200, 400), np.uint8)
    mask[20:50, 10:60] = 255
    Image.fromarray(mask).save(folder / "red.mask.png")
    Image.new("L", (50, 50), 99).save(inputs / "grey.png")
    (inputs / "broken.png").write_bytes(b"not a picture")
    with Report(folder) as report:
        report.add(
            found(str(inputs / "red.png"), output_file=str(folder / "red.png"), mask_file=str(folder / "red.mask.png"))
        )
        report.add(verdict(str(inputs / "grey.png"), "skipped"))
        report.add(verdict(str(inputs / "broken.png"), "failed", "not an image"))
    return folder


def test_the_page_shows_before_overlay_and_after_with_verdict_scores_and_audit(job: Path) -> None:
    sheet, page_file = write_contact_sheet(job, "A job")
    page = Page(page_file.read_text(encoding="utf-8"))
    rows = page.all("article")
    assert [row["data-status"] for row in rows] == ["found", "skipped", "failed"]
    assert [row["data-score"] for row in rows] == ["0.9000", "-1.0000", "-1.0000"]
    pictures = [picture_of(attributes) for attributes in page.all("img")]
    assert [picture.size for picture in pictures] == [(256, 128)] * 3 + [(50, 50)]
    assert all(attributes["loading"] == "lazy" for attributes in page.all("img"))
    before, overlay, after = (np.asarray(picture.convert("RGB"), int) for picture in pictures[:3])
    assert np.abs(before - (200, 30, 30)).max() < 12
    assert np.abs(after - (30, 30, 200)).max() < 12
    # the mask's inside is tinted, the far corner is not, and the box has its colour
    assert np.abs(overlay[25, 25] - before[25, 25]).max() > 30
    assert np.abs(overlay[-5, -5] - before[-5, -5]).max() < 12
    assert overlay[12:34, 5:40, 1].max() > 110 > before[..., 1].max()
    text = " ".join(page.texts)
    for words in ("looked for: shoe", "shoe 0.90", "0 pixels changed", "1.25 mean", "untouched", "not an image"):
        assert words in text
    with Image.open(sheet) as drawn:
        assert drawn.height > 3 * 86


def test_the_page_loads_nothing_and_forbids_it(job: Path) -> None:
    _, page_file = write_contact_sheet(job)
    page = Page(page_file.read_text(encoding="utf-8"))
    (policy,) = (meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in str(policy)
    for tag in ("link", "iframe", "object", "embed", "base", "form", "a"):
        assert not page.all(tag)
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "data"):
            assert str(attributes.get(name) or "data:").startswith("data:")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_text_and_nothing_else(tmp_path: Path, name: str) -> None:
    with Report(tmp_path) as report:
        report.add(verdict(name, "failed", f"{name} </article><script>alert(2)</script>"))
    _, page_file = write_contact_sheet(tmp_path, f"title {name}")
    page = Page(page_file.read_text(encoding="utf-8"))
    assert len(page.all("script")) == 1
    assert len(page.all("article")) == 1
    assert page.all("article")[0]["data-name"] == Path(name).name
    assert not any(key.startswith("on") for _, attributes in page.elements for key in attributes)
    assert any(name in text for text in page.texts)


def test_the_job_folder_may_be_moved(job: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    job.rename(moved)
    (line, *_) = read_report(moved)
    pictures = thumbnails_of(line, moved, 64)
    assert pictures.after is not None
    assert pictures.overlay is not None


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "F", "YCbCr"])
def test_every_kind_of_picture_gets_a_thumbnail_of_its_brightness(tmp_path: Path, mode: str) -> None:
    grey = Image.new("L", (90, 60), 128)
    path = tmp_path / {"CMYK": "x.tiff", "F": "x.tiff", "YCbCr": "x.jpg"}.get(mode, "x.png")
    picture = Image.fromarray(np.full((60, 90), 128 * 257, np.uint16)) if mode == "I;16" else grey.convert(mode)
    if mode == "F":
        picture.putpixel((0, 0), 255.0)
    picture.save(path)
    drawn = thumbnails_of({"file": str(path), "status": "skipped"}, tmp_path, 30).before
    assert drawn is not None
    assert drawn.size == (30, 20)
    assert drawn.mode == "RGB"
    assert abs(np.asarray(drawn).mean() - 128) < 3


def test_a_rotated_photograph_is_shown_upright_and_its_box_fits(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (400, 200), (90, 90, 90)).save(tmp_path / "x.jpg", exif=exif)
    detection = {"label": "s", "score": 1, "box": [0, 300, 200, 400]}
    line = {"file": str(tmp_path / "x.jpg"), "status": "found", "detections": [detection]}
    pictures = thumbnails_of(line, tmp_path, 100)
    assert pictures.before is not None
    assert pictures.overlay is not None
    assert pictures.before.size == (50, 100)
    assert np.asarray(pictures.overlay)[74:77, 45].max() > 150


@pytest.mark.once
def test_thousands_of_rows_make_a_page_that_a_browser_can_hold(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 255, (12, 12, 3), np.uint8)).resize((512, 512), Image.Resampling.BICUBIC)
    photo.save(tmp_path / "photo.png")
    count = 5000
    with Report(tmp_path) as report:
        for number in range(count):
            # slashes make a hundred names for the one photograph
            photograph = f"{tmp_path}{'/' * (number // 50 + 1)}photo.png"
            report.add(verdict(f"{number}.png", "skipped") if number % 50 else found(photograph))
    sheet, page_file = write_contact_sheet(tmp_path)
    text = page_file.read_text(encoding="utf-8")
    assert text.count("<article") == count
    assert text.count("<img") == count // 50 * 2
    (heading,) = re.findall(r"all \((\d+)\)", text)
    assert int(heading) == count
    assert page_file.stat().st_size / count < 30_000
    with Image.open(sheet) as drawn:
        assert drawn.height < 16_384
        assert drawn.height > contact_sheet.PNG_ROWS * 60


def test_a_file_done_twice_stands_once_with_its_last_verdict(tmp_path: Path) -> None:
    with Report(tmp_path) as report:
        report.add(verdict("a.png", "failed"))
        report.add(verdict("b.png", "skipped"))
        report.add(verdict("a.png", "skipped"))
        assert json.loads((tmp_path / "report.jsonl").read_text().splitlines()[0])["status"] == "failed"
        _, page_file = write_contact_sheet(tmp_path)
    statuses = [row["data-status"] for row in Page(page_file.read_text(encoding="utf-8")).all("article")]
    assert statuses == ["skipped", "skipped"]
    assert [(line["file"], line["status"]) for line in read_report(tmp_path)] == [
        ("b.png", "skipped"),
        ("a.png", "skipped"),
    ]


def test_what_needs_a_look_is_ordered_by_how_grave_it_is() -> None:
    found = {"file": "a.png", "status": "found", "detections": [], "audit": {"delta_e_mean": 2.0}}
    lines = {
        "fine": found,
        "soft": {**found, "needs_review": ["the product was enlarged (2.1 times)"], "gravity": 1.05},
        "earlier version": {**found, "needs_review": ["the product was enlarged"]},
        "colour": {**found, "audit": {"delta_e_mean": 20.0}},
        "cut": {**found, "needs_review": ["the product is cut off"], "gravity": 2.4},
        "refused": {**found, "needs_review": ["amazon would refuse it: fill"], "gravity": 3.5},
        "failed": {**found, "status": "failed"},
    }
    order = sorted(lines, key=lambda name: contact_sheet.gravity(lines[name]))
    assert order == ["fine", "earlier version", "soft", "colour", "cut", "refused", "failed"]
    assert not contact_sheet.needs_review(lines["fine"]) and contact_sheet.needs_review(lines["earlier version"])


def test_the_console_says_once_how_many_are_told_for_being_enlarged_alone() -> None:
    reasons = [["the product was enlarged (5.1 times)"], ["car 1: the product was enlarged (2.1 times)"]]
    reasons += [["the product was enlarged (9.0 times)", "the mask is in 2 pieces"], ["the mask is in 3 pieces"], []]
    lines = [{"file": f"{n}.png", "status": "found", "needs_review": told} for n, told in enumerate(reasons)]
    summary = Summary.from_cache(json.loads(json.dumps(Summary(0).add(lines[:3]).to_cache())))
    summary.add_totals(Summary(0).add(lines[3:]))
    assert summary.enlarged == 2
    told = "4 need a look, 2 of them only because the product was enlarged (small photographs), the gravest first:"
    assert told in summary.to_text()
    assert "only because" not in Summary(2).add(lines[3:]).to_text()


def test_the_console_names_the_first_failures_and_the_gravest_packshots() -> None:
    failed = [{"file": f"{n}.png", "status": "failed", "reason": f"{n}.png is empty (zero bytes)"} for n in range(7)]
    doubtful = [
        {"file": f"p{n}.png", "status": "found", "needs_review": [f"reason {n}"], "gravity": 1 + n / 10}
        for n in range(7)
    ]
    summary = Summary(14).add(failed[:4]).add(doubtful[:3])
    rest = Summary.from_cache(json.loads(json.dumps(Summary(0).add([*doubtful[3:], *failed[4:]]).to_cache())))
    summary.add_totals(rest)
    text = summary.to_text()
    assert "0.png is empty (zero bytes)\n" in text and " 5.png" not in text and "… and 2 more in report.csv" in text
    assert "7 need a look, the gravest first:\n    p6.png: reason 6\n    p5.png: reason 5\n" in text
    assert "p1.png" not in text and text.count("… and 2 more in report.csv") == 2
    assert "failed" not in Summary(1).add(doubtful[:1]).to_text().replace("0 failed", "")
