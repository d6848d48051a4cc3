"""Paths and exit codes of the command line: patterns that no shell expanded, folders for files, and README's table."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from lib_prodshot.bootstrap import DEMO, ROOT
from lib_prodshot.cli import EXTRAS, main
from lib_prodshot.commands.paths import picture_files
from lib_prodshot.finding import registry
from lib_prodshot.finding.registry import Backend
from tests.finders import fixed_finder

README = (ROOT / "README.md").read_text(encoding="utf-8")
posix_only = pytest.mark.skipif(os.name == "nt", reason="names that Windows has not")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in: `in` with pictures 1, 2, 10 (white: no product), a hidden one and a sub-folder."""
    finder = fixed_finder(darkest=256)
    monkeypatch.setattr(registry, "backends", lambda: (Backend("lite", lambda _: (), lambda _: finder),))
    monkeypatch.setattr(registry, "_LOADED", {}, raising=False)
    monkeypatch.chdir(tmp_path)
    for name in (
        "in/10.png",
        "in/2.png",
        "in/1.png",
        "in/a.jpg",
        "in/.hidden.png",
        "in/sub/3.png",
        "in/sub/deep/4.png",
    ):
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 24), "white").save(place)
    return tmp_path


def expanded(*given: str) -> list[str]:
    return [path.as_posix() for path in picture_files([Path(one) for one in given], "prodshot batch FOLDER")]


@pytest.mark.parametrize(
    ("pattern", "files"),
    [
        ("in/*.png", "in/1.png in/2.png in/10.png"),
        ("in/*", "in/1.png in/2.png in/10.png in/a.jpg"),
        ("in/?.png", "in/1.png in/2.png"),
        ("in/[1-2].png", "in/1.png in/2.png"),
        ("in/[!1]*.png", "in/2.png"),
        ("i?/1*", "in/1.png in/10.png"),
        ("in/*/*.png", "in/sub/3.png"),
        ("in/**/*.png", "in/1.png in/2.png in/10.png in/sub/3.png in/sub/deep/4.png"),
        ("**/4.png", "in/sub/deep/4.png"),
        ("in/sub/**", "in/sub/3.png in/sub/deep/4.png"),
        ("in/**.png", "in/1.png in/2.png in/10.png"),
        ("in/.h*", "in/.hidden.png"),
        ("./in/*.jpg", "in/a.jpg"),
        ("in/sub/../*.jpg", "in/sub/../a.jpg"),
    ],
)
def test_patterns_are_expanded_as_a_shell_does_in_natural_order(here: Path, pattern: str, files: str) -> None:
    assert expanded(pattern) == files.split()
    absolute = [Path(one).as_posix() for one in expanded((here / pattern).as_posix())]
    assert [os.path.relpath(one, here) for one in absolute] == [os.path.normpath(one) for one in files.split()]


def test_each_file_comes_once_and_files_keep_their_order(here: Path) -> None:
    assert expanded("in/2.png", "in/*.png", "./in/a.jpg", "in/sub/../a.jpg") == [
        "in/2.png",
        "in/1.png",
        "in/10.png",
        "in/a.jpg",
    ]
    assert expanded("in/10.png", "in/1.png", "absent.png") == ["in/10.png", "in/1.png", "absent.png"]


@posix_only
def test_a_file_or_folder_that_is_called_like_a_pattern_is_that(here: Path) -> None:
    for name in ("in/*.png", "in/a[1].png", "in/what?.png"):
        shutil.copy("in/1.png", name)
        assert expanded(name) == [name]
    shutil.copytree("in/sub", "photos [2]")
    shutil.copytree("in/sub", "photos 2")
    assert expanded("photos [2]/*.png") == ["photos [2]/3.png"]
    assert expanded("in/a[[]1]*") == ["in/a[1].png"]


@posix_only
def test_a_link_to_a_folder_above_ends(here: Path) -> None:
    Path("in/sub/loop").symlink_to("..")
    Path("in/loop").symlink_to(".")
    assert expanded("in/**/4.png") == ["in/sub/deep/4.png"]


