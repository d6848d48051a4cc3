"""Run by the WebUI at each start: brings what finders, training, gates and reading need. Standard library only.

Promises (tests/test_install.py): nothing missing → no network and under 300 ms; every package by an
exact version with --no-deps, so none of the WebUI's own packages is moved; no compiler; never torch, transformers,
numpy, Pillow, gradio, pydantic or opencv. A failure prints what is missing and how to get it, and the WebUI starts all
the same with that finder marked unavailable, or text not checked.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distributions, version
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True)
class Package:
    """One package that we import: its name and version on the index, and the module that shows it is there.

    `brings` are its own needs, installed with it where they are missing and left alone where it is there already.
    """

    name: str
    version: str
    module: str
    brings: tuple[Package, ...] = ()


# Every version here runs on Python 3.10 to 3.13 with numpy 1.26 and 2.x. supervision and pycocotools are never
# imported by us: they are here because groundingdino-py declares them, so that `pip check` stays as clean as it was.
LITE = (
    Package(
        "onnxruntime",
        "1.23.2",
        "onnxruntime",
        brings=(
            Package("flatbuffers", "24.3.25", "flatbuffers"),
            Package("humanfriendly", "10.0", "humanfriendly"),
            Package("coloredlogs", "15.0.1", "coloredlogs"),
        ),
    ),
)
JPEG = (Package("simplejpeg", "1.9.0", "simplejpeg"),)
"""Tells a garbled JPEG from a good one."""
YAPF_NEEDS = (
    Package("platformdirs", "4.3.6", "platformdirs"),
    *((Package("tomli", "2.0.2", "tomli"),) if sys.version_info < (3, 11) else ()),
)
LANGSAM = (
    Package("addict", "2.4.0", "addict"),
    Package("yapf", "0.43.0", "yapf", brings=YAPF_NEEDS),
    Package("timm", "0.9.5", "timm"),
    Package(
        "groundingdino-py",
        "0.4.0",
        "groundingdino",
        brings=(Package("pycocotools", "2.0.10", "pycocotools"), Package("supervision", "0.6.0", "supervision")),
    ),
    Package("segment-anything", "1.0", "segment_anything"),
)
TRAIN = (
    Package("ImageHash", "4.3.2", "imagehash", brings=(Package("PyWavelets", "1.8.0", "pywt"),)),
    Package("psutil", "5.9.5", "psutil"),
    Package("tomli-w", "1.2.0", "tomli_w"),
    *((Package("tomli", "2.0.2", "tomli"),) if sys.version_info < (3, 11) else ()),
)
"""For the training tab alone: sd-scripts has an environment of its own."""
TEXT = (
    Package(
        "rapidocr",
        "3.10.0",
        "rapidocr",
        brings=(
            Package("shapely", "2.1.2", "shapely"),
            Package("pyclipper", "1.4.0", "pyclipper"),
            *((Package("colorama", "0.4.6", "colorama"),) if sys.platform == "win32" else ()),
            Package("colorlog", "6.9.0", "colorlog"),
            Package("PyYAML", "6.0.2", "yaml"),
            Package("omegaconf", "2.4.0", "omegaconf"),
            Package("six", "1.17.0", "six"),
        ),
    ),
)
"""The gates' text reader. It asks for opencv-python-headless besides, which would overwrite the WebUI's own cv2."""

FIRST_BROKEN_TRANSFORMERS = 5
"""transformers 5.0.0 took away what groundingdino-py calls; there the finder runs on transformers' own models."""


def wanted() -> tuple[Package, ...]:
    """The packages that this WebUI needs."""
    try:
        major = int(version("transformers").split(".")[0])
    except (PackageNotFoundError, ValueError):
        return (*LITE, *TRAIN)
    return (*LITE, *TRAIN) if major >= FIRST_BROKEN_TRANSFORMERS else (*LITE, *LANGSAM, *TRAIN)


def missing(packages: tuple[Package, ...]) -> tuple[Package, ...]:
    """Those that cannot be imported here, each after its own missing needs; nothing is imported to find out.

    Whichever version the WebUI or another extension chose is good.
    """
    lacking = [package for package in packages if find_spec(package.module) is None]
    return tuple(found for package in lacking for found in (*missing(package.brings), package))


def install(packages: tuple[Package, ...]) -> str:
    """Install exact versions without their dependencies; the empty text, or why it did not work.

    What is installed already is handed to pip as constraints: even a package whose metadata asked for another
    version could not move it.
    """
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("".join(f"{line}\n" for line in installed()), encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--no-deps",
            "--prefer-binary",
            "--disable-pip-version-check",
        ]
        command += ["--quiet", "--constraint", str(constraints), *index_options()]
        command += [f"{package.name}=={package.version}" for package in packages]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else last_error(done.stderr)


def installed() -> list[str]:
    """name==version of everything in this environment that the index could also have."""
    found = {entry.metadata["Name"]: entry.version for entry in distributions()}
    # a local version (2.1.2+cu121) stands on no index; pip takes the public part for equal
    return sorted(f"{name}=={number.split('+')[0]}" for name, number in found.items() if name and number)


def index_options() -> list[str]:
    """The package index that the WebUI's own installer was told to use (its INDEX_URL)."""
    index = os.environ.get("INDEX_URL", "")
    return ["--index-url", index] if index else []


def last_error(text: str) -> str:
    """The last line in which pip says ERROR, or its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["pip gave no reason"])[-1]


def main() -> None:
    """Install what is missing; never raise, so that the WebUI starts whatever happens here."""
    # by themselves: a platform for which one of these has no build still gets its finder
    for packages in (wanted(), JPEG, TEXT):
        bring(packages)


def bring(packages: tuple[Package, ...]) -> None:
    """Install those of these packages that are missing, and say what came of it."""
    lacking = missing(packages)
    if not lacking:
        return
    names = " ".join(f"{package.name}=={package.version}" for package in lacking)
    print(f"Prodshot: installing {names}")
    try:
        reason = install(lacking)
    except OSError as error:
        reason = str(error)
    # each brings its own needs along again, and those are in the list already
    still = tuple(dict.fromkeys(missing(lacking)))
    if not still:
        print("Prodshot: installed; no other package was changed")
        return
    again = " ".join(f"{package.name}=={package.version}" for package in still)
    print(f"Prodshot: could not install {', '.join(package.name for package in still)}: {reason}")
    print(f"Prodshot: the WebUI works without; to try by hand: {sys.executable} -m pip install --no-deps {again}")


if __name__ == "__main__":
    main()
