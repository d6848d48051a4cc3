"""What it costs to have Prodshot about: importing it, its command line, and a WebUI's start with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.measure import Ratio, compare
from lib_prodshot.bootstrap import ROOT, is_whole
from tests.environments import A1111_PINS

BARE = "import sys"
VERSION = """
import sys
sys.argv = ["prodshot", "--version"]
from lib_prodshot.cli import main
try:
    main()
except SystemExit:
    pass
"""
WEBUI = "import gradio, fastapi, numpy, PIL.Image"
WITH_DOOR = f"""{WEBUI}
import sys, importlib.util
sys.path.insert(0, "tests/double")
spec = importlib.util.spec_from_file_location("prodshot.py", "scripts/prodshot.py")
door = importlib.util.module_from_spec(spec)
spec.loader.exec_module(door)
for is_img2img in (False, True):
    for script in (door.ProdshotAccordion(), door.ProdshotScript()):
        with gradio.Blocks():
            script.tabname = "img2img" if is_img2img else "txt2img"
            script.ui(is_img2img)
"""
"""The door with all four panels drawn, as a WebUI does when it starts."""


def imports(rounds: int) -> Iterator[Ratio]:
    """New processes, on the clock of their children."""
    yield _processes("`import lib_prodshot`", "import lib_prodshot", "a bare Python", BARE, rounds)
    yield _processes("`prodshot --version`", VERSION, "a bare Python", BARE, rounds)


def webui_start(rounds: int) -> Iterator[Ratio]:
    """Against what every WebUI loads anyway, under AUTOMATIC1111's pins; left out where these are not installed."""
    if is_whole(A1111_PINS):
        name, python = "a WebUI's start: door and four panels", str(A1111_PINS.interpreter())
        yield _processes(name, WITH_DOOR, "gradio, FastAPI, NumPy and Pillow", WEBUI, rounds, python)


def _processes(name: str, ours: str, against: str, theirs: str, rounds: int, python: str = sys.executable) -> Ratio:
    def start(code: str) -> None:
        subprocess.run([python, "-c", code], cwd=ROOT, check=True, capture_output=True)

    return compare(name, lambda: start(ours), against, lambda: start(theirs), rounds, times=3, clock=_children)


def _children() -> float:
    spent = os.times()
    return spent.children_user + spent.children_system
