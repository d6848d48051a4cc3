"""A picture's whole way, from its file to the results': 512² to 48 megapixels, enhanced, skipped, as packshots.

    python -m benchmarks.whole_way [--rounds 3] [--against CHECKOUT] [--only enhance …] [--sizes "24 MP" …]

Against the floor of the same round in processor time: the models' own calls, decoding the file, encoding the results,
with the same library; of `enhance` also with the retouch's own call in the floor, where a WebUI's diffusion stands.
Each kind and size runs in a process of its own (`one_picture.py`, `one_folder.py`); its peak memory is told above what
it held before, of a folder job with the models.
`--against`: the same by the code of another checkout, in turn with this one's; whether the results are the same, byte
for byte, is told beside.

The photographs are scikit-image's; the largest are scaled up to 12, 24 and 48 megapixels with a sensor's noise, as
JPEG.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.measure import Ratio, machine
from benchmarks.overhead import make_pictures

ROOT = Path(__file__).parents[1]
LARGE = {"12 MP": (4242, 2828), "24 MP": (6000, 4000), "48 MP": (8484, 5656)}
NAMES = {"512": "512 × 512", "2048": "2048 × 2048"}
NAMES |= {name: f"{name.split()[0]} megapixels (JPEG)" for name in LARGE}
USUAL = ("512", "2048", "24 MP")
WORDS = {
    "enhance": "a file through `prodshot enhance`",
    "batch": "four files through `prodshot batch`",
    "skip": "a file that is skipped",
    "packshot": "a file through `prodshot packshot`",
    "scene": "a packshot with a scene (its pass stands in)",
}
LIMITS = {(kind, size): limit for kind in ("enhance", "batch") for size, limit in (("512", 1.10), ("2048", 1.20))}
LIMITS |= {(kind, "24 MP"): 1.20 for kind in ("enhance", "batch", "skip")}
_FIRST = "448"
"""The side of what each process looks at first, so that everything is loaded."""

_NOISE = 4.0
"""Levels of a sensor's noise: without it a photograph that was scaled up is a JPEG of a tenth of the usual size."""


def make_large(folder: Path, name: str, size: str) -> Path:
    """A photograph of scikit-image at 12, 24 or 48 megapixels, as a JPEG (of some 5 MB at 24)."""
    import skimage.data

    photograph = Image.open(Path(skimage.data.__file__).parent / f"{name}.png").convert("RGB")
    width = min(photograph.width, round(photograph.height * 1.5))
    left = (photograph.width - width) // 2
    cut = photograph.crop((left, 0, left + width, round(width / 1.5)))
    pixels = np.array(cut.resize(LARGE[size], Image.Resampling.LANCZOS))
    chance = np.random.default_rng(1)
    for top in range(0, len(pixels), 500):
        rows = pixels[top : top + 500]
        rows[:] = np.clip(rows + np.rint(chance.normal(0, _NOISE, rows.shape)), 0, 255)
    path = folder / f"{size.split()[0]}-{name}.jpg"
    Image.fromarray(pixels).save(path, quality=92)
    return path


def make_all(folder: Path, sizes: Sequence[str]) -> dict[tuple[str, bool], Path]:
    """The file by its size and whether the cup is on it."""
    made: dict[tuple[str, bool], Path] = {}
    for name in (*sizes, _FIRST):
        if name in LARGE:
            made |= {(name, True): make_large(folder, "coffee", name)}
            made |= {(name, False): make_large(folder, "motorcycle_left", name)}
            continue
        without, with_cup = make_pictures(folder, int(name))
        made |= {(name, True): with_cup, (name, False): without}
    return made


@dataclass
class Way:
    """One kind at one size, by one checkout."""

    kind: str
    size: str
    rounds: list[dict[str, Any]] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    results: dict[str, str] = field(default_factory=dict)

    def run(self, files: dict[tuple[str, bool], Path], checkout: Path) -> None:
        """One more round, in a process of its own."""
        has_cup = self.kind != "skip"
        source, small = files[self.size, has_cup], files[_FIRST, has_cup]
        script = Path(__file__).with_name("one_folder.py" if self.kind == "batch" else "one_picture.py")
        command = [sys.executable, str(script), self.kind, str(source), str(small), "1"]
        environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, cwd=checkout, check=True, capture_output=True, text=True)
        told = json.loads(done.stdout.splitlines()[-1])
        self.rounds += told["rounds"]
        self.memory += [] if told["memory"] is None else [told["memory"]]
        self.results = told["results"]

    @property
    def ratio(self) -> Ratio:
        """All that the picture costs against its floor."""
        values = tuple(one["total"] / (one["models"] + one["files"]) for one in self.rounds)
        name = f"{WORDS[self.kind]}, {NAMES[self.size]}"
        against = "the detector's models, decoding" if self.kind == "skip" else "bare models, decoding, encoding"
        return Ratio(name, against, values, LIMITS.get((self.kind, self.size)))

    @property
    def beside_engine(self) -> Ratio | None:
        """The same with the engine's own call in the floor, where there is one."""
        values = tuple(one["total"] / (one["models"] + one["files"] + one["engine"]) for one in self.rounds)
        if not any(one["engine"] for one in self.rounds):
            return None
        name = f"{WORDS[self.kind]}, {NAMES[self.size]}"
        return Ratio(name, "bare models, the retouch, decoding, encoding", values)

    def shares(self) -> dict[str, float]:
        """Each stage as a share of the floor; `find` without its models, gates with theirs."""
        shares: dict[str, list[float]] = {}
        for one in self.rounds:
            floor = one["models"] + one["files"]
            for stage, seconds in {"models": one["models"], "files": one["files"], **one["stages"]}.items():
                shares.setdefault(stage, []).append(seconds / floor)
        return {stage: statistics.median(values) for stage, values in shares.items()}


