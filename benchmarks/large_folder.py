"""A folder job of many simulated rows: its memory, how soon it is taken up again, and whether its page opens.

The finder and the engine are stubbed: the worker gives an outcome at once, and result files that are hard links to one
real set. Everything else is the folder job itself: the list of the folder, the pictures' hashes, journal, report,
thumbnails of real files, contact sheet, summary. Each size runs in a process of its own. Run:

    python -m benchmarks.large_folder [--rows 10000 100000] [--folder DIR] [--json FILE]

The pictures are 20 photographs of 96 pixels under many names; `--folder` keeps what was made.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from lib_prodshot.jobs.files.staging import STATE_FOLDER
from lib_prodshot.jobs.folder.job import FolderJob
from lib_prodshot.jobs.folder.runner import Runner
from lib_prodshot.jobs.processor import PictureProcessor
from lib_prodshot.jobs.workers.interface import FileResult, FileTask
from lib_prodshot.outcome import Audit, Detection, Outcome, StepRecord, Verdict
from lib_prodshot.request import Request
from lib_prodshot.storage.urls import StorageURL
from tests.finders import fixed_finder
from tests.jobs.photographs import make_picture

REQUEST = Request(products="mug", fidelity="off")
DIFFERENT = 20
LINKS = 5_000
"""Names of one file; file systems allow some ten thousand."""


def make_folder(folder: Path, rows: int) -> None:
    """`rows` names of `DIFFERENT` photographs."""
    folder.mkdir(parents=True)
    for number in range(rows):
        path = folder / f"IMG_{number:06}.png"
        kind, copy = number % DIFFERENT, number // DIFFERENT // LINKS
        first = folder / f"IMG_{copy * DIFFERENT * LINKS + kind:06}.png"
        if path == first:
            make_picture(kind, 96).save(path)
        else:
            os.link(first, path)


class SimulatedWorker:
    """Gives each picture the outcome that a real run had for one of `DIFFERENT`; every tenth is skipped."""

    slots = 2

    def __init__(self, templates: Path) -> None:
        self._templates = templates

    def process(self, task: FileTask) -> FileResult:
        number = int(task.stem.removeprefix("IMG_"))
        outcome = _skipped() if number % 10 == 9 else _found()
        outcome.file = str(task.source)
        ends = (".png",) if outcome.status == "skipped" else (".png", ".mask.png", ".alpha.png")
        task.names.claim(str(task.source), task.folder, [task.stem + end for end in ends])
        template = f"{number // DIFFERENT // LINKS}-{number % DIFFERENT}"
        for end in ends:
            path = task.folder / (task.stem + end)
            path.unlink(missing_ok=True)
            os.link(self._templates / (template + end), path)
        outcome.output_file = str(task.folder / f"{task.stem}.png")
        outcome.mask_file = str(task.folder / f"{task.stem}.mask.png") if len(ends) > 1 else ""
        return FileResult(outcome, "simulated")

    def stop(self, now: bool) -> None:
        """Nothing takes long."""


def _skipped() -> Outcome:
    seconds = {"read": 0.0123, "find": 0.6123, "write": 0.0212}
    reason = "no mug above its threshold: best 0.05 under 0.25"
    return Outcome(Verdict("skipped", reason), ("mug",), "simulated", seconds=seconds)


def _found() -> Outcome:
    seconds = {"read": 0.0123, "find": 0.6123, "mask": 0.0042, "enhance": 0.2112, "preserve": 0.0311, "write": 0.0212}
    steps = [
        StepRecord("find", 1, {"products": 1, "best": 0.8}),
        StepRecord("mask", 3, {"pixels": 2304, "width": 48, "height": 36}),
        StepRecord("preserve", 2, {"changed_outside": 0, "delta_e_mean": 2.1}),
    ]
    found = (Detection("mug", 0.8, (24, 18, 72, 54), 1728),)
    return Outcome(
        Verdict("found", "mug 0.80"), ("mug",), "simulated", found, Audit(0, 0, 2.1, 5.4), seconds, steps=steps
    )


@dataclass
class SimulatedPool:
    """One simulated worker."""

    templates: Path
    workers: tuple[SimulatedWorker, ...] = ()

    def finder_name(self) -> str:
        return "simulated"

    def check_access(self, picture: StorageURL) -> None:
        pass

    def open(self, inputs: frozenset[Path]) -> None:
        self.workers = (SimulatedWorker(self.templates),)

    def close(self) -> None:
        pass


def make_templates(folder: Path, rows: int) -> None:
    """Results of a real run for each photograph, with the stub's finder; a set for every `LINKS` names."""
    from lib_prodshot.enhancing import load_enhancer

    folder.mkdir()
    processor = PictureProcessor(REQUEST, fixed_finder(), load_enhancer("retouch"))
    source = folder.parent / "source"
    source.mkdir()
    for kind in range(DIFFERENT):
        path = source / f"{kind}.png"
        make_picture(kind, 96).save(path)
        for copy in range((rows - 1) // DIFFERENT // LINKS + 1):
            processor.process(path, folder, f"{copy}-{kind}")


def run_here(folder: Path) -> None:
    """One run of the job in this process; prints its figures as JSON."""
    with Memory() as memory:
        start, spent = perf_counter(), process_time()
        runner = Runner(FolderJob(folder / "in", folder / "out", REQUEST), SimulatedPool(folder / "results"))
        runner.start()
        summary = runner.result()
        told = {
            "wall_s": perf_counter() - start,
            "processor_s": process_time() - spent,
            "done_before": summary.before,
            "pictures": summary.listed,
        }
    print(json.dumps({**told, **memory.figures()}))


class Memory:
    """The most memory that this process held (Linux), and what it held before."""

    def __enter__(self) -> Memory:
        self.before = _status("VmRSS")
        return self

    def __exit__(self, *error: object) -> None:
        self.after = _status("VmRSS")

    def figures(self) -> dict[str, float]:
        return {"before_mb": self.before, "after_mb": self.after, "peak_mb": _status("VmHWM")}


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return round(int(next(line.split()[1] for line in lines if line.startswith(key + ":"))) / 1024, 1)


def measure(folder: Path, rows: int) -> list[dict[str, Any]]:
    """First run, the same command again, and twice more with the last hundredth to do."""
    make_folder(folder / "in", rows)
    make_templates(folder / "results", rows)
    out = folder / "out"
    told = [{"run": "first", **_in_a_process(folder)}, {"run": "again, all done", **_in_a_process(folder)}]
    _cut(out / "report.jsonl")
    told.append({"run": "again, the last hundredth to do", **_in_a_process(folder)})
    _as_after_a_kill(out)
    told.append({"run": "after a kill, the last hundredth to do", **_in_a_process(folder)})
    page = {"page_mb": (out / "index.html").stat().st_size / 1e6}
    sizes = [path.stat().st_size for path in (out / "index.rows").rglob("*.js")]
    page["parts"], page["parts_mb"] = len(sizes), sum(sizes) / 1e6
    return [{**each, **page} for each in told]


def _cut(report: Path, head: int = 0) -> None:
    """Cut the last hundredth of a report's lines off, `head` of which are no rows."""
    lines = report.read_bytes().splitlines(keepends=True)
    report.write_bytes(b"".join(lines[: len(lines) - (len(lines) - head) // 100]))


def _as_after_a_kill(out: Path) -> None:
    """Leave what a first run leaves that is killed before it has drawn anything: both reports, and nothing noted of
    them."""
    _cut(out / "report.jsonl")
    _cut(out / "report.csv", head=1)
    for name in ("report.index", "page.json", "done.jsonl"):
        (out / STATE_FOLDER / name).unlink()


def _in_a_process(folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.large_folder", "--here", str(folder)]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return dict(json.loads(said.splitlines()[-1]))


def to_markdown(told: Sequence[dict[str, Any]]) -> str:
    names = ("rows", "run", "wall, s", "processor, s", "ms a row", "peak memory, MB", "page, MB", "its parts, MB")
    head = "\n".join((f"| {' | '.join(names)} |", "|---" * len(names) + "|"))
    return "\n".join([head, *map(_row, told)])


def _row(one: dict[str, Any]) -> str:
    a_row = 1000 * one["processor_s"] / one["pictures"]
    cells = (f"{one[key]:.1f}" for key in ("wall_s", "processor_s"))
    sizes = (f"{one['peak_mb']:.0f}", f"{one['page_mb']:.1f}", f"{one['parts_mb']:.1f}")
    return "| " + " | ".join((f"{one['pictures']:,}", one["run"], *cells, f"{a_row:.2f}", *sizes)) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--folder", type=Path, help="keep what is made in this new folder")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        run_here(options.here)
        return 0
    with tempfile.TemporaryDirectory() as made:
        told = [one for rows in options.rows for one in measure((options.folder or Path(made)) / str(rows), rows)]
    print(to_markdown(told))
    if options.json:
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
