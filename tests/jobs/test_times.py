"""Modification times: a skipped picture's copy always keeps its own, results do where `--keep-times` asks for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from lib_prodshot.jobs.files import staging
from tests.faults.entry_points import CommandLine, give_finder, picture
from tests.jobs.tools import all_of, lines_of, run

LONG_AGO = 981_173_106_123_456_789
"""3 February 2001, in nanoseconds since 1970."""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    Image.fromarray(picture()).save(tmp_path / "photos" / "found.png")
    Image.new("RGB", (40, 40)).save(tmp_path / "photos" / "skipped.jpg")
    for path in (tmp_path / "photos").iterdir():
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
    return tmp_path / "photos"


def kept(out: Path) -> set[str]:
    """The results with the time of `LONG_AGO`."""
    return {path.name for path in out.glob("*.*") if path.stat().st_mtime_ns == LONG_AGO}


RESULTS = {"found.png", "found.mask.png", "found.alpha.png"}


def test_a_job_keeps_times_where_it_is_asked_to(photos: Path, tmp_path: Path) -> None:
    run(photos, tmp_path / "plain")
    run(photos, tmp_path / "kept", keep_times=True)
    assert kept(tmp_path / "plain") == {"skipped.jpg"}
    assert kept(tmp_path / "kept") == {"skipped.jpg"} | RESULTS
    assert all_of(tmp_path / "plain") == all_of(tmp_path / "kept"), "times change nothing else"


def test_asked_for_later_the_times_alone_are_set(photos: Path, tmp_path: Path) -> None:
    run(photos, tmp_path / "out")
    assert run(photos, tmp_path / "out", keep_times=True).before == 2
    assert kept(tmp_path / "out") == {"skipped.jpg"} | RESULTS


@pytest.mark.parametrize("command", ["enhance", "batch"])
@pytest.mark.parametrize("options", [(), ("--keep-times",)])
def test_the_command_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    options: tuple[str, ...],
) -> None:
    give_finder(monkeypatch)
    entry = CommandLine(command, tmp_path, capsys, count=1)
    os.utime(entry.inputs / "0.png", ns=(LONG_AGO, LONG_AGO))
    entry.call(*options)
    assert entry.code == 0 and kept(entry.out) == ({"0.png", "0.mask.png", "0.alpha.png"} if options else set())


def test_a_disk_that_takes_no_time_takes_the_picture(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(staging.os, "utime", refuse)
    assert run(photos, tmp_path / "out", keep_times=True).statuses == {"found": 1, "skipped": 1}
    note = "the file's modification time could not be kept (Operation not permitted)"
    assert [line["notes"] for line in lines_of(tmp_path / "out")] == [[note], [note]]
