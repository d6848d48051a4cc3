"""Faults of files and disks under the command line's two commands: inputs that change while it works, and output that
cannot be written. In every case the inputs stay, the reason is shown, nothing half-written remains, and the next run
works."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest

from lib_prodshot import pictures
from lib_prodshot.jobs import processor
from lib_prodshot.jobs.files import staging
from lib_prodshot.jobs.folder import contents
from lib_prodshot.jobs.report.append_only import AppendOnlyFile
from lib_prodshot.outcome import CSV_COLUMNS
from tests.faults.entry_points import CommandLine, give_finder
from tests.faults.faults import strike_once

FULL = OSError(errno.ENOSPC, "No space left on device")
BROKEN = OSError(errno.EIO, "Input/output error")
READ_ONLY = OSError(errno.EROFS, "Read-only file system")


@pytest.fixture(params=["enhance", "batch"])
def entry(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> CommandLine:
    give_finder(monkeypatch)
    return CommandLine(request.param, tmp_path, capsys)


# --- inputs that change ---------------------------------------------------------------------------------------------


def vanish(path: Path) -> None:
    path.unlink()


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def be_cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 3)


def be_emptied(path: Path) -> None:
    os.truncate(path, 0)


def be_closed(path: Path) -> None:
    """Not by mode bits, which mean nothing to some users."""
    path.unlink()
    path.symlink_to(path)


CHANGES: dict[Callable[[Path], None], str] = {
    vanish: "there is no file|cannot be read|changed while",
    become_a_folder: "is a folder|cannot be read|changed while",
    be_cut_short: "damaged or cut short|changed while",
    be_emptied: "is empty|changed while",
    be_closed: "cannot be read|there is no file",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_file_that_changes_between_listing_and_reading(
    entry: CommandLine, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    changed: list[tuple[Path, bytes]] = []

    def change_first(real: Any, source: Path) -> Any:
        changed.append((source, source.read_bytes()))
        change(source)
        return real(source)

    with monkeypatch.context() as patch:
        strike_once(patch, contents if entry.name == "batch" else pictures, READERS[entry.name], change_first)
        observed = entry.run()
    assert sorted(observed.statuses) == ["failed", "found"], observed
    assert not observed.left
    for surface, text in observed.surfaces.items():
        assert any(words in " ".join(text.split()) for words in CHANGES[change].split("|")), (surface, text[-300:])
    ((source, before),) = changed
    if source.is_dir():
        source.rmdir()
    source.unlink(missing_ok=True)
    source.write_bytes(before)
    assert entry.run().statuses == ["found", "found"]


READERS = {"enhance": "read", "batch": "content_of"}
"""The first look into a file after the listing."""


@pytest.mark.parametrize("change", [vanish, be_cut_short], ids=lambda change: change.__name__)
def test_a_skipped_file_that_changes_before_it_is_copied(
    entry: CommandLine, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    """Its copy would not be the picture that was looked at."""
    from tests.finders import FixedDetector

    def absent_and_gone(real: Any, *arguments: Any) -> Any:
        change(next(iter(sorted(entry.inputs.iterdir()))))
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(FixedDetector, "detect", _absent)
        strike_once(patch, processor.shutil, "copyfile", absent_and_gone)
        observed = entry.run()
    assert sorted(observed.statuses) == ["failed", "skipped"], observed
    assert not observed.left


def _absent(self: Any, picture: Any, classes: Any, text_threshold: float) -> Any:
    from lib_prodshot.finding.interface import Boxes

    return Boxes((), tuple(0.1 for _ in classes))


# --- output that cannot be written ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trouble:
    """Where writing a picture's three files goes wrong, and how."""

    name: str
    owner: Any
    attribute: str
    error: OSError

    def __str__(self) -> str:
        return f"{self.name}: {self.error.strerror}"


TROUBLES = [
    Trouble(name, owner, attribute, error)
    for name, owner, attribute in (
        ("the result", pictures, "write"),
        ("a mask", pictures, "write_grey"),
        ("putting it on disk", staging, "_flush"),
        ("giving it its name", staging.Path, "replace"),
    )
    for error in (FULL, BROKEN, READ_ONLY)
]


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
def test_results_that_cannot_be_written(entry: CommandLine, monkeypatch: pytest.MonkeyPatch, trouble: Trouble) -> None:
    entry.call()
    for path in entry.out.rglob("*.png"):
        path.unlink()
    with monkeypatch.context() as patch:
        struck = _strike_writing(patch, trouble)
        observed = entry.run()
    assert struck
    assert sorted(observed.statuses) == ["failed", "found"], observed
    assert observed.untouched and not observed.left, observed.left
    for surface, text in observed.surfaces.items():
        assert str(trouble.error.strerror) in " ".join(text.split()), (surface, text[-300:])
    assert entry.run().statuses == ["found", "found"]


