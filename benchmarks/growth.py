"""How cost grows with pixels, instances, classes, pictures and rows: curves with exponents, as table, JSON, plot.

    python -m benchmarks.growth [--rounds 3] [--only WORD …] [--json growth.json] [--plot docs/images/growth.svg]

Processor time of this process. The finder is the stub of the tests wherever the models would drown the growth: in all
but `classes`, which runs the lite finder's own. A report of 100,000 rows and a job of 2,000 pictures make it ten
minutes or so; `--small` leaves the largest size of each out. What workers give is measured by `benchmarks.ray_workers`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from benchmarks import measure
from benchmarks.curves import Curve, to_markdown, to_svg
from benchmarks.job_costs import _outcome
from lib_prodshot import masks, pictures, pipeline, preserve
from lib_prodshot.enhancing import load_enhancer
from lib_prodshot.finding.interface import Box, Find
from lib_prodshot.finding.lite.label_map import CATEGORIES
from lib_prodshot.finding.registry import load_finder
from lib_prodshot.jobs.processor import PictureProcessor
from lib_prodshot.jobs.report import contact_sheet
from lib_prodshot.jobs.report.ledger import Ledger
from lib_prodshot.pictures import LoadedPicture
from lib_prodshot.request import Request
from tests.finders import fixed_finder
from tests.jobs import photographs
from tests.jobs import tools as jobs

Work = Callable[[], Any]

SIDES = (512, 1024, 2048, 4096)


class Measuring:
    """Measures works of several sizes, in turn, so that a slow minute falls on all of them."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds

    def curve(self, name: str, unit: str, works: dict[int, Work], reason: str = "") -> Curve:
        for work in list(works.values())[:2]:
            work()
        seconds: dict[int, list[float]] = {size: [] for size in works}
        for _ in range(self.rounds):
            for size, work in works.items():
                start = process_time()
                work()
                seconds[size].append(max(process_time() - start, 1e-6))
        return Curve(name, unit, seconds, reason)


