"""Drifts of known size on real photographs, put right as the engine edit does it: a table for docs/edit.md.

    python3 -m benchmarks.registration [--check]

Each of scikit-image's photographs gets something new where its product is; then the whole is shifted, zoomed,
brightened, tinted and grained. What is left of the drift is told by the drift that was put in, at the corners, and not
by what the registration says of itself; the composite's pixels outside of the mask are counted. `--check` exits with 1
where a drift is left by half a pixel or more, where a pixel outside changed, and where what cannot be held was not
refused.

It runs in the tests' environment, which it makes when it does not stand.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from lib_prodshot.bootstrap import BootstrapError, inside, run_in
from tests import environments

if TYPE_CHECKING:
    import numpy as np

    from tests.enhancing.test_registration import Put

PHOTOGRAPHS = ("coffee.png", "chelsea.png", "astronaut.png", "rocket.jpg", "motorcycle_left.png")


def drifts() -> dict[str, Put]:
    """What is put in."""
    from tests.enhancing.test_registration import Put

    return {
        "none": Put(),
        "shift 3.3, -2.1": Put((3.3, -2.1)),
        "shift 12": Put((12, 0)),
        "shift 12, grain 6": Put((12, 0), grain=6),
        "zoom 1.01": Put(zoom=1.01),
        "zoom 1.03": Put((2, 1), 1.03),
        "zoom 0.97": Put(zoom=0.97),
        "gain 1.15": Put(gain=1.15),
        "gain 0.85, tint": Put(gain=0.85, tint=(1.06, 1.0, 0.94)),
        "shift 8, -8, zoom 0.98, gain 1.1, tint, grain 4": Put((8, -8), 0.98, 1.1, (0.96, 1.0, 1.04), 4),
        "the same, grain 8": Put((8, -8), 0.98, 1.1, (0.96, 1.0, 1.04), 8),
        "gain 0.05, nearly black": Put(gain=0.05),
        "contrast 0.1, nearly grey": Put(gain=0.1, lift=110),
        "shift 60": Put((60, 0)),
        "zoom 1.15": Put(zoom=1.15),
    }


REFUSED = ("gain 0.05, nearly black", "contrast 0.1, nearly grey", "shift 60", "zoom 1.15")
"""What no edit may have done."""


def main() -> int:
    """Run here when this is the tests' environment, else there."""
    if not inside(environments.TESTS):
        try:
            return run_in(environments.TESTS, ["-m", "benchmarks.registration", *sys.argv[1:]])
        except BootstrapError as error:
            print(f"benchmarks: {error}", file=sys.stderr)
            return 1
    parser = argparse.ArgumentParser(prog="python3 -m benchmarks.registration", description="Drifts put right.")
    parser.add_argument("--check", action="store_true", help="exit with 1 where one was not held")
    return report(parser.parse_args().check)


def report(check: bool) -> int:
    """Print the table, a row each; with `check` say whether all was held."""
    print("| photograph | drift in | pixels off | left | light | after | grain | after | changed outside |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    bad = 0
    for name in PHOTOGRAPHS:
        for words, put in drifts().items():
            row, is_held = _row(name, put, words in REFUSED)
            print(f"| {name.split('.')[0]} | {words} | {row} |", flush=True)
            bad += not is_held
    return int(check and bad > 0)


def _row(name: str, put: Put, must_refuse: bool) -> tuple[str, bool]:
    import numpy as np

    from lib_prodshot.enhancing.edit import put_right
    from lib_prodshot.enhancing.grain import spread
    from lib_prodshot.enhancing.registration import NotRegistered
    from lib_prodshot.masks import feather
    from lib_prodshot.preserve import composite
    from lib_prodshot.request import Request
    from tests.enhancing.test_registration import edited, masked, photograph

    picture = photograph(name)
    alpha = feather(masked(picture), 4.0)
    known = np.where(alpha == 0, np.uint8(255), np.uint8(0))
    made = put.of(edited(picture, masked(picture)))
    size = picture.shape[1], picture.shape[0]
    off = farthest(put.matrix(size), size)
    try:
        right = put_right(picture, made, known, Request(products="x", engine="edit"), seed=0)
    except NotRegistered as error:
        return f"{off:.1f} | refused: {str(error).split(':')[0].split(';')[0]} | | | | | ", must_refuse or off > 12
    left = farthest(_between(put.matrix(size), right.drift.matrix), size)
    outside = int((composite(picture, right.rgb, alpha) != picture)[alpha == 0].sum())
    figures = (
        f"{off:.1f} | {left:.2f} | {right.match.before:.1f} | {right.match.after:.1f} | "
        f"{spread(made, known):.1f} | {spread(right.rgb, known):.1f} | {outside}"
    )
    return figures, not must_refuse and left < 0.5 and outside == 0


def farthest(matrix: np.ndarray, size: tuple[int, int]) -> float:
    """How far a map (2×3) moves the corner that it moves most, in pixels."""
    import numpy as np

    corners = np.array([(x, y, 1) for x in (0, size[0]) for y in (0, size[1])])
    return float(np.linalg.norm(corners @ matrix.T - corners[:, :2], axis=1).max())


def _between(put: np.ndarray, found: np.ndarray) -> np.ndarray:
    """What is left of a map once another was undone: the identity where both are the same."""
    import numpy as np

    square = [np.vstack([each, (0, 0, 1)]) for each in (put, found)]
    return np.asarray((np.linalg.inv(square[1]) @ square[0])[:2])


if __name__ == "__main__":
    raise SystemExit(main())
