"""The core, the lite finder, the command line's faults and training's checks under every other Python that there is.

The suite itself runs under one Python; each of the others has an environment of its own (`tests.environments`).
"""

from __future__ import annotations

import os
import re

import pytest

from tests.environments import OTHER_PYTHONS, python_of, run_pytest

PATHS = (
    "tests/test_request.py",
    "tests/pictures",
    "tests/test_masks.py",
    "tests/test_preserve.py",
    "tests/test_pipeline.py",
    "tests/test_one_file.py",
    "tests/test_report.py",
    "tests/test_retouch.py",
    "tests/test_commands.py",
    "tests/test_imports.py",
    "tests/finding/test_lite.py",
    "tests/jobs/test_parts.py",
    "tests/training/test_check.py",
    "tests/training/test_captions.py",
    "tests/training/test_buckets.py",
    "tests/faults/test_pipeline.py",
)


@pytest.mark.parametrize("python", OTHER_PYTHONS)
def test_the_core_works_under_every_python(python: str) -> None:
    """With the newest packages that this Python can have. In CI every Python is to be there."""
    environment = OTHER_PYTHONS[python]
    _, reason = python_of(environment)
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    done = run_pytest(environment, PATHS)
    closing = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr
    print(f"Python {python}: {closing}")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert int(re.findall(r"(\d+) passed", closing)[0]) > 600