@pytest.mark.parametrize("command", ["detect", "enhance"])
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("in", "path: in is a folder; for all pictures in it: prodshot batch in "),
        ("in/", "path: in is a folder; for all pictures in it: prodshot batch in "),
        ("two words", 'prodshot batch "two words" '),
        ("in/su*", "path: in/sub is a folder; for all pictures in it: prodshot batch in/sub "),
        ("in/*.webp", "path: no file is called like in/*.webp"),
        ("nowhere/*.png", "path: no file is called like nowhere/*.png"),
        ("in/**/*.webp", "path: no file is called like in/**/*.webp"),
        ("[", "path: no file is called like ["),
    ],
)
def test_folders_and_patterns_without_a_file_are_a_sentence(
    here: Path, capsys: pytest.CaptureFixture[str], command: str, path: str, words: str
) -> None:
    Path("two words").mkdir()
    options = ["--out", "out"] if command == "enhance" else []
    assert main([command, "in/1.png", path, "--products", "cup", *options]) == 2
    said = capsys.readouterr()
    assert words in said.err and len(said.err.splitlines()) == 1 and not said.out
    assert not Path("out").exists()


def test_a_pattern_runs_through(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["enhance", "in/*.png", "--products", "cup", "--out", "out"]) == 0
    assert sorted(path.name for path in Path("out").glob("*.png")) == ["1.png", "10.png", "2.png"]
    assert main(["detect", "in/*.png", "--products", "cup"]) == 0
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()[1:]] == expanded("in/*.png")


# --- README's table of exit codes -------------------------------------------------------------------------------------

CASES = [
    (0, "enhance in/1.png --products cup --out out"),
    (0, "detect in/1.png in/2.png --products cup"),
    (0, "batch in --products cup --out out"),
    (0, "--version"),
    (1, "enhance absent.png in/1.png --products cup --out out"),
    (1, "detect broken.png --products cup"),
    (1, "detect file/1.png --products cup"),
    (1, "train setup --sd-scripts in --dry-run"),
    (2, ""),
    (2, "nonsense"),
    (2, "enhance in/1.png --products cup"),
    (2, "enhance in/1.png --out out"),
    (2, "enhance in/1.png --products , --out out"),
    (2, "enhance in/1.png --products cup|bag --out out"),
    (2, "enhance in/1.png --products cup --out out --grow x"),
    (2, "enhance in/1.png --products cup --out out --finder best"),
    (2, "enhance in/1.png --products cup --out in"),
    (2, "enhance in/1.png --products cup --out in/."),
    (2, "enhance in/1.png --products cup --out in/sub/.."),
    (2, "enhance in/*.png --products cup --out in"),
    (2, "enhance in/sub/3.png in/1.png --products cup --out in/sub"),
    (2, "enhance absent.png --products cup --out ."),
    (2, "enhance in/1.png --products cup --out file"),
    (2, "enhance in/1.png --products cup --out file/out"),
    (2, "enhance in/1.png --products cup --out out --engine inpaint"),
    (2, "enhance in/1.png --products cup --out out --engine inpaint --webui file:///etc"),
    (2, "enhance in --products cup --out out"),
    (2, "detect in --products cup"),
    (2, "detect in/*.gif --products cup"),
    (2, "batch in --products cup --out in"),
    (2, "batch in --products cup --out in/sub/.."),
    (2, "batch in --products cup --out file"),
    (2, "batch in/1.png --products cup --out out"),
    (2, "batch in/*.png --products cup --out out"),
    (2, "batch absent --products cup --out out"),
    (2, "batch in --products cup --out out --limit 0"),
    (2, "batch in --products cup --out out --workers 2"),
    (2, "train check"),
    (2, "train check absent"),
    (2, "train check in/1.png"),
    (2, "train caption absent"),
    (2, "train caption in --captioner webui"),
    (2, "train run absent --output-name x"),
    (2, "train publish absent --to out"),
    (2, "weights fetch nothing-of-the-kind"),
    (2, "doctor --selftest --finder best"),
]


