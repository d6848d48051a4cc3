"""The environments of the test suite. Standard library only: `python3 -m tests` reads this on a bare machine.

`TESTS` runs the suite. `A1111_HOST` and `FORGE_HOST` hold what a WebUI pins (the versions of its
requirements_versions.txt), both on one torch, installed once; `A1111_PINS` and `FORGE_PINS` have what install.py brings
as well, for tests that start a Python of theirs. `OTHER_PYTHONS` hold what `pip install '.[lite,train]'` brings on each
Python that the suite itself does not run on.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import install
from lib_prodshot.bootstrap import ROOT, Environment, clean_variables, find_python, is_whole

PINS_PYTHONS = ("3.11", "3.10")
"""transformers 4.30.2 needs tokenizers 0.13, which has no build for a newer Python."""

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
"""Every Python that Prodshot runs on."""

_PINS_PYTHON = find_python(PINS_PYTHONS)
_THIS_PYTHON = "{}.{}".format(*sys.version_info[:2])

UV = Environment("uv", requirements=("uv>=0.9",))
"""Installs the packages of the others: eight environments by pip are minutes of processor time."""

TORCH = Environment(
    "torch",
    requirements=("torch==2.14.1",),
    # alone, for its numpy and Pillow would stand behind every set of pins
    alone=("torchvision==0.29.1",),
    python=_PINS_PYTHON or sys.executable,
)

_SHARES_TORCH = sys.executable == _PINS_PYTHON

TESTS = Environment(
    "tests",
    extras=("lite", "text", "train", "cluster", "storage", "test"),
    requirements=(
        # a server that speaks S3
        "moto[s3]>=5",
        "flask",
        "flask-cors",
        # the last numpy for Python 3.10, which mypy checks for: it cannot read the type hints of newer ones
        "numpy<2.3",
        # independent readers and writers of pictures; Prodshot itself uses none of the three but pillow-heif, an extra
        "imagecodecs>=2025.3.30",
        "pillow-heif>=1",
        "tifffile>=2025.3.30",
    ),
    layers=(TORCH,) if _SHARES_TORCH else (),
)

OTHER_PYTHONS = {
    version: Environment(
        f"python-{version}",
        extras=("lite", "train"),
        requirements=("pytest>=8", "hypothesis>=6"),
        python=find_python((version,)) or "",
    )
    for version in PYTHONS
    if version != _THIS_PYTHON
}
"""By version. Nothing is held back: each has the newest packages that its Python can have, as a user's has."""

_RUNNER = ("pytest>=8", "hypothesis>=6", "tqdm>=4.66")
_CLIENTS = ("httpx==0.24.1", "requests", "webuiapi==0.9.17", "jsonschema", "playwright", "axe-playwright-python==0.1.8")
"""What speaks to our routes and pages in the tests of `tests/api` and `tests/panel`."""

A1111_HOST = Environment(
    "a1111-host",
    requirements=(
        "numpy==1.26.2",
        "Pillow==9.5.0",
        "transformers==4.30.2",
        "safetensors==0.4.2",
        "gradio==3.41.2",
        "fastapi==0.94.0",
        "pydantic<2",
        "protobuf==3.20.0",
        "scikit-image==0.21.0",
        "opencv-python<4.12",
        "httpx==0.24.1",
    ),
    layers=(TORCH,),
    python=_PINS_PYTHON or sys.executable,
)

FORGE_HOST = Environment(
    "forge-host",
    requirements=(
        "numpy==1.26.2",
        "Pillow==9.5.0",
        "transformers==4.57.6",
        "gradio==4.40.0",
        "fastapi==0.104.1",
        "pydantic==2.8.2",
        "protobuf==3.20.0",
        "scikit-image==0.21.0",
        "opencv-python<4.12",
        "httpx==0.24.1",
    ),
    layers=(TORCH,),
    python=_PINS_PYTHON or sys.executable,
)

HOSTS = {"a1111": A1111_HOST, "forge": FORGE_HOST}
"""What a WebUI brings before Prodshot is installed into it."""


_BROUGHT = (*install.LITE, *install.JPEG, *install.LANGSAM, *install.TRAIN, *install.TEXT)


def _with_prodshot(name: str, host: Environment) -> Environment:
    """A host's environment after install.py has run in it, and what our tests need.

    Not laid over the host's: uv does not see that a layer has a package, and would lay a newer one over the pinned.
    """
    brought = tuple(f"{package.name}=={package.version}" for package in _everything(_BROUGHT))
    requirements = (*host.requirements, *_RUNNER, *_CLIENTS)
    return Environment(name, requirements=requirements, alone=brought, layers=host.layers, python=host.python)


def _everything(packages: Sequence[install.Package]) -> list[install.Package]:
    return [item for package in packages for item in (*_everything(package.brings), package)]


A1111_PINS = _with_prodshot("a1111-pins", A1111_HOST)
FORGE_PINS = _with_prodshot("forge-pins", FORGE_HOST)

PINS = {"a1111": A1111_PINS, "forge": FORGE_PINS}


def why_no_pins() -> str:
    """Why this machine cannot make the environments with pins; empty when it can."""
    if _PINS_PYTHON is None:
        return f"no Python {' or '.join(PINS_PYTHONS)} on this machine; this is Python {_THIS_PYTHON}"
    return ""


def run_pytest(
    environment: Environment, arguments: Sequence[str], without: Sequence[str] = ("once",)
) -> subprocess.CompletedProcess[str]:
    """Run pytest on some of our tests, less those with these marks, with the environment's Python, which must stand."""
    options = ("-q", "-p", "no:cacheprovider", "-m", " and ".join(f"not {mark}" for mark in without))
    command = [str(environment.interpreter()), "-m", "pytest", *options, *arguments]
    return subprocess.run(command, cwd=ROOT, env=clean_variables(), capture_output=True, text=True, check=False)


def python_of(environment: Environment) -> tuple[Path | None, str]:
    """The environment's Python, or None and the reason why there is none."""
    if not environment.python:
        return None, f"no Python {environment.name.removeprefix('python-')} on this machine"
    if why_no_pins() and environment in (TORCH, *HOSTS.values(), *PINS.values()):
        return None, why_no_pins()
    if not is_whole(environment):
        return None, f"the environment {environment.name} does not stand; python3 -m tests makes it"
    return environment.interpreter(ROOT), ""
