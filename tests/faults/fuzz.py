"""`python -m tests.faults.fuzz [--count 50000] [--seed 1] [--only NAME]`: generated cases against everything that
reads what others wrote. Prints a table; the first case that does more than refuse in words ends it with its traceback.

A case that never ends or kills the process is found as well: each damaged file has `PATIENCE` seconds
(`fuzz_decoding`), and lies in `--keep` while it is being read. The same seed gives the same cases.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from tests.faults import fuzz_decoding, fuzz_reading, fuzz_shapes

Target = Callable[[random.Random, int, Path], Counter[str]]
"""Runs so many cases; returns how many ended in which way. Raises for a case that must not be."""

TARGETS: dict[str, tuple[Target, int]] = {
    "damaged pictures": (fuzz_decoding.damaged_pictures, 30),
    "picture headers": (fuzz_decoding.picture_headers, 10),
    "requests": (fuzz_reading.requests, 10),
    "product lists": (fuzz_reading.product_lists, 10),
    "thresholds and prompts": (fuzz_reading.thresholds_and_prompts, 6),
    "presets": (fuzz_reading.presets, 5),
    "recipes": (fuzz_reading.recipes, 5),
    "LoRA and checkpoint headers": (fuzz_reading.weights_headers, 5),
    "reports with hostile names": (fuzz_reading.reports, 4),
    "a remote WebUI's answers": (fuzz_reading.remote_answers, 4),
    "masks": (fuzz_shapes.soft_masks, 5),
    "detectors' boxes": (fuzz_shapes.boxes, 4),
    "the whole pipeline": (fuzz_shapes.pipelines, 2),
}
"""Each target and its share of all cases in per cent."""


@dataclass
class Total:
    """What came of one target."""

    name: str
    seconds: float
    ends: Counter[str] = field(default_factory=Counter)


def run(count: int, seed: int, keep: Path, only: str = "") -> Iterator[Total]:
    """Run `count` cases in all, one target after another; raises what the first bad one raised."""
    chosen = {only: TARGETS[only]} if only in TARGETS else {name: TARGETS[name] for name in TARGETS if only in name}
    shares = sum(share for _, share in chosen.values())
    for name, (target, share) in chosen.items():
        cases = max(1, round(count * share / shares))
        start = perf_counter()
        try:
            ends = target(random.Random(f"{seed} {name}"), cases, keep)
        finally:
            faulthandler.cancel_dump_traceback_later()
        assert ends.total() >= cases, f"{name}: {ends.total()} of {cases} cases ran"
        yield Total(name, perf_counter() - start, ends)


def main() -> int:
    """Run and print; exit code 1 after a case that must not be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=50_000, help="cases in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--only", default="", metavar="NAME", help="only the targets with this in their names")
    parser.add_argument("--keep", type=Path, help="where the damaged file at hand lies (default: a temporary folder)")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", module="PIL")
    # libtiff and libpng murmur past Python
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    keep = arguments.keep or Path(tempfile.mkdtemp(prefix="prodshot-fuzz-"))
    keep.mkdir(parents=True, exist_ok=True)
    print("| target | cases | seconds | how they ended |\n|---|---|---|---|", flush=True)
    cases = 0
    try:
        for total in run(arguments.count, arguments.seed, keep, arguments.only):
            cases += total.ends.total()
            ends = ", ".join(f"{number} {end}" for end, number in total.ends.most_common())
            print(f"| {total.name} | {total.ends.total()} | {total.seconds:.1f} | {ends} |", flush=True)
    except Exception:
        traceback.print_exc(file=sys.stdout)
        return 1
    print(f"\n{cases} cases, seed {arguments.seed}: every one answered, or refused in words")
    return 0


if __name__ == "__main__":
    sys.exit(main())
