"""Recall, false finds, boxes and masks of a finder on folders of labelled photographs, in two halves.

    python -m benchmarks.recall FOLDER LABELS.json [FOLDER LABELS.json …] [--products "handbag, shoe"] [--finder lite]

LABELS.json maps each file name to

    {"boxes": {product: [[x0, y0, x1, y1], …]}, "masks": {product: file}, "unsure": [products], "masks_in": folder}

`boxes` names every product on the picture with the box of each instance in pixels of the upright picture (an empty
list: present, boxes not labelled); `masks` the joined mask of a product's instances, white on black, in the folder
itself or in `masks_in` (from the folder); a product that is unsure on a picture (half hidden, a matter of words)
counts neither way. Pictures on which nothing is named stand for all that must be skipped. benchmarks/labels.json labels
photographs of npm `@vendure/create` 3.7.3 (assets/images), npm `xzoom` 1.0.15 (doc/images/gallery/original) and
scikit-image; `benchmarks/scenes.py` composes further ones with masks.

The halves are told apart by the CRC-32 of the file's name up to its first "~": constants are chosen on "tune",
"report" is only looked at. One table for each half: found of all, false verdicts, instances boxed of all, boxes beside
the first that fit no instance ("extra"), mean IoU of boxes and of masks.
"""

from __future__ import annotations

import argparse
import itertools
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from lib_prodshot.finding.finder import Finder
from lib_prodshot.finding.interface import Find
from lib_prodshot.finding.registry import load_finder
from lib_prodshot.pictures import read
from lib_prodshot.request import Request

HALVES = ("tune", "report")
SAME = 0.3
"""A box and an instance with this IoU mean each other; whether it fits well is told by the mean IoU."""

Corners = Sequence[float]


@dataclass
class Tally:
    """One product, or all, on one half; `which` names what went wrong."""

    found: int = 0
    present: int = 0
    false: int = 0
    absent: int = 0
    boxed: int = 0
    instances: int = 0
    extra: int = 0
    box_ious: list[float] = field(default_factory=list)
    mask_ious: list[float] = field(default_factory=list)
    which: list[str] = field(default_factory=list)

    def row(self, name: str, *, which: bool = True) -> str:
        both = (self.box_ious, self.mask_ious)
        ious = (f"{fmean(values):.3f} of {len(values)}" if values else "–" for values in both)
        cells = [name, f"{self.found}/{self.present}", f"{self.false}/{self.absent}", f"{self.boxed}/{self.instances}",
                 str(self.extra), *ious, ", ".join(self.which) if which else ""]  # fmt: skip
        return f"| {' | '.join(cells)} |"


HEAD = "| product | found | false | instances | extra | box IoU | mask IoU | which |\n|---|---|---|---|---|---|---|---|"


def half_of(file: str) -> str:
    """The half that a picture belongs to, with all scenes of the same product."""
    return HALVES[zlib.crc32(Path(file).stem.split("~")[0].encode()) % 2]


def measure(
    finder: Finder, folder: Path, labels: dict[str, dict[str, Any]], request: Request, tallies: dict[str, list[Tally]]
) -> None:
    """Look at every labelled picture once, for all products together; `tallies` has one list for each half."""
    for file, label in tqdm(sorted(labels.items()), unit="picture", disable=None):
        findings = finder.find(read(folder / file).rgb, request.classes, request.text_threshold)
        for index, (item, tally) in enumerate(zip(request.classes, tallies[half_of(file)], strict=True)):
            if item.name in label.get("unsure", ()):
                continue
            finds = [find for find in findings.finds if find.box.class_index == index]
            if item.name not in label["boxes"]:
                count_absent(tally, file, finds)
                continue
            count_present(tally, file, finds, label["boxes"][item.name])
            mask = label.get("masks", {}).get(item.name)
            if mask and finds:
                measure_mask(tally, file, finds, folder / label.get("masks_in", "") / mask)


def count_absent(tally: Tally, file: str, finds: Sequence[Find]) -> None:
    tally.absent += 1
    if finds:
        tally.false += 1
        tally.which.append(f"false {file}")


