"""`prodshot doctor`: what is installed, which finders can run here, what each lacks and how to get it."""

from __future__ import annotations

import argparse
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lib_prodshot import __version__, weights
from lib_prodshot.errors import FinderUnavailable

PACKAGES = (
    ("needed", ("numpy", "opencv-python-headless", "pillow", "pydantic", "scikit-image", "simplejpeg", "tqdm")),
    ("lite finder", ("onnxruntime",)),
    ("text gate", ("rapidocr", "shapely", "pyclipper", "omegaconf")),
    ("LangSAM", ("torch", "torchvision", "transformers", "groundingdino-py", "segment-anything")),
)

# other builds of one library, any of which will do
ALTERNATIVES = {
    "opencv-python-headless": ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless"),
    "groundingdino-py": ("rf-groundingdino",),
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime-directml"),
}


def add_parser(subparsers: Any) -> None:
    """Describe the command."""
    parser = subparsers.add_parser("doctor", help="say what is installed, which finders can run, and what they lack")
    parser.add_argument("--models-dir", type=Path, help="look for weights here first (also: PRODSHOT_MODELS)")
    parser.add_argument("--selftest", action="store_true", help="look at known photographs and compare the verdicts")
    parser.add_argument("--finder", default="auto", metavar="NAME", help="with --selftest; default: %(default)s")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; exit code 1 when no finder can run here, or the self-test finds a wrong verdict."""
    print(f"prodshot {__version__} on Python {platform.python_version()}, {platform.platform()}")
    print(f"this Python: {sys.executable}")
    for purpose, packages in PACKAGES:
        print(f"packages, {purpose}: {', '.join(f'{name} {installed(name)}' for name in packages)}")
    print(f"weights are looked for in: {', '.join(map(str, weights.search_folders(arguments.models_dir)))}")
    code = _finders(arguments.models_dir)
    return _selftest(arguments.finder, arguments.models_dir) if arguments.selftest else code


def _finders(models_dir: Path | None) -> int:
    from lib_prodshot.finding.registry import backends, choose

    for backend in backends():
        lacking = list(backend.missing_requirements(models_dir))
        print(f"finder {backend.name}: {'ready' if not lacking else 'not ready'}")
        for sentence in lacking:
            print(f"  - {sentence}")
        if backend.describe is not None and (told := backend.describe(models_dir)):
            print(f"  {told}")
    try:
        print(f"--finder auto: {choose('auto', models_dir).reason}")
    except FinderUnavailable as error:
        print(f"--finder auto: {error}")
        return 1
    return 0


def installed(package: str) -> str:
    """The installed version of a package or of another build of it; 'missing' without."""
    for name in (package, *ALTERNATIVES.get(package, ())):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "missing"


def _selftest(finder: str, models_dir: Path | None) -> int:
    """Look for the demo's products in its photographs, those that scikit-image ships, and compare the verdicts.

    Raises `FinderUnavailable` when that finder cannot run here, `PictureError` without the photographs.
    """
    from lib_prodshot.commands.demo import PHOTOGRAPHS, PRODUCTS, find_photographs
    from lib_prodshot.finding.registry import load_finder
    from lib_prodshot.jobs.processor import PictureProcessor
    from lib_prodshot.request import Request

    processor = PictureProcessor(Request(products=PRODUCTS), load_finder(finder, models_dir))
    print(f"self-test of the finder {processor.finder.name}: {PRODUCTS}")
    wrong = 0
    for photograph in find_photographs():
        outcome = processor.detect(photograph)
        expected = PHOTOGRAPHS[photograph.name]
        right = outcome.status == expected
        wrong += not right
        told = "right" if right else f"WRONG, it should be {expected}"
        print(f"  {photograph.name:20} {outcome.status:8} {told} ({outcome.verdict.reason})")
    print(f"self-test: {f'{wrong} of {len(PHOTOGRAPHS)} verdicts are wrong' if wrong else 'all verdicts are right'}")
    return 1 if wrong else 0
