"""kill -9 at random moments of a folder job, taken up again each time: is anything lost, torn, or done twice?

300 real pictures (crops, flips and compositions of scikit-image's photographs), 10 broken files among them, and beside
them a name of 250 bytes, a named pipe and a linked folder with two pictures, through `prodshot batch` with the lite
finder and the retouch. One run is left alone, another is killed 20 times. Run:

    python -m benchmarks.kill_resume [--pictures 300] [--broken 10] [--kills 20] [--seed 0] [--side 320]
        [--folder DIR --stages whole killed check]

Exits with 1 when the two differ in anything but timings, when an input changed, when a count is wrong (told by
`prodshot detect` on every single file), or when a pixel changed outside a mask.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.jobs.photographs import LONG, add_trouble, make_folder
from tests.jobs.tools import all_of, digests, lines_of

RESULTS = ("output", "mask")
PRODUCTS = ["--products", "coffee cup, motorcycle", "--finder", "lite"]


def batch(inputs: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "lib_prodshot", "batch", str(inputs), "--out", str(out), "--recursive", *PRODUCTS]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> int:
    _, complained = process.communicate()
    if "Traceback" in complained:
        print(complained)
    return process.returncode


def verdicts(inputs: Path, names: list[str]) -> Counter[str]:
    """What `prodshot detect` says of every file."""
    command = [sys.executable, "-m", "lib_prodshot", "detect", *(str(inputs / name) for name in names), "--json"]
    said = subprocess.run([*command, *PRODUCTS], capture_output=True, text=True, check=False).stdout
    return Counter(json.loads(line)["status"] for line in said.splitlines())


def count_lines(out: Path) -> int:
    try:
        return (out / "report.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def torn(out: Path) -> bool:
    text = (out / "report.jsonl").read_bytes() if (out / "report.jsonl").exists() else b""
    return bool(text) and not text.endswith(b"\n")


def killed_run(inputs: Path, out: Path, options: argparse.Namespace, per_picture: float) -> None:
    """The job killed at random moments, then left to end. Prints one sentence for each kill."""
    chance = random.Random(options.seed)
    for place, moment in enumerate(sorted(chance.randint(0, options.pictures - 1) for _ in range(options.kills)), 1):
        pause = chance.uniform(0, 2 * per_picture)
        process = batch(inputs, out)
        while process.poll() is None and count_lines(out) < moment:
            time.sleep(0.005)
        time.sleep(pause)
        process.kill()
        finish(process)
        left = len(list(out.rglob(".prodshot-*"))) if out.exists() else 0
        lines = f"{count_lines(out)} lines{', last one torn' if torn(out) else ''}"
        print(f"kill {place}: {lines}, {left} temporary files left", flush=True)
    finish(batch(inputs, out))


def main() -> int:
    parser = argparse.ArgumentParser()
    for name, default in (("pictures", 300), ("broken", 10), ("kills", 20), ("seed", 0), ("side", 320)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path, help="work here, and leave all of it, so that stages can run apart")
    parser.add_argument("--stages", nargs="+", choices=tuple(STAGES), default=tuple(STAGES))
    options = parser.parse_args()
    with ExitStack() as held:
        folder = options.folder or Path(held.enter_context(tempfile.TemporaryDirectory(prefix="prodshot-kill-")))
        (folder / "photos").mkdir(parents=True, exist_ok=True)
        return max(STAGES[stage](folder, options) for stage in options.stages)


def run_whole(folder: Path, options: argparse.Namespace) -> int:
    """Make the pictures, and do the job without any interruption."""
    inputs = folder / "photos"
    names = make_folder(inputs, options.pictures, options.broken, options.side) + add_trouble(inputs)
    (folder / "names.json").write_text(json.dumps(sorted(names)))
    (folder / "inputs.json").write_text(json.dumps(digests(inputs)))
    start = time.monotonic()
    finish(batch(inputs, folder / "whole"))
    spent = time.monotonic() - start
    (folder / "seconds.txt").write_text(str(spent / len(names)))
    print(f"uninterrupted: {spent:.0f} s, {all_of(folder / 'whole')['summary']}", flush=True)
    return 0


def run_killed(folder: Path, options: argparse.Namespace) -> int:
    """The same job, killed at random moments."""
    per_picture = float((folder / "seconds.txt").read_text())
    start = time.monotonic()
    killed_run(folder / "photos", folder / "killed", options, per_picture)
    print(f"killed {options.kills} times: {time.monotonic() - start:.0f} s in all", flush=True)
    return 0


def run_check(folder: Path, options: argparse.Namespace) -> int:
    """Compare the two; exit code 1 when anything is not as it must be."""
    before = json.loads((folder / "inputs.json").read_text())
    names = json.loads((folder / "names.json").read_text())
    checks = check(folder, names, before, options.broken)
    for sentence, holds in checks.items():
        print(f"{'yes' if holds else 'NO '}  {sentence}")
    return 0 if all(checks.values()) else 1


STAGES: dict[str, Callable[[Path, argparse.Namespace], int]] = {
    "whole": run_whole,
    "killed": run_killed,
    "check": run_check,
}


def check(folder: Path, names: list[str], before: dict[str, str], broken: int) -> dict[str, bool]:
    """Everything that must hold, as sentences."""
    inputs = folder / "photos"
    whole, killed = all_of(folder / "whole"), all_of(folder / "killed")
    lines = lines_of(folder / "killed")
    by_name = {line["file"]: line for line in lines}
    expected = verdicts(inputs, names)
    counts = {status: killed["summary"][status] for status in ("found", "skipped", "failed")}
    return {
        f"one line for each of {len(names)} pictures": sorted(line["file"] for line in lines) == names,
        f"the counts {counts} are those of detect {dict(expected)}": Counter(counts) == expected,
        f"{broken} broken files and the pipe failed": counts["failed"] == broken + 1,
        "the long name's results are there": all((folder / "killed" / by_name[LONG][key]).is_file() for key in RESULTS),
        "all files byte for byte as in the uninterrupted run": killed["files"] == whole["files"],
        "the report as in the uninterrupted run, timings aside": killed["lines"] == whole["lines"],
        "the table as in the uninterrupted run, timings aside": killed["rows"] == whole["rows"],
        "every input unchanged": digests(inputs) == before,
        "changed_outside 0 everywhere": all(line["audit"]["changed_outside"] == 0 for line in lines if line["audit"]),
        "no temporary file left": not list((folder / "killed").rglob(".prodshot-*")),
    }


if __name__ == "__main__":
    raise SystemExit(main())
