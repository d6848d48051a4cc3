"""The examples of docs/api.md, and how one is run as it stands there: only the address is another."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from lib_prodshot.bootstrap import ROOT

TEXT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```(sh|python|js)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
IDS = [f"{language}-{number}" for number, (language, _) in enumerate(EXAMPLES)]
ADDRESS = "http://127.0.0.1:7860"
PROGRAMS = {"sh": ("bash", "curl", "jq", "base64"), "python": (), "js": ("node",)}


def absent(language: str) -> str:
    """The programs that an example needs and this machine lacks."""
    return ", ".join(program for program in PROGRAMS[language] if shutil.which(program) is None)


def run(language: str, script: str, folder: Path, seconds: float) -> str:
    """What an example prints, run in the folder of its pictures; fails when it fails."""
    done = subprocess.run(
        _command(language, script, folder),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _command(language: str, script: str, folder: Path) -> list[str]:
    if language == "sh":
        return ["bash", "-euo", "pipefail", "-c", script]
    file = folder / ("example.py" if language == "python" else "example.mjs")
    file.write_text(script, encoding="utf-8")
    return [sys.executable if language == "python" else "node", str(file)]
