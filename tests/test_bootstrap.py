"""The environments inside the checkout: made, reused without a look around, layered, and plain words when it fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib_prodshot import bootstrap, interpreter
from lib_prodshot.bootstrap import BootstrapError, Environment
from tests.wheels import make_wheel

ROOT = bootstrap.ROOT
PROJECT = """
[project]
dependencies = ["one>=1"]
[project.optional-dependencies]
lite = ["two==2"]
"""


@pytest.fixture(scope="session", autouse=True)
def compiled_beside() -> Iterator[None]:
    """Compiled modules stay in the environment, so that a copy has them too: compiling pip is most of its start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONPYCACHEPREFIX", raising=False)
        yield


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One environment made by the real `venv`, which takes seconds; the tests below start from copies of it. Its pip is
    Python's own, for the uv that it was offered installs nothing."""
    root = tmp_path_factory.mktemp("template")
    uv = _script(root / "uv", "echo unreachable >&2; exit 2") if os.name != "nt" else None
    bootstrap.prepare(Environment("bare"), root, uv)
    return Environment("bare").folder(root)


def _script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.fixture()
def quick(template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def copy(environment: Environment, root: Path, *_: object) -> None:
        folder = environment.folder(root)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(template, folder, symlinks=True, ignore=shutil.ignore_patterns(bootstrap.STAMP))

    monkeypatch.setattr(bootstrap, "_create", copy)


@pytest.fixture()
def shelf(quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that is all pip can see."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_CONSTRAINT", raising=False)
    return folder


@pytest.fixture()
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)
    return folder


def said_by(environment: Environment, root: Path, code: str) -> str:
    python = environment.interpreter(root)
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_an_environment_is_made_once_and_reused_without_starting_anything(
    shelf: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_wheel(shelf, "one", "1.5")
    make_wheel(shelf, "two", "2")
    recipe = Environment("demo", extras=("lite",))
    assert not bootstrap.is_whole(recipe, root)
    bootstrap.prepare(recipe, root)
    assert said_by(recipe, root, "import one, two; print(one.VERSION, two.VERSION)") == "1.5 2"
    assert "making the demo environment" in capsys.readouterr().err

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("a whole environment needs no process")

    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "run", refuse)
        patched.setattr(subprocess, "Popen", refuse)
        assert bootstrap.prepare(recipe, root) == recipe.interpreter(root)
    assert capsys.readouterr().err == ""


