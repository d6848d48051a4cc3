"""install.py as the WebUI runs it: brings what is missing, moves nothing, costs next to nothing when all is there."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

import install
from lib_prodshot.bootstrap import ROOT, Environment, clean_variables, site_packages
from tests.environments import HOSTS, python_of
from tests.wheels import make_wheel

RUNS = 5
EVERYTHING = (*install.LITE, *install.JPEG, *install.LANGSAM, *install.TRAIN, *install.TEXT)
RECORD = ROOT / "tests" / "hosts" / "contract.json"
FIVE = ("a1111", "forge", "reforge", "classic", "neo")
BY_LAUNCHERS = {
    "classic": ("torch==2.6.0", "torchvision==0.21.0"),
    "neo": ("torch==2.11.0", "torchvision==0.26.0", "gradio==4.40.0", "gradio-rangeslider==0.0.8"),
}
"""What `modules/launch_utils.py` installs beside the requirements."""
FORBIDDEN = {"torch", "torchvision", "transformers", "numpy", "pillow", "gradio", "pydantic"}
UNMET = "rapidocr 3.10.0 requires opencv-python-headless, which is not installed."
"""The one new complaint of `pip check`: a host's cv2 has another name, and a second one would overwrite it."""


def packages(found: tuple[install.Package, ...]) -> list[install.Package]:
    return [item for package in found for item in (*packages(package.brings), package)]


def test_nothing_of_the_webui_s_own_is_ever_asked_for() -> None:
    wanted = packages(EVERYTHING)
    names = {package.name.lower() for package in wanted}
    assert not names & FORBIDDEN and not any("opencv" in name for name in names)
    assert all(package.version[0].isdigit() for package in wanted)


def test_from_transformers_5_on_groundingdino_py_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for version, finders in (("4.57.6", (*install.LITE, *install.LANGSAM)), ("5.0.0", install.LITE)):
        monkeypatch.setattr(install, "version", lambda name, version=version: version)
        assert install.wanted() == (*finders, *install.TRAIN)


def test_what_is_there_in_any_version_is_left_alone() -> None:
    there = install.Package("pytest", "0.0.1", "pytest", brings=(install.Package("x", "1", "no_such_module"),))
    assert install.missing((there,)) == ()
    absent = install.Package("x", "1", "no_such_module", brings=(install.Package("pytest", "1", "pytest"),))
    assert install.missing((absent,)) == (absent,)


def test_a_failure_says_what_is_missing_and_the_start_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    need = install.Package("no-such-need", "3.0", "no_such_need")
    absent = install.Package("no-such-package", "1.0", "no_such_module", brings=(need,))
    reader = install.Package("no-such-reader", "2.0", "no_such_reader")
    monkeypatch.setattr(install, "wanted", lambda: (absent,))
    monkeypatch.setattr(install, "JPEG", ())
    monkeypatch.setattr(install, "TEXT", (reader,))
    asked = []

    def failing(packages: tuple[install.Package, ...]) -> str:
        asked.append(packages)
        return "ERROR: no network"

    monkeypatch.setattr(install, "install", failing)
    install.main()
    said = capsys.readouterr().out
    assert "could not install no-such-need, no-such-package: ERROR: no network" in said
    assert "--no-deps no-such-need==3.0 no-such-package==1.0\n" in said, "each is named once"
    assert asked == [(need, absent), (reader,)], "a reader without a build for this platform leaves the finder alone"


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
    for package in packages(EVERYTHING):
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


@pytest.mark.parametrize("pins", HOSTS)
def test_an_environment_with_a_webui_s_pins_only_gains_packages_under_the_pins(pins: str, tmp_path: Path) -> None:
    """Packages and `pip check` before and after install.py, on a layer over an environment with the host's pins."""
    host = HOSTS[pins]
    host_python, reason = python_of(host)
    if host_python is None:
        pytest.skip(reason)
    python = _layer_over(host, host_python, tmp_path / "layer")
    before, complaints = _packages(python), _complaints(python)
    assert "installed; no other package was changed" in _run_install(python)
    after = _packages(python)
    gained = {name: version for name, version in after.items() if name not in before}
    print(f"{pins}: {len(before)} packages before, gained {gained}")
    assert {name: after.get(name) for name in before} == before
    assert gained["groundingdino-py"] == "0.4.0" and gained["segment-anything"] == "1.0"
    assert gained["rapidocr"] == "3.10.0" and not any("opencv" in name for name in gained)
    assert _complaints(python) <= complaints | {UNMET}
    assert _run_install(python) == ""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing but pip in it, made once and copied: Python finds its packages beside itself."""
    folder = tmp_path_factory.mktemp("environments") / "bare"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], env=_variables(), check=True)
    return folder


@pytest.fixture(scope="module")
def greedy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels of all that install.py brings, each of which asks for a newer version of whatever any host pins.

    The real ones are installed above, over two hosts' real packages; here only what pip decides is looked at, for
    five hosts.
    """
    folder = tmp_path_factory.mktemp("wheels")
    asked = sorted({f"{name}>={number}.post1" for host in FIVE for name, number in _pins(host).items()})
    for package in packages(EVERYTHING):
        make_wheel(folder, package.name, package.version, module=package.module, needs=asked)
    return folder