def rows(rounds: int) -> Iterator[Ratio]:
    """The ways as rows of the table of all benchmarks, then their memory against the decoded picture's."""
    ways = measured(rounds, [ROOT], list(WORDS))
    for (way,) in ways:
        yield way.ratio
    width, height = LARGE["24 MP"]
    picture = width * height * 3 / 1024**2
    for (way,) in ways:
        if way.size == "24 MP" and way.memory:
            name = f"peak memory above the loaded models: {WORDS[way.kind]}, {NAMES[way.size]}"
            yield Ratio(name, "the picture's own 69 MiB", tuple(each / picture for each in way.memory))


def measured(
    rounds: int, checkouts: Sequence[Path], kinds: Sequence[str], sizes: Sequence[str] = USUAL
) -> list[list[Way]]:
    """Every kind at every size by every checkout, the checkouts in turn."""
    ways = [[Way(kind, size) for _ in checkouts] for kind in kinds for size in sizes]
    with tempfile.TemporaryDirectory() as folder:
        files = make_all(Path(folder), sizes)
        for same in ways:
            for number in range(rounds):
                turn = list(zip(same, checkouts, strict=True))
                for way, checkout in turn if number % 2 else reversed(turn):
                    way.run(files, checkout)
    return ways


def show(ways: Sequence[Sequence[Way]]) -> None:
    """Print both tables."""
    has_before = len(ways[0]) > 1
    print("| what | against | before | now | limit | peak memory before, MiB | now | results |")
    print("|---|---|---|---|---|---|---|---|")
    for same in ways:
        now, before = same[0], same[1] if has_before else None
        equal = "" if before is None else "the same" if now.results == before.results else "differ"
        _show_row(now.ratio, before.ratio if before else None, (_most(before), _most(now), equal))
        if now.beside_engine is not None:
            _show_row(now.beside_engine, before.beside_engine if before else None, ("", "", ""))
    stages = list(dict.fromkeys(stage for same in ways for way in same for stage in way.shares()))
    print(f"\n| share of the floor | {' | '.join(stages)} |\n|---|{'---|' * len(stages)}")
    for same in ways:
        for way, when in zip(same, ("now", "before")):
            shares = way.shares()
            cells = [f"{shares[stage]:.3f}" if stage in shares else "" for stage in stages]
            print(f"| {way.kind}, {way.size}, {when} | {' | '.join(cells)} |")
    print(f"\nprocessor time; the median of the rounds. {machine()}")


def _show_row(now: Ratio, before: Ratio | None, rest: Sequence[str]) -> None:
    limit = "" if now.limit is None else f"{now.limit:.2f}"
    print(f"| {' | '.join([now.name, now.against, _told(before), _told(now), limit, *rest])} |")


def _told(ratio: Ratio | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio.median:.2f} ({min(ratio.values):.2f}–{max(ratio.values):.2f})"


def _most(way: Way | None) -> str:
    return str(max(way.memory)) if way is not None and way.memory else ""


def main() -> int:
    """Exits with 1 above a limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--against", type=Path, help="a checkout of the code before")
    parser.add_argument("--only", nargs="+", default=list(WORDS), choices=list(WORDS))
    parser.add_argument("--sizes", nargs="+", default=list(USUAL), choices=list(NAMES), help="default: %(default)s")
    arguments = parser.parse_args()
    checkouts = [ROOT, *([arguments.against.resolve()] if arguments.against else [])]
    ways = measured(arguments.rounds, checkouts, arguments.only, arguments.sizes)
    show(ways)
    return 1 if any(same[0].ratio.limit and same[0].ratio.median > same[0].ratio.limit for same in ways) else 0


if __name__ == "__main__":
    raise SystemExit(main())