def count_present(tally: Tally, file: str, finds: Sequence[Find], instances: Sequence[Corners]) -> None:
    tally.present += 1
    tally.instances += len(instances)
    if not finds:
        tally.which.append(f"missed {file}")
        return
    tally.found += 1
    if not instances:
        return
    boxes = [find.box.corners for find in sorted(finds, key=lambda find: -find.box.score)]
    matched = match(boxes, instances)
    tally.boxed += len(instances) if len(matched) == 1 and joins(boxes[matched[0][0]], instances) else len(matched)
    tally.box_ious += [iou for _, iou in matched] or [max(iou(boxes[0], instance) for instance in instances)]
    extra = len(boxes) - max(len(matched), 1)
    if extra:
        tally.extra += extra
        tally.which.append(f"{extra} extra {file}")


def match(boxes: Sequence[Corners], instances: Sequence[Corners]) -> list[tuple[int, float]]:
    """Which boxes fit an instance, each its own, with their IoU; one around all instances fits too."""
    if len(boxes) == 1 and joins(boxes[0], instances):
        return [(0, iou(boxes[0], around(instances)))]
    places = itertools.product(range(len(boxes)), range(len(instances)))
    pairs = sorted(((iou(boxes[place], instances[other]), place, other) for place, other in places), reverse=True)
    matched: dict[int, tuple[int, float]] = {}
    for fit, place, other in pairs:
        if fit >= SAME and place not in matched and all(other != taken for taken, _ in matched.values()):
            matched[place] = (other, fit)
    return [(place, fit) for place, (_, fit) in matched.items()]


def joins(box: Corners, instances: Sequence[Corners]) -> bool:
    """Whether a box is that of several instances together (a pair of shoes)."""
    return len(instances) > 1 and iou(box, around(instances)) > max(0.5, *(iou(box, one) for one in instances))


def around(boxes: Sequence[Corners]) -> Corners:
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return (min(x0), min(y0), max(x1), max(y1))


def iou(one: Corners, other: Corners) -> float:
    across, down = (min(one[side + 2], other[side + 2]) - max(one[side], other[side]) for side in (0, 1))
    shared = max(0.0, across) * max(0.0, down)
    return shared / (sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - shared)


def measure_mask(tally: Tally, file: str, finds: Sequence[Find], path: Path) -> None:
    truth = np.asarray(Image.open(path).convert("L")) > 127
    ours: npt.NDArray[np.bool_] = np.stack([find.soft_mask for find in finds]).max(axis=0) > 127
    fit = float((ours & truth).sum() / (ours | truth).sum())
    tally.mask_ious.append(fit)
    tally.which.append(f"{fit:.3f} {file}")


def total(tallies: Sequence[Tally]) -> Tally:
    whole = Tally()
    for tally in tallies:
        for name, value in vars(tally).items():
            setattr(whole, name, getattr(whole, name) + value)
    return whole


def labelled_products(labels: Sequence[dict[str, dict[str, Any]]]) -> str:
    """Every product that a label names, for `--products`."""
    return ", ".join(sorted({name for some in labels for label in some.values() for name in label["boxes"]}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", type=Path, nargs="+", metavar="FOLDER LABELS")
    parser.add_argument("--products", help="default: all that the labels name")
    parser.add_argument("--finder", default="lite", help="default: %(default)s")
    arguments = parser.parse_args()
    if len(arguments.sets) % 2:
        parser.error("each folder needs its labels: FOLDER LABELS.json")
    folders = arguments.sets[::2]
    labels = [json.loads(path.read_text(encoding="utf-8")) for path in arguments.sets[1::2]]
    request = Request(products=arguments.products or labelled_products(labels), finder=arguments.finder)
    finder = load_finder(request.finder)
    tallies = {half: [Tally() for _ in request.classes] for half in HALVES}
    for folder, some in zip(folders, labels, strict=True):
        measure(finder, folder, some, request, tallies)
    for half, rows in tallies.items():
        named = [tally.row(item.name) for item, tally in zip(request.classes, rows, strict=True)]
        print(f"\n{half}\n\n{HEAD}\n" + "\n".join([*named, total(rows).row("**all**", which=False)]))


if __name__ == "__main__":
    main()
