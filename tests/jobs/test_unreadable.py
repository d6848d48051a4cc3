"""Unreadable is not absent: reports, ledgers and pictures of an earlier run that cannot be read are named and kept."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lib_prodshot.errors import OutputError
from lib_prodshot.jobs.folder import contents, runner
from tests.faults.entry_points import CommandLine, give_finder
from tests.jobs.photographs import make_picture
from tests.jobs.tools import all_of, digests, job, lines_of, pool, run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for number in range(4):
        make_picture(number, 48).save(tmp_path / "photos" / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def done(photos: Path, tmp_path: Path) -> Path:
    run(photos, tmp_path / "done")
    return tmp_path / "done"


def in_utf_16(report: Path) -> None:
    report.write_text(report.read_text(), encoding="utf-16")


def in_one_line(report: Path) -> None:
    report.write_text("someone's notes, without a line end")


def damaged_within(report: Path) -> None:
    lines = report.read_bytes().split(b"\n")
    lines[1] = lines[1][:40]
    report.write_bytes(b"\n".join(lines))


def other_objects(report: Path) -> None:
    report.write_text(json.dumps({"file": "a.png", "status": "found", "detections": [{"label": "x"}]}) + "\n")


def without_a_status(report: Path) -> None:
    report.write_text(json.dumps({"file": "0.png"}) + "\n")


def no_object(report: Path) -> None:
    with report.open("a") as file:
        file.write("[1, 2]\n")


def a_folder(report: Path) -> None:
    report.unlink()
    report.mkdir()
    (report / "mine.txt").write_text("mine")


DAMAGE = (in_utf_16, in_one_line, damaged_within, other_objects, without_a_status, no_object, a_folder)


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("command", ["enhance", "batch"])
def test_a_report_that_cannot_be_read_is_named_and_kept(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    damage: Callable[[Path], None],
) -> None:
    give_finder(monkeypatch)
    entry = CommandLine(command, tmp_path, capsys)
    entry.call()
    whole = (entry.out / "report.jsonl").read_bytes()
    damage(entry.out / "report.jsonl")
    before = digests(entry.out)
    said = entry.call()
    assert entry.code == 1 and said.count("\n") == 1 and f"report.jsonl in {entry.out} cannot be read (" in said
    assert digests(entry.out) == before
    shutil.move(entry.out / "report.jsonl", tmp_path / "away")
    (entry.out / "report.jsonl").write_bytes(whole)
    entry.call()
    assert entry.code == 0 and (entry.out / "report.jsonl").read_bytes().count(b"\n") == 2


def with_a_column(table: Path) -> None:
    rows = list(csv.reader(table.read_text().splitlines()))
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([*row, "mine"] for row in rows)


def with_semicolons(table: Path) -> None:
    table.write_text(table.read_text().replace(",", ";"), encoding="cp1252")


def with_a_remark(table: Path) -> None:
    table.write_bytes(table.read_bytes().replace(b"found", b"found, but ugly", 1))


def in_another_code_page(table: Path) -> None:
    table.write_bytes(b"caf\xe9\r\n")


@pytest.mark.parametrize("change", [with_a_column, with_semicolons, with_a_remark, in_another_code_page])
@pytest.mark.parametrize("command", ["enhance", "batch"])
def test_a_table_that_somebody_changed_is_put_aside(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    change: Callable[[Path], None],
) -> None:
    give_finder(monkeypatch)
    entry = CommandLine(command, tmp_path, capsys)
    entry.call()
    for number in (1, 2):
        change(entry.out / "report.csv")
        changed = (entry.out / "report.csv").read_bytes()
        said = entry.call()
        assert entry.code == 0
        assert f"report.csv had been changed by somebody else; it is kept as report.kept-{number}.csv" in said
        assert (entry.out / f"report.kept-{number}.csv").read_bytes() == changed
        with (entry.out / "report.csv").open(newline="") as file:
            assert [row["status"] for row in csv.DictReader(file)] == ["found", "found"]
    assert "report.kept" not in entry.call()


@pytest.mark.parametrize("command", ["enhance", "batch"])
def test_the_table_of_an_earlier_version_with_fewer_columns_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    give_finder(monkeypatch)
    entry = CommandLine(command, tmp_path, capsys)
    entry.call()
    table = entry.out / "report.csv"
    with table.open(newline="") as file:
        rows = [row[:-1] for row in csv.reader(file)]
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    assert "report.kept" not in entry.call() and not list(entry.out.glob("report.kept*"))
    with table.open(newline="") as file:
        assert next(csv.reader(file))[-1] == "gravity"


def test_a_table_torn_by_a_kill_or_a_power_cut_is_made_anew(photos: Path, done: Path) -> None:
    before = all_of(done)
    table = (done / "report.csv").read_bytes()
    for torn in (table[:-30], table[:-2] + bytes(4000), table[: table.index(b"\r\n") + 2], table[:20], b""):
        (done / "report.csv").write_bytes(torn)
        assert not run(photos, done).notes
        assert all_of(done) == before


def test_a_source_that_cannot_be_read_today_keeps_its_results(
    photos: Path, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = all_of(done)
    real = contents.content_of

    def offline(path: Path) -> str:
        if path.name in ("0.png", "1.png"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(contents, "content_of", offline)
        summary = run(photos, done)
    assert summary.before == 4 and all_of(done) == before
    assert summary.notes == (
        "cannot be read now, an earlier run's results stay: 0.png (permission denied), 1.png (permission denied)",
    )


def test_what_the_job_keeps_for_itself_may_be_damaged(photos: Path, done: Path) -> None:
    before = all_of(done)
    state = done / ".prodshot"
    (state / "begun.jsonl").write_bytes(b'\xff\xfe\n"0.png\n' + bytes(40))
    (state / "thumbnails.jsonl").write_bytes(
        b'{"file": "0.png", "pictures": [1, 2, 3]}\n{"file": "1.png", "of": "x", "pictures": [[1], null, null]}\n'
        b'{"file": "2.png", "of": "x", "pictures": 5}\n' + b"[" * 100_000 + b"\n\xff\xfe"
    )
    assert run(photos, done).before == 4 and all_of(done) == before
    (state / "thumbnails.jsonl").unlink()
    (state / "thumbnails.jsonl").mkdir()
    assert run(photos, done).before == 4 and all_of(done) == before


def test_a_state_that_can_be_neither_read_nor_written_is_a_sentence(photos: Path, done: Path) -> None:
    (done / ".prodshot" / "begun.jsonl").mkdir()
    started = runner.Runner(job(photos, done), pool())
    started.start()
    with pytest.raises(OutputError, match="cannot write into .*: Is a directory"):
        started.result()
    assert len(lines_of(done)) == 4
