"""The folder job as a whole, in this process: report whole, inputs untouched, nothing twice, bad files alone."""

from __future__ import annotations

import csv
import json
import os
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_prodshot.enhancing.interface import Enhanced, Task
from lib_prodshot.enhancing.retouch import Retouch
from lib_prodshot.errors import EnhanceError, OutputError, ProdshotError, RequestError, UnknownProduct
from lib_prodshot.jobs import processor
from lib_prodshot.jobs.folder import runner as runner_module
from lib_prodshot.jobs.folder.runner import Progress, Runner
from lib_prodshot.jobs.workers.engines import LocalEngine
from tests.jobs.photographs import make_folder, make_picture
from tests.jobs.tools import REQUEST, Shade, all_of, digests, finder, job, lines_of, pool, run


@pytest.fixture(scope="module")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole job over `photos`, done once; copy it to change it."""
    out = tmp_path_factory.mktemp("finished") / "done"
    run(photos, out)
    return out


@pytest.fixture
def done(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "done"))


def names_of(photos: Path) -> set[str]:
    return {name for name in digests(photos) if name not in ("notes.txt", ".hidden.png")}


# --- one whole job --------------------------------------------------------------------------------------------------


def test_every_picture_has_one_line_and_the_counts_are_right(photos: Path, finished: Path) -> None:
    lines = lines_of(finished)
    assert {line["file"] for line in lines} == names_of(photos) and len(lines) == 24
    statuses = {line["file"]: line["status"] for line in lines}
    for name, status in statuses.items():
        try:
            mean = np.asarray(Image.open(photos / name).convert("RGB")).mean()
            expected = "found" if mean >= 90 else "skipped"
        except Exception:  # whatever Pillow raises for a broken file
            expected = "failed"
        assert status == expected, name
    summary = json.loads((finished / "summary.json").read_text())
    for status in ("found", "skipped", "failed"):
        assert summary[status] == list(statuses.values()).count(status) > 0
    assert summary["failed"] == 4 and summary["pictures"] == summary["done"] == 24
    assert summary["classes"] == {"mug": {"pictures": summary["found"], "detections": summary["found"]}}
    assert set(summary["seconds"]) >= {"read", "find", "mask", "enhance", "preserve", "write"}
    with (finished / "report.csv").open(newline="") as file:
        assert [(row["file"], row["status"]) for row in csv.DictReader(file)] == list(statuses.items())


def test_inputs_are_as_before_and_nothing_outside_a_mask_changed(photos: Path, tmp_path: Path) -> None:
    before = digests(photos)
    run(photos, tmp_path / "out", engines=[LocalEngine(Retouch())])
    assert digests(photos) == before
    for line in lines_of(tmp_path / "out"):
        source = photos / line["file"]
        if line["status"] == "skipped":
            assert (tmp_path / "out" / line["output"]).read_bytes() == source.read_bytes()
        if line["status"] == "found":
            assert line["audit"]["changed_outside"] == 0
            old, new = (np.asarray(Image.open(path)) for path in (source, tmp_path / "out" / line["output"]))
            alpha = np.asarray(Image.open(tmp_path / "out" / line["mask"].replace(".mask.", ".alpha.")))
            assert np.array_equal(old[alpha == 0], new[alpha == 0]) and not np.array_equal(old, new)


def test_names_and_sub_folders_are_kept(finished: Path) -> None:
    for line in lines_of(finished):
        if line["status"] == "failed":
            assert line["output"] is line["mask"] is None
            continue
        source, output = Path(line["file"]), Path(line["output"])
        assert output.parent == source.parent and (output.stem in (source.stem, source.name))
        assert (finished / output).is_file()


def test_the_page_shows_all_and_loads_nothing(finished: Path) -> None:
    page = (finished / "index.html").read_text(encoding="utf-8")
    assert page.count("<article") == 24 and "bags &amp; shoes/IMG_" in page
    assert 'href="./new/bags%20%26%20shoes/' in page
    assert "http" not in page.replace("Content-Security-Policy", "").replace("http-equiv", "")


def test_the_report_holds_no_path_of_this_machine(photos: Path, finished: Path) -> None:
    for name in ("report.jsonl", "report.csv", "index.html", "summary.json"):
        text = (finished / name).read_text(encoding="utf-8")
        assert str(photos) not in text and str(finished) not in text


# --- going on -------------------------------------------------------------------------------------------------------


def touched(out: Path) -> dict[str, int]:
    return {name: (out / name).stat().st_mtime_ns for name in digests(out)}


def test_the_same_job_again_does_nothing(photos: Path, done: Path) -> None:
    before, lines, times = all_of(done), lines_of(done), touched(done)
    shade = Shade()
    summary = run(photos, done, engines=[LocalEngine(shade)])
    assert shade.calls == 0 and summary.before == 24
    assert all_of(done) == before and lines_of(done) == lines
    after = touched(done)
    assert {name for name in times if times[name] != after[name]} <= {"index.html", "summary.json"}


def test_half_a_job_goes_on(photos: Path, finished: Path, tmp_path: Path) -> None:
    first = run(photos, tmp_path / "out", limit=11)
    assert first.listed == 11 and len(lines_of(tmp_path / "out")) == 11
    half = {line["file"]: line for line in lines_of(tmp_path / "out")}
    summary = run(photos, tmp_path / "out")
    assert summary.before == 11 and all_of(tmp_path / "out") == all_of(finished)
    for line in lines_of(tmp_path / "out"):
        assert line["file"] not in half or line == half[line["file"]]


def test_a_changed_picture_is_done_again_and_no_other(photos: Path, done: Path, tmp_path: Path) -> None:
    inputs = Path(shutil.copytree(photos, tmp_path / "photos"))
    found = next(line for line in lines_of(done) if line["status"] == "found")
    time_before = (inputs / found["file"]).stat()
    Image.new("RGB", (40, 40), (10, 10, 10)).save(inputs / found["file"])
    os.utime(inputs / found["file"], ns=(time_before.st_atime_ns, time_before.st_mtime_ns))
    before = {line["file"]: line for line in lines_of(done)}
    assert run(inputs, done).before == 23
    for line in lines_of(done):
        if line["file"] != found["file"]:
            assert line == before[line["file"]]
        else:
            assert line["status"] == "skipped" and line["sha256"] != found["sha256"]
    assert not (done / found["mask"]).exists() and not (done / found["mask"].replace(".mask.", ".alpha.")).exists()
    fresh = tmp_path / "fresh"
    run(inputs, fresh)
    assert all_of(done) == all_of(fresh)


def test_a_changed_setting_does_all_again(photos: Path, done: Path, tmp_path: Path) -> None:
    request = REQUEST.replace(strength=0.9)
    assert run(photos, done, request).before == 0
    run(photos, tmp_path / "fresh", request)
    assert all_of(done) == all_of(tmp_path / "fresh")


def test_a_setting_that_does_not_matter_does_nothing_again(photos: Path, done: Path) -> None:
    assert run(photos, done, REQUEST.replace(steps=30, save_masks=True)).before == 24


@pytest.mark.parametrize("which", ["output", "mask", "alpha"])
def test_a_result_that_is_gone_is_made_again(photos: Path, done: Path, finished: Path, which: str) -> None:
    found = next(line for line in lines_of(done) if line["status"] == "found")
    name = found["output"] if which == "output" else found["mask"].replace(".mask.", f".{which}.")
    (done / name).unlink()
    assert run(photos, done).before == 23
    assert all_of(done) == all_of(finished)


def test_other_lines_in_the_report_stay(photos: Path, done: Path) -> None:
    stranger = '{"file": "elsewhere/x.png", "status": "found", "detections": []}\n'
    with (done / "report.jsonl").open("a") as file:
        file.write(stranger)
    assert run(photos, done).before == 24
    assert (done / "report.jsonl").read_text().endswith(stranger)


def test_a_line_cannot_make_us_delete_what_is_not_ours(photos: Path, done: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious.png"
    precious.write_bytes(b"mine")
    lines = lines_of(done)
    found = next(line for line in lines if line["status"] == "found")
    found.update(settings="old", output="../precious.png", mask=str(precious))
    (done / "report.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run(photos, done)
    assert precious.read_bytes() == b"mine"


def test_a_picture_that_is_gone_keeps_its_line_and_a_new_one_gets_one(photos: Path, done: Path, tmp_path: Path) -> None:
    inputs = Path(shutil.copytree(photos, tmp_path / "photos"))
    gone = lines_of(done)[0]["file"]
    (inputs / gone).unlink()
    make_picture(3, 64).save(inputs / "zz new.png")
    summary = run(inputs, done)
    assert (summary.listed, summary.before) == (24, 23)
    assert {line["file"] for line in lines_of(done)} == names_of(inputs) | {gone}


def test_moved_folders_go_on(photos: Path, finished: Path, tmp_path: Path) -> None:
    inputs = Path(shutil.copytree(photos, tmp_path / "a" / "photos"))
    out = Path(shutil.copytree(finished, tmp_path / "b" / "done"))
    assert run(inputs, out).before == 24
    assert all_of(out) == all_of(finished)


# --- trouble --------------------------------------------------------------------------------------------------------


def test_a_bug_in_an_engine_fails_its_picture_only_and_is_tried_again(photos: Path, tmp_path: Path) -> None:
    class Stumbling(Shade):
        def enhance(self, task: Task) -> Enhanced:
            if self.calls == 2:
                self.calls += 1
                raise ZeroDivisionError("division by zero")
            return super().enhance(task)

    run(photos, tmp_path / "out", engines=[LocalEngine(Stumbling())])
    failed = [line for line in lines_of(tmp_path / "out") if line["retry"]]
    assert len(failed) == 1 and "ZeroDivisionError" in failed[0]["reason"]
    assert run(photos, tmp_path / "out").before == 23
    assert not any(line["retry"] for line in lines_of(tmp_path / "out"))


def test_a_refusal_of_the_engine_here_is_final(photos: Path, tmp_path: Path) -> None:
    class Refusing(Shade):
        def enhance(self, task: Task) -> Enhanced:
            self.calls += 1
            raise EnhanceError("above the colour limit")

    engine = Refusing()
    run(photos, tmp_path / "out", engines=[LocalEngine(engine)])
    calls = engine.calls
    assert calls > 0 and run(photos, tmp_path / "out", engines=[LocalEngine(engine)]).before == 24
    assert engine.calls == calls


def test_a_request_that_fits_no_picture_ends_the_job(photos: Path, tmp_path: Path) -> None:
    class Ignorant(type(finder().detector)):  # type: ignore[misc]
        def detect(self, *arguments: object) -> object:
            raise UnknownProduct("mug", "fixed", ["cup"], "write cup")

    ignorant = replace(finder(), detector=Ignorant())
    with pytest.raises(RequestError, match="does not know 'mug'"):
        run(photos, tmp_path / "out", load_finder=lambda: ignorant)


def test_a_finder_that_cannot_be_loaded_ends_the_job(photos: Path, tmp_path: Path) -> None:
    def broken() -> object:
        raise ProdshotError("the weights are damaged")

    with pytest.raises(ProdshotError, match="damaged"):
        run(photos, tmp_path / "out", load_finder=broken)


def test_a_full_disk_ends_the_job_before_it_fails_everything(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = iter([10**12] * 5)
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(runner_module.shutil, "disk_usage", lambda path: real._replace(free=next(free, 1000)))
    with pytest.raises(OutputError, match="disk of .* is full"):
        run(photos, tmp_path / "out")
    done = lines_of(tmp_path / "out")
    assert 1 <= len(done) <= 5 and not any(line["retry"] for line in done)
    monkeypatch.undo()
    assert run(photos, tmp_path / "out").before == len(done)


def test_a_picture_that_changes_meanwhile_is_not_taken_for_done(photos: Path, tmp_path: Path) -> None:
    inputs = Path(shutil.copytree(photos, tmp_path / "photos"))
    victim: list[str] = []

    class Meddling(Shade):
        def enhance(self, task: Task) -> Enhanced:
            if not victim:
                names = [name for name in sorted(names_of(inputs)) if (inputs / name).suffix == ".bmp"]
                for name in names:
                    make_picture(0, 77).save(inputs / name)
                victim.extend(names)
            return super().enhance(task)

    run(inputs, tmp_path / "out", engines=[LocalEngine(Meddling())])
    run(inputs, tmp_path / "out")
    run(inputs, tmp_path / "fresh")
    assert all_of(tmp_path / "out") == all_of(tmp_path / "fresh")


def test_two_runs_exclude_each_other(photos: Path, tmp_path: Path) -> None:
    first = Runner(job(photos, tmp_path / "out"), pool(load_finder=lambda: finder(0.05)))
    first.start()
    with pytest.raises(OutputError, match="another run is working on"):
        Runner(job(photos, tmp_path / "out"), pool()).start()
    assert first.result().statuses["failed"] == 4
    assert run(photos, tmp_path / "out").before == 24


def test_a_dry_run_finds_and_writes_no_picture(photos: Path, tmp_path: Path, done: Path) -> None:
    summary = run(photos, tmp_path / "out", dry_run=True)
    assert summary.statuses == {"found": summary.statuses["found"], "skipped": summary.statuses["skipped"], "failed": 4}
    assert set(digests(tmp_path / "out")) == {"report.jsonl", "report.csv", "index.html", "summary.json"}
    assert run(photos, tmp_path / "out", dry_run=True).before == 24
    assert run(photos, tmp_path / "out").before == 0
    assert all_of(tmp_path / "out") == all_of(done)
    before = all_of(done)
    with pytest.raises(OutputError, match="dry run would give up"):
        run(photos, done, dry_run=True)
    assert all_of(done) == before


def test_an_input_inside_the_output_folder_is_never_written_over(tmp_path: Path) -> None:
    inputs = tmp_path / "photos"
    inputs.mkdir()
    make_picture(0, 64).save(inputs / "a.jpg")
    make_picture(1, 64).save(inputs / "b.jpg")
    (inputs / "link.png").symlink_to(inputs / "b.jpg")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link.png").symlink_to(inputs / "b.jpg")
    before = digests(inputs)
    run(inputs, tmp_path / "out")
    assert digests(inputs) == before


def test_an_empty_folder_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    assert run(tmp_path / "photos", tmp_path / "out").listed == 0
    assert (tmp_path / "out" / "report.csv").read_text().startswith("file,status")


# --- order, workers, memory -----------------------------------------------------------------------------------------


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
    run(tmp_path / "photos", tmp_path / "out", engines=[LocalEngine(Shade(0.1))])
    spent = [line["seconds"]["enhance"] for line in lines_of(tmp_path / "out") if line["status"] == "found"]
    # three in flight: with the waiting in it, most would be near 0.3
    assert sorted(spent)[len(spent) // 2] < 0.2, spent


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


# --- progress and stop ----------------------------------------------------------------------------------------------


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


def test_stop_finishes_the_pictures_at_hand(photos: Path, tmp_path: Path, finished: Path) -> None:
    entered, go_on = threading.Event(), threading.Event()

    class Held(Shade):
        def enhance(self, task: Task) -> Enhanced:
            entered.set()
            go_on.wait(10)
            return super().enhance(task)

    held = Held()
    runner = Runner(job(photos, tmp_path / "out"), pool(engines=[LocalEngine(held)]))
    runner.start()
    assert entered.wait(10)
    runner.stop()
    assert runner.progress.state == "stopping" and not runner.wait(0.1)
    go_on.set()
    summary = runner.result()
    assert runner.progress.state == "stopped" and not summary.is_complete
    assert summary.statuses["found"] == held.calls >= 1
    assert "index.html" in digests(tmp_path / "out")
    run(photos, tmp_path / "out")
    assert all_of(tmp_path / "out") == all_of(finished)


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
