"""Closed-vocabulary detection: the regions of a picture, scored for the products that were asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.finding.interface import Box, Boxes, Picture
from lib_prodshot.finding.last_picture import LastPicture
from lib_prodshot.finding.lite import score_fusion
from lib_prodshot.finding.lite.features import FeatureExtractor, Features
from lib_prodshot.finding.lite.instance_selection import select_instances
from lib_prodshot.finding.lite.label_map import Category
from lib_prodshot.finding.lite.vocabulary import categories_of_all
from lib_prodshot.finding.models.preprocessing import as_rgb
from lib_prodshot.products import ProductClass


class LiteDetector:
    """Detector with a closed vocabulary; any number of products costs the same, for features are extracted once."""

    name = "lite"

    def __init__(self, extractor: FeatureExtractor) -> None:
        self._extractor = extractor
        self._last: LastPicture[Features] = LastPicture()

    def detect(self, picture: Picture, classes: Sequence[ProductClass], text_threshold: float) -> Boxes:
        """See `Detector`. `text_threshold` has no meaning for a closed vocabulary.

        Raises `RequestError` without classes, `UnknownProducts` for classes of which no phrase is known,
        `FinderError` when a model fails.
        """
        if not classes:
            raise RequestError([FieldProblem("products", "no product is named", "such as 'handbag, shoe'")])
        known = categories_of_all(classes)
        picture = as_rgb(picture)
        features = self._last.recall(picture) or self._last.keep(picture, self._extractor.extract(picture))
        categories = [found for found, _ in known]
        scores = np.stack([class_scores(features, found) for found in categories], axis=1)
        detections = [score_fusion.detections_of(features.detections, found) for found in categories]
        chosen = select_instances(features, scores, detections, [item.threshold for item in classes])
        notes = tuple(note for _, unknown in known for note in unknown)
        rescaled = tuple(_to_picture_pixels(box, features, picture) for box in chosen)
        return Boxes(rescaled, tuple(float(best) for best in scores.max(axis=0)), notes)

    def refuse_unknown(self, classes: Sequence[ProductClass]) -> None:
        """Raise `UnknownProducts` as `detect` would, before there is a picture."""
        categories_of_all(classes)

    def unload(self) -> None:
        """Free the memory of all models."""
        self._last.forget()
        self._extractor.unload()


def class_scores(features: Features, categories: Sequence[Category]) -> score_fusion.Scores:
    """Score of each region for one product: the best of its categories."""
    return np.asarray(score_fusion.calibrated_scores(features.regions, categories).max(axis=1))


def _to_picture_pixels(box: Box, features: Features, picture: Picture) -> Box:
    """The box in the picture's own pixels: inside it, at least one pixel wide and high."""
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = (side / features.factor for side in box.corners)
    left, top = min(max(x0, 0.0), width - 1.0), min(max(y0, 0.0), height - 1.0)
    right, bottom = min(max(x1, left + 1), float(width)), min(max(y1, top + 1), float(height))
    return Box(box.class_index, box.score, (left, top, right, bottom))
