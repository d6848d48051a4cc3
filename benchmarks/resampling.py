"""What it changes for the lite finder that the rows of a large picture are added before they are narrowed.

    python -m benchmarks.resampling FOLDER LABELS.json […] [--sides 0 4100 6000 8000] [--noise-at 6000]

The labelled photographs of `benchmarks/recall.py`, in their own sizes (side 0) and enlarged (Lanczos) to a longer side
with a sensor's noise, are looked at so and with OpenCV's resampling by area; at one size with that once more with
another draw of the same noise, which tells how much a score swings for no reason. Compared are the best score of each
product, the verdicts, the boxes (best match of the same product), the joined mask of each product, and all against the
labels.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from benchmarks.recall import HEAD, Corners, Tally, count_absent, count_present, iou, labelled_products
from lib_prodshot import resampling
from lib_prodshot.finding.finder import Finder
from lib_prodshot.finding.interface import Findings
from lib_prodshot.finding.registry import load_finder
from lib_prodshot.pictures import read
from lib_prodshot.request import Request

_NOISE = 4.0
"""Levels of a sensor's noise."""

Rgb = npt.NDArray[np.uint8]


@dataclass
class Difference:
    """What two looks at one picture differ by; `verdicts` has product, scores and threshold of those that changed."""

    file: str
    scores: list[float]
    """How much the best score of each product rose."""
    shown: list[float]
    """The same of the products that the labels name."""
    verdicts: list[tuple[str, float, float, float]]
    box_ious: list[float] = field(default_factory=list)
    mask_ious: list[float] = field(default_factory=list)
    lost: int = 0
    """Boxes that have no match in the other look, of either."""


@contextmanager
def by_opencv() -> Iterator[None]:
    """By OpenCV's resampling alone."""
    kept = resampling.ROWS_FIRST
    resampling.ROWS_FIRST = 1 << 30
    try:
        yield
    finally:
        resampling.ROWS_FIRST = kept


def enlarged(picture: Rgb, side: int, draw: int) -> Rgb:
    """The picture with that longer side and a draw of the noise; as it is for side 0."""
    if not side:
        return picture
    scale = side / max(picture.shape[:2])
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    large = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LANCZOS4), np.uint8)
    chance = np.random.default_rng(draw)
    for top in range(0, len(large), 500):
        rows = large[top : top + 500]
        noise = chance.standard_normal(rows.shape, np.float32) * np.float32(_NOISE)
        rows[:] = np.clip(np.rint(rows + noise), 0, 255)
    return large


def difference(file: str, label: dict[str, Any], before: Findings, after: Findings, request: Request) -> Difference:
    """What changed from `before` to `after`."""
    pairs = list(zip(request.classes, before.best_scores, after.best_scores, strict=True))
    told = Difference(
        file,
        [new - old for _, old, new in pairs],
        [new - old for item, old, new in pairs if item.name in label["boxes"]],
        [
            (item.name, round(old, 4), round(new, 4), item.threshold)
            for item, old, new in pairs
            if (old >= item.threshold) != (new >= item.threshold)
        ],
    )
    for index in range(len(pairs)):
        old, new = ([find for find in look.finds if find.box.class_index == index] for look in (before, after))
        fits = [max((iou(a.box.corners, b.box.corners) for b in new), default=0.0) for a in old]
        told.box_ious += [fit for fit in fits if fit >= 0.5]
        told.lost += sum(fit < 0.5 for fit in fits) + max(0, len(new) - len(old))
        if old and new:
            masks = [np.maximum.reduce([find.soft_mask for find in finds]) > 127 for finds in (old, new)]
            joined = np.count_nonzero(masks[0] | masks[1])
            told.mask_ious.append(np.count_nonzero(masks[0] & masks[1]) / joined if joined else 1.0)
    return told


def tally(look: Findings, label: dict[str, Any], scale: float, request: Request, into: Tally, file: str) -> None:
    """Count one look against the labels."""
    for index, item in enumerate(request.classes):
        if item.name in label.get("unsure", ()):
            continue
        finds = [find for find in look.finds if find.box.class_index == index]
        if item.name not in label["boxes"]:
            count_absent(into, f"{file} ({item.name})", finds)
            continue
        boxes: list[Corners] = [[side * scale for side in box] for box in label["boxes"][item.name]]
        count_present(into, f"{file} ({item.name})", finds, boxes)


