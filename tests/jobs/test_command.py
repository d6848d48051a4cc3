"""`prodshot batch` in processes of its own: exit codes, Ctrl-C once and twice, kill -9 at any moment."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.cli import main
from tests.jobs.folder_process import AT_WORK
from tests.jobs.photographs import LONG, add_trouble, make_folder
from tests.jobs.tools import all_of, digests, lines_of

posix_only = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 pictures, 5 of them broken, and what once kept a killed job from going on: 4 more, one of which fails."""
    folder = tmp_path_factory.mktemp("kill") / "photos"
    make_folder(folder, 40, broken=5, side=96)
    add_trouble(folder)
    return folder


def start(inputs: Path, out: Path, *options: str, pause: float = 0.03) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.jobs.folder_process", str(pause), "batch", str(inputs), "--out", str(out)]
    return subprocess.Popen(
        [*command, "--recursive", "--products", "mug, motorcycle", *options],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    said, complained = process.communicate(timeout=120)
    return process.returncode, said, complained


@pytest.fixture(scope="module")
def uninterrupted(many: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "done"
    code, said, complained = finish(start(many, out, pause=0.0))
    assert code == 1, complained
    assert said.startswith("44 of 44 pictures: ") and "6 failed" in said and "Traceback" not in complained
    lines = {line["file"]: line for line in lines_of(out)}
    assert lines["pipe.jpg"]["reason"] == "pipe.jpg cannot be read: it is a named pipe, not a file"
    assert {lines[name]["status"] for name in (LONG, "linked/0.png", "linked/1.png")} == {"found"}
    return out


def count_lines(out: Path) -> int:
    try:
        return (out / "report.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def wait_for_lines(process: subprocess.Popen[str], out: Path, number: int) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and count_lines(out) < number and time.monotonic() < deadline:
        time.sleep(0.002)


def check_halfway(out: Path) -> None:
    """Whatever was cut off: each whole line stands alone for its picture and its results are there."""
    text = (out / "report.jsonl").read_text() if (out / "report.jsonl").exists() else ""
    lines = [json.loads(line) for line in text.split("\n")[:-1]]
    assert len({line["file"] for line in lines}) == len(lines)
    for line in lines:
        for key in ("output", "mask"):
            assert not line[key] or (out / line[key]).stat().st_size > 0


@posix_only
def test_killed_at_random_moments_it_ends_as_if_never_interrupted(
    many: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    out, before = tmp_path / "done", digests(many)
    chance = random.Random(7)
    kills = 0
    for _ in range(6):
        process = start(many, out)
        wait_for_lines(process, out, count_lines(out) + chance.randint(0, 9))
        time.sleep(chance.uniform(0, 0.06))
        if process.poll() is None:
            process.kill()
            kills += 1
        finish(process)
        check_halfway(out)
    assert kills >= 3
    code, said, complained = finish(start(many, out, pause=0.0))
    assert code == 1 and "before)" in said, complained
    assert all_of(out) == all_of(uninterrupted)
    assert not list(out.rglob(".prodshot-*"))
    assert digests(many) == before


@posix_only
def test_a_setting_changed_after_a_kill_leaves_nothing_of_the_old_one(many: Path, tmp_path: Path) -> None:
    out = tmp_path / "done"
    process = start(many, out)
    wait_for_lines(process, out, 10)
    process.kill()
    finish(process)
    # what a kill between result and line leaves, made certain
    lines = lines_of(out)
    found = next(line for line in lines if line["status"] == "found")
    (out / "report.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines if line is not found))
    (out / "report.csv").unlink()
    assert (out / found["mask"]).exists()
    stricter = ("--box-threshold", "0.95")
    finish(start(many, out, *stricter, pause=0.0))
    finish(start(many, tmp_path / "fresh", *stricter, pause=0.0))
    assert not (out / found["mask"]).exists()
    assert all_of(out) == all_of(tmp_path / "fresh")


@posix_only
def test_packshots_killed_for_other_marketplaces_each_time_leave_no_old_file_and_lose_none(tmp_path: Path) -> None:
    """kill -9 three times, each run for other marketplaces; the last ends as a run that was never interrupted."""
    photos, out = tmp_path / "photos", tmp_path / "done"
    make_folder(photos, 10, broken=1, side=96)
    before, wanted = digests(photos), ("--make", "packshot", "--edges", "hard", "--size", "200x200", "--marketplace")
    kills, old = 0, set[str]()
    for markets in ("google,meta", "ebay", "shopify,google"):
        process = start(photos, out, *wanted, markets)
        # a file of this run is there: others may lack their line, or be half written
        first = f"*-{markets.split(',')[0]}.jpg"
        deadline = time.monotonic() + 60
        while process.poll() is None and not list(out.rglob(first)) and time.monotonic() < deadline:
            time.sleep(0.002)
        if process.poll() is None:
            process.kill()
            kills += 1
        finish(process)
        old |= {path.name for path in out.rglob("*.jpg")}
    assert kills == 3 and any("-meta" in name or "-ebay" in name for name in old)
    finish(start(photos, out, *wanted, "google,zalando", pause=0.0))
    finish(start(photos, tmp_path / "fresh", *wanted, "google,zalando", pause=0.0))
    made = {name for name in digests(out) if name.endswith(".jpg")}
    assert {name.rpartition("-")[2] for name in made} == {"google.jpg", "zalando.jpg"}
    named = {shot["output"] for line in lines_of(out) for shot in line.get("packshots") or ()}
    assert named == made and all_of(out) == all_of(tmp_path / "fresh")
    assert not list(out.rglob(".prodshot-*")) and digests(photos) == before


@posix_only
def test_ctrl_c_once_finishes_the_picture_and_the_same_command_goes_on(
    many: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "done"
    process = start(many, out)
    wait_for_lines(process, out, 3)
    os.killpg(process.pid, signal.SIGINT)
    code, said, complained = finish(process)
    assert code == 130 and "the same command goes on" in complained and "Traceback" not in complained
    done = len(lines_of(out))
    assert 3 <= done < 44 and f"{done} of 44 pictures" in said
    assert {"index.html", "summary.json"} <= set(digests(out))
    code, said, _ = finish(start(many, out, pause=0.0))
    assert code == 1 and f"({done} before)" in said
    assert all_of(out) == all_of(uninterrupted)


@posix_only
def test_ctrl_c_twice_stops_at_once(many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work = tmp_path / "at work"
    monkeypatch.setenv(AT_WORK, str(at_work))
    process = start(many, tmp_path / "done", pause=30.0)
    deadline = time.monotonic() + 60
    while process.poll() is None and not at_work.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    begun = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None, "the first one waits for the picture"
    os.killpg(process.pid, signal.SIGINT)
    code, _, complained = finish(process)
    assert code == 130 and time.monotonic() - begun < 15
    assert "stopped" in complained and "Traceback" not in complained


@posix_only
def test_a_second_run_is_refused_while_the_first_works(many: Path, tmp_path: Path) -> None:
    out = tmp_path / "done"
    first = start(many, out, pause=0.2)
    wait_for_lines(first, out, 1)
    code, _, complained = finish(start(many, out))
    assert code == 1 and "another run is working on" in complained and len(complained.splitlines()) == 1
    first.kill()
    finish(first)
    process = start(many, out, "--limit", "2", pause=0.0)
    assert finish(process)[0] in (0, 1), "a lock does not outlive its holder"


# --- wrong usage ----------------------------------------------------------------------------------------------------


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[object]:
    def call(*options: str) -> str:
        (tmp_path / "photos").mkdir(exist_ok=True)
        assert main(["batch", str(tmp_path / "photos"), "--out", str(tmp_path / "out"), *options]) in (1, 2)
        captured = capsys.readouterr()
        assert (
            not captured.out
            and len(captured.err.splitlines()) == 1
            and not (tmp_path / "out" / "report.jsonl").exists()
        )
        return captured.err

    yield call


def test_wrong_usage_is_one_line(refused) -> None:  # type: ignore[no-untyped-def]
    assert "products" in refused("--products", "")
    assert "needs a WebUI" in refused("--products", "shoe", "--engine", "inpaint")
    assert "add --engine inpaint" in refused("--products", "shoe", "--webui", "http://127.0.0.1:1")
    assert "add --ray" in refused("--products", "shoe", "--workers", "2")


def test_wrong_folders_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--products", "shoe", "--finder", "lite"]
    for inputs, out, words in (
        (tmp_path / "absent", tmp_path / "out", "does not exist"),
        (tmp_path, tmp_path, "is the input folder itself"),
    ):
        assert main(["batch", str(inputs), "--out", str(out), *options]) == 2
        complained = capsys.readouterr().err
        assert words in complained and len(complained.splitlines()) == 1
