"""Recall and false finds of a finder on a folder of labelled photographs.

    python -m benchmarks.recall FOLDER LABELS.json [--products "handbag, shoe, watch"] [--finder lite]

LABELS.json maps each file name to {"present": [products], "unsure": [products]}; a product that is unsure on a picture
(half hidden, a matter of words) counts neither way. Prints one row for each product and the total.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from lib_prodshot.finding.registry import load_finder
from lib_prodshot.pictures import read
from lib_prodshot.request import Request

PRODUCTS = "handbag, shoe, watch, car, bottle, cup"


@dataclass
class Tally:
    """Pictures with the product (found of all) and without it (falsely found of all)."""

    found: int = 0
    present: int = 0
    absent: int = 0
    false: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def row(self, name: str) -> str:
        false = f"{len(self.false)}/{self.absent}"
        return f"| {name} | {self.found}/{self.present} | {false} | {', '.join([*self.missed, *self.false]) or '–'} |"


def measure(folder: Path, labels: dict[str, dict[str, list[str]]], request: Request) -> dict[str, Tally]:
    """Look at every labelled picture once, for all products together."""
    finder = load_finder(request.finder)
    names = [item.name for item in request.classes]
    tallies = {name: Tally() for name in names}
    for file, label in tqdm(sorted(labels.items()), unit="picture", disable=None):
        answer = finder.detector.detect(read(folder / file).rgb, request.classes, request.text_threshold)
        found = {names[box.class_index] for box in answer.boxes}
        for name in names:
            if name not in label.get("unsure", ()):
                count(tallies[name], file, name in label["present"], name in found)
    return tallies


def count(tally: Tally, file: str, present: bool, found: bool) -> None:
    tally.present += present
    tally.absent += not present
    tally.found += present and found
    if present and not found:
        tally.missed.append(f"missed {file}")
    if found and not present:
        tally.false.append(f"false {file}")


def total(tallies: Sequence[Tally]) -> str:
    found, present = sum(item.found for item in tallies), sum(item.present for item in tallies)
    false, absent = sum(len(item.false) for item in tallies), sum(item.absent for item in tallies)
    return f"| **all** | {found}/{present} | {false}/{absent} | |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--products", default=PRODUCTS, help="default: %(default)s")
    parser.add_argument("--finder", default="lite", help="default: %(default)s")
    arguments = parser.parse_args()
    labels = json.loads(arguments.labels.read_text(encoding="utf-8"))
    tallies = measure(arguments.folder, labels, Request(products=arguments.products, finder=arguments.finder))
    print("| product | found | false | which |\n|---|---|---|---|")
    print("\n".join([*(tally.row(name) for name, tally in tallies.items()), total(list(tallies.values()))]))


if __name__ == "__main__":
    main()
