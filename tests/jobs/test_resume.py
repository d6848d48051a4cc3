"""A folder job run again: goes on where it ended, does again what changed, deletes nothing that is not its own."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from lib_prodshot.jobs.workers.engines import LocalEngine
from tests.jobs.photographs import make_picture
from tests.jobs.tools import REQUEST, Shade, all_of, digests, lines_of, names_of, run


def touched(out: Path) -> dict[str, int]:
    return {name: (out / name).stat().st_mtime_ns for name in digests(out)}


def test_the_same_job_again_does_nothing(photos: Path, done: Path) -> None:
    before, lines, times = all_of(done), lines_of(done), touched(done)
    shade = Shade()
    summary = run(photos, done, engines=[LocalEngine(shade)])
    assert shade.calls == 0 and summary.before == 24
    assert all_of(done) == before and lines_of(done) == lines
    after = touched(done)
    assert {name for name in times if times[name] != after[name]} <= {"index.html", "summary.json"}


def test_half_a_job_goes_on(photos: Path, finished: Path, tmp_path: Path) -> None:
    first = run(photos, tmp_path / "out", limit=11)
    assert first.listed == 11 and len(lines_of(tmp_path / "out")) == 11
    half = {line["file"]: line for line in lines_of(tmp_path / "out")}
    summary = run(photos, tmp_path / "out")
    assert summary.before == 11 and all_of(tmp_path / "out") == all_of(finished)
    for line in lines_of(tmp_path / "out"):
        assert line["file"] not in half or line == half[line["file"]]


def test_a_changed_picture_is_done_again_and_no_other(photos: Path, done: Path, tmp_path: Path) -> None:
    inputs = Path(shutil.copytree(photos, tmp_path / "photos"))
    found = next(line for line in lines_of(done) if line["status"] == "found")
    time_before = (inputs / found["file"]).stat()
    Image.new("RGB", (40, 40), (10, 10, 10)).save(inputs / found["file"])
    os.utime(inputs / found["file"], ns=(time_before.st_atime_ns, time_before.st_mtime_ns))
    before = {line["file"]: line for line in lines_of(done)}
    assert run(inputs, done).before == 23
    for line in lines_of(done):
        if line["file"] != found["file"]:
            assert line == before[line["file"]]
        else:
            assert line["status"] == "skipped" and line["sha256"] != found["sha256"]
    assert not (done / found["mask"]).exists() and not (done / found["mask"].replace(".mask.", ".alpha.")).exists()
    fresh = tmp_path / "fresh"
    run(inputs, fresh)
    assert all_of(done) == all_of(fresh)


def test_a_changed_setting_does_all_again(photos: Path, done: Path, tmp_path: Path) -> None:
    request = REQUEST.replace(strength=0.9)
    assert run(photos, done, request).before == 0
    run(photos, tmp_path / "fresh", request)
    assert all_of(done) == all_of(tmp_path / "fresh")


def test_a_setting_that_does_not_matter_does_nothing_again(photos: Path, done: Path) -> None:
    assert run(photos, done, REQUEST.replace(steps=30, save_masks=True)).before == 24


@pytest.mark.parametrize("which", ["output", "mask", "alpha"])
def test_a_result_that_is_gone_is_made_again(photos: Path, done: Path, finished: Path, which: str) -> None:
    found = next(line for line in lines_of(done) if line["status"] == "found")
    name = found["output"] if which == "output" else found["mask"].replace(".mask.", f".{which}.")
    (done / name).unlink()
    assert run(photos, done).before == 23
    assert all_of(done) == all_of(finished)


def test_other_lines_in_the_report_stay(photos: Path, done: Path) -> None:
    stranger = '{"file": "elsewhere/x.png", "status": "found", "detections": []}\n'
    with (done / "report.jsonl").open("a") as file:
        file.write(stranger)
    assert run(photos, done).before == 24
    assert (done / "report.jsonl").read_text().endswith(stranger)


def test_a_line_cannot_make_us_delete_what_is_not_ours(photos: Path, done: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious.png"
    precious.write_bytes(b"mine")
    lines = lines_of(done)
    found = next(line for line in lines if line["status"] == "found")
    found.update(settings="old", output="../precious.png", mask=str(precious))
    (done / "report.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run(photos, done)
    assert precious.read_bytes() == b"mine"


def test_a_picture_that_is_gone_keeps_its_line_and_a_new_one_gets_one(photos: Path, done: Path, tmp_path: Path) -> None:
    inputs = Path(shutil.copytree(photos, tmp_path / "photos"))
    gone = lines_of(done)[0]["file"]
    (inputs / gone).unlink()
    make_picture(3, 64).save(inputs / "zz new.png")
    summary = run(inputs, done)
    assert (summary.listed, summary.before) == (24, 23)
    assert {line["file"] for line in lines_of(done)} == names_of(inputs) | {gone}


def test_moved_folders_go_on(photos: Path, finished: Path, tmp_path: Path) -> None:
    inputs = Path(shutil.copytree(photos, tmp_path / "a" / "photos"))
    out = Path(shutil.copytree(finished, tmp_path / "b" / "done"))
    assert run(inputs, out).before == 24
    assert all_of(out) == all_of(finished)
