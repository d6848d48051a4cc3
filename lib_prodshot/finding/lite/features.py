"""Features of a picture, independent of the request, so that any number of products costs the same.

A picture becomes regions: what is salient, its connected components, and the detectors' box proposals. Each region has
the classifier's probabilities, averaged over crops, and both detectors' fused scores.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from lib_prodshot.finding.interface import Picture
from lib_prodshot.finding.last_picture import LastPicture
from lib_prodshot.finding.lite import boxes, cropping
from lib_prodshot.finding.lite.augmentation import Detections, detect
from lib_prodshot.finding.lite.boxes import Corners, FusedDetection
from lib_prodshot.finding.lite.label_map import PRODUCT_COLUMNS
from lib_prodshot.finding.lite.networks import classifier
from lib_prodshot.finding.lite.networks.onnx_model import Floats, OnnxModel
from lib_prodshot.finding.lite.networks.saliency import resized_to, saliency_map

Kind = Literal["salient", "component", "detected"]

SALIENCY_THRESHOLD = 0.5
_MAX_COMPONENTS = 3
_MAX_PROPOSALS = 4
_MIN_COMPONENT_AREA = 0.01  # of the picture
_MIN_PROPOSAL_AREA = 0.004
_STRIP = 16
"""Rows that are blended at once: their float copies stay in the processor's cache."""

_REGION_IOU = 0.7
"""Regions that overlap more are one."""


@dataclass(frozen=True)
class Region:
    """One region; `corners` in pixels of the working copy.

    `kind`: all that is salient, a connected component of it, or a detector's box. `probabilities` has ImageNet's 1,000
    classes, `coco` 90 and `openimages` 23 scores in 0..1.
    """

    corners: Corners
    kind: Kind
    probabilities: Floats
    coco: Floats
    openimages: Floats


@dataclass(frozen=True)
class Features:
    """All regions of one picture, and the detections and saliency behind them; corners in pixels of the working copy.

    `saliency` is the working copy's H×W map (0..1), `factor` the working copy's scale.
    """

    regions: tuple[Region, ...]
    detections: Detections
    saliency: Floats
    factor: float


class FeatureExtractor:
    """Runs the four models; caches the working copy and the saliency of the last picture."""

    def __init__(
        self, coco: Path, openimages: Path, classifier: Path, saliency: Path, threads: int | None = None
    ) -> None:
        self._coco = OnnxModel(coco, threads)
        self._openimages = OnnxModel(openimages, threads)
        # its batch is as large as the picture has regions
        self._classifier = OnnxModel(classifier, threads, returns_memory=True)
        self._saliency = OnnxModel(saliency, threads)
        self._cached_saliency: tuple[tuple[int, ...], Floats] | None = None
        self._working: LastPicture[tuple[Picture, float]] = LastPicture()

    def unload(self) -> None:
        """Free the memory of all models."""
        for model in (self._coco, self._openimages, self._classifier, self._saliency):
            model.unload()
        self._cached_saliency = None
        self._working.forget()

    def working_copy(self, picture: Picture) -> tuple[Picture, float]:
        """As `cropping.working_copy`, once for each picture: of a large one it takes as long as a network."""
        return self._working.recall(picture) or self._working.keep(picture, cropping.working_copy(picture))

    def saliency(self, work: Picture) -> Floats:
        """The H×W saliency of a working copy; cached for the last picture, for detector and segmenter both need it."""
        key = (*work.shape, zlib.crc32(np.ascontiguousarray(work).data))
        if self._cached_saliency is None or self._cached_saliency[0] != key:
            self._cached_saliency = (key, resized_to(saliency_map(self._saliency, work), work))
        return self._cached_saliency[1]

    def saliency_within(self, crop: Picture) -> Floats:
        """The 320×320 saliency of a part of a picture."""
        return saliency_map(self._saliency, crop)

    def extract(self, picture: Picture) -> Features:
        """Extract the features of an H×W×3 uint8 RGB picture. Raises `FinderError` when a model fails."""
        work, factor = self.working_copy(picture)
        saliency = self.saliency(work)
        components = salient_components(saliency)
        main = boxes.enclosing_box(components) if components else cropping.full_box(work)
        detections = detect((self._coco, self._openimages), work, main)
        crops = [_main_crops(work, saliency, main)]
        corners = [main]
        kinds: list[Kind] = ["salient"]
        components = components[:_MAX_COMPONENTS] if len(components) > 1 else []
        proposals = _proposals(detections, work)
        for box in (*components, *proposals):
            if all(boxes.iou(box, other) < _REGION_IOU for other in corners):
                corners.append(box)
                kinds.append("component" if box in components else "detected")
                crops.append(_crops(work, box))
        regions = (
            Region(
                box,
                kind,
                probabilities,
                _supporting_scores(box, detections.coco, 90),
                _supporting_scores(box, detections.openimages, 23),
            )
            for box, kind, probabilities in zip(corners, kinds, self._classify(crops), strict=True)
        )
        return Features(tuple(regions), detections, saliency, factor)

    def _classify(self, crops: Sequence[Sequence[Picture]]) -> list[Floats]:
        flat = classifier.classify(self._classifier, [crop for group in crops for crop in group])
        ends = np.cumsum([len(group) for group in crops])
        return [part.mean(axis=0) for part in np.split(flat, ends[:-1])]


