"""Every other Python that there is: the standard library as the core, the command line and training's checks use it.

The suite itself runs under one Python; each of the others has an environment of its own (`tests.environments`).
"""

from __future__ import annotations

import os
import re

import pytest

from tests.environments import OTHER_PYTHONS, python_of, run_pytest

EVERYWHERE = (
    "tests/test_request.py",
    "tests/test_pipeline.py",
    "tests/test_one_file.py",
    "tests/test_report.py",
    "tests/test_commands.py",
    "tests/test_imports.py",
    "tests/pictures/test_bad_files.py",
    "tests/pictures/test_modes.py",
    "tests/pictures/test_writing.py",
    "tests/jobs/test_parts.py",
    "tests/training/dataset/test_check.py",
    "tests/training/captioning/test_captions.py",
    "tests/training/dataset/test_buckets.py",
)

NEWEST = (
    "tests/faults/test_pipeline.py",
    "tests/pictures",
    "tests/test_masks.py",
    "tests/test_preserve.py",
    "tests/test_retouch.py",
    "tests/finding/test_lite.py",
)
"""What computes with numpy, OpenCV and Pillow, the lite finder with its real weights among it: only where these are the
newest. The suite's own are the last ones for Python 3.10, and the Pythons between have the newest as well."""

NOT_THE_LARGEST = ("-k", "not retina and not any_size")
"""The largest photograph of the retouch's eight, and sizes up to the largest, say no more about a package's version
than the others."""


@pytest.mark.parametrize("python", OTHER_PYTHONS)
def test_the_core_works_under_every_python(python: str) -> None:
    """With the newest packages that this Python can have. In CI every Python is to be there."""
    environment = OTHER_PYTHONS[python]
    _, reason = python_of(environment)
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    is_newest = python == max(OTHER_PYTHONS, key=lambda version: int(version.split(".")[1]))
    done = run_pytest(environment, (*EVERYWHERE, *NEWEST, *NOT_THE_LARGEST) if is_newest else EVERYWHERE)
    closing = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr
    print(f"Python {python}: {closing}")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert int(re.findall(r"(\d+) passed", closing)[0]) > (800 if is_newest else 400)
