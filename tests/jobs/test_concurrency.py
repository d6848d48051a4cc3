"""A folder job's order, workers and memory: same results however many engines, few pictures in flight."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lib_prodshot.enhancing.interface import Enhanced, Task
from lib_prodshot.jobs import processor
from lib_prodshot.jobs.folder.runner import Runner
from lib_prodshot.jobs.workers.engines import LocalEngine
from tests.jobs.photographs import make_folder
from tests.jobs.tools import REQUEST, Shade, all_of, digests, finder, job, lines_of, names_of, pool, run

SEEDED = REQUEST.replace(engine="inpaint", seed=7)


def test_seeds_come_from_content_whatever_order_and_number_of_engines(photos: Path, tmp_path: Path) -> None:
    run(photos, tmp_path / "one", SEEDED)
    run(photos, tmp_path / "four", SEEDED, engines=[LocalEngine(Shade(pause)) for pause in (0.03, 0.0, 0.01, 0.02)])
    assert all_of(tmp_path / "one") == all_of(tmp_path / "four")
    lines = {line["file"]: line for line in lines_of(tmp_path / "one")}
    assert len({line["seed"] for line in lines.values() if line["status"] == "found"}) > 3
    some = tmp_path / "some"
    for name in sorted(names_of(photos))[10:]:
        moved = some / "elsewhere" / Path(name).parent / ("x" + Path(name).name)
        moved.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(photos / name, moved)
    run(some, tmp_path / "subset", SEEDED)
    by_content = {line["sha256"]: line for line in lines.values()}
    for line in lines_of(tmp_path / "subset"):
        twin = by_content[line["sha256"]]
        assert (line["seed"], line["status"], line["audit"]) == (twin["seed"], twin["status"], twin["audit"])
        if line["output"]:
            ours, theirs = tmp_path / "subset" / line["output"], tmp_path / "one" / twin["output"]
            assert ours.read_bytes() == theirs.read_bytes()


def test_another_job_seed_gives_other_results(photos: Path, tmp_path: Path) -> None:
    run(photos, tmp_path / "a", SEEDED, limit=6)
    run(photos, tmp_path / "b", SEEDED.replace(seed=8), limit=6)
    assert digests(tmp_path / "a") != digests(tmp_path / "b")


def test_finding_and_reading_go_on_while_the_engine_works(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's first picture is not finished before the next one was found and one more was read."""
    found, read = threading.Semaphore(0), threading.Semaphore(0)
    overlapped = []

    class Telling(type(finder().detector)):  # type: ignore[misc]
        def detect(self, *arguments: object) -> object:
            answer = super().detect(*arguments)
            found.release()
            return answer

    class Patient(Shade):
        def enhance(self, task: Task) -> Enhanced:
            if not self.calls:
                overlapped.extend(gate.acquire(timeout=20) for gate in (found, found, read, read, read))
            return super().enhance(task)

    original = processor.pictures.read
    monkeypatch.setattr(processor.pictures, "read", lambda path: (original(path), read.release())[0])
    run(
        photos,
        tmp_path / "out",
        engines=[LocalEngine(Patient())],
        load_finder=lambda: replace(finder(), detector=Telling()),
    )
    assert overlapped == [True] * 5


def test_waiting_for_ones_turn_is_not_part_of_a_stage(tmp_path: Path) -> None:
    make_folder(tmp_path / "photos", 8, side=64)
    start = time.monotonic()
    run(tmp_path / "photos", tmp_path / "out", engines=[LocalEngine(Shade(0.1))])
    whole = time.monotonic() - start
    spent = [line["seconds"]["enhance"] for line in lines_of(tmp_path / "out") if line["status"] == "found"]
    # one engine and three in flight: with the waiting in it, the sum would be nearly three times the whole
    assert len(spent) >= 4 and sum(spent) < whole + 0.001 * len(spent), (spent, whole)


def test_models_are_loaded_once_and_never_asked_twice_at_a_time(photos: Path, tmp_path: Path) -> None:
    loads, inside, most = [], [], []

    class Watched(type(finder().detector)):  # type: ignore[misc]
        def detect(self, *arguments: object) -> object:
            inside.append(1)
            most.append(len(inside))
            answer = super().detect(*arguments)
            inside.pop()
            return answer

    def load() -> object:
        loads.append(1)
        return replace(finder(), detector=Watched(0.002))

    run(photos, tmp_path / "out", load_finder=load)
    assert loads == [1] and set(most) == {1} and len(most) == 20


def test_few_pictures_are_in_flight_however_many_there_are(tmp_path: Path) -> None:
    make_folder(tmp_path / "photos", 60, side=32)
    runner = Runner(job(tmp_path / "photos", tmp_path / "out"), pool(engines=[LocalEngine(Shade(0.01))]))
    begun: list[int] = []
    original = runner._process

    def watched(*arguments: object) -> object:
        begun.append(1)
        try:
            return original(*arguments)  # type: ignore[arg-type]
        finally:
            begun.pop()

    most: list[int] = []
    runner._process = lambda *a: (most.append(len(begun) + 1), watched(*a))[1]  # type: ignore[method-assign]
    runner.start()
    runner.result()
    assert len(most) == 60 and max(most) <= 3
