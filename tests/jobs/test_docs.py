"""The Python example of docs/batch.md, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lib_prodshot.bootstrap import ROOT
from tests.jobs.photographs import make_picture
from tests.jobs.tools import lines_of


def test_the_python_example_runs(
    models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs" / "batch.md").read_text(encoding="utf-8")
    (example,) = [block for block in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S) if "local_pool" in block]
    (tmp_path / "photos").mkdir()
    for number in range(3):
        make_picture(number, 320).save(tmp_path / "photos" / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRODSHOT_MODELS", str(models_dir))
    exec(compile(example, "batch.md", "exec"), {})
    assert "3 of 3 pictures: 2 found, 1 skipped, 0 failed" in capsys.readouterr().out
    assert len(lines_of(tmp_path / "done")) == 3
