"""Pictures and folders of a dataset that cannot be read: each is an error line, and a pipe is never opened."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from lib_prodshot.cli import main
from lib_prodshot.errors import PictureError
from lib_prodshot.jobs.files.reading import with_timeout
from lib_prodshot.training.captioning.captioners import FileCaptioner, open_upright
from lib_prodshot.training.dataset.fixing import FixJob
from lib_prodshot.training.recipe.recipe import Recipe
from tests.training.dataset.test_check import kinds, report_on
from tests.training.photographs import TAG, make_folder
from tests.unreachable import make_too_deep, refuse_below, refuse_opening

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes, pipes and lengths of POSIX")

PATIENCE = 60.0
"""Seconds until something that must not wait has hung."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "bag", count=2, size=(128, 128))


def test_a_picture_that_may_not_be_read_is_an_error_and_the_others_are_checked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the same bytes as another one: its hash is wanted, too
    shutil.copy(folder / "1.jpg", folder / "closed.jpg")
    refuse_opening(monkeypatch, folder / "closed.jpg")
    report = report_on(folder)
    (error,) = report.errors
    assert str(error) == f"error: {folder / 'closed.jpg'}: it cannot be read: Permission denied"
    assert report.photographs == 3 and "duplicate" not in kinds(report)


def test_a_folder_that_may_be_listed_only_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse_below(monkeypatch, folder)
    for command in ("check", "caption"):
        assert main(["train", command, str(folder)]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{folder} cannot be read as a folder of photographs: Permission denied" in line


def test_one_of_kohyas_folders_that_cannot_be_read_is_not_left_out_in_silence(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("10_bag", "3_bag"):
        shutil.copytree(folder, tmp_path / "img" / name)
    refuse_below(monkeypatch, tmp_path / "img" / "3_bag")
    with pytest.raises(PictureError, match="3_bag cannot be read as a folder of photographs"):
        report_on(tmp_path / "img")


def test_a_tree_deeper_than_paths_may_be_is_named(folder: Path) -> None:
    make_too_deep(folder)
    report = report_on(folder)
    assert report.photographs == 2 and not report.errors
    (problem,) = [one for one in report.problems if one.kind == "unreachable"]
    assert "nnn/nnn" in problem.file and "File name too long" in problem.message


def test_a_caption_of_a_name_that_is_too_long_is_missing(folder: Path) -> None:
    name = "x" * 251
    (folder / "1.jpg").rename(folder / f"{name}.jpg")
    report = report_on(folder, caption_extension=".caption")
    missing = [Path(one.file).name for one in report.problems if one.kind == "caption_missing"]
    assert missing == ["2.jpg", f"{name}.jpg"] and not report.errors


def test_a_pipe_is_an_error_and_never_opened(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")
    os.mkfifo(folder / "pipe2.jpg")
    report = with_timeout(PATIENCE, lambda: report_on(folder))
    words = "it cannot be read: it is a named pipe, not a file"
    assert {Path(one.file).name: one.message for one in report.errors} == {"pipe.jpg": words, "pipe2.jpg": words}
    recipe = Recipe.of({"image_dir": str(folder)}, complete=False)
    fixed = with_timeout(PATIENCE, lambda: list(FixJob(recipe, tmp_path / "fixed").run()))
    assert [one.source.name for one in fixed if one.problem] == ["pipe.jpg", "pipe2.jpg"]


def test_nothing_in_training_opens_a_pipe(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    pipe = tmp_path / "pipe.json"
    with pytest.raises(PictureError, match="it is a named pipe"):
        with_timeout(PATIENCE, lambda: open_upright(pipe))
    with pytest.raises(Exception, match="it is a named pipe"):
        with_timeout(PATIENCE, lambda: FileCaptioner(pipe))


def test_a_pipe_in_the_place_of_a_copy_is_not_opened(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "fixed").mkdir()
    for name in ("1.jpg", "2.png"):
        os.mkfifo(tmp_path / "fixed" / name)
    Image.new("RGBA", (128, 128), (200, 10, 10, 0)).save(folder / "2.png")
    (folder / "2.jpg").unlink()
    recipe = Recipe.of({"image_dir": str(folder)}, complete=False)
    fixed = with_timeout(PATIENCE, lambda: list(FixJob(recipe, tmp_path / "fixed").run()))
    assert all("is there with something else in it" in one.problem for one in fixed) and len(fixed) == 2


def test_photographs_two_folders_down_are_told_with_what_to_do(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "img" / "5_nested" / "2_inner"
    shutil.copytree(folder, place)
    (problem,) = report_on(tmp_path / "img").errors
    assert Path(problem.file).name == "5_nested"
    assert "move them up into 5_nested, or 2_inner out of it into" in problem.message
    place.rename(tmp_path / "img" / "2_inner")
    assert not report_on(tmp_path / "img").errors


@pytest.mark.parametrize("has_captions", [True, False])
def test_a_source_of_captions_that_is_not_there_is_told_before_anything_is_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], has_captions: bool
) -> None:
    if not has_captions:
        (folder / "1.txt").unlink()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    options = ["--captioner", "file", "--captions", str(tmp_path / "nope.json"), "--tag", f"new, {TAG}"]
    assert main(["train", "caption", str(folder), *options]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / 'nope.json'} cannot be read: No such file or directory" in said
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