def salient_components(saliency: Floats) -> list[Corners]:
    """Boxes of the connected components of an H×W saliency map, the largest first, without specks."""
    count, _, stats, _ = cv2.connectedComponentsWithStats((saliency > SALIENCY_THRESHOLD).astype(np.uint8))
    found = [tuple(map(float, stats[index])) for index in range(1, count)]
    smallest = _MIN_COMPONENT_AREA * saliency.size
    found = [item for item in found if item[4] >= smallest] or sorted(found, key=lambda item: -item[4])[:1]
    found.sort(key=lambda item: -item[4])
    return [(x, y, x + width, y + height) for x, y, width, height, _ in found]


def _main_crops(work: Picture, saliency: Floats, main: Corners) -> list[Picture]:
    """Crops of the picture, of what is salient, of that with its surroundings, and of that composited on white."""
    side, cut_out = classifier.SIDE, cropping.square_around(main, 1.15)
    return [
        cropping.crop(work, cropping.full_box(work), side),
        cropping.crop(work, cropping.square_around(main, 1.08), side),
        cropping.crop(work, cropping.square_around(main, 1.4), side),
        cropping.crop(
            _composited_on_white(work, saliency, cropping.pixel_window(work, cut_out)), cut_out, side, fill=255
        ),
    ]


def _composited_on_white(work: Picture, saliency: Floats, window: tuple[int, int, int, int]) -> Picture:
    """The picture, inside the window (all that is cropped later) blended with white by its saliency."""
    left, top, right, bottom = window
    composited = work.copy()
    for start in range(top, bottom, _STRIP):
        part = (slice(start, min(start + _STRIP, bottom)), slice(left, right))
        share = np.asarray(cv2.merge([saliency[part]] * 3), np.float32)
        blended = work[part] * share
        blended += 255 * (1 - share)
        composited[part] = blended
    return composited


def _crops(work: Picture, box: Corners) -> list[Picture]:
    return [cropping.crop(work, cropping.square_around(box, factor), classifier.SIDE) for factor in (1.1, 1.4)]


def _proposals(detections: Detections, work: Picture) -> list[Corners]:
    """Box proposals: the best boxes of product classes, different from each other."""
    smallest = _MIN_PROPOSAL_AREA * work.shape[0] * work.shape[1]
    known = zip((detections.coco, detections.openimages), PRODUCT_COLUMNS, strict=True)
    ranked = [box for found, columns in known for column in columns for box in found.get(column, [])]
    ranked.sort(key=lambda item: -item.score)
    chosen: list[Corners] = []
    for box in ranked:
        different = all(boxes.iou(box.corners, other) < _REGION_IOU for other in chosen)
        if different and boxes.area(box.corners) >= smallest:
            chosen.append(box.corners)
        if len(chosen) == _MAX_PROPOSALS:
            break
    return chosen


def supports(detection: Corners, region: Corners) -> bool:
    """Whether a detector's box is of this region, or of a large part of it (a watch's dial)."""
    shared = boxes.intersection(region, detection)
    if shared <= 0:
        return False
    own, whole = boxes.area(detection), boxes.area(region)
    return shared / (whole + own - shared) > 0.4 or (shared / own > 0.9 and own > 0.25 * whole)


def _supporting_scores(region: Corners, found: Mapping[int, Sequence[FusedDetection]], count: int) -> Floats:
    """For each class the best fused score of a box that supports this region."""
    scores = np.zeros(count, np.float32)
    for column, fused in found.items():
        # they come the best first
        scores[column] = next((box.score for box in fused if supports(box.corners, region)), 0.0)
    return scores
