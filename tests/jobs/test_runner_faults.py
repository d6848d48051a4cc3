"""What goes wrong inside a folder job: bad pictures alone, the job only where no picture could succeed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lib_prodshot.enhancing.interface import Enhanced, Task
from lib_prodshot.errors import EnhanceError, OutputError, ProdshotError, RequestError, UnknownProducts
from lib_prodshot.jobs.folder.runner import Runner
from lib_prodshot.jobs.workers.engines import LocalEngine
from tests.jobs.photographs import make_picture
from tests.jobs.tools import REQUEST, Shade, all_of, digests, finder, job, lines_of, names_of, pool, run


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
            raise UnknownProducts({"mug": ["cup"]}, "fixed", "write cup")

    ignorant = replace(finder(), detector=Ignorant())
    with pytest.raises(RequestError, match="does not know 'mug'"):
        run(photos, tmp_path / "out", load_finder=lambda: ignorant)


def test_a_finder_that_cannot_be_loaded_ends_the_job(photos: Path, tmp_path: Path) -> None:
    def broken() -> object:
        raise ProdshotError("the weights are damaged")

    with pytest.raises(ProdshotError, match="damaged"):
        run(photos, tmp_path / "out", load_finder=broken)


def test_a_picture_that_its_gates_refused_is_not_tried_again(photos: Path, tmp_path: Path) -> None:
    engine, held = Shade(), REQUEST.replace(fidelity="hold", fidelity_retries=1, shift_limit=0.5)
    run(photos, tmp_path / "out", held, engines=[LocalEngine(engine)])
    refused = [line for line in lines_of(tmp_path / "out") if "not the same product" in line["reason"]]
    assert refused and not any(line["retry"] for line in refused)
    calls = engine.calls
    assert calls == 2 * len(refused) and run(photos, tmp_path / "out", held, engines=[LocalEngine(engine)]).before == 24
    assert engine.calls == calls


def test_a_full_disk_ends_the_job_before_it_fails_everything(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = iter([10**12] * 5)
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real._replace(free=next(free, 1000)))
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
