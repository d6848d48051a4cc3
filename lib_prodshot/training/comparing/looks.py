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

from lib_prodshot.jobs.files.reading import real_path, stamp_of
from lib_prodshot.jobs.report.append_only import AppendOnlyFile
from lib_prodshot.training.appearance import INSIDE, palette, reduced, shapes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from lib_prodshot.finding.finder import Finder
    from lib_prodshot.finding.interface import Findings, Picture, SoftMask
    from lib_prodshot.products import ProductClass

VERSION = 1
"""Of what is measured: looks of another version are measured anew."""

_SMALL_SIDE = 128


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
    picture = reduced(picture)
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
        round(float((mask > INSIDE).mean()), 4),
        palette(picture, mask),
        shape,
        mirrored,
        small,
    )


def _joined(findings: Findings) -> SoftMask:
    """All that was found as one mask; a find whose mask is empty counts by its box."""
    import numpy as np

    joined = np.maximum.reduce([find.soft_mask for find in findings.finds])
    if not (joined > INSIDE).any():
        for find in findings.finds:
            x0, y0, x1, y1 = (round(value) for value in find.box.corners)
            joined[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = 255
    return joined


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
        return json.dumps([str(real_path(picture)), stamp_of(picture), self._asked])


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