def _strike_writing(patch: pytest.MonkeyPatch, trouble: Trouble) -> list[str]:
    """Only pictures are struck: their files end in .png, the report's do not."""
    real, struck = getattr(trouble.owner, trouble.attribute), []

    def fault(*arguments: Any) -> Any:
        paths = [one for one in arguments if isinstance(one, Path)]
        # the last of the three names, when two stand already
        is_last = trouble.attribute != "replace" or paths[-1].name.endswith(".alpha.png")
        if struck or paths[-1].suffix != ".png" or not is_last:
            return real(*arguments)
        struck.append(trouble.name)
        if trouble.attribute.startswith("write"):
            paths[-1].write_bytes(b"\x89PNG half")
        raise trouble.error

    patch.setattr(trouble.owner, trouble.attribute, fault)
    return struck


@pytest.mark.parametrize("file", ["report.jsonl", "report.csv"])
def test_a_disk_that_fills_up_within_a_report_line(
    entry: CommandLine, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    with monkeypatch.context() as patch:
        filling_up = partialmethod(_filling_up, real=AppendOnlyFile._write, file=file)
        patch.setattr(AppendOnlyFile, "_write", filling_up)
        said = entry.call()
    assert entry.code == 1
    assert f"cannot write into {entry.out}: No space left on device" in said
    for text in (entry.out / "report.jsonl").read_text().splitlines():
        json.loads(text)
    assert (entry.out / "report.jsonl").read_text().endswith(("\n", "")) and _rows_are_whole(entry.out / "report.csv")
    assert entry.run().statuses == ["found", "found"]
    assert len((entry.out / "report.csv").read_text().splitlines()) == 3


def _rows_are_whole(path: Path) -> bool:
    return all(row.count(",") >= len(CSV_COLUMNS) - 1 for row in path.read_text().splitlines())


def _filling_up(self: Any, data: bytes, real: Any, file: str) -> None:
    """The disk takes the heading, the first picture's line, and a part of the second's."""
    path = Path(self._file.name)
    if path.name != file or path.read_bytes().count(b"\n") < (2 if file == "report.csv" else 1):
        return real(self, data)  # type: ignore[no-any-return]
    real(self, data[: len(data) // 2])
    raise FULL


def test_an_output_folder_that_may_not_be_written(entry: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        # mode bits mean nothing to some users
        patch.setattr(staging.os, "access", lambda path, mode: False)
        said = entry.call()
    assert entry.code == 1 and said.count("\n") == 1
    assert f"cannot write into {entry.out}: permission denied" in said
    assert not list(entry.out.rglob("*.png"))
    assert entry.run().statuses == ["found", "found"]


def test_a_job_stops_before_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give_finder(monkeypatch)
    entry = CommandLine("batch", tmp_path, capsys, count=4)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 2**20}))
        said = entry.call()
    assert entry.code == 1 and f"the disk of {entry.out} is full: free some space" in said
    assert not list(entry.out.rglob("*.png"))
    assert entry.run().statuses == ["found"] * 4


# --- clocks ---------------------------------------------------------------------------------------------------------


def test_clocks_that_jump_change_nothing(entry: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock goes back a day at every look; files come from 1970 and from the future."""
    real, looks = time.time, []

    def jumping() -> float:
        looks.append(1)
        return real() - 86_400 * len(looks)

    monkeypatch.setattr(time, "time", jumping)
    os.utime(entry.inputs / "0.png", (0, 0))
    os.utime(entry.inputs / "1.png", (4e9, 4e9))
    observed = entry.run()
    assert observed.statuses == ["found", "found"] and observed.untouched and not observed.left
    lines = [json.loads(line) for line in (entry.out / "report.jsonl").read_text().splitlines()]
    assert all(spent >= 0 for line in lines for spent in line["seconds"].values())
    os.utime(entry.inputs / "0.png", (4e9, 4e9))
    before = (entry.out / "report.jsonl").read_bytes()
    assert entry.run().statuses == ["found", "found"]
    if entry.name == "batch":
        assert (entry.out / "report.jsonl").read_bytes() == before, "a file's time alone is no reason to do it again"


# --- two processes on one folder ------------------------------------------------------------------------------------


def test_a_second_process_on_the_same_output_is_told_so(entry: CommandLine) -> None:
    """One of them would write over the other's lines."""
    entry.out.mkdir()
    spawning = multiprocessing.get_context("spawn")
    ready, done = spawning.Event(), spawning.Event()
    other = spawning.Process(target=_hold, args=(str(entry.out), ready, done))
    other.start()
    try:
        assert ready.wait(60)
        said = entry.call()
        assert entry.code == 1 and f"another run is working on {entry.out}" in said and said.count("\n") == 1
        assert not list(entry.out.rglob("*.png"))
    finally:
        done.set()
        other.join(60)
    assert entry.run().statuses == ["found", "found"]


def _hold(folder: str, ready: Any, done: Any) -> None:
    with staging.sole_writer(Path(folder)):
        ready.set()
        done.wait(120)
