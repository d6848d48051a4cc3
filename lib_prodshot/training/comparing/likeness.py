"""How like a sample's product is to that of the photographs, and whether the sample is a copy of one of them.

Likeness is measured in the photographs' own spread: a sample that is as near to its nearest photographs as these are to
theirs differs by 1. Nearer than that is no merit, for it is how memorised pictures are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean, median
from typing import TYPE_CHECKING

from lib_prodshot.training.appearance import palette_distance, shape_distance
from lib_prodshot.training.comparing.looks import Look, small_picture
from lib_prodshot.training.dataset.photographs import HASH_SIDE, NEAR_DUPLICATE_BITS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Grey = npt.NDArray[np.uint8]

NEAREST = 3
"""A product looks different from each side: a sample is held against so many photographs, the nearest."""

MIN_COLOUR, MIN_SHAPE = 2.0, 0.05
"""The least spread of photographs that is told apart: ΔE2000 (what an eye barely sees is 1 to 2), and distance of HOGs.
Photographs that are all alike would make any difference endless."""

MAX_ASKED = 32
"""Photographs whose nearest others the spread is told from: it is a median, and all pairs of hundreds take minutes."""

COPY_SCALES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
"""A copy may show a part of the photograph: of its largest window of the sample's shape these shares."""

_SEARCH_SIDE = 48
_MIN_CORRELATION = 0.6


@dataclass(frozen=True)
class Spread:
    """How far photographs of one product lie apart: median ΔE2000 of their palettes, median distance of their HOGs,
    each to the nearest others."""

    colour: float
    shape: float


@dataclass(frozen=True)
class Likeness:
    """How far a sample's product is from the nearest photographs': `colour` in ΔE2000, `shape` from 0 (the same) to 1,
    `difference` the mean of both in the photographs' own spread, each 1 at least."""

    colour: float
    shape: float
    difference: float


@dataclass(frozen=True)
class Copy:
    """The photograph that a sample is nearest to, whole or a part of it, mirrored or not: `bits` of 256 differ."""

    photograph: int
    bits: int

    @property
    def is_copy(self) -> bool:
        """Whether they are nearly the same picture, by the limit at which the check of a dataset says so."""
        return self.bits <= NEAR_DUPLICATE_BITS


def spread_of(photographs: Sequence[Look]) -> Spread:
    """The spread of the photographs on which the product was found."""
    found = [one for one in photographs if one.found]
    asked = found[:: -(-len(found) // MAX_ASKED) or 1] if found[1:] else []
    apart = [_distances(one, [other for other in found if other is not one]) for one in asked]
    return Spread(
        max(MIN_COLOUR, median(colour for colour, _ in apart) if apart else 0.0),
        max(MIN_SHAPE, median(shape for _, shape in apart) if apart else 0.0),
    )


def likeness(sample: Look, photographs: Sequence[Look], spread: Spread) -> Likeness | None:
    """How like a sample's product is to the photographs'; None where the one or the other has none."""
    found = [one for one in photographs if one.found]
    if not sample.found or not found:
        return None
    colour, shape = _distances(sample, found)
    difference = fmean((max(1.0, colour / spread.colour), max(1.0, shape / spread.shape)))
    return Likeness(round(colour, 2), round(shape, 4), round(difference, 4))


def _distances(one: Look, others: Sequence[Look]) -> tuple[float, float]:
    """The means over the nearest of `others`, by colour and by shape."""
    colours = sorted(palette_distance(one.palette, other.palette) for other in others)
    forms = sorted(shape_distance(one.shape, other.shape, other.mirrored) for other in others)
    return fmean(colours[:NEAREST]), fmean(forms[:NEAREST])


def nearest_copy(sample: Look, photographs: Sequence[Look]) -> Copy | None:
    """The photograph that a sample is nearest to; None where it is like none of them.

    The part of each photograph that a sample correlates with best is looked for at several scales, and both are then
    compared by their perceptual hashes, as the check of a dataset compares whole photographs.
    """
    grey = small_picture(sample)
    found = [
        Copy(number, bits)
        for number, one in enumerate(photographs)
        if (bits := _differing_bits(grey, small_picture(one))) is not None
    ]
    return min(found, key=lambda one: one.bits, default=None)


def _differing_bits(sample: Grey, photograph: Grey) -> int | None:
    """The bits in which a sample differs from the best fitting part of a photograph, None where no part fits."""
    best, part, view = max(_parts(sample, photograph), key=lambda fit: fit[0])
    if best < _MIN_CORRELATION:
        return None
    return int((_hash(view.tobytes(), view.shape) != _hash(part.tobytes(), part.shape)).sum())


def _parts(sample: Grey, photograph: Grey) -> Iterator[tuple[float, Grey, Grey]]:
    """For the sample and its mirror picture, at each scale: how well its best part correlates, that part, the view."""
    import cv2
    import numpy as np

    high, wide = sample.shape
    factor = _SEARCH_SIDE / max(high, wide)
    size = (max(8, round(wide * factor)), max(8, round(high * factor)))
    fits = min(photograph.shape[0] / high, photograph.shape[1] / wide)
    for view in (sample, np.ascontiguousarray(sample[:, ::-1])):
        template = np.asarray(cv2.resize(view, size, interpolation=cv2.INTER_AREA), np.uint8)
        for share in COPY_SCALES:
            # pixels of the photograph for one of the template
            scale = fits * share / factor
            shown = (
                max(size[0], round(photograph.shape[1] / scale)),
                max(size[1], round(photograph.shape[0] / scale)),
            )
            field = np.asarray(cv2.resize(photograph, shown, interpolation=cv2.INTER_AREA), np.uint8)
            answers = np.nan_to_num(cv2.matchTemplate(field, template, cv2.TM_CCOEFF_NORMED), posinf=0.0, neginf=0.0)
            y, x = np.unravel_index(int(answers.argmax()), answers.shape)
            left, top = round(int(x) * scale), round(int(y) * scale)
            right, bottom = round((int(x) + size[0]) * scale), round((int(y) + size[1]) * scale)
            yield float(answers[y, x]), photograph[top:bottom, left:right], view


@lru_cache(maxsize=4096)
def _hash(data: bytes, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    import imagehash
    import numpy as np
    from PIL import Image

    grey = np.frombuffer(data, np.uint8).reshape(shape)
    bits: npt.NDArray[np.bool_] = imagehash.phash(Image.fromarray(grey), HASH_SIDE).hash
    return bits
