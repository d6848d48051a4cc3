"""install.py as the WebUI runs it: brings what is missing, moves nothing, costs next to nothing when all is there."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

import install
from lib_prodshot.bootstrap import ROOT

RUNS = 5
FORBIDDEN = {"torch", "torchvision", "transformers", "numpy", "pillow", "gradio", "pydantic", "opencv-python"}


def packages(found: tuple[install.Package, ...]) -> list[install.Package]:
    return [item for package in found for item in (*packages(package.brings), package)]


def test_nothing_of_the_webui_s_own_is_ever_asked_for() -> None:
    wanted = packages((*install.LITE, *install.LANGSAM))
    assert not {package.name.lower() for package in wanted} & FORBIDDEN
    assert all(package.version[0].isdigit() for package in wanted)


def test_from_transformers_5_on_groundingdino_py_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for version, expected in (("4.57.6", (*install.LITE, *install.LANGSAM)), ("5.0.0", install.LITE)):
        monkeypatch.setattr(install, "version", lambda name, version=version: version)
        assert install.wanted() == expected


def test_what_is_there_in_any_version_is_left_alone() -> None:
    there = install.Package("pytest", "0.0.1", "pytest", brings=(install.Package("x", "1", "no_such_module"),))
    assert install.missing((there,)) == ()
    absent = install.Package("x", "1", "no_such_module", brings=(install.Package("pytest", "1", "pytest"),))
    assert install.missing((absent,)) == (absent,)


def test_a_failure_says_what_is_missing_and_the_start_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = install.Package("no-such-package", "1.0", "no_such_module")
    monkeypatch.setattr(install, "wanted", lambda: (absent,))
    monkeypatch.setattr(install, "install", lambda packages: "ERROR: no network")
    install.main()
    said = capsys.readouterr().out
    assert "could not install no-such-package: ERROR: no network" in said
    assert "--no-deps no-such-package==1.0" in said


def test_pip_gets_exact_versions_the_host_s_as_constraints_and_no_dependencies(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        seen["command"] = command
        seen["constraints"] = Path(command[command.index("--constraint") + 1]).read_text(encoding="utf-8")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(install.subprocess, "run", run)
    assert install.install(install.LITE) == ""
    command = seen["command"]
    assert isinstance(command, list) and "--no-deps" in command and "onnxruntime==1.23.2" in command
    assert f"pytest=={pytest.__version__}" in str(seen["constraints"])


def test_nothing_to_do_costs_under_300_ms_and_no_network(tmp_path: Path) -> None:
    """Processor time, not wall time, so that a busy machine does not decide; modules that look like the wanted ones."""
    for package in packages((*install.LITE, *install.LANGSAM)):
        (tmp_path / f"{package.module}.py").write_text("raise AssertionError('looked at, never imported')\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PIP_INDEX_URL": "http://127.0.0.1:9"}
    spent = []
    for _ in range(RUNS):
        before = os.times()
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, str(ROOT / "install.py")], env=environment, capture_output=True, text=True, check=True
        )
        after = os.times()
        assert done.stdout == "", done.stdout
        used = after.children_user + after.children_system - before.children_user - before.children_system
        spent.append(used or time.perf_counter() - start)
    print(f"install.py with nothing to do: {statistics.median(spent) * 1000:.0f} ms")
    assert statistics.median(spent) < 0.300
