"""What a folder job may not look into is named and left out, and the job goes on."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from lib_prodshot import cli
from lib_prodshot.errors import PictureError
from lib_prodshot.jobs.folder import work_list
from lib_prodshot.jobs.folder.work_list import list_pictures
from tests.faults.entry_points import CommandLine, give_finder
from tests.jobs.photographs import make_picture
from tests.jobs.tools import run
from tests.unreachable import make_too_deep, refuse_below

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes and lengths of POSIX")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """a.png, and two pictures in the sub-folder listed."""
    folder = tmp_path / "photos"
    (folder / "listed" / "inner").mkdir(parents=True)
    for number, name in enumerate(("a.png", "listed/b.png", "listed/c.png")):
        make_picture(number, 48).save(folder / name)
    return folder


def test_a_tree_deeper_than_paths_may_be_is_named_and_the_job_goes_on(photos: Path, tmp_path: Path) -> None:
    make_too_deep(photos)
    summary = run(photos, tmp_path / "out")
    assert summary.listed == 3
    (note,) = [note for note in summary.notes if note.startswith(work_list.TOO_LONG)]
    assert "nnnn…nnnn" in note and len(note) < 300


def test_a_folder_that_may_be_listed_only_is_named_once(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_below(monkeypatch, photos / "listed")
    found = list_pictures(photos, tmp_path / "out", recursive=True)
    assert [entry.name for entry in found.entries] == ["a.png"] and found.others == 0
    assert dict(found.left_out) == {work_list.NOT_ALLOWED: ("listed",)}


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_what_a_disk_does_not_give_is_named_with_its_reason(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse_below(monkeypatch, photos / "listed", number)
    found = list_pictures(photos, tmp_path / "out", recursive=True)
    assert [entry.name for entry in found.entries] == ["a.png"]
    ((reason, names),) = found.left_out
    assert os.strerror(number) in reason and names == ("listed/b.png", "listed/c.png", "listed/inner")


def test_the_input_folder_itself_is_a_sentence(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_below(monkeypatch, photos / "listed")
    with pytest.raises(PictureError, match="listed cannot be read: Permission denied"):
        list_pictures(photos / "listed", tmp_path / "out", recursive=True)


def test_a_folder_above_that_may_not_be_looked_into_is_no_missing_one(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse_below(monkeypatch, photos / "listed")
    code = cli.main(["batch", str(photos / "listed" / "inner"), "--products", "cup", "--out", str(tmp_path / "out")])
    said = capsys.readouterr().err
    assert code == 2 and "inner cannot be looked into: Permission denied" in said and len(said.splitlines()) == 1


def test_a_failure_of_enhance_names_its_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give_finder(monkeypatch)
    entry = CommandLine("enhance", tmp_path, capsys, count=1)
    (entry.inputs / "empty.png").touch()
    lines = [line for line in entry.call().splitlines() if line.startswith("prodshot:") and "empty.png" in line]
    assert lines == [f"prodshot: {entry.inputs / 'empty.png'} is empty (zero bytes)"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "in/a.png"), "prodshot: in/a.png: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device"), "prodshot: No space left on device"),
    ],
)
def test_no_command_ends_in_a_traceback_for_a_path(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: OSError, line: str
) -> None:
    raise_from_settings(monkeypatch, error)
    assert cli.main(["settings"]) == 1
    assert capsys.readouterr().err.splitlines() == [line]


@pytest.mark.parametrize(
    "error",
    [
        OSError("a library's own"),
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        FileNotFoundError(errno.ENOENT, "No such file", str(Path(cli.__file__).parent / "data.json")),
    ],
)
def test_a_bug_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    raise_from_settings(monkeypatch, error)
    with pytest.raises(type(error)):
        cli.main(["settings"])


def raise_from_settings(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    from lib_prodshot.commands import settings

    def fail(_arguments: object) -> int:
        raise error

    monkeypatch.setattr(settings, "run", fail)
