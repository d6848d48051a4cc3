"""What prodshot adds to the bare models: each stage of `prodshot enhance` against a floor measured in the same run.

The floor is the time inside the models' own `run` calls plus bare decoding and encoding of the very same files with
the same library (Pillow): what any program that does this job must spend. Run:

    python -m benchmarks.overhead [--pictures 50] [--rounds 3]

Pictures are scikit-image's motorcycle and coffee photographs at 512² and 2048². Exits with 1 above the limits.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from PIL import Image

from lib_prodshot.enhancing import load_enhancer
from lib_prodshot.finding.registry import load_finder
from lib_prodshot.jobs.processor import PictureProcessor
from lib_prodshot.jobs.report.report import Report
from lib_prodshot.pictures.png import COMPRESSION
from lib_prodshot.request import Request

LIMITS = {512: 0.10, 2048: 0.20}
"""The rest may add this share of the floor at most, by the picture's side in pixels."""

PHOTOGRAPHS = ("motorcycle_left.png", "coffee.png")
REQUEST = Request(products="motorcycle, coffee cup", finder="lite")


@dataclass
class ModelClock:
    """Counts the models loaded and the seconds inside their own `run`."""

    loaded: int = 0
    seconds: float = 0.0
    sessions: list[Any] = field(default_factory=list)


@contextmanager
def timed_models() -> Iterator[ModelClock]:
    """Wrap onnxruntime's session class while the block runs, so that every model call is timed where it happens."""
    import onnxruntime

    clock = ModelClock()
    original = onnxruntime.InferenceSession

    class Timed(original):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            clock.loaded += 1

        def run(self, *arguments: Any, **options: Any) -> Any:
            start = perf_counter()
            try:
                return super().run(*arguments, **options)
            finally:
                clock.seconds += perf_counter() - start

    onnxruntime.InferenceSession = Timed
    try:
        yield clock
    finally:
        onnxruntime.InferenceSession = original


def make_pictures(folder: Path, side: int) -> list[Path]:
    """The photographs, cut square in the middle and resized to side × side pixels, as PNG."""
    import skimage.data

    made = []
    for name in PHOTOGRAPHS:
        photograph = Image.open(Path(skimage.data.__file__).parent / name).convert("RGB")
        edge = min(photograph.size)
        left, top = (photograph.width - edge) // 2, (photograph.height - edge) // 2
        square = photograph.crop((left, top, left + edge, top + edge)).resize((side, side), Image.Resampling.LANCZOS)
        path = folder / f"{side}-{Path(name).stem}.png"
        square.save(path, compress_level=COMPRESSION)
        made.append(path)
    return made


def bare_files(source: Path, results: list[Path], scratch: Path) -> float:
    """Seconds to decode `source` and to encode the same `results`, with Pillow and nothing else."""
    pictures = [Image.open(path).copy() for path in results]
    start = perf_counter()
    Image.open(source).load()
    for picture in pictures:
        picture.save(scratch / "bare.png", compress_level=COMPRESSION)
    return perf_counter() - start


@dataclass
class Measure:
    """Seconds of one picture."""

    models: float
    files: float
    total: float
    stages: dict[str, float]

    @property
    def added(self) -> float:
        """What is above the floor, as a share of it."""
        return (self.total - self.models - self.files) / (self.models + self.files)


def measure(worker: PictureProcessor, report: Report, source: Path, out: Path, clock: ModelClock) -> Measure:
    """One picture through `enhance`, then its bare floor; the picture must be found and left intact outside."""
    clock.seconds = 0.0
    start = perf_counter()
    outcome = worker.process(source, out, source.stem)
    report.add(outcome)
    total = perf_counter() - start
    if outcome.status != "found" or outcome.audit is None or outcome.audit.changed_outside:
        raise SystemExit(f"{source.name}: {outcome.status}: {outcome.verdict.reason}")
    results = [out / f"{source.stem}{kind}.png" for kind in ("", ".mask", ".alpha")]
    return Measure(clock.seconds, bare_files(source, results, out), total, outcome.seconds)


def show(side: int, measures: list[Measure]) -> float:
    """Print the stages of one size; returns the median share added."""
    added = [item.added for item in measures]
    floor = statistics.median(item.models + item.files for item in measures)
    print(f"\n{side} x {side}: {len(measures)} runs; each stage as a share of the floor (median)")
    print(f"  floor: models {statistics.median(item.models / (item.models + item.files) for item in measures):6.1%}")
    for stage in measures[0].stages:
        print(f"  {stage:10} {statistics.median(item.stages[stage] for item in measures) / floor:6.1%}")
    middle = statistics.median(added)
    print(f"  added in all: {middle:.1%} (from {min(added):.1%} to {max(added):.1%}); limit {LIMITS[side]:.0%}")
    return middle


def main() -> int:
    """Measure both sizes, then one process over many pictures; exit code 1 when a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="runs of each picture (default: %(default)s)")
    parser.add_argument("--pictures", type=int, default=50, help="pictures of the one-load run (default: %(default)s)")
    arguments = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as folder, timed_models() as clock:
        inputs, out = Path(folder), Path(folder) / "out"
        out.mkdir()
        worker = PictureProcessor(REQUEST, load_finder("lite"), load_enhancer("retouch"))
        with Report(out) as report:
            for side, limit in LIMITS.items():
                sources = make_pictures(inputs, side)
                worker.process(sources[0], out, "warm-up")
                measures = [
                    measure(worker, report, path, out, clock) for _ in range(arguments.rounds) for path in sources
                ]
                good &= show(side, measures) <= limit
            loaded, source = clock.loaded, make_pictures(inputs, 512)[0]
            for number in range(arguments.pictures):
                worker.process(source, out, f"many-{number}")
        good &= clock.loaded == loaded
        print(f"\n{arguments.pictures} more pictures in the same process: {loaded} models loaded before, ", end="")
        print(f"{clock.loaded - loaded} loaded again")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
