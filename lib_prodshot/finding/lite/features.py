"""The features of one picture, which the four models give before anyone asks for a product.

A picture becomes regions: what is salient (as a whole and piece by piece) and what a detector boxed. Each
region carries the classifier's probabilities, averaged over crops, and both detectors' scores, fused over views.
Nothing here depends on the request, so any number of products costs the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lib_prodshot.finding.lite import boxes, cropping
from lib_prodshot.finding.lite.boxes import Corners, Fused, Seen
from lib_prodshot.finding.lite.cropping import Picture
from lib_prodshot.finding.lite.label_map import PRODUCT_COLUMNS
from lib_prodshot.finding.lite.networks import classifier, ssd
from lib_prodshot.finding.lite.networks.onnx_model import Model
from lib_prodshot.finding.lite.networks.saliency import saliency, scaled_to

Floats = npt.NDArray[np.float32]

SALIENT = 0.5
_PIECES = 3
_PROPOSALS = 4
_SMALLEST_PIECE = 0.01  # of the picture
_SMALLEST_BOX = 0.004
_FAINT = 0.05  # detections below are not looked at
_SAME_REGION = 0.7


@dataclass(frozen=True)
class Region:
    """One thing in the picture; `corners` in pixels of the working copy.

    `probabilities` has ImageNet's 1,000 classes, `coco` 90 and `openimages` 23 scores in 0..1.
    """

    corners: Corners
    kind: str
    probabilities: Floats
    coco: Floats
    openimages: Floats


@dataclass(frozen=True)
class Detections:
    """Fused detections of both detectors, by output column."""

    coco: dict[int, list[Fused]]
    openimages: dict[int, list[Fused]]


@dataclass(frozen=True)
class Features:
    """All regions of one picture, and what they were made of; corners are pixels of the working copy.

    `salience` is the working copy's H×W map (0..1), `factor` the working copy's scale.
    """

    regions: tuple[Region, ...]
    detections: Detections
    salience: Floats
    factor: float


class Models:
    """The four models, and the salience of the last picture."""

    def __init__(self, coco: Path, openimages: Path, classes: Path, salient: Path, threads: int | None = None) -> None:
        self._coco = Model(coco, threads)
        self._openimages = Model(openimages, threads)
        self._classifier = Model(classes, threads)
        self._saliency = Model(salient, threads)
        self._last: tuple[tuple[int, ...], Floats] | None = None

    def unload(self) -> None:
        """Give back the memory of all models."""
        for model in (self._coco, self._openimages, self._classifier, self._saliency):
            model.unload()
        self._last = None

    def saliency(self, work: Picture) -> Floats:
        """The H×W saliency of a working copy; kept for the last picture, since detector and segmenter both ask."""
        key = (*work.shape, zlib.crc32(np.ascontiguousarray(work).data))
        if self._last is None or self._last[0] != key:
            self._last = (key, scaled_to(saliency(self._saliency, work), work))
        return self._last[1]

    def saliency_within(self, crop: Picture) -> Floats:
        """The 320×320 saliency of a part of a picture."""
        return saliency(self._saliency, crop)

    def extract(self, picture: Picture) -> Features:
        """The features of an H×W×3 uint8 RGB picture."""
        work, factor = cropping.working_copy(picture)
        salience = self.saliency(work)
        pieces = salient_pieces(salience)
        main = boxes.union(pieces) if pieces else cropping.whole(work)
        detections = self._detect(work, main)
        crops = [_main_crops(work, salience, main)]
        corners = [main]
        kinds = ["salient"]
        pieces = pieces[:_PIECES] if len(pieces) > 1 else []
        for kind, found in (("piece", pieces), ("boxed", _proposals(detections, work))):
            for box in found:
                if all(boxes.iou(box, other) < _SAME_REGION for other in corners):
                    corners.append(box)
                    kinds.append(kind)
                    crops.append(_crops(work, box))
        probabilities = self._classify(crops)
        regions = (
            Region(box, kind, odds, _support(box, detections.coco, 90), _support(box, detections.openimages, 23))
            for box, kind, odds in zip(corners, kinds, probabilities, strict=True)
        )
        return Features(tuple(regions), detections, salience, factor)

    def _classify(self, crops: Sequence[Sequence[Picture]]) -> list[Floats]:
        flat = classifier.classify(self._classifier, [crop for group in crops for crop in group])
        ends = np.cumsum([len(group) for group in crops])
        return [part.mean(axis=0) for part in np.split(flat, ends[:-1])]

    def _detect(self, work: Picture, main: Corners) -> Detections:
        """Both detectors over four views: the picture, its mirror image, with a white margin, and what is salient."""
        whole = cropping.whole(work)
        frames = (whole, whole, cropping.square(whole, 1.4), cropping.square(main, 1.25))
        plain, *closer = (cropping.crop(work, frame, ssd.SIDE, fill=255) for frame in frames[1:])
        looks = [plain, cropping.mirrored(plain), *closer]
        size = (work.shape[1], work.shape[0])
        both = []
        for model in (self._coco, self._openimages):
            by_class: dict[int, list[Seen]] = {}
            for view, (frame, raw) in enumerate(zip(frames, ssd.detect(model, looks), strict=True)):
                corners = _to_picture(raw.corners, frame, size, mirrored=view == 1)
                for column in np.flatnonzero(raw.scores.max(axis=0) > _FAINT):
                    by_class.setdefault(int(column), []).extend(_distinct(view, corners, raw.scores[:, column]))
            both.append({column: boxes.fuse(seen) for column, seen in by_class.items()})
        return Detections(*both)


def salient_pieces(salience: Floats) -> list[Corners]:
    """Boxes around the connected salient parts of an H×W map, the largest first, without specks."""
    count, _, stats, _ = cv2.connectedComponentsWithStats((salience > SALIENT).astype(np.uint8))
    found = [tuple(map(float, stats[index])) for index in range(1, count)]
    smallest = _SMALLEST_PIECE * salience.size
    found = [item for item in found if item[4] >= smallest] or sorted(found, key=lambda item: -item[4])[:1]
    found.sort(key=lambda item: -item[4])
    return [(x, y, x + width, y + height) for x, y, width, height, _ in found]


def _main_crops(work: Picture, salience: Floats, main: Corners) -> list[Picture]:
    """The picture, what is salient, the same with its surroundings, and the same cut out on white."""
    side, cut_out = classifier.SIDE, cropping.square(main, 1.15)
    return [
        cropping.crop(work, cropping.whole(work), side),
        cropping.crop(work, cropping.square(main, 1.08), side),
        cropping.crop(work, cropping.square(main, 1.4), side),
        cropping.crop(_on_white(work, salience, cropping.window(work, cut_out)), cut_out, side, fill=255),
    ]


def _on_white(work: Picture, salience: Floats, window: tuple[int, int, int, int]) -> Picture:
    """The picture with what is not salient faded to white inside the window, which is all that will be looked at."""
    left, top, right, bottom = window
    share = salience[top:bottom, left:right, None]
    light = work[top:bottom, left:right] * share
    light += 255 * (1 - share)
    faded = work.copy()
    faded[top:bottom, left:right] = light
    return faded


def _crops(work: Picture, box: Corners) -> list[Picture]:
    return [cropping.crop(work, cropping.square(box, factor), classifier.SIDE) for factor in (1.1, 1.4)]


def _to_picture(shares: Floats, frame: Corners, size: tuple[int, int], *, mirrored: bool) -> Floats:
    corners = shares.copy()
    if mirrored:
        corners[:, [0, 2]] = 1 - corners[:, [2, 0]]
    for low, high, limit in ((0, 2, size[0]), (1, 3, size[1])):
        corners[:, [low, high]] = corners[:, [low, high]] * (frame[high] - frame[low]) + frame[low]
        corners[:, [low, high]] = corners[:, [low, high]].clip(0, limit)
    return corners


def _distinct(view: int, corners: Floats, scores: Floats) -> list[Seen]:
    """One class in one view after non-maximum suppression (IoU 0.5)."""
    found: list[Seen] = []
    seen = np.flatnonzero(scores > _FAINT)
    for index in seen[scores[seen].argsort(kind="stable")[::-1]]:
        if len(found) == 8:
            break
        x0, y0, x1, y1 = map(float, corners[index])
        if all(boxes.iou((x0, y0, x1, y1), other.corners) < 0.5 for other in found):
            found.append(Seen(view, (x0, y0, x1, y1), float(scores[index])))
    return found


def _proposals(detections: Detections, work: Picture) -> list[Corners]:
    """The best boxes of product classes, different from each other."""
    smallest = _SMALLEST_BOX * work.shape[0] * work.shape[1]
    known = zip((detections.coco, detections.openimages), PRODUCT_COLUMNS, strict=True)
    ranked = [box for found, columns in known for column in columns for box in found.get(column, [])]
    ranked.sort(key=lambda item: -item.score)
    chosen: list[Corners] = []
    for box in ranked:
        different = all(boxes.iou(box.corners, other) < _SAME_REGION for other in chosen)
        if different and boxes.area(box.corners) >= smallest:
            chosen.append(box.corners)
        if len(chosen) == _PROPOSALS:
            break
    return chosen


def supports(detection: Corners, region: Corners) -> bool:
    """Whether a detector's box means this region, or a large part of it (a watch's dial)."""
    return boxes.iou(region, detection) > 0.4 or (
        boxes.inside(detection, region) > 0.9 and boxes.area(detection) > 0.25 * boxes.area(region)
    )


def _support(region: Corners, found: dict[int, list[Fused]], count: int) -> Floats:
    """For each class the best fused score of a box that supports this region."""
    scores = np.zeros(count, np.float32)
    for column, fused in found.items():
        scores[column] = max((box.score for box in fused if supports(box.corners, region)), default=0.0)
    return scores
