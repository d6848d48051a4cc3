"""`prodshot enhance --engine inpaint --webui URL`: the command line against a running WebUI (the double's server)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")

from PIL import Image

from lib_prodshot.cli import main
from lib_prodshot.finding import registry
from lib_prodshot.finding.finder import Backend
from tests.api.tools import WebUI, dark, noise
from tests.finders import fixed_finder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    backend = Backend("lite", lambda _: (), lambda _: fixed_finder(darkest=20))
    monkeypatch.setattr(registry, "backends", lambda: (backend,))
    Image.fromarray(noise(6, (96, 128))).save(tmp_path / "bag.png")
    Image.fromarray(dark()).save(tmp_path / "dark.png")
    return tmp_path


def enhance(folder: Path, *options: str) -> int:
    paths = [str(folder / name) for name in ("bag.png", "dark.png")]
    return main(["enhance", *paths, "--products", "handbag", "--out", str(folder / "out"), *options])


@pytest.mark.any_host
def test_one_pass_for_the_product_and_none_for_its_absence(webui: WebUI, folder: Path) -> None:
    options = ["--engine", "inpaint", "--webui", webui.address, "--steps", "3", "--resolution", "64"]
    assert enhance(folder, *options) == 0
    lines = [json.loads(line) for line in (folder / "out" / "report.jsonl").read_text().splitlines()]
    assert [line["status"] for line in lines] == ["found", "skipped"]
    assert lines[0]["audit"]["changed_outside"] == 0
    assert [sampling.steps for sampling in webui.samplings] == [3]
    before, after, alpha = (
        np.asarray(Image.open(path))
        for path in (folder / "bag.png", folder / "out" / "bag.png", folder / "out" / "bag.alpha.png")
    )
    assert np.array_equal(before[alpha == 0], after[alpha == 0]) and not np.array_equal(before, after)
    assert (folder / "out" / "dark.png").read_bytes() == (folder / "dark.png").read_bytes()


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--engine", "inpaint"], 2, "add --webui"),
        (["--webui", "http://127.0.0.1:9"], 2, "add --engine inpaint"),
        (["--engine", "inpaint", "--webui", "file:///etc"], 2, "file:///etc"),
    ],
)
def test_options_that_do_not_go_together(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], code: int, words: str
) -> None:
    assert enhance(folder, *options) == code
    assert words in capsys.readouterr().err
    assert not (folder / "out").exists()
