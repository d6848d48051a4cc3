"""The lite finder: small ONNX models with a closed vocabulary; needs no torch, and no network once they are fetched."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from lib_prodshot.errors import as_typed, pip_install
from lib_prodshot.finding.finder import Backend, Finder


def _missing_requirements(models_dir: Path | None) -> Sequence[str]:
    """One sentence for each missing package or file; loads nothing."""
    from lib_prodshot.weights import look_for, select

    sentences = []
    if find_spec("onnxruntime") is None:
        sentences.append(f"The package onnxruntime is missing: {pip_install('onnxruntime')}.")
    missing = [entry for entry in select(["lite"]) if look_for(entry, models_dir).path is None]
    if missing:
        names = ", ".join(entry.file for entry in missing)
        sentences.append(f"Its weights are missing ({names}): run {as_typed('weights fetch lite')}.")
    return sentences


def _load(models_dir: Path | None) -> Finder:
    """Build the finder; the models themselves load with the first picture. Raises `WeightsError`."""
    from lib_prodshot.finding.lite.detector import LiteDetector
    from lib_prodshot.finding.lite.features import FeatureExtractor
    from lib_prodshot.finding.lite.segmenter import LiteSegmenter
    from lib_prodshot.weights import models_of, require

    names = ("lite-coco", "lite-openimages", "lite-classifier", "lite-saliency")
    coco, openimages, classifier, saliency = files = [require(name, models_dir) for name in names]
    extractor = FeatureExtractor(coco=coco, openimages=openimages, classifier=classifier, saliency=saliency)
    weights = models_of(files)
    return Finder("lite", LiteDetector(extractor), LiteSegmenter(extractor), weights=weights)


BACKEND = Backend("lite", _missing_requirements, _load)
