"""Core, panel and routes under what the WebUIs pin: old Pillow, numpy, scikit-image; gradio and pydantic old and new.

Each set of pins is an environment of its own (`tests.environments`), so these tests start its Python.
"""

from __future__ import annotations

import re

import pytest

from tests.environments import PINS, python_of, run_pytest

CORE = (
    "tests/test_request.py",
    "tests/pictures",
    "tests/test_masks.py",
    "tests/test_preserve.py",
    "tests/test_pipeline.py",
    "tests/test_one_file.py",
    "tests/test_report.py",
)

WEBUI = ("tests/api", "tests/panel", "tests/hosts", "tests/faults/test_pipeline.py")

VERSIONS = """
import importlib.metadata as m
for name in ("numpy", "Pillow", "transformers", "pydantic", "torch", "torchvision"): print(name, m.version(name))
import torch, torchvision.ops
print("boxes kept", torchvision.ops.nms(torch.tensor([[0., 0., 9., 9.], [0., 0., 9., 8.]]), torch.ones(2), 0.5).numel())
"""


@pytest.mark.parametrize("pins", PINS)
def test_panel_and_routes_work_under_the_pins(pins: str) -> None:
    """Under gradio 3.41.2 with pydantic 1 and gradio 4.40.0 with pydantic 2."""
    assert passed_under(pins, WEBUI) > 500


@pytest.mark.parametrize("pins", PINS)
def test_the_core_works_under_the_pins(pins: str) -> None:
    assert passed_under(pins, CORE) > 300


def passed_under(pins: str, paths: tuple[str, ...]) -> int:
    """How many of our tests in `paths` pass with the Python of these pins; any that fails fails this one."""
    _, reason = python_of(PINS[pins])
    if reason:
        pytest.skip(reason)
    done = run_pytest(PINS[pins], paths)
    closing = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr
    print(f"{pins}: {closing}")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return int(re.findall(r"(\d+) passed", closing)[0])


@pytest.mark.parametrize("pins", PINS)
def test_the_environment_holds_the_pins_and_the_shared_torch(pins: str) -> None:
    import subprocess

    python, reason = python_of(PINS[pins])
    if python is None:
        pytest.skip(reason)
    said = subprocess.run([str(python), "-c", VERSIONS], capture_output=True, text=True, check=True).stdout
    versions = dict(line.rsplit(" ", 1) for line in said.strip().splitlines())
    assert versions["numpy"] == "1.26.2"
    assert versions["Pillow"] == "9.5.0"
    assert versions["boxes kept"] == "1"
    assert versions["torchvision"].startswith("0.29.1")
    assert versions["transformers"] == {"a1111": "4.30.2", "forge": "4.57.6"}[pins]
    assert versions["pydantic"].split(".")[0] == {"a1111": "1", "forge": "2"}[pins]
