"""A folder job's progress, and stopping it: at once, or after the pictures that are being processed."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from lib_prodshot.enhancing.interface import Enhanced, Task
from lib_prodshot.errors import OutputError
from lib_prodshot.jobs.folder.job import Progress
from lib_prodshot.jobs.folder.runner import Runner
from lib_prodshot.jobs.workers.engines import LocalEngine
from tests.jobs.tools import REQUEST, Shade, all_of, digests, finder, job, lines_of, pool, run


def test_progress_tells_counts_and_time_to_go(photos: Path, tmp_path: Path) -> None:
    runner = Runner(job(photos, tmp_path / "out"), pool(load_finder=lambda: finder(0.02)))
    assert runner.progress == Progress()
    runner.start()
    seen = []
    while not runner.wait(0.02):
        seen.append(runner.progress)
    running = [one for one in seen if one.state == "running" and one.done]
    assert running and all(one.total == 24 and one.eta is not None and one.eta > 0 for one in running if one.done < 24)
    assert [one.done for one in seen] == sorted(one.done for one in seen)
    last = runner.progress
    assert last.state == "done" and last.is_over and last.eta is None
    assert last.done == last.total == 24 == last.found + last.skipped + last.failed
    assert str(last).startswith("24/24: ")


@pytest.mark.parametrize("fidelity", ["off", "report"])
def test_stop_finishes_the_pictures_at_hand(photos: Path, tmp_path: Path, fidelity: str) -> None:
    """Also where the gates look at the enhanced picture with the finder, which no new picture gets any more."""
    entered, go_on = threading.Event(), threading.Event()

    class Held(Shade):
        def enhance(self, task: Task) -> Enhanced:
            entered.set()
            go_on.wait(10)
            return super().enhance(task)

    held, request = Held(), REQUEST.replace(fidelity=fidelity, fidelity_gates="all")
    runner = Runner(job(photos, tmp_path / "out", request), pool(request, [LocalEngine(held)]))
    runner.start()
    assert entered.wait(10)
    runner.stop()
    assert runner.progress.state == "stopping" and not runner.wait(0.1)
    go_on.set()
    summary = runner.result()
    assert runner.progress.state == "stopped" and not summary.is_complete
    assert summary.statuses["found"] == held.calls >= 1
    assert "index.html" in digests(tmp_path / "out")
    run(photos, tmp_path / "out", request)
    run(photos, tmp_path / "fresh", request)
    assert all_of(tmp_path / "out") == all_of(tmp_path / "fresh")


def test_stop_now_lets_go_and_writes_no_line_any_more(photos: Path, tmp_path: Path, finished: Path) -> None:
    entered, go_on, interrupted = threading.Event(), threading.Event(), threading.Event()

    class Held(Shade):
        def enhance(self, task: Task) -> Enhanced:
            entered.set()
            go_on.wait(10)
            return super().enhance(task)

    engine = LocalEngine(Held(), on_interrupt=interrupted.set)
    runner = Runner(job(photos, tmp_path / "out"), pool(engines=[engine]))
    runner.start()
    assert entered.wait(10)
    runner.stop(now=True)
    assert runner.wait(5) and runner.progress.state == "stopped" and interrupted.wait(5)
    lines = len(lines_of(tmp_path / "out"))
    with pytest.raises(OutputError, match="another run"):
        run(photos, tmp_path / "out")
    go_on.set()
    for thread in runner._threads:
        thread.join(10)
    time.sleep(0.1)
    assert len(lines_of(tmp_path / "out")) == lines
    run(photos, tmp_path / "out")
    assert all_of(tmp_path / "out") == all_of(finished)


def test_stop_before_anything_began(photos: Path, tmp_path: Path) -> None:
    runner = Runner(job(photos, tmp_path / "out"), pool())
    runner._pool.finder_name = lambda: (runner.stop(), "fixed")[1]  # type: ignore[method-assign]
    runner.start()
    runner.wait(10)
    assert runner.progress.state == "stopped" and lines_of(tmp_path / "out") == []
