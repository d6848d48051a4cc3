"""What a folder holds beside files and folders: links, wherever they lead, and what must never be opened."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
from PIL import Image

from lib_prodshot.jobs.folder import work_list
from lib_prodshot.jobs.folder.work_list import list_pictures
from lib_prodshot.jobs.seeds import content_of
from tests.faults.entry_points import CommandLine, give_finder
from tests.jobs.photographs import make_picture
from tests.jobs.tools import digests, lines_of, run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes and links of POSIX")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    make_picture(0, 48).save(folder / "a.png")
    return folder


def linked(place: Path, target: Path) -> None:
    place.symlink_to(target, target_is_directory=True)


def names(photos: Path, out: Path | None = None) -> list[str]:
    return [entry.name for entry in list_pictures(photos, out or photos.with_name("out"), recursive=True).entries]


def left_out(photos: Path, out: Path | None = None) -> dict[str, tuple[str, ...]]:
    return dict(list_pictures(photos, out or photos.with_name("out"), recursive=True).left_out)


# --- links ----------------------------------------------------------------------------------------------------------


def test_a_linked_folder_is_looked_through_and_its_results_stand_beneath_its_name(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "shelf" / "new").mkdir(parents=True)
    make_picture(1, 48).save(tmp_path / "shelf" / "new" / "b.png")
    linked(photos / "shelf", tmp_path / "shelf")
    before = digests(tmp_path / "shelf")
    assert run(photos, tmp_path / "out").listed == 2
    assert (tmp_path / "out" / "shelf" / "new" / "b.png").is_file() and not (tmp_path / "out" / "shelf").is_symlink()
    assert digests(tmp_path / "shelf") == before
    assert run(photos, tmp_path / "out").before == 2
    assert run(photos, tmp_path / "flat", recursive=False).listed == 1


def test_links_in_a_cycle_end_and_each_folder_is_done_once(photos: Path, tmp_path: Path) -> None:
    for folder in ("x", "y", "x/deep"):
        (tmp_path / folder).mkdir()
        make_picture(1, 32).save(tmp_path / folder / "b.png")
    linked(tmp_path / "x" / "y", tmp_path / "y")
    linked(tmp_path / "y" / "x", tmp_path / "x")
    linked(photos / "first", tmp_path / "x")
    linked(photos / "second", tmp_path / "x" / "deep")
    linked(photos / "up", tmp_path)
    linked(photos / "here", photos)
    assert names(photos) == ["a.png", "first/b.png", "first/deep/b.png", "first/y/b.png"]
    assert left_out(photos) == {work_list.SEEN_LINK: ("first/y/x", "here", "second", "up")}


def test_a_folder_that_stands_there_keeps_its_name_whatever_links_to_it(photos: Path) -> None:
    (photos / "z").mkdir()
    make_picture(1, 32).save(photos / "z" / "b.png")
    linked(photos / "a link", photos / "z")
    assert names(photos) == ["a.png", "z/b.png"] and left_out(photos) == {work_list.SEEN_LINK: ("a link",)}


def test_links_to_results_and_to_nowhere_are_named(photos: Path, tmp_path: Path) -> None:
    run(photos, tmp_path / "out")
    linked(photos / "results", tmp_path / "out")
    linked(photos / "away", tmp_path / "not mounted")
    linked(photos / "round", photos / "round")
    assert names(photos) == ["a.png"]
    assert left_out(photos) == {work_list.OUTPUT_LINK: ("results",), work_list.BROKEN_LINK: ("away", "round")}
    summary = run(photos, tmp_path / "out")
    assert "  links that lead nowhere: away, round" in summary.to_text().splitlines()
    assert summary.to_json()["notes"] == list(summary.notes)


def test_links_to_files_are_pictures_and_one_that_leads_nowhere_fails(photos: Path, tmp_path: Path) -> None:
    make_picture(1, 32).save(tmp_path / "b.png")
    (photos / "b.png").symlink_to(tmp_path / "b.png")
    (photos / "gone.png").symlink_to(tmp_path / "gone.png")
    (photos / "self.png").symlink_to(photos / "self.png")
    run(photos, tmp_path / "out")
    assert {line["file"]: line["status"] for line in lines_of(tmp_path / "out")} == {
        "a.png": "found",
        "b.png": "found",
        "gone.png": "failed",
        "self.png": "failed",
    }


def test_links_are_followed_only_where_the_job_may_look(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    make_picture(1, 32).save(tmp_path / "secret" / "s.png")
    linked(photos / "secret", tmp_path / "secret")
    (photos / "s.png").symlink_to(tmp_path / "secret" / "s.png")
    summary = run(photos, tmp_path / "out", may_open=lambda place: photos in place.parents)
    assert summary.listed == 1
    assert f"{work_list.FORBIDDEN_LINK}: s.png, secret" in summary.notes


def test_many_names_are_not_all_told() -> None:
    assert work_list.in_a_row([str(number) for number in range(10)]).endswith("8, 9")
    assert work_list.in_a_row([str(number) for number in range(12)]).endswith("8, 9 and 2 more")


# --- pipes, sockets, devices ----------------------------------------------------------------------------------------


def special_files(folder: Path) -> dict[str, str]:
    """Put one of each kind into the folder, with names of pictures; returns what each is."""
    os.mkfifo(folder / "pipe.jpg")
    (folder / "zero.png").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as bound:
        # a socket's path has room for some hundred bytes only
        here = Path.cwd()
        os.chdir(folder)
        bound.bind("socket.webp")
        os.chdir(here)
    (folder / "pipe").symlink_to("pipe.jpg")
    return {"pipe.jpg": "a named pipe", "zero.png": "a device", "socket.webp": "a socket"}


@pytest.mark.parametrize("dry_run", [False, True])
def test_special_files_fail_by_name_and_are_never_opened(photos: Path, tmp_path: Path, dry_run: bool) -> None:
    kinds = special_files(photos)
    for _ in range(2):
        summary = run(photos, tmp_path / "out", dry_run=dry_run)
        failed = {line["file"]: line["reason"] for line in lines_of(tmp_path / "out") if line["status"] == "failed"}
        assert failed == {name: f"{name} cannot be read: it is {kind}, not a file" for name, kind in kinds.items()}
        assert summary.statuses["found"] == 1 and summary.notes == ("1 other file left alone",)
    (photos / "pipe.jpg").unlink()
    make_picture(2, 32).save(photos / "pipe.jpg")
    assert run(photos, tmp_path / "out", dry_run=dry_run).statuses["failed"] == 2


def test_a_pipe_that_takes_a_files_place_is_not_waited_for(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at what it is and the opening."""
    regular = (photos / "a.png").stat()
    (photos / "a.png").unlink()
    os.mkfifo(photos / "a.png")
    monkeypatch.setattr(Path, "stat", lambda *_, **__: regular)
    with pytest.raises(OSError, match="it is a named pipe, not a file"):
        content_of(photos / "a.png")


def test_enhance_never_opens_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give_finder(monkeypatch)
    entry = CommandLine("enhance", tmp_path, capsys, count=1)
    os.mkfifo(entry.inputs / "pipe.png")
    said = entry.call()
    assert entry.code == 1 and "pipe.png is not a regular file" in said
    assert [line["status"] for line in lines_of(entry.out)] == ["found", "failed"]


def test_a_picture_that_became_a_pipe_keeps_its_results(photos: Path, tmp_path: Path) -> None:
    run(photos, tmp_path / "out")
    before = digests(tmp_path / "out")["a.png"]
    (photos / "a.png").unlink()
    os.mkfifo(photos / "a.png")
    summary = run(photos, tmp_path / "out")
    assert digests(tmp_path / "out")["a.png"] == before
    assert summary.notes == (
        "cannot be read now, an earlier run's results stay: a.png (it is a named pipe, not a file)",
    )
    (photos / "a.png").unlink()
    Image.new("RGB", (40, 40)).save(photos / "a.png")
    assert run(photos, tmp_path / "out").statuses == {"skipped": 1}
