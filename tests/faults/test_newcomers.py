"""What a new user stumbles over is a sentence: a package that is not there, pictures and results in one folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.cli import EXTRAS, main
from tests.faults.entry_points import digests, give_finder, picture

MISSING = {
    "imagehash": (["train", "check", "{photos}", "--tag", "mug"], "train"),
    "transformers": (["train", "caption", "{photos}", "--tag", "mug", "--captioner", "blip"], "blip"),
    "psutil": (["train", "run", "{photos}", "--output-name", "mug", "--model", "x", "--tag", "mug"], "train"),
}


@pytest.mark.parametrize("package", MISSING)
def test_a_package_that_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], package: str
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(picture()).save(photos / "0.png")
    for name in [name for name in sys.modules if name.startswith("lib_prodshot.training")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.chdir(tmp_path)
    arguments, extra = MISSING[package]
    assert main([argument.format(photos=photos) for argument in arguments]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("prodshot: ") and f"pip install '.[{extra}]'" in said, said


def test_every_extra_named_in_advice_is_one_of_the_projects() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for package, extra in EXTRAS.items():
        (line,) = (line for line in project.splitlines() if line.startswith(f"{extra} = ["))
        assert package.replace("_", "-") in line.lower()


def test_results_never_go_into_the_pictures_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor does a report: the next folder job would find it there."""
    give_finder(monkeypatch)
    Image.fromarray(picture()).save(tmp_path / "0.png")
    before = digests(tmp_path)
    assert main(["enhance", str(tmp_path / "0.png"), "--products", "mug", "--out", str(tmp_path)]) == 2
    assert "choose another" in capsys.readouterr().err
    assert digests(tmp_path) == before


def test_enhance_says_what_came_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give_finder(monkeypatch)
    Image.fromarray(picture()).save(tmp_path / "0.png")
    out = tmp_path / "out"
    assert main(["enhance", str(tmp_path / "0.png"), "--products", "mug", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"1 found, 0 skipped, 0 failed; report: {out / 'report.jsonl'} (and .csv)\n"
