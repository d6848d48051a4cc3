"""How near a folder job comes to the sum of its model runs, and whether its memory grows with the folder.

Three parts, each a ratio from one run:

- retouch: the lite finder and the retouch over real pictures. Seconds of the job against the seconds inside the
  models' own `run` calls; beside it the same pictures one after another, as a plain loop does them.
- webui: inpaint passes of a fixed length on one and on two test doubles of the WebUI's API. Seconds of the job
  against the sum of the passes over the number of WebUIs.
- memory: the most that a process ever held (on Linux), over a folder and over one eight times as large.

    python -m benchmarks.batch [--pictures 48] [--side 1024] [--parts retouch webui memory]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.overhead import timed_models
from lib_prodshot.enhancing import load_enhancer
from lib_prodshot.finding.registry import load_finder
from lib_prodshot.jobs.files.staging import make_folder
from lib_prodshot.jobs.folder.job import FolderJob
from lib_prodshot.jobs.folder.runner import Runner
from lib_prodshot.jobs.processor import PictureProcessor
from lib_prodshot.jobs.report.report import Report
from lib_prodshot.jobs.workers.local_pool import LocalPool, engines_for, local_pool
from lib_prodshot.request import Request
from tests.jobs import photographs
from tests.jobs.tools import finder as fixed_finder

REQUEST = Request(products="coffee cup, motorcycle", finder="lite")
PASS_SECONDS = 1.0


def retouch(folder: Path, pictures: int, side: int) -> None:
    names = photographs.make_folder(folder / "photos", pictures, side=side)
    load_finder("lite").find(np.zeros((64, 64, 3), np.uint8), REQUEST.classes)  # weights into the disk's cache
    with timed_models() as alone:
        start = perf_counter()
        one_after_another(folder, names)
        serial = perf_counter() - start
    with timed_models() as models:
        start = perf_counter()
        runner = Runner(FolderJob(folder / "photos", folder / "job", REQUEST, recursive=True), local_pool(REQUEST))
        runner.start()
        summary = runner.result()
        spent = perf_counter() - start
    stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in summary.seconds.items())
    print(f"retouch, {pictures} pictures of {side} pixels ({summary.statuses['found']} found): {stages} s")
    print(f"  one after another: {serial:.1f} s, {serial / alone.seconds:.2f} × its model runs ({alone.seconds:.1f} s)")
    print(f"  as a job:          {spent:.1f} s, {spent / models.seconds:.2f} × its model runs ({models.seconds:.1f} s)")
    print(f"  the job takes {spent / serial:.2f} of the loop's time, {spent / alone.seconds:.2f} × its model runs")
    print(f"  models loaded: {models.loaded} in the job, {alone.loaded} in the loop", flush=True)


def one_after_another(folder: Path, names: list[str]) -> None:
    make_folder(folder / "loop")
    worker = PictureProcessor(REQUEST, load_finder("lite"), load_enhancer("retouch"))
    with Report(folder / "loop") as report:
        for number, name in enumerate(names):
            report.add(worker.process(folder / "photos" / name, folder / "loop", str(number)))


def webui(folder: Path, pictures: int, side: int) -> None:
    photographs.make_folder(folder / "photos", pictures, side=side)
    request = Request(products="mug", engine="inpaint", control="off", prompt="a [class]", resolution=256)
    for number in (1, 2):
        command = [sys.executable, "-m", "tests.jobs.webui_double", str(PASS_SECONDS)]
        doubles = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(number)]
        try:
            addresses = [str(double.stdout and double.stdout.readline()).strip() for double in doubles]
            pool = LocalPool(
                request,
                "fixed",
                lambda: fixed_finder(0.3),
                lambda addresses=addresses: engines_for(request, addresses, False, print),  # type: ignore[misc]
            )
            start = perf_counter()
            runner = Runner(FolderJob(folder / "photos", folder / f"out{number}", request, recursive=True), pool)
            runner.start()
            summary = runner.result()
            spent = perf_counter() - start
        finally:
            for double in doubles:
                double.kill()
        ideal = summary.statuses["found"] * PASS_SECONDS / number
        print(f"{number} WebUI(s), {summary.statuses['found']} passes of {PASS_SECONDS:g} s, finding 0.3 s each:")
        print(f"  {spent:.1f} s, {spent / ideal:.2f} × the passes ({ideal:.1f} s)", flush=True)


def memory(folder: Path, pictures: int, side: int) -> None:
    for number in (pictures, 8 * pictures):
        photographs.make_folder(folder / str(number), number, side=side)
        options = ["--out", str(folder / f"out{number}"), "--recursive", "--products", "mug"]
        # Linux's own count of this program: getrusage's begins with that of whoever started it
        code = (
            "import sys; from tests.jobs.folder_process import run; code = run(0.0, sys.argv[1:]);"
            "lines = dict(line.split(':', 1) for line in open('/proc/self/status'));"
            "print('peak', int(lines['VmHWM'].split()[0]) // 1024)"
        )
        command = [sys.executable, "-c", code, "batch", str(folder / str(number)), *options]
        said = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ)).stdout
        print(f"{number} pictures of up to {side} pixels: {said.split('peak')[-1].strip()} MB at most", flush=True)


PARTS = {"retouch": retouch, "webui": webui, "memory": memory}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=48)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--parts", nargs="+", choices=tuple(PARTS), default=tuple(PARTS))
    options = parser.parse_args()
    for part in options.parts:
        with tempfile.TemporaryDirectory(prefix="prodshot-batch-") as made:
            PARTS[part](Path(made), options.pictures, options.side)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
