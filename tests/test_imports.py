"""What an import costs: the core loads nothing heavy until it is used. Who may import whom: `test_import_graph`."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from lib_prodshot.cli import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "gradio", "fastapi", "onnxruntime", "cv2", "transformers", "skimage", "PIL", "numpy", "modules"}
RUNS = 7


def in_clean_interpreter(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_the_package_loads_nothing_heavy() -> None:
    code = "import sys, json, lib_prodshot; print(json.dumps([name.split('.')[0] for name in sys.modules]))"
    assert not HEAVY & set(json.loads(in_clean_interpreter(code)))


def test_the_package_costs_under_50_ms() -> None:
    """Process time, not wall time, so that a busy machine does not decide; the median of some runs."""
    code = "import time; start = time.process_time(); import lib_prodshot; print(time.process_time() - start)"
    spent = statistics.median(float(in_clean_interpreter(code)) for _ in range(RUNS))
    print(f"import lib_prodshot: {spent * 1000:.1f} ms of processor time")
    assert spent < 0.050


@pytest.mark.parametrize(
    "room", ["request", "outcome", "pipeline", "finding.registry", "weights", "control", "jobs.processor", "cli"]
)
def test_no_core_room_loads_torch_or_a_web_framework(room: str) -> None:
    code = f"import sys, json, lib_prodshot.{room}; print(json.dumps([n.split('.')[0] for n in sys.modules]))"
    loaded = set(json.loads(in_clean_interpreter(code)))
    assert not loaded & {"torch", "transformers", "gradio", "fastapi", "onnxruntime", "modules"}


def test_the_command_line_answers_without_what_only_pictures_need() -> None:
    code = "import sys, json, lib_prodshot.cli; lib_prodshot.cli.build_parser(); print(json.dumps([*sys.modules]))"
    loaded = {name.split(".")[0] for name in json.loads(in_clean_interpreter(code))}
    assert not loaded & HEAVY


@pytest.mark.parametrize(
    ("line", "rooms"), [("--version", set()), ("weights list", {"weights"}), ("doctor", {"doctor"})]
)
def test_a_command_line_loads_the_room_of_its_command_alone(line: str, rooms: set[str]) -> None:
    build = f"import sys, json, lib_prodshot.cli as cli; cli.build_parser({line.split()!r})"
    code = f"{build}; print(json.dumps([*sys.modules]))"
    loaded = set(json.loads(in_clean_interpreter(code)))
    assert {name for name in COMMANDS if f"lib_prodshot.commands.{name}" in loaded} == rooms
    assert "pydantic" not in loaded
