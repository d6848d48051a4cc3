"""The seed author's five pictures: every product × picture verdict, and our masks against his."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_prodshot.finding.finder import Finder
from lib_prodshot.masks import build_mask
from lib_prodshot.pictures import read
from lib_prodshot.request import Request

PRODUCTS = ("handbag", "shoe", "car", "watch")
PICTURES = {"handbag": "handbag", "shoes": "shoe", "car": "car", "watch": "watch", "unknown": None}
MASKS = {"handbag": "handbag_mask_0", "shoes": "shoes_mask_0", "car": "car_mask_0", "watch": "watch_mask_2"}
LEAST_IOU = 0.97


@pytest.mark.parametrize("picture", PICTURES)
def test_verdicts(lite_finder: Finder, seed_dir: Path, picture: str) -> None:
    loaded = read(seed_dir / "filter_image_inputs" / f"{picture}.png")
    for product in PRODUCTS:
        request = Request(products=product)
        boxes = lite_finder.detector.detect(loaded.rgb, request.classes, request.text_threshold)
        verdict = "found" if boxes.boxes else "skipped"
        print(f"{picture:8} {product:8} {verdict:8} best score {boxes.best_scores[0]:.2f}")
        assert verdict == ("found" if PICTURES[picture] == product else "skipped"), (picture, product)


@pytest.mark.parametrize("picture", PICTURES)
def test_all_products_at_once_give_the_same_verdicts(lite_finder: Finder, seed_dir: Path, picture: str) -> None:
    request = Request(products=", ".join(PRODUCTS))
    loaded = read(seed_dir / "filter_image_inputs" / f"{picture}.png")
    boxes = lite_finder.detector.detect(loaded.rgb, request.classes, request.text_threshold).boxes
    labels = {request.classes[box.class_index].name for box in boxes}
    assert labels == ({PICTURES[picture]} if PICTURES[picture] else set())


@pytest.mark.parametrize("picture", MASKS)
def test_masks_agree_with_the_author_s(lite_finder: Finder, seed_dir: Path, picture: str) -> None:
    """His handbag mask fills the hole under the strap, so ours does too there."""
    request = Request(products=PICTURES[picture], fill_holes=1.0 if picture == "handbag" else 0.0)
    loaded = read(seed_dir / "filter_image_inputs" / f"{picture}.png")
    ours = build_mask(lite_finder.find(loaded.rgb, request.classes).finds, request).mask > 0
    his = np.asarray(Image.open(seed_dir / "author_masks" / f"{MASKS[picture]}.png").convert("L")) > 127
    iou = (ours & his).sum() / (ours | his).sum()
    print(f"{picture:8} IoU {iou:.4f}")
    assert iou >= LEAST_IOU
