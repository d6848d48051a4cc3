"""`enhance` and `packshot` on single pictures, again and again into one folder: nothing stale stays beside a result."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from lib_prodshot.cli import main
from lib_prodshot.finding import registry
from tests.finders import fixed_finder


@pytest.fixture(autouse=True)
def finder(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = SimpleNamespace(name="fixed", load=lambda folder=None: fixed_finder(darkest=50))
    monkeypatch.setattr(registry, "choose", lambda name, folder=None: SimpleNamespace(backend=backend))


def photograph(path: Path, level: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((40, 60, 3), level, np.uint8)
    pixels[::2] += 20
    Image.fromarray(pixels).save(path)
    return path


def names(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir() if path.is_file())


def lines(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "report.jsonl").read_text().splitlines()]


REPORT = ["report.csv", "report.jsonl"]


@pytest.mark.parametrize("command", ["enhance", "packshot"])
def test_a_picture_that_is_skipped_now_leaves_nothing_of_an_earlier_run(command: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cup, other = photograph(tmp_path / "cup.jpg"), photograph(tmp_path / "other.jpg")
    run = [command, str(cup), "--out", str(out), "--products", "car"]
    assert main([*run[:2], str(other), *run[2:]]) == 0
    assert names(out) == sorted(
        [f"{stem}{end}" for stem in ("cup", "other") for end in (".alpha.png", ".mask.png", ".png")] + REPORT
    )
    photograph(cup, level=5)
    (out / "cup.txt").write_text("a user's own")
    assert main(run) == 0
    copied = ["cup.jpg"] if command == "enhance" else []
    assert names(out) == sorted([*copied, "cup.txt", "other.alpha.png", "other.mask.png", "other.png", *REPORT])
    assert [(Path(str(line["file"])).name, line["status"]) for line in lines(out)] == [
        ("other.jpg", "found"),
        ("cup.jpg", "skipped"),
    ]


def test_another_picture_of_the_same_name_gives_way_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    first, second = photograph(tmp_path / "monday" / "cup.jpg"), photograph(tmp_path / "friday" / "cup.jpg", level=5)
    settings = ["--out", str(out), "--products", "car"]
    assert main(["enhance", str(first), *settings]) == 0
    capsys.readouterr()
    assert main(["enhance", str(second), *settings]) == 0
    assert names(out) == ["cup.jpg", *REPORT]
    assert [line["file"] for line in lines(out)] == [str(second)]
    assert f"results of other pictures give way to these of the same name: {first}" in capsys.readouterr().err
