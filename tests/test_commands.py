"""`prodshot weights` and `prodshot doctor`: what they print, and their exit codes."""

from __future__ import annotations

import ast
import hashlib
import re
import shutil
import sys
from pathlib import Path

import pytest

from lib_prodshot import weights
from lib_prodshot.cli import main
from lib_prodshot.commands import demo, doctor
from lib_prodshot.errors import as_typed, pip_install
from lib_prodshot.finding import registry
from lib_prodshot.finding.finder import Backend, Finder
from lib_prodshot.model_files import Url, Weights
from tests.finders import fixed_finder

GOOD, BAD = b"good bytes", b"evil bytes"


def known(name: str, group: str = "lite") -> Weights:
    digest = hashlib.sha256(GOOD).hexdigest()
    return Weights(
        name, f"{name}.onnx", len(GOOD), digest, "CC0", f"what {name} is for", group, (Url("http://127.0.0.1:9/"),)
    )


@pytest.fixture(autouse=True)
def small_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("PRODSHOT_MODELS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "catalogue", lambda: (known("here"), known("wrong"), known("absent", "other")))
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "here.onnx").write_bytes(GOOD)
    (folder / "wrong.onnx").write_bytes(BAD)
    return folder


def test_list_tells_what_is_here_and_sets_aside_what_is_wrong(
    small_world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["weights", "list", "--models-dir", str(small_world)]) == 0
    said = capsys.readouterr()
    assert f"here      0.0 MB  CC0          {small_world / 'here.onnx'}" in said.out
    assert "what absent is for" in said.out
    assert said.out.count("missing") == 2
    assert "wrong.onnx is not the known file" in said.err
    assert (small_world / "wrong.onnx.wrong").read_bytes() == BAD


def test_verify_reads_again_and_fails_for_a_wrong_file(small_world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "verify", "here", "--models-dir", str(small_world)]) == 0
    assert f"here: good: {small_world / 'here.onnx'}" in capsys.readouterr().out
    assert main(["weights", "verify", "lite", "--models-dir", str(small_world)]) == 1
    said = capsys.readouterr()
    assert "set aside as wrong.onnx.wrong" in said.err
    assert "wrong: missing" in said.out


def test_path_prints_paths_only_and_says_how_to_get_a_missing_one(
    small_world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["weights", "path", "here", "--models-dir", str(small_world)]) == 0
    assert capsys.readouterr().out == f"{small_world / 'here.onnx'}\n"
    assert main(["weights", "path", "absent", "--models-dir", str(small_world)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("prodshot: absent.onnx (0.0 MB) is missing: run prodshot weights fetch absent")
    assert said.err.count("\n") == 1


def test_fetch_goes_on_after_a_failure_and_tells_each(small_world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "fetch", "all", "--models-dir", str(small_world)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"prodshot: here: {small_world / 'here.onnx'}"
    assert sum("could not be fetched: 127.0.0.1:9 cannot be reached" in line for line in lines) == 2
    assert lines[-1] == "prodshot: 2 of 3 files could not be fetched"


def test_a_name_that_is_not_in_the_catalogue_is_refused_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "fetch", "heer"]) == 2
    said = capsys.readouterr().err
    assert said == "prodshot: weights: 'heer' is not known (allowed: here, wrong, absent, lite, langsam, all)\n"


def backend(name: str, *lacking: str) -> Backend:
    def load(_folder: Path | None) -> object:
        raise AssertionError("the doctor loads no model")

    return Backend(name, lambda _folder: lacking, load)  # type: ignore[arg-type]


def test_the_doctor_says_what_each_finder_lacks_and_which_one_is_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finders = (backend("langsam", "torch is missing: pip install torch."), backend("lite"))
    monkeypatch.setattr(registry, "backends", lambda: finders)
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "finder langsam: not ready\n  - torch is missing: pip install torch.\nfinder lite: ready\n" in said
    assert "--finder auto: langsam is not ready: torch is missing: pip install torch.; using lite" in said
    assert f"numpy {doctor.installed('numpy')}" in said


def test_the_doctor_fails_where_no_finder_can_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "backends", lambda: (backend("lite", "its models are missing."),))
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "--finder auto: no finder can run here: lite is not ready: its models are missing." in said


def test_another_build_of_a_package_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name != "opencv-python":
            raise doctor.PackageNotFoundError(name)
        return "4.11.0"

    monkeypatch.setattr(doctor, "version", version)
    assert doctor.installed("opencv-python-headless") == "4.11.0"
    assert doctor.installed("numpy") == "missing"


@pytest.mark.once
def test_the_self_test_compares_the_verdicts_with_those_the_photographs_deserve(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], lite_finder: Finder
) -> None:
    """Of two photographs; the demo is tested with all."""
    monkeypatch.setattr(demo, "PHOTOGRAPHS", {"coffee.png": "found", "moon.png": "skipped"})
    monkeypatch.setattr(registry, "backends", lambda: (Backend("lite", lambda _: (), lambda _: lite_finder),))
    assert main(["doctor", "--selftest"]) == 0
    assert "self-test: all verdicts are right" in capsys.readouterr().out
    blind = Backend("lite", lambda _: (), lambda _: fixed_finder(darkest=256))
    monkeypatch.setattr(registry, "backends", lambda: (blind,))
    assert main(["doctor", "--selftest", "--finder", "lite"]) == 1
    said = capsys.readouterr().out
    assert "coffee.png           skipped  WRONG, it should be found" in said
    assert "self-test: 1 of 2 verdicts are wrong" in said


@pytest.mark.parametrize(
    ("started", "own", "pip"),
    [
        (
            "/src/lib_prodshot/__main__.py",
            "/env/bin/python -m lib_prodshot enhance",
            "/env/bin/python -m pip install x",
        ),
        ("/on/the/path/prodshot", "prodshot enhance", "/env/bin/python -m pip install x"),
        ("/env dir/bin/prodshot", '"/env dir/bin/prodshot" enhance', "/env/bin/python -m pip install x"),
        (r"/env/Scripts/prodshot.exe", "/env/Scripts/prodshot.exe enhance", "/env/bin/python -m pip install x"),
        ("/stable-diffusion-webui/launch.py", "prodshot enhance", "pip install x"),
    ],
)
def test_advice_names_the_command_as_it_was_started(
    started: str, own: str, pip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """README's demo runs in an environment of its own, whose `prodshot` and `pip` are not the first on the PATH."""
    monkeypatch.setattr(sys, "argv", [started])
    monkeypatch.setattr(sys, "executable", "/env/bin/python")
    monkeypatch.setattr(shutil, "which", lambda name: "/on/the/path/prodshot")
    assert as_typed("enhance") == own
    assert pip_install("x") == pip


def test_no_advice_names_a_bare_command() -> None:
    """But in the WebUI's own page, and where the settings are described."""
    advice = re.compile(
        r"""["'`( ](pip install |prodshot (batch|enhance|detect|check|weights|doctor|packshot|train) )"""
    )
    allowed = {"errors.py", "storage/store.py", "steps/shop.py", "hosts/server_paths.py", "__main__.py", "cli.py"}
    package = Path(demo.__file__).parents[1]
    named = [
        f"{path.relative_to(package)}: {node.value}"
        for path in package.rglob("*.py")
        if path.relative_to(package).as_posix() not in allowed and "webui" not in path.parts
        for tree in [ast.parse(path.read_text(encoding="utf-8"))]
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and advice.search(f" {node.value}")
        if not any(isinstance(holder, ast.Expr) and holder.value is node for holder in ast.walk(tree))
    ]
    assert not named
