"""What we run inside a WebUI, under what the WebUIs pin: old Pillow, numpy, scikit-image; gradio, pydantic and
transformers old and new.

Each set of pins is an environment of its own (`tests.environments`), so these tests start its Python: one pytest for
panel and routes with the core, one for what is made of torch and transformers. What the two sets of pins have in
common, and tests marked `any_host`, run under one of them.
"""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.environments import PINS, python_of, run_pytest

PANEL_AND_ROUTES = ("tests/api", "tests/panel", "tests/hosts", "tests/faults/test_pipeline.py")
"""gradio 3.41.2 with pydantic 1, and gradio 4.40.0 with pydantic 2."""

REQUESTS = ("tests/test_request.py", "tests/test_pipeline.py", "tests/test_one_file.py", "tests/test_report.py")
"""The core as far as pydantic is in it."""

PICTURES = ("tests/pictures", "tests/test_masks.py", "tests/test_preserve.py")
"""The core as far as it is numpy, Pillow and OpenCV, of which both sets of pins have the same."""

LANGSAM = (
    "tests/finding/test_classes.py",
    "tests/finding/test_fast_deformable.py",
    "tests/finding/test_fast_attention.py",
    "tests/finding/test_fast_layers.py",
    "tests/finding/test_groundingdino.py",
    "tests/finding/test_sam.py",
    "tests/finding/test_precision.py",
    "tests/finding/test_hf.py",
    "tests/finding/test_protocol.py",
    "tests/finding/test_snapshots.py",
)
BLIP = ("tests/training/captioning/test_captioners.py",)
"""transformers 4.30.2 (AUTOMATIC1111) and 4.57.6 (Forge), same sums."""

ONLY_FORGES = ("tests/finding/test_newer.py", "-k", "not lite and not (test_protocol and (groundingdino or 0.1))")
LITE_IN_SHORT = ("-k", "not lite or test_lite_finder or test_boxes_and_masks")
"""The lite finder uses nothing of what the pins differ in; whole it is tested in the suite's own environment. Nor has
the package's GroundingDINO more than its text encoder from transformers: behind the interface it is tested once, and so
is lang-sam 0.1, which is built on it."""

SUITES = {
    ("a1111", "panel and routes"): (1400, (*PANEL_AND_ROUTES, *REQUESTS, *PICTURES)),
    ("forge", "panel and routes"): (1250, (*PANEL_AND_ROUTES, *REQUESTS)),
    ("a1111", "models"): (224, (*LANGSAM, *BLIP, *LITE_IN_SHORT)),
    ("forge", "models"): (100, (*LANGSAM, *BLIP, *ONLY_FORGES)),
}
"""How many tests must have passed (or it skipped itself), and which. transformers' GroundingDINO is Forge's only."""

VERSIONS = """
import importlib.metadata as m
for name in ("numpy", "Pillow", "transformers", "pydantic", "torch", "torchvision"): print(name, m.version(name))
"""
"""As installed; that they work together, torchvision's own operators with this torch too, the suites show."""


@pytest.mark.parametrize(("pins", "suite"), SUITES)
def test_it_works_under_the_pins(pins: str, suite: str) -> None:
    _, reason = python_of(PINS[pins])
    if reason:
        pytest.skip(reason)
    least, arguments = SUITES[pins, suite]
    done = run_pytest(PINS[pins], arguments, without=("once",) if pins == "a1111" else ("once", "any_host"))
    closing = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr
    print(f"{pins}, {suite}: {closing}")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert int(re.findall(r"(\d+) passed", closing)[0]) >= least
    assert not re.findall(rf"^SKIPPED.*{BLIP[0]}.*", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("pins", PINS)
def test_the_environment_holds_the_pins_and_the_shared_torch(pins: str) -> None:
    python, reason = python_of(PINS[pins])
    if python is None:
        pytest.skip(reason)
    said = subprocess.run([str(python), "-c", VERSIONS], capture_output=True, text=True, check=True).stdout
    versions = dict(line.rsplit(" ", 1) for line in said.strip().splitlines())
    assert versions["numpy"] == "1.26.2"
    assert versions["Pillow"] == "9.5.0"
    assert versions["torch"].startswith("2.14.1")
    assert versions["torchvision"].startswith("0.29.1")
    assert versions["transformers"] == {"a1111": "4.30.2", "forge": "4.57.6"}[pins]
    assert versions["pydantic"].split(".")[0] == {"a1111": "1", "forge": "2"}[pins]
