"""Many pictures: the folder job against its models' own time, memory over a thousand pictures, reports of ten
thousand rows."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import psutil
from PIL import Image

from benchmarks.measure import Ratio, compare
from benchmarks.overhead import make_pictures, timed_models
from lib_prodshot.enhancing import load_enhancer
from lib_prodshot.jobs.folder.job import FolderJob
from lib_prodshot.jobs.folder.runner import Runner
from lib_prodshot.jobs.processor import PictureProcessor
from lib_prodshot.jobs.report import contact_sheet
from lib_prodshot.jobs.report.report import CSV_NAME, JSONL_NAME, Report
from lib_prodshot.jobs.workers.local_pool import local_pool
from lib_prodshot.outcome import Audit, Detection, Outcome, Verdict, csv_cells
from lib_prodshot.request import Request
from tests.finders import fixed_finder
from tests.jobs import photographs

PICTURES = 24
ROWS = 10_000
WARM, MANY = 200, 1_000


def throughput(rounds: int) -> Iterator[Ratio]:
    """Seconds of a folder job against the seconds inside its models' `run`, which other stages may overlap with."""
    request = Request(products="coffee cup, motorcycle", finder="lite")
    values = []
    with tempfile.TemporaryDirectory() as made:
        photographs.make_folder(Path(made) / "photos", PICTURES, side=1024)
        for number in range(rounds + 1):
            with timed_models() as models:
                start = perf_counter()
                job = FolderJob(Path(made) / "photos", Path(made) / f"out{number}", request, recursive=True)
                runner = Runner(job, local_pool(request))
                runner.start()
                runner.result()
                values.append((perf_counter() - start) / models.seconds)
    name = f"{PICTURES} pictures of 1024 pixels through `prodshot batch`"
    yield Ratio(name, "its models' own calls", tuple(values[1:]))


def memory(rounds: int) -> Iterator[Ratio]:
    """The process after a thousand pictures against the same one after two hundred; one round, for it is long."""
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as made:
        out = Path(made) / "out"
        out.mkdir()
        source = make_pictures(Path(made), 512)[0]
        Image.open(source).resize((256, 256)).save(source)
        worker = PictureProcessor(Request(products="mug"), fixed_finder(), load_enhancer("retouch"))
        held = []
        for number in range(MANY + 1):
            if worker.process(source, out, "again").status != "found":
                raise SystemExit("a picture of the memory run was not found")
            if number in (WARM, MANY):
                held.append(process.memory_info().rss)
    yield Ratio(f"memory after {MANY} pictures", f"after {WARM}", (held[1] / held[0],), limit=1.05)


def _outcome(number: int) -> Outcome:
    outcome = Outcome(
        Verdict("found", "handbag 0.81"),
        ("handbag", "shoe"),
        "lite",
        (Detection("handbag", 0.81, (74, 188, 447, 335), 31250),),
        Audit(0, 0, 2.1, 5.4),
        {"read": 0.01, "find": 0.61, "write": 0.02},
    )
    outcome.file, outcome.mask_file = f"photos/IMG_{number:05}.jpg", f"done/IMG_{number:05}.mask.png"
    outcome.output_file = f"done/IMG_{number:05}.png"
    return outcome


def reports(rounds: int) -> Iterator[Ratio]:
    """Each row on disk before the next picture, against plain writing; and the page against its own text."""
    outcomes = [_outcome(number) for number in range(ROWS)]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)

        def ours() -> None:
            for name in (JSONL_NAME, CSV_NAME):
                (folder / name).unlink(missing_ok=True)
            with Report(folder) as report:
                for outcome in outcomes:
                    report.add(outcome)

        def plain() -> None:
            with (folder / "plain.jsonl").open("w") as lines, (folder / "plain.csv").open("w") as rows:
                for outcome in outcomes:
                    line = outcome.to_json()
                    lines.write(json.dumps(line) + "\n")
                    rows.write(",".join(csv_cells(line)) + "\n")

        def again() -> None:
            with Report(folder) as report:
                report.add(outcomes[0])

        yield compare(f"a report of {ROWS} rows, each flushed", ours, "two files written at once", plain, rounds)
        ours()
        yield compare(f"one row done anew among {ROWS}", again, "writing two such files at once", plain, rounds)
        lines = [outcome.to_json() for outcome in outcomes]
        nothing = (None, None, None)

        def page() -> None:
            contact_sheet.write_job_page(folder / "index.html", lines, lambda _: nothing, "Prodshot")

        def dump() -> None:
            (folder / "plain.json").write_text(json.dumps(lines))

        yield compare(f"the page of {ROWS} rows, without thumbnails", page, "the same rows as JSON", dump, rounds)
