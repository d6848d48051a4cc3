"""Label map of the lite finder: categories with their synonyms, and the classes of the three models that mean each.

`label_map.json` holds it as data. Class names are the models' own: COCO (by position of its 90 ids), OpenImages v4 as
packed with MediaPipe Objectron, ImageNet-1k (by position in the order of WordNet ids). `COCO`, `OPENIMAGES` and
`IMAGENET` map them to output columns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Category:
    """One category: its name first, then its synonyms; the models' class names that mean it."""

    names: tuple[str, ...]
    coco: tuple[str, ...] = ()
    openimages: tuple[str, ...] = ()
    imagenet: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name it goes by."""
        return self.names[0]


_DATA = json.loads(files("lib_prodshot.finding.lite").joinpath("label_map.json").read_text(encoding="utf-8"))

COCO: Mapping[str, int] = _DATA["coco"]
OPENIMAGES: Mapping[str, int] = _DATA["openimages"]
IMAGENET: Mapping[str, int] = _DATA["imagenet"]

CATEGORIES = tuple(
    Category(**{kind: tuple(names) for kind, names in category.items()}) for category in _DATA["categories"]
)

_LIVING = frozenset({"person", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"})
_LIVING_OPENIMAGES = frozenset({"Person", "Cattle", "Cat", "Dog"})

PRODUCT_COLUMNS = (
    tuple(column for name, column in COCO.items() if name not in _LIVING),
    tuple(column for name, column in OPENIMAGES.items() if name not in _LIVING_OPENIMAGES),
)
"""Output columns of the two detectors (COCO, OpenImages) whose boxes may hold a product."""