def test_a_changed_project_installs_on_top_and_another_setting_of_it_installs_nothing(
    shelf: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(shelf, "one", "1.5")
    make_wheel(shelf, "two", "2")
    recipe = Environment("demo", extras=("lite",))
    bootstrap.prepare(recipe, root)
    stamp = recipe.folder(root) / "witness"
    stamp.write_text("the same folder")

    (root / "pyproject.toml").write_text(PROJECT + "[tool.ruff]\nline-length = 99\n")
    assert not bootstrap.is_whole(recipe, root)
    with monkeypatch.context() as patched:
        patched.setattr(bootstrap, "_install", lambda *_args: pytest.fail("nothing new to install"))
        bootstrap.prepare(recipe, root)
    assert bootstrap.is_whole(recipe, root)

    (root / "pyproject.toml").write_text(PROJECT.replace("two==2", "two==3"))
    with pytest.raises(BootstrapError, match="no two==3 for Python"):
        bootstrap.prepare(recipe, root)
    assert said_by(recipe, root, "import two; print(two.VERSION)") == "2"
    make_wheel(shelf, "two", "3")
    bootstrap.prepare(recipe, root)
    assert said_by(recipe, root, "import two; print(two.VERSION)") == "3"
    assert stamp.exists()


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for uv is a shell script")
@pytest.mark.parametrize("works", [True, False])
def test_uv_installs_where_it_can_and_pip_where_not(shelf: Path, root: Path, works: bool) -> None:
    make_wheel(shelf, "two", "2")
    target = '"$(dirname "$4")"/../lib/python3*/site-packages/'
    uv = _script(root / "uv", f"cp {root}/two.py {target}" if works else "echo unreachable >&2; exit 2")
    (root / "two.py").write_text("VERSION = 'by uv'\n")
    recipe = Environment("quick", requirements=("two==2",))
    bootstrap.prepare(recipe, root, uv)
    assert said_by(recipe, root, "import two; print(two.VERSION)") == ("by uv" if works else "2")
    assert bootstrap.is_whole(recipe, root)


def test_an_interrupted_creation_is_never_taken_for_a_whole_one(
    shelf: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(shelf, "one", "1.5")
    make_wheel(shelf, "two", "2")
    recipe = Environment("demo", extras=("lite",))

    def interrupt(*_args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(bootstrap, "_install", interrupt)
        with pytest.raises(KeyboardInterrupt):
            bootstrap.prepare(recipe, root)
    half = recipe.folder(root) / "left-behind"
    half.write_text("")
    assert recipe.interpreter(root).exists()
    assert not bootstrap.is_whole(recipe, root)
    bootstrap.prepare(recipe, root)
    assert bootstrap.is_whole(recipe, root)
    assert not half.exists()


def test_a_moved_checkout_and_a_corrupt_stamp_are_made_anew(shelf: Path, root: Path, tmp_path: Path) -> None:
    recipe = Environment("bare")
    bootstrap.prepare(recipe, root)
    moved = tmp_path / "moved"
    root.rename(moved)
    assert not bootstrap.is_whole(recipe, moved)
    bootstrap.prepare(recipe, moved)
    assert said_by(recipe, moved, "import sys; print(sys.prefix)") == str(recipe.folder(moved))
    (recipe.folder(moved) / bootstrap.STAMP).write_text("[1, {")
    assert not bootstrap.is_whole(recipe, moved)
    (recipe.folder(moved) / bootstrap.STAMP).write_text("[]")
    assert not bootstrap.is_whole(recipe, moved)


def test_layers_lend_their_packages_and_the_own_ones_win(shelf: Path, root: Path) -> None:
    make_wheel(shelf, "heavy", "1")
    make_wheel(shelf, "pinned", "9")
    make_wheel(shelf, "pinned", "2")
    make_wheel(shelf, "small", "1")
    below = Environment("below", requirements=("heavy",), alone=("pinned==9",))
    between = Environment("between", layers=(below,))
    above = Environment("above", requirements=("heavy", "pinned==2"), layers=(between,))
    beside = Environment("beside", requirements=("small",), layers=(below,))
    bootstrap.prepare(above, root)
    bootstrap.prepare(beside, root)
    tell = "import heavy, pinned; print(heavy.__file__); print(pinned.VERSION)"
    heavy, version = said_by(above, root, tell).splitlines()
    assert Path(heavy).is_relative_to(below.folder(root))
    assert version == "2"
    assert said_by(beside, root, tell).splitlines()[1] == "9"
    assert said_by(below, root, "import pinned; print(pinned.VERSION)") == "9"
    assert not (bootstrap.site_packages(above, root) / "heavy.py").exists()


def test_run_in_hands_over_arguments_and_exit_code_and_keeps_foreign_packages_out(
    quick: None, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Environment("bare")
    (tmp_path / "smuggled.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code = (
        "import sys, importlib.util as u; sys.exit(7 if sys.argv[1:] == ['a b'] and not u.find_spec('smuggled') else 1)"
    )
    assert bootstrap.run_in(recipe, ["-c", code, "a b"], root) == 7
    assert bootstrap.run_in(recipe, ["-c", "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"], root) == 143


def test_no_network_is_said_in_one_sentence(quick: None, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in ("PIP_FIND_LINKS", "PIP_CONSTRAINT", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(BootstrapError, match=r"^the package index cannot be reached: connect this machine") as caught:
        bootstrap.prepare(Environment("demo", extras=("lite",)), root)
    assert "\n" not in str(caught.value)
    assert not bootstrap.is_whole(Environment("demo", extras=("lite",)), root)


def test_a_folder_that_cannot_be_written_is_said_in_one_sentence(root: Path) -> None:
    (root / ".venvs").write_text("a file stands where the folder belongs")
    with pytest.raises(BootstrapError, match=r"cannot be written .* a folder that you may write to"):
        bootstrap.prepare(Environment("bare"), root)


def test_a_full_disk_is_said_in_one_sentence(root: Path) -> None:
    with pytest.raises(BootstrapError, match="is full: free some space"):
        bootstrap._pip_failure("ERROR: Could not install: [Errno 28] No space left on device", root, root / "log")


def test_no_venv_module_is_said_in_one_sentence(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else object())
    with pytest.raises(BootstrapError, match=r"no venv module: install it \(on Debian .* python3\.\d+-venv\)"):
        bootstrap.prepare(Environment("bare"), root)


@pytest.mark.parametrize(("version", "right"), [((3, 9), False), ((3, 10), True), ((3, 13), True), ((3, 14), False)])
def test_the_wrong_python_is_told_which_one_to_take(version: tuple[int, int], right: bool) -> None:
    sentence = interpreter.wrong_python(version)
    assert bool(sentence) is not right
    assert right or f"3.10 to 3.13, and this is Python {version[0]}.{version[1]}" in sentence


def old_pythons() -> list[Path]:
    found = [Path(path) for name in ("python3.7", "python3.8", "python3.9") if (path := shutil.which(name))]
    versions = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    found += [path for old in ("3.7", "3.8", "3.9") for path in versions.glob(f"{old}.*/bin/python")]
    # a shim of pyenv's stands on the PATH also for a Python that is switched off
    return [
        path for path in found if subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0
    ]


@pytest.mark.parametrize("module", ["lib_prodshot", "tests"])
def test_an_old_python_prints_its_sentence_and_no_traceback(module: str) -> None:
    pythons = old_pythons()
    if not pythons:
        pytest.skip("no Python older than 3.10 on this machine")
    for python in pythons:
        done = subprocess.run([python, "-m", module, "demo"], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith("prodshot: it needs Python 3.10 to 3.13")
        assert done.stderr.count("\n") == 1


def test_a_bare_python_names_the_command_that_works(template: Path) -> None:
    bare = Environment("bare")
    command = [bare.interpreter(template.parent.parent), "-m", "lib_prodshot", "detect", "x.png"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("prodshot: this Python lacks numpy, opencv-python-headless, pillow")
    assert "-m lib_prodshot detect x.png" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for uv is a shell script")
def test_two_processes_wait_for_each_other(root: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from lib_prodshot.bootstrap import Environment, prepare;"
        "prepare(Environment('bare'), Path(sys.argv[1]), uv=Path(sys.argv[2]))"
    )
    uv = _script(root / "uv", "sleep 0.5")  # says that it installed pip, while the other process comes
    command = [sys.executable, "-c", code, str(root), str(uv)]
    both = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("is ready in" in text for text in said) == 1
    stamp = json.loads((Environment("bare").folder(root) / bootstrap.STAMP).read_text())
    assert stamp["recipe"]["root"] == str(root)
