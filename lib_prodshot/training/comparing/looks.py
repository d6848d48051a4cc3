"""What is measured on one picture, a sample or a photograph: the product that the finder sees there, its colours and
its shape, and a small grey copy by which copies are told.

Kept line by line (`KeptLooks`), so that a comparison that was interrupted goes on, and one of a grown run looks only at
what is new.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_prodshot.jobs.files.reading import stamp_of
from lib_prodshot.jobs.report.append_only import AppendOnlyFile

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from lib_prodshot.finding.finder import Finder
    from lib_prodshot.finding.interface import Findings, Picture, SoftMask
    from lib_prodshot.products import ProductClass

    Floats = npt.NDArray[np.float32]

VERSION = 1
"""Of what is measured: looks of another version are measured anew."""

LOOKED_SIDE = 1024
"""Longer side in pixels at which a picture is looked at: larger than what a sample has, smaller than a photograph."""

_SMALL_SIDE = 128
_BIN = 16.0
_MAX_COLOURS = 16
_MAX_PIXELS = 20_000
_HOG_SIDE = 96
_INSIDE = 127


@dataclass(frozen=True)
class Look:
    """One picture as it was looked at.

    `score` is the best detection's (of those below the threshold too), `box` the found product's as shares of width and
    height, `area` its share of the picture; both are empty where nothing was found. `palette` are colours inside the
    product (CIELAB, and their share), `shape` and `mirrored` its HOG and that of its mirror picture (float16, base64),
    `small` the whole picture in grey (PNG, base64).
    """

    found: bool
    score: float
    box: tuple[float, float, float, float] | tuple[()] = ()
    area: float = 0.0
    palette: tuple[tuple[float, float, float, float], ...] = ()
    shape: str = ""
    mirrored: str = ""
    small: str = ""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Look:
        """A look from its JSON. Raises TypeError, ValueError."""
        known = {one.name for one in fields(cls)}
        if values.keys() != known:
            raise ValueError("another version's look")
        palette = tuple(tuple(map(float, colour)) for colour in values["palette"])
        return cls(**{**values, "box": tuple(values["box"]), "palette": palette})


def look(picture: Picture, finder: Finder, classes: Sequence[ProductClass]) -> Look:
    """Look at an H×W×3 uint8 RGB picture for products. Raises what the finder raises."""
    picture = _reduced(picture)
    findings = finder.find(picture, classes)
    best = max((*findings.best_scores, *(find.box.score for find in findings.finds)), default=0.0)
    small = _small(picture)
    if not findings.finds:
        return Look(False, round(float(best), 4), small=small)
    mask = _joined(findings)
    found = max(findings.finds, key=lambda find: find.box.score)
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = found.box.corners
    shape, mirrored = shapes(picture, mask)
    return Look(
        True,
        round(float(best), 4),
        (round(x0 / width, 4), round(y0 / height, 4), round(x1 / width, 4), round(y1 / height, 4)),
        round(float((mask > _INSIDE).mean()), 4),
        palette(picture, mask),
        shape,
        mirrored,
        small,
    )


def _reduced(picture: Picture) -> Picture:
    import cv2
    import numpy as np

    factor = LOOKED_SIDE / max(picture.shape[:2])
    if factor >= 1:
        return picture
    size = (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _joined(findings: Findings) -> SoftMask:
    """All that was found as one mask; a find whose mask is empty counts by its box."""
    import numpy as np

    joined = np.maximum.reduce([find.soft_mask for find in findings.finds])
    if not (joined > _INSIDE).any():
        for find in findings.finds:
            x0, y0, x1, y1 = (round(value) for value in find.box.corners)
            joined[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = 255
    return joined


def palette(picture: Picture, mask: SoftMask) -> tuple[tuple[float, float, float, float], ...]:
    """The colours inside a mask: L*, a*, b* and share of the pixels, the commonest first.

    A signature as of Rubner, Tomasi, Guibas 2000 (The earth mover's distance as a metric for image retrieval): the mean
    of each occupied cell of CIELAB, at most 16 of them, whose shares add up to 1.
    """
    import numpy as np
    from skimage.color import rgb2lab

    pixels = picture[mask > _INSIDE]
    pixels = pixels[:: -(-len(pixels) // _MAX_PIXELS) or 1]
    lab = rgb2lab(pixels[None])[0]  # type: ignore[no-untyped-call]
    cells, places = np.unique(np.floor(lab / _BIN).astype(int), axis=0, return_inverse=True)
    counts = np.bincount(places.ravel(), minlength=len(cells))
    order = np.argsort(-counts, kind="stable")[:_MAX_COLOURS]
    total = float(counts[order].sum())
    means = [lab[places.ravel() == cell].mean(axis=0) for cell in order]
    return tuple(
        (*(round(float(value), 2) for value in mean), round(float(counts[cell]) / total, 5))  # type: ignore[misc]
        for mean, cell in zip(means, order)
    )


def shapes(picture: Picture, mask: SoftMask) -> tuple[str, str]:
    """The product's histogram of oriented gradients (Dalal, Triggs 2005; by scikit-image), and that of its mirror
    picture: of the square around it at 96×96, all else black or white, whichever is further from it: a product of one
    colour has its outline alone."""
    import cv2
    import numpy as np
    from skimage.feature import hog

    from lib_prodshot.bounds import bounding_box

    inside = (mask > _INSIDE).astype(np.uint8)
    x, y, width, height = bounding_box(inside)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    around = 255 if grey[inside > 0].mean() < 128 else 0
    part = np.where(inside > 0, grey, np.uint8(around))[y : y + height, x : x + width]
    side = max(width, height)
    square = np.full((side, side), around, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = part
    scaled = cv2.resize(square, (_HOG_SIDE, _HOG_SIDE), interpolation=cv2.INTER_AREA)
    one, other = (
        hog(view, orientations=9, pixels_per_cell=(16, 16), cells_per_block=(2, 2))  # type: ignore[no-untyped-call]
        for view in (scaled, scaled[:, ::-1])
    )
    return _packed(one), _packed(other)


def _packed(values: Any) -> str:
    import numpy as np

    return base64.b64encode(np.asarray(values, np.float16).tobytes()).decode("ascii")


def unpacked(text: str) -> Floats:
    """The numbers of a packed HOG; none where nothing was found."""
    import numpy as np

    return np.frombuffer(base64.b64decode(text), np.float16).astype(np.float32)


def _small(picture: Picture) -> str:
    from PIL import Image

    image = Image.fromarray(picture).convert("L")
    image.thumbnail((_SMALL_SIDE, _SMALL_SIDE), Image.Resampling.BOX)
    written = io.BytesIO()
    image.save(written, "PNG")
    return base64.b64encode(written.getvalue()).decode("ascii")


def small_picture(one: Look) -> npt.NDArray[np.uint8]:
    """The small grey copy, H×W uint8."""
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(one.small))) as image:
        return np.asarray(image.convert("L"))


class KeptLooks:
    """Looks in a file of JSON lines, by the picture's file and its stamp, the finder and what it looked for.

    Raises OSError where the file cannot be written.
    """

    def __init__(self, path: Path, finder: str, classes: Sequence[ProductClass]) -> None:
        self._asked = [VERSION, finder, *([one.name, *one.phrases, one.threshold] for one in classes)]
        self._looks = dict(_read(path))
        half_a_line = path.is_file() and not path.read_bytes().endswith(b"\n")
        self._file = AppendOnlyFile(path)
        if half_a_line:  # of a process that was killed: the next one is not to be lost with it
            self._file.append("\n")

    def get(self, picture: Path) -> Look | None:
        """The look at a file as it is now, None where there was none."""
        return self._looks.get(self._key(picture))

    def keep(self, picture: Path, one: Look) -> None:
        """Keep a look at a file as it is now."""
        key = self._key(picture)
        self._looks[key] = one
        self._file.append(json.dumps({"key": key, "look": asdict(one)}) + "\n")

    def close(self) -> None:
        """Close the file; every look is already in it."""
        self._file.close()

    def _key(self, picture: Path) -> str:
        return json.dumps([str(picture.resolve()), stamp_of(picture), self._asked])


def _read(path: Path) -> Sequence[tuple[str, Look]]:
    """The looks of a file; a line that was not finished, or is another version's, counts for nothing."""
    found = []
    if path.is_file():
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
                    values = json.loads(line)
                    found.append((str(values["key"]), Look.of(values["look"])))
    return found
