"""The demo: the real command with real weights on real photographs, and what it says when something is missing."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_prodshot.bootstrap import DEMO, ROOT, inside
from lib_prodshot.commands.demo import PHOTOGRAPHS, find_photographs
from lib_prodshot.jobs.report.report import read_report


def run_demo(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command that stands behind `python3 -m lib_prodshot demo`, in the Python that runs the tests."""
    code = "import sys; from lib_prodshot.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "demo", *options]
    environment = {**os.environ, **variables}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def demo(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("demo") / "out"
    return folder, run_demo("--out", str(folder), "--models-dir", str(models_dir))


def test_every_photograph_gets_the_verdict_it_deserves(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = demo
    assert done.returncode == 0, done.stdout + done.stderr
    assert {Path(line["file"]).name: line["status"] for line in read_report(folder)} == PHOTOGRAPHS
    for name, status in PHOTOGRAPHS.items():
        assert any(name in line and status in line for line in done.stdout.splitlines()), done.stdout
    assert "Traceback" not in done.stderr


def test_products_are_named_as_the_user_named_them(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    labels = {
        Path(line["file"]).name: {found["label"] for found in line["detections"]} for line in read_report(demo[0])
    }
    assert labels["coffee.png"] == {"coffee cup"}
    assert labels["motorcycle_left.png"] == {"motorcycle"}


def test_a_skipped_photograph_is_a_byte_copy(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = demo
    sources = {path.name: path for path in find_photographs()}
    for name, status in PHOTOGRAPHS.items():
        if status == "skipped":
            assert (folder / name).read_bytes() == sources[name].read_bytes()
            assert not (folder / f"{sources[name].stem}.mask.png").exists()


def test_a_found_photograph_changed_inside_its_mask_only(
    demo: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, _ = demo
    sources = {path.name: path for path in find_photographs()}
    for name in (name for name, status in PHOTOGRAPHS.items() if status == "found"):
        before = np.asarray(Image.open(sources[name]).convert("RGB"), int)
        after = np.asarray(Image.open(folder / name).convert("RGB"), int)
        alpha = np.asarray(Image.open(folder / f"{sources[name].stem}.alpha.png"))
        changed = (before != after).any(axis=2)
        assert not (changed & (alpha == 0)).any()
        assert (changed & (alpha > 0)).mean() > 0.01


def test_report_and_sheets_stand(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = demo
    with (folder / "report.csv").open(encoding="utf-8", newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == list(PHOTOGRAPHS.values())
    for line in read_report(folder):
        if line["status"] == "found":
            assert line["audit"]["changed_outside"] == 0
    page = (folder / "contact-sheet.html").read_text(encoding="utf-8")
    assert page.count("<article") == len(PHOTOGRAPHS)
    with Image.open(folder / "contact-sheet.png") as sheet:
        assert sheet.width > 3 * 256


def test_missing_npm_is_one_sentence(tmp_path: Path) -> None:
    options = ("--out", str(tmp_path / "out"), "--models-dir", str(tmp_path / "models"))
    done = run_demo(*options, PATH="", XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "npm is needed" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_bare_command_runs_in_an_environment_of_its_own() -> None:
    assert not inside(DEMO)
    assert DEMO.folder() == ROOT / ".venvs" / "demo"
