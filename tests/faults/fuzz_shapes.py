"""Masks, boxes and whole pictures of every size and kind: the mask post-processing and the pipeline keep their promises
for each, or fail the picture in words."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lib_prodshot import masks, pictures, pipeline
from lib_prodshot.enhancing.interface import Enhanced, Task
from lib_prodshot.enhancing.retouch import Retouch
from lib_prodshot.errors import EnhanceError, FinderError
from lib_prodshot.finding.finder import Finder
from lib_prodshot.finding.interface import Box, Boxes, Find, Picture, SoftMask
from lib_prodshot.request import ProductClass, Request
from tests.faults.fuzz_decoding import corpus


def _size(chance: random.Random) -> tuple[int, int]:
    return chance.choice(((1, 1), (1, 40), (40, 1), (2, 3), (chance.randrange(1, 48), chance.randrange(1, 48))))


def _soft(chance: random.Random, size: tuple[int, int]) -> SoftMask:
    """Noise, nothing, everything, a rectangle, or specks and holes."""
    noise = np.random.default_rng(chance.randrange(2**32)).integers(0, 256, size, dtype=np.uint8)
    kind = chance.randrange(5)
    if kind == 0:
        return noise
    if kind in (1, 2):
        return np.full(size, (0, 255)[kind - 1], np.uint8)
    mask = np.zeros(size, np.uint8)
    y, x = chance.randrange(size[0]), chance.randrange(size[1])
    mask[y : y + chance.randrange(1, 30), x : x + chance.randrange(1, 30)] = 255
    return mask if kind == 3 else np.where(noise > 230, 255 - mask, mask).astype(np.uint8)


def _box(chance: random.Random, size: tuple[int, int], classes: int) -> Box:
    x, y = sorted((chance.uniform(0, size[1]), chance.uniform(0, size[1]))), [0.0, float(size[0])]
    return Box(chance.randrange(classes), chance.random(), (x[0], y[0], x[1] + 0.5, y[1]))


def _request(chance: random.Random, classes: int) -> Request:
    return Request(
        products=", ".join(f"product {number}" for number in range(classes)),
        box_threshold=0.0,
        instances=chance.choice(("all", "largest", "best", "index")),
        instance_index=chance.choice((0, 0, 1)),
        mask_threshold=chance.choice((0.01, 0.5, 0.99)),
        grow=chance.choice((0, 0, 1, 5, -1, -5, 300)),
        grow_share=chance.choice((0.0, 0.1, -0.1)),
        feather=chance.choice((0.0, 0.4, 1.0, 4.0, 30.0)),
        fill_holes=chance.choice((0.0, 0.05, 1.0)),
        drop_specks=chance.choice((0.0, 0.05, 1.0)),
        invert=chance.random() < 0.2,
    )


def soft_masks(chance: random.Random, count: int, keep: Path) -> Counter[str]:
    """The mask post-processing on masks of every kind: binary, and its feather never beyond its reach."""
    ends: Counter[str] = Counter()
    for _ in range(count):
        size, classes = _size(chance), chance.randrange(1, 4)
        request = _request(chance, classes)
        finds = [Find(_box(chance, size, classes), _soft(chance, size)) for _ in range(chance.randrange(1, 5))]
        try:
            built = masks.build_mask(finds, request)
        except EnhanceError as error:
            assert str(error)
            ends["refused"] += 1
            continue
        _check_mask(built, request, size)
        ends["built" if built.chosen else "nothing chosen"] += 1
    return ends


def _check_mask(built: masks.BuiltMask, request: Request, size: tuple[int, int]) -> None:
    assert built.mask.shape == built.alpha.shape == size
    assert set(np.unique(built.mask)) <= {0, 255}
    assert len(built.areas) == len(built.pieces) == len(built.chosen)
    for area, piece in zip(built.areas, built.pieces):
        assert np.count_nonzero(piece.whole(*size)) == area
    if not built.chosen:
        return
    reach = masks.feather_reach(request.feather)
    padded = np.pad(built.mask, reach)
    near = np.zeros(size, bool)
    for y, x in np.argwhere(built.alpha > 0)[:40]:
        assert padded[y : y + 2 * reach + 1, x : x + 2 * reach + 1].any()
        near[y, x] = True
    assert built.alpha.any()


def _inside(chance: random.Random, size: tuple[int, int]) -> Box:
    (x0, x1), (y0, y1) = (sorted(chance.sample(range(length + 1), 2)) for length in (size[1], size[0]))
    return Box(chance.randrange(2), chance.random(), (x0, y0, x1, y1))


class _Saying:
    """A detector that says what it is told to say, and a segmenter that takes the whole of each box."""

    name = "saying"

    def __init__(self, boxes: Sequence[Box]) -> None:
        self.boxes = tuple(boxes)

    def detect(self, picture: Picture, classes: Sequence[ProductClass], text_threshold: float) -> Boxes:
        return Boxes(self.boxes, tuple(0.5 for _ in classes))

    def segment(self, picture: Picture, boxes: Sequence[Box]) -> list[SoftMask]:
        found = []
        for box in boxes:
            mask = np.zeros(picture.shape[:2], np.uint8)
            x0, y0, x1, y1 = box.corners
            mask[math.floor(y0) : math.ceil(y1), math.floor(x0) : math.ceil(x1)] = 255
            found.append(mask)
        return found

    def unload(self) -> None:
        """Nothing is loaded."""


_NUMBERS = (0.0, -0.0, 0.5, 1e-9, -3.0, 25.0, 1e9, -1e9, 1e308, float("inf"), float("-inf"), float("nan"))


def _wild_box(chance: random.Random, size: tuple[int, int]) -> Box:
    """Inside the picture, partly or wholly outside, inside out, or no box at all."""
    inside = [chance.uniform(0, size[1]), chance.uniform(0, size[0]), float(size[1]), float(size[0])]
    corners = [chance.choice((number, chance.choice(_NUMBERS), chance.uniform(-60, 60))) for number in inside]
    kept = corners if chance.random() < 0.95 else corners[: chance.randrange(4)]
    wild: Any = tuple(kept)
    return Box(chance.choice((0, 0, 0, 1, -1, 7)), chance.choice((0.5, 0.5, *_NUMBERS)), wild)


def boxes(chance: random.Random, count: int, keep: Path) -> Counter[str]:
    """What detectors may answer: every box that gets through is finite and inside of the picture."""
    ends: Counter[str] = Counter()
    classes = (ProductClass("mug", ("mug",)), ProductClass("shoe", ("shoe",)))
    for _ in range(count):
        size = _size(chance)
        saying = _Saying([_wild_box(chance, size) for _ in range(chance.randrange(4))])
        try:
            findings = Finder("saying", saying, saying).find(np.zeros((*size, 3), np.uint8), classes)
        except FinderError as error:
            assert str(error)
            ends["refused"] += 1
            continue
        for find in findings.finds:
            x0, y0, x1, y1 = find.box.corners
            assert 0 <= x0 < x1 <= size[1] and 0 <= y0 < y1 <= size[0], find.box
            assert math.isfinite(find.box.score) and 0 <= find.box.class_index < 2
        ends["accepted"] += 1
    return ends


class _Noise:
    """An engine that paints anything."""

    name = "noise"

    def __init__(self, seed: int) -> None:
        self._chance = np.random.default_rng(seed)

    def enhance(self, task: Task) -> Enhanced:
        return Enhanced(self._chance.integers(0, 256, task.picture.shape, dtype=np.uint8))


def pipelines(chance: random.Random, count: int, keep: Path) -> Counter[str]:
    """Pictures of every format and mode with any boxes, through both kinds of engine: outside of the feather not one
    sample changes, whatever happens."""
    ends: Counter[str] = Counter()
    whole = [pictures.read(data) for suffix, data in corpus() if suffix != ".tga"]
    for _ in range(count):
        loaded = chance.choice(whole)
        before = loaded.native.copy()
        given = [_inside(chance, loaded.size) for _ in range(chance.randrange(4))]
        if chance.random() < 0.2:
            given.append(_wild_box(chance, loaded.size))
        saying = _Saying(given)
        engine = Retouch() if chance.random() < 0.3 else _Noise(chance.randrange(2**32))
        outcome = pipeline.run(loaded, _request(chance, 2), Finder("saying", saying, saying), engine)
        assert np.array_equal(loaded.native, before), "the picture itself was changed"
        if outcome.status == "found":
            assert outcome.result is not None and outcome.alpha is not None and outcome.audit is not None
            outside = outcome.alpha == 0
            assert outcome.audit.changed_outside == 0
            assert np.array_equal(outcome.result.native[outside], before[outside])
        else:
            assert outcome.result is None and outcome.verdict.reason
        ends[outcome.status] += 1
    return ends