def show(side: int, differences: dict[str, list[Difference]], tallies: dict[str, Tally]) -> None:
    print(f"\n## {side or 'own size'}\n")
    print("| what | pictures | identical | largest score difference | median of the pictures' largest | "
          "mean rise of the labelled products' scores | "
          "verdicts | box IoU, smallest | mean | unmatched | mask IoU, smallest | mean |")  # fmt: skip
    print("|---" * 12 + "|")
    for name, some in differences.items():
        largest = [max(map(abs, one.scores)) for one in some]
        shown = [rise for one in some for rise in one.shown]
        boxes, masks = ([value for one in some for value in getattr(one, key)] for key in ("box_ious", "mask_ious"))
        cells = [
            name,
            str(len(some)),
            str(sum(value == 0 for value in largest)),
            f"{max(largest):.4f}",
            f"{statistics.median(largest):.4f}",
            f"{statistics.fmean(shown or [0.0]):+.5f}",
            str(sum(len(one.verdicts) for one in some)),
            *(f"{min(boxes, default=1):.4f}", f"{statistics.fmean(boxes or [1]):.4f}"),
            str(sum(one.lost for one in some)),
            *(f"{min(masks, default=1):.4f}", f"{statistics.fmean(masks or [1]):.4f}"),
        ]
        print(f"| {' | '.join(cells)} |")
    for name, some in differences.items():
        for one in some:
            for product, old, new, threshold in one.verdicts:
                print(f"- {name}: {one.file}, {product}: {old} → {new} at {threshold}")
    print(f"\n{HEAD}")
    for name, one in tallies.items():
        print(one.row(name))


def measure(
    finder: Finder, sets: Sequence[tuple[Path, dict[str, Any]]], side: int, with_noise: bool, request: Request
) -> dict[str, Any]:
    """Look at every picture at one size, and print what was seen."""
    differences: dict[str, list[Difference]] = {"rows first": [], "other noise": []}
    tallies = {"OpenCV": Tally(), "rows first": Tally(), "OpenCV, other noise": Tally()}
    everything = [(folder, file, label) for folder, labels in sets for file, label in sorted(labels.items())]
    for folder, file, label in tqdm(everything, unit="picture", disable=None):
        own = np.ascontiguousarray(read(folder / file).rgb)
        picture = enlarged(own, side, 1)
        ours = finder.find(picture, request.classes)
        scale = max(picture.shape[:2]) / max(own.shape[:2])
        tally(ours, label, scale, request, tallies["rows first"], file)
        other = None
        if with_noise:
            with by_opencv():
                other = finder.find(enlarged(own, side, 2), request.classes)
            tally(other, label, scale, request, tallies["OpenCV, other noise"], file)
        else:
            # the finder recalls the same samples; another picture in between makes it forget them
            finder.unload()
        with by_opencv():
            before = finder.find(picture, request.classes)
        tally(before, label, scale, request, tallies["OpenCV"], file)
        differences["rows first"].append(difference(file, label, before, ours, request))
        if other is not None:
            differences["other noise"].append(difference(file, label, before, other, request))
    if not with_noise:
        del differences["other noise"], tallies["OpenCV, other noise"]
    show(side, differences, tallies)
    return {
        "differences": {name: [asdict(one) for one in some] for name, some in differences.items()},
        "tallies": {name: asdict(one) for name, one in tallies.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", type=Path, nargs="+", metavar="FOLDER LABELS")
    parser.add_argument("--sides", type=int, nargs="+", default=[0, 4100, 6000, 8000], help="default: %(default)s")
    parser.add_argument("--noise-at", type=int, default=6000, help="default: %(default)s")
    parser.add_argument("--json", type=Path, help="where all of it is written")
    arguments = parser.parse_args()
    if len(arguments.sets) % 2:
        parser.error("each folder needs its labels: FOLDER LABELS.json")
    labels = [json.loads(path.read_text(encoding="utf-8")) for path in arguments.sets[1::2]]
    request = Request(products=labelled_products(labels), finder="lite")
    finder = load_finder(request.finder)
    sets = list(zip(arguments.sets[::2], labels, strict=True))
    told = {}
    for side in arguments.sides:
        told[str(side)] = measure(finder, sets, side, side == arguments.noise_at, request)
        if arguments.json:
            arguments.json.write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