def pixels(measuring: Measuring, small: bool) -> Iterator[Curve]:
    """A picture's stages; half of its width and height is the product."""
    sides = SIDES[:-1] if small else SIDES
    photograph = photographs.photograph("coffee.png")
    loaded = {side: LoadedPicture.from_rgb(np.asarray(photograph.resize((side, side)))) for side in sides}
    request = Request(products="mug", fidelity="off")
    boxes = {side: (side // 4, side // 4, side - side // 4, side - side // 4) for side in sides}
    finds = {side: [Find(Box(0, 0.9, boxes[side]), _box_mask(side, boxes[side]))] for side in sides}
    alphas = {side: masks.feather(finds[side][0].soft_mask, 4.0) for side in sides}
    with tempfile.TemporaryDirectory() as made:
        files = {side: Path(made) / f"{side}.png" for side in sides}
        for side, path in files.items():
            photograph.resize((side, side)).save(path, compress_level=1)
        processor = PictureProcessor(request, fixed_finder())

        def composite(side: int) -> None:
            rgb = loaded[side].seen()
            composed = preserve.composite(rgb, 255 - rgb, alphas[side])
            result = pictures.restore(loaded[side], composed, alphas[side])
            preserve.audit(loaded[side], result, result.rgb, alphas[side])

        def packshot(side: int) -> None:
            asked = Request(products="mug", fidelity="off", make="packshot", ground="white")
            outcome = pipeline.run(loaded[side], asked, fixed_finder(), load_enhancer(asked.running_engine))
            if outcome.status != "found":
                raise SystemExit(f"a packshot was to be made: {outcome.verdict.reason}")

        def write(side: int) -> None:
            rgb = loaded[side].seen()
            result = pictures.restore(loaded[side], rgb, alphas[side])
            pictures.write(result, Path(made) / "written.png")

        stages: dict[str, Callable[[int], Any]] = {
            "read and find, models stubbed": lambda side: processor.detect(files[side]),
            "mask": lambda side: masks.build_mask(finds[side], request),
            "composite and audit": composite,
            "packshot": packshot,
            "write": write,
        }
        for name, stage in stages.items():
            works = {side * side: _bound(stage, side) for side in sides}
            yield measuring.curve(name, "pixels", works)


def _box_mask(side: int, box: tuple[int, ...]) -> Any:
    mask = np.zeros((side, side), np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 255
    return mask


def _bound(work: Callable[[int], Any], size: int) -> Work:
    return lambda: work(size)


def instances(measuring: Measuring, small: bool) -> Iterator[Curve]:
    """Boxes of 120 pixels on 2048 × 2048, with a mask of the whole frame each, as finders give them."""
    side, request = 2048, Request(products="mug")
    boxes = [(x, y, x + 120, y + 120) for y in range(20, 2000, 250) for x in range(20, 2000, 250)]
    finds = [Find(Box(0, 0.9, box), _box_mask(side, box)) for box in boxes]
    sizes = (1, 4, 16) if small else (1, 4, 16, 64)
    works = {count: _bound(lambda some: masks.build_mask(finds[:some], request), count) for count in sizes}
    yield measuring.curve("mask of all", "instances", works)


def classes(measuring: Measuring, small: bool) -> Iterator[Curve]:
    """The lite finder with its own models: one pass, however many products."""
    finder, known = load_finder("lite"), [category.name for category in CATEGORIES]
    picture = np.asarray(photographs.photograph("coffee.png").resize((512, 512)))
    sizes = (1, 4, 16) if small else (1, 4, 16, 32)
    wanted = {count: Request(products=", ".join(known[:count]), finder="lite").classes for count in sizes}
    # a new picture each time: the finder keeps what it computed of the last one
    chance = np.random.default_rng(0)

    def find(count: int) -> None:
        finder.find(np.roll(picture, int(chance.integers(1, 500)), axis=1), wanted[count])

    yield measuring.curve("find, lite", "classes", {count: _bound(find, count) for count in sizes})


def folder_pictures(measuring: Measuring, small: bool) -> Iterator[Curve]:
    """A whole folder job over pictures of 64 pixels, and the same command again."""
    sizes = (10, 100, 500) if small else (10, 100, 500, 2000)
    with tempfile.TemporaryDirectory() as made:
        folders = {count: Path(made) / str(count) for count in sizes}
        for count, folder in folders.items():
            photographs.make_folder(folder, count, side=64)
        numbers = iter(range(10**6))
        outs: dict[int, Path] = {}

        def first(count: int) -> None:
            outs[count] = Path(made) / f"out{next(numbers)}"
            jobs.run(folders[count], outs[count])

        works = {count: _bound(first, count) for count in sizes}
        # the largest lasts minutes
        once = Measuring(1)
        yield once.curve("a folder job, finder stubbed", "pictures", works)
        again = {count: _bound(lambda count: jobs.run(folders[count], outs[count]), count) for count in sizes}
        yield measuring.curve("the same again", "pictures", again)


def rows(measuring: Measuring, small: bool) -> Iterator[Curve]:
    """A report: its lines, the report taken up again, and its page without thumbnails."""
    sizes = (100, 1000, 10_000) if small else (100, 1000, 10_000, 100_000)
    with tempfile.TemporaryDirectory() as made:
        folders = {count: Path(made) / str(count) for count in sizes}
        for folder in folders.values():
            folder.mkdir()

        def add(count: int) -> None:
            for old in folders[count].glob("report.*"):
                old.unlink()
            with Ledger(folders[count]) as ledger:
                ledger.open()
                for number in range(count):
                    ledger._append({**_outcome(number).to_json(), "sha256": "x"})

        def again(count: int) -> None:
            with Ledger(folders[count]) as ledger:
                ledger.open()
                ledger.settle([f"photos/IMG_{number:05}.jpg" for number in range(count)])

        def page(count: int) -> None:
            with Ledger(folders[count]) as ledger:
                lines = ledger.lines()
                contact_sheet.write_job_page(
                    folders[count] / "index.html", lines, lambda line: (None, None, None), f"{next(changes)}"
                )
            contact_sheet.parts_folder(folders[count] / "index.html").joinpath("000000.js").unlink(missing_ok=True)

        changes = iter(range(10**6))
        for name, work in (("lines added", add), ("taken up again", again), ("its page", page)):
            yield measuring.curve(name, "rows", {count: _bound(work, count) for count in sizes})


GROUPS = {"pixels": pixels, "instances": instances, "classes": classes, "pictures": folder_pictures, "rows": rows}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=tuple(GROUPS), default=tuple(GROUPS))
    parser.add_argument("--small", action="store_true", help="leave the largest size of each out")
    parser.add_argument("--json", type=Path, default=Path("growth.json"))
    parser.add_argument("--plot", type=Path, default=Path("docs/images/growth.svg"))
    options = parser.parse_args()
    curves: list[Curve] = []
    for name in options.only:
        for curve in GROUPS[name](Measuring(options.rounds), options.small):
            curves.append(curve)
            print(curve.to_row(), flush=True)
    print("\n" + to_markdown(curves))
    print(f"\n{options.rounds} rounds; {measure.machine()}")
    told = {"machine": measure.machine(), "curves": [curve.to_json() for curve in curves]}
    options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    options.plot.write_text(to_svg(curves), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