@pytest.mark.parametrize("host", FIVE)
def test_no_host_s_pinned_version_is_moved(
    host: str, bare: Path, greedy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packages that only say their name and version stand for all that a host pins; pip and install.py are real."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(greedy))
    pins = _pins(host)
    assert len(pins) > 30 and (host == "reforge" or pins["httpx"] == "0.24.1")
    shutil.copytree(bare, tmp_path / host, symlinks=True)
    (packages_folder,) = (tmp_path / host).glob("lib/python*/site-packages")
    for name, number in pins.items():
        _pretend(packages_folder, name, number)
    python = tmp_path / host / "bin" / "python"
    before = _packages(python)
    assert set(pins.items()) <= {(name.lower(), number) for name, number in before.items()}
    assert "installed; no other package was changed" in _run_install(python)
    after = _packages(python)
    assert {name: after.get(name) for name in before} == before
    assert after["groundingdino-py"] == "0.4.0" and after["onnxruntime"] == "1.23.2" and after["rapidocr"] == "3.10.0"
    assert _run_install(python) == ""


def _pins(host: str) -> dict[str, str]:
    """What a host's requirements and its launcher pin, by lower-case name."""
    listed = json.loads(RECORD.read_text(encoding="utf-8"))["hosts"][host]["pins"]
    # the record has a line that begins with "http", such as httpx's, under this name
    lines = [pin if name == "(url)" else f"{name}{pin}" for name, pin in listed.items()]
    pairs = (line.lower().split(";")[0].partition("==") for line in (*lines, *BY_LAUNCHERS.get(host, ())))
    return {name: number for name, exact, number in pairs if exact and name != "setuptools"}


def _pretend(folder: Path, name: str, number: str) -> None:
    """Let a package be installed as far as its metadata tells, and its module be found."""
    there = folder / f"{name.replace('-', '_')}-{number}.dist-info"
    there.mkdir()
    (there / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n", encoding="utf-8")
    (there / "RECORD").write_text("", encoding="utf-8")
    for package in packages(EVERYTHING):
        if package.name.lower() == name:
            (folder / f"{package.module}.py").write_text("", encoding="utf-8")


def _variables() -> dict[str, str]:
    """This process's, less what would cost a third of the time: nothing that install.py brings is run here, and need be
    compiled; pip is compiled once, beside itself, where copies of the environment have it too."""
    return {
        **{name: value for name, value in clean_variables().items() if name != "PYTHONPYCACHEPREFIX"},
        "PIP_NO_COMPILE": "1",
    }


def _run_install(python: Path) -> str:
    command = [str(python), str(ROOT / "install.py")]
    return subprocess.run(command, capture_output=True, text=True, env=_variables(), check=True).stdout


def _layer_over(host: Environment, host_python: Path, folder: Path) -> Path:
    """An empty environment that sees the host's packages behind its own; pip itself is the host's."""
    subprocess.run([str(host_python), "-m", "venv", "--without-pip", str(folder)], check=True)
    layers = [site_packages(layer, ROOT) for layer in (host, *host.layers)]
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "host.pth").write_text("".join(f"{layer}\n" for layer in layers), encoding="utf-8")
    return folder / "bin" / "python"


_INSTALLED = """
import importlib.metadata as metadata
for one in metadata.distributions(): print(one.metadata["Name"], one.version, sep="==")
"""


def _packages(python: Path) -> dict[str, str]:
    """What is installed, the first of a name on the path as for an import; pip takes a second to list the same."""
    command = [str(python), "-c", _INSTALLED]
    said = subprocess.run(command, capture_output=True, text=True, env=_variables(), check=True).stdout
    return dict(line.split("==") for line in reversed(said.splitlines()))


def _complaints(python: Path) -> set[str]:
    return {line for line in _pip(python, "check").splitlines() if "has requirement" in line or "requires" in line}


def _pip(python: Path, *arguments: str) -> str:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=_variables(), check=False).stdout
