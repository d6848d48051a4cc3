"""The lite finder: small models that registry packages ship, a closed vocabulary, no torch, no network once fetched."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from lib_prodshot.finding.finder import Backend, Finder


def _lacking(models_dir: Path | None) -> Sequence[str]:
    """One sentence for each thing that is missing here; only looks."""
    from lib_prodshot.weights import look_for, select

    said = []
    if find_spec("onnxruntime") is None:
        said.append("The package onnxruntime is missing: pip install onnxruntime.")
    missing = [entry for entry in select(["lite"]) if look_for(entry, models_dir).path is None]
    if missing:
        names = ", ".join(entry.file for entry in missing)
        said.append(f"Its weights are missing ({names}): run prodshot weights fetch lite.")
    return said


def _load(models_dir: Path | None) -> Finder:
    """Build the finder; the models themselves load with the first picture. Raises `WeightsError`."""
    from lib_prodshot.finding.lite.detector import LiteDetector
    from lib_prodshot.finding.lite.features import Models
    from lib_prodshot.finding.lite.segmenter import LiteSegmenter
    from lib_prodshot.weights import require

    models = Models(
        coco=require("lite-coco", models_dir),
        openimages=require("lite-openimages", models_dir),
        classes=require("lite-classifier", models_dir),
        salient=require("lite-saliency", models_dir),
    )
    return Finder("lite", LiteDetector(models), LiteSegmenter(models))


BACKEND = Backend("lite", _lacking, _load)
