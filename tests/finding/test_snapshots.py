"""What each model architecture gives on a fixed input: one committed snapshot, held by every implementation of it.

The lite finder's networks have their real weights, GroundingDINO and Segment Anything tiny random ones.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lib_prodshot.finding.finder import Finder
from lib_prodshot.finding.interface import Box
from lib_prodshot.finding.lite.cropping import crop, full_box
from lib_prodshot.finding.lite.networks import classifier, ssd
from lib_prodshot.finding.lite.networks.onnx_model import OnnxModel
from lib_prodshot.finding.lite.networks.saliency import saliency_map
from lib_prodshot.pictures import read
from lib_prodshot.request import parse_products
from tests import snapshots
from tests.finding import tiny

PRODUCTS = "coffee cup, motorcycle, handbag"
PROMPT = (20.0, 30.0, 200.0, 250.0)
EXACT = 0.002
"""Tolerance of the random models: their implementations and transformers 4.30 to 4.57 agree to 1e-3."""


def photograph(name: str) -> npt.NDArray[np.uint8]:
    """One of the free photographs that scikit-image brings, H×W×3 uint8 RGB."""
    return read(Path(pytest.importorskip("skimage.data").__file__).parent / name).rgb


@pytest.mark.parametrize("name", ["coffee", "motorcycle_left"])
def test_lite_finder(lite_finder: Finder, name: str) -> None:
    findings = lite_finder.find(photograph(f"{name}.png"), parse_products(PRODUCTS))
    values: dict[str, Any] = {"best scores": list(findings.best_scores)}
    for number, find in enumerate(findings.finds):
        values[f"box {number}"] = [find.box.class_index, find.box.score, *find.box.corners]
        values[f"mask {number}"] = snapshots.cells(find.soft_mask)
    assert findings.finds
    snapshots.check(f"lite_{name}", values)


@pytest.mark.parametrize("weights", ["ssdlite_mobilenetv2_coco", "ssd_mobilenetv2_openimages"])
def test_lite_ssd(models_dir: Path, weights: str) -> None:
    picture = photograph("coffee.png")
    (raw,) = ssd.detect(OnnxModel(models_dir / f"{weights}.onnx"), [crop(picture, full_box(picture), ssd.SIDE)])
    row, column = np.unravel_index(raw.scores.argmax(), raw.scores.shape)
    best = {"anchor": int(row), "class": int(column), "score": float(raw.scores.max())}
    values = {**best, "corners": raw.corners[row].tolist(), "all corners": snapshots.cells(raw.corners)}
    snapshots.check(weights, {**values, "sum of scores": float(raw.scores.sum())}, EXACT)


def test_lite_classifier(models_dir: Path) -> None:
    picture = photograph("coffee.png")
    model = OnnxModel(models_dir / "efficientnet_lite2.onnx")
    (probabilities,) = classifier.classify(model, [crop(picture, full_box(picture), classifier.SIDE)])
    best = probabilities.argsort()[::-1][:3]
    values = {"classes": best.tolist(), "probabilities": probabilities[best].tolist()}
    snapshots.check("efficientnet_lite2", values)


def test_lite_saliency(models_dir: Path) -> None:
    found = saliency_map(OnnxModel(models_dir / "u2netp.onnx"), photograph("coffee.png"))
    snapshots.check("u2netp", {"saliency": snapshots.cells(found)}, EXACT)


def implementation(name: str) -> ModuleType:
    """A LangSAM implementation's module, where its packages are."""
    pytest.importorskip("torch")
    from lib_prodshot.finding.langsam import groundingdino, huggingface, segment_anything

    module = {"groundingdino": groundingdino, "segment_anything": segment_anything, "huggingface": huggingface}[name]
    if module.missing_requirement():
        pytest.skip(module.missing_requirement())
    return module


@pytest.mark.parametrize("reference", [True, False], ids=["reference", "fast"])
@pytest.mark.parametrize("name", ["groundingdino", "huggingface"])
def test_grounding_dino(detector_file: Path, vocabulary: Path, name: str, reference: bool) -> None:
    from tests.finding.tiny_files import look

    module = implementation(name)
    load: Callable[..., Any] = module.load if name == "groundingdino" else module.load_detector
    logits, boxes = look(load(detector_file, vocabulary, reference=reference))
    values = {"logits": snapshots.cells(logits.numpy()), "boxes": boxes[:6].tolist(), "mean": boxes.mean(0).tolist()}
    snapshots.check("groundingdino_tiny", values, EXACT)


@pytest.mark.parametrize("reference", [True, False], ids=["reference", "fast"])
@pytest.mark.parametrize("name", ["segment_anything", "huggingface"])
def test_segment_anything(segmenter_file: Path, name: str, reference: bool) -> None:
    import torch

    from lib_prodshot.finding.models.box_segmenter import BoxSegmenter
    from lib_prodshot.finding.models.preprocessing import segmenter_pixels
    from lib_prodshot.finding.models.runtime import ModelHandle, inference

    module = implementation(name)
    load: Callable[..., Any] = module.load if name == "segment_anything" else module.load_segmenter
    model = load(segmenter_file, reference=reference)
    with inference():
        embedding = model.encode(segmenter_pixels(tiny.picture(), model.side))
        _, qualities = model.decode(embedding, torch.tensor([PROMPT]) * model.side / 400, True)
    (mask,) = BoxSegmenter("tiny", ModelHandle(lambda: model, "cpu")).segment(tiny.picture(), [Box(0, 1.0, PROMPT)])
    values = {
        "embedding": snapshots.cells(embedding[0, 0].numpy()),
        "qualities": qualities.flatten().tolist(),
        "mask": snapshots.cells(mask),
    }
    snapshots.check("segment_anything_tiny", values, EXACT)