@pytest.fixture
def ends(here: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Path]:
    Path("file").write_text("x")
    Path("broken.png").write_text("x")
    yield here


@pytest.mark.parametrize(("code", "line"), CASES, ids=[line or "nothing" for _, line in CASES])
def test_exit_codes_are_those_of_the_readme(
    ends: Path, capsys: pytest.CaptureFixture[str], code: int, line: str
) -> None:
    before = {path: path.stat().st_mtime_ns for path in ends.rglob("*") if path.is_file()}
    try:
        ended = main(line.split())
    except SystemExit as error:
        ended = int(error.code or 0)
    said = capsys.readouterr()
    assert ended == code, said.err
    assert code == 0 or said.err or said.out
    assert "Traceback" not in said.err
    if code == 2:
        assert before == {path: path.stat().st_mtime_ns for path in ends.rglob("*") if path.is_file()}
        assert not (ends / "out").exists(), "nothing was done"


@posix_only
def test_the_inputs_folder_by_another_name_is_still_it(ends: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("linked").symlink_to("in")
    Path("alone").mkdir()
    Path("alone/link.png").symlink_to(ends / "in" / "1.png")
    for line in (
        "enhance in/1.png --products cup --out linked",
        "enhance linked/1.png --products cup --out in",
        "enhance alone/link.png --products cup --out in",
        "enhance alone/link.png --products cup --out alone",
        "batch in --products cup --out linked",
        "batch linked --products cup --out in",
    ):
        assert main(line.split()) == 2, line
        assert "is the input folder itself; choose another" in capsys.readouterr().err


def test_the_readme_has_the_same_table() -> None:
    told = re.findall(r"^\| (\d+) \|", README[README.index("| exit code |") :], re.M)
    assert {int(code) for code in told} == {code for code, _ in CASES} | {130}


# --- README's sentence on the demo's environment ----------------------------------------------------------------------


def test_the_demos_environment_has_what_the_readme_says() -> None:
    assert DEMO.extras == ("lite", "train")
    assert "pip install '.[lite,train]'" in README
    sentence = README[README.index("The demo's environment has all") :].partition("\n```")[0]
    named = {"blip": "--captioner blip", "cluster": "batch --ray"}
    assert {extra for extra in EXTRAS.values() if extra not in DEMO.extras} == set(named)
    assert all(words in sentence for words in (*named.values(), "LangSAM"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("enhance in/1.png --products mug --out out --box-treshold 0.3", "the nearest is --box-threshold"),
        ("enhance in/1.png --products mug", "the following arguments are required: --out"),
        ("enhance in/1.png --products mug --out out --grow 1.5", "grow: '1.5' is not a whole number"),
        ("batch in --products mug --out=", "argument --out: it is empty"),
        ("batch in --products mug --out out --limit 0", "argument --limit: '0' is not a whole number of 1 or more"),
        ("batch in --products mug --out out extra", "unrecognized arguments: extra"),
        ("train check in --tagg x", "--tagg; the nearest is --tag"),
        ("enhanc in/1.png", "invalid choice: 'enhanc'"),
        ("enhance in/1.png --products mug --out clean.png", "out: results go into a folder, and clean.png is"),
    ],
)
def test_a_mistake_is_one_line(here: Path, capsys: pytest.CaptureFixture[str], words: str, told: str) -> None:
    try:
        code = main(words.split())
    except SystemExit as end:
        code = int(str(end.code))
    written = capsys.readouterr()
    assert code == 2 and not written.out and not (here / "out").exists() and not (here / "clean.png").exists()
    assert written.err.startswith("prodshot: ") and written.err.count("\n") == 1 and told in written.err


def test_a_folder_that_is_there_may_be_called_like_a_picture(here: Path) -> None:
    (here / "old.png").mkdir()
    assert main(["enhance", "in/1.png", "--products", "mug", "--out", "old.png"]) == 0
    assert (here / "old.png" / "report.jsonl").is_file()
