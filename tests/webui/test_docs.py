"""Every example in docs/api.md against the real WebUI: the address is another, and steps are fewer."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_prodshot.bootstrap import ROOT
from tests.webui.conftest import seed_picture
from tests.webui.server import Server

TEXT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```(sh|python|js)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
PROGRAMS = {"sh": ("bash", "curl", "jq", "base64"), "python": (), "js": ("node",)}
SIDE = 256
"""Of the pictures and generations here: the examples' 512 take a CPU minutes."""


@pytest.mark.parametrize(
    ("language", "code"), EXAMPLES, ids=[f"{language}-{number}" for number, (language, _) in enumerate(EXAMPLES)]
)
def test_example(clean: Server, seed_dir: Path, tmp_path: Path, language: str, code: str) -> None:
    absent = [program for program in PROGRAMS[language] if shutil.which(program) is None]
    if absent or ("import webuiapi" in code and importlib.util.find_spec("webuiapi") is None):
        pytest.skip(f"not on this machine: {', '.join(absent) or 'webuiapi'}")
    for name, picture in (("handbag", "handbag"), ("street", "unknown")):
        seed_picture(seed_dir, picture).convert("RGB").resize((SIDE, SIDE)).save(tmp_path / f"{name}.png")
    script = code.replace("http://127.0.0.1:7860", clean.url).replace("-u user:password ", "")
    script = re.sub(r'(["\']?steps["\']?: )20', r"\g<1>3", script).replace("512", str(SIDE))
    done = subprocess.run(
        _command(language, script, tmp_path),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if "enhanced.png" not in code:
        assert done.stdout.strip()
        return
    assert "failed" not in done.stdout
    before, after = (Image.open(tmp_path / f"{name}.png").convert("RGB") for name in ("handbag", "enhanced"))
    assert after.size == before.size and (np.asarray(after) != np.asarray(before)).any()


def _command(language: str, script: str, folder: Path) -> list[str]:
    if language == "sh":
        return ["bash", "-euo", "pipefail", "-c", script]
    file = folder / ("example.py" if language == "python" else "example.mjs")
    file.write_text(script, encoding="utf-8")
    return [sys.executable if language == "python" else "node", str(file)]
