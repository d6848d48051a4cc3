"""Workers on a Ray cluster of this machine: pictures a second by their number, bytes sent, finders loaded.

The finder is the tests' stub, which sleeps (`--pause` seconds a picture) in place of a model on a GPU of each worker's
own; with `--busy` it computes instead, so that the workers share this machine's processors. Bytes are counted where
they leave this process, at each call of an actor. Run:

    python -m benchmarks.ray_workers [--pictures 96] [--pause 0.3] [--workers 1 2 4] [--busy] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from benchmarks.measure import machine
from lib_prodshot.finding.finder import Finder
from lib_prodshot.jobs.folder.runner import Runner
from lib_prodshot.jobs.workers.ray_pool import RayPool, RayWorker
from tests.jobs import photographs
from tests.jobs.tools import REQUEST, SlowDetector, finder, job


class BusyDetector(SlowDetector):
    """Computes for its pause instead of sleeping."""

    def detect(self, *arguments: Any) -> Any:
        end = process_time() + self.pause
        pause, self.pause = self.pause, 0.0
        while process_time() < end:
            pass
        try:
            return super().detect(*arguments)
        finally:
            self.pause = pause


def counted_finder(loads: Path, pause: float, is_busy: bool) -> tuple[str, Callable[[], Finder]]:
    """A finder whose every load leaves a file."""

    def load() -> Finder:
        handle, _ = tempfile.mkstemp(dir=loads, prefix=f"{os.getpid()}-")
        os.close(handle)
        return replace(finder(), detector=BusyDetector(pause) if is_busy else SlowDetector(pause))

    return "fixed", load


class Sent:
    """Counts the bytes of pictures that this process sends to actors."""

    def __init__(self) -> None:
        self.calls = self.pictures = 0

    def __enter__(self) -> Sent:
        self._call = RayWorker._call

        def call(worker: RayWorker, *arguments: Any) -> Any:
            self.calls += 1
            self.pictures += sum(len(each) for each in arguments if isinstance(each, bytes))
            return self._call(worker, *arguments)

        RayWorker._call = call  # type: ignore[method-assign]
        return self

    def __exit__(self, *error: object) -> None:
        RayWorker._call = self._call  # type: ignore[method-assign]


def measure(photos: Path, out: Path, workers: int, pause: float, is_busy: bool) -> dict[str, Any]:
    """One job on so many workers; the time runs from the first picture to the last."""
    loads = out.with_name(out.name + "-loads")
    loads.mkdir()
    pool = RayPool(REQUEST, partial(counted_finder, loads, pause, is_busy), worker_count=workers)
    runner = Runner(job(photos, out), pool)
    with Sent() as sent:
        runner.start()
        while not runner.progress.done and not runner.wait(0.005):
            pass
        start = perf_counter()
        summary = runner.result()
        spent = perf_counter() - start
    if not summary.is_complete:
        raise SystemExit("the job is not complete")
    files = [path for path in photos.rglob("*") if path.suffix.lower() in (".jpg", ".png", ".webp", ".tif", ".bmp")]
    return {
        "workers": workers,
        "pictures": summary.listed,
        "seconds": spent,
        "pictures_per_second": (summary.listed - 1) / spent,
        "finders_loaded": len(list(loads.iterdir())),
        "calls": sent.calls,
        "picture_bytes_sent": sent.pictures,
        "bytes_of_the_files": sum(path.stat().st_size for path in files),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=96)
    parser.add_argument("--pause", type=float, default=0.3)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    ray.init(num_cpus=max(options.workers) + 1, _node_ip_address="127.0.0.1", **quiet)
    told = []
    with tempfile.TemporaryDirectory() as made:
        photographs.make_folder(Path(made) / "photos", options.pictures, side=256)
        for workers in options.workers:
            one = measure(Path(made) / "photos", Path(made) / f"out{workers}", workers, options.pause, options.busy)
            one["of_ideal"] = one["pictures_per_second"] / (workers / options.pause)
            told.append(one)
            print(json.dumps(one), flush=True)
    ray.shutdown()
    print("| workers | pictures a second | ideal | share | picture bytes sent : of the files | finders loaded |")
    print("|---|---|---|---|---|---|")
    for one in told:
        ideal = one["workers"] / options.pause
        sent = one["picture_bytes_sent"] / one["bytes_of_the_files"]
        print(
            f"| {one['workers']} | {one['pictures_per_second']:.2f} | {ideal:.2f} | {one['of_ideal']:.2f} | "
            f"{sent:.3f} | {one['finders_loaded']} |"
        )
    print(f"\n{machine()}")
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "runs": told}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
