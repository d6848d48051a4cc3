"""Pictures that come, go and come back under one stem, and what of a user's stands among the results."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from PIL import Image

from lib_prodshot.commands import batch
from lib_prodshot.finding import registry
from lib_prodshot.jobs.folder import contents
from lib_prodshot.jobs.folder.runner import Runner
from lib_prodshot.jobs.report import contact_sheet
from lib_prodshot.jobs.workers.engines import LocalEngine
from lib_prodshot.jobs.workers.interface import FileTask
from lib_prodshot.jobs.workers.ray_actor import ActorResult
from lib_prodshot.jobs.workers.ray_pool import RayWorker
from lib_prodshot.outcome import Outcome, Verdict
from tests.jobs.folder_process import run as command
from tests.jobs.tools import REQUEST, Shade, all_of, digests, job, lines_of, pool, run


def light(path: Path, shade: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 64), (200, 180 + shade, 150)).save(path)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    for number in range(6):
        light(tmp_path / "in" / f"{number}.png", number)
    return tmp_path / "in"


def test_a_result_of_another_picture_does_not_count_as_done(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    light(folder / "a.png")
    run(folder, out)
    first = digests(out)["a.png"]
    (folder / "a.png").rename(tmp_path / "kept.png")
    light(folder / "a.jpg", 40)
    summary = run(folder, out)
    assert [line["file"] for line in lines_of(out)] == ["a.jpg"]
    assert "give way to those of the same name" in summary.notes[-1] and "a.png" in summary.notes[-1]
    (folder / "a.jpg").unlink()
    (tmp_path / "kept.png").rename(folder / "a.png")
    assert run(folder, out).before == 0 and digests(out)["a.png"] == first


def test_a_picture_that_comes_back_takes_nothing_from_the_one_in_its_place(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    light(folder / "a.png")
    run(folder, out)
    (folder / "a.png").rename(tmp_path / "kept.png")
    light(folder / "a.jpg", 40)
    run(folder, out)
    (tmp_path / "kept.png").rename(folder / "a.png")
    run(folder, out)
    run(folder, tmp_path / "fresh")
    assert all_of(out) == all_of(tmp_path / "fresh")


def test_an_emptied_result_is_made_anew(inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(inputs, out)
    whole = all_of(out)
    (out / "2.png").write_bytes(b"")
    assert run(inputs, out).before == 5 and all_of(out) == whole


def test_two_folders_into_one(tmp_path: Path) -> None:
    one, other, out = tmp_path / "one", tmp_path / "other", tmp_path / "out"
    light(one / "x.png")
    light(one / "y.png", 9)
    light(other / "x.jpg", 40)
    run(one, out)
    first = digests(out)["x.png"]
    run(other, out)
    assert sorted(line["file"] for line in lines_of(out)) == ["x.jpg", "y.png"]
    assert run(one, out).before == 1 and digests(out)["x.png"] == first


def test_a_users_file_beside_a_result_stays_after_a_stop(inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    runner = Runner(job(inputs, out), pool(REQUEST, [LocalEngine(Shade(0.2))]))
    runner.start()
    while runner.progress.done < 2:
        time.sleep(0.01)
    runner.stop()
    runner.result()
    own = out / Path(lines_of(out)[0]["file"]).with_suffix(".tif")
    own.write_bytes(b"layers")
    assert (out / ".prodshot" / "begun.jsonl").exists()
    assert run(inputs, out, REQUEST.replace(strength=0.9)).statuses == {"found": 6}
    assert own.read_bytes() == b"layers"


@pytest.mark.parametrize("mine", [b"mine", None])
def test_what_a_worker_of_a_cluster_sends_is_not_written_over_a_users_file(mine: bytes | None, tmp_path: Path) -> None:
    light(tmp_path / "in" / "a.png")
    copy = (tmp_path / "in" / "a.png").read_bytes()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_bytes(copy if mine is None else mine)
    outcome = Outcome(Verdict("skipped", "none"), ("mug",), "fixed", file="a.png", output_file="/there/a.png")
    task = FileTask(tmp_path / "in" / "a.png", tmp_path / "out", "a")
    worker = RayWorker(None, REQUEST, "fixed", frozenset(), 1)
    worker._write(task, ActorResult(outcome, {"a.png": copy}, "actor", False), None)
    assert (tmp_path / "out" / "a.png").read_bytes() == (mine or copy)
    assert outcome.output_file == ("" if mine else str(tmp_path / "out" / "a.png"))
    assert any("stands there with other content" in note for note in outcome.notes) == bool(mine)


def test_a_folder_called_as_the_sheets_parts_keeps_its_files(inputs: Path, tmp_path: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(contact_sheet, "LARGE_ROWS", 4)
    monkeypatch.setattr(contact_sheet, "PART_ROWS", 2)
    out = tmp_path / "out"
    light(inputs / "index.rows" / "b.png", 9)
    run(inputs, out)
    mine = [out / "index.rows" / name for name in ("mine.js", "000009.js")]
    for path in mine:
        path.write_bytes(b"let mine;")
    (out / "3.png").unlink()
    run(inputs, out)
    parts = out / "index.rows"
    assert (parts / "000003.js").exists() and all(path.exists() for path in mine)
    monkeypatch.setattr(contact_sheet, "LARGE_ROWS", 100)
    (out / "3.png").unlink()
    run(inputs, out)
    assert all(path.exists() for path in mine) and not (parts / "000003.js").exists()
    assert all((out / line["output"]).is_file() for line in lines_of(out))


def test_a_part_of_the_sheet_that_was_written_over_is_made_anew(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contact_sheet, "LARGE_ROWS", 4)
    monkeypatch.setattr(contact_sheet, "PART_ROWS", 2)
    out = tmp_path / "out"
    run(inputs, out)
    part = out / "index.rows" / "000001.js"
    whole = part.read_bytes()
    part.write_bytes(b"x" * len(whole))
    assert run(inputs, out).before == 6 and part.read_bytes() == whole


@pytest.mark.parametrize("name", ["report.index", "page.json", "contents.jsonl"])
def test_nested_json_in_the_state_folder_ends_no_run(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(contents, "SETTLED", 0)
    out = tmp_path / "out"
    run(inputs, out)
    (out / ".prodshot" / name).write_bytes(b"[" * 200_000)
    assert run(inputs, out).before == 6


def test_stopped_while_earlier_results_are_looked_at(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                     capfd: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    # the command's stand-in finder is for this test alone
    monkeypatch.setattr(registry, "choose", registry.choose)
    told = ["batch", str(inputs), "--out", str(tmp_path / "out"), "--products", "mug"]
    assert command(0, told) == 0
    real = contents.content_of

    def slow(path: Path) -> str:
        time.sleep(0.5)
        return real(path)

    def watch(runner: Runner) -> None:
        time.sleep(0.2)
        runner.stop()
        runner.wait()

    monkeypatch.setattr(contents, "content_of", slow)
    monkeypatch.setattr(batch, "_watch", watch)
    assert command(0, told) == 130
    assert "the same command goes on from here" in capfd.readouterr().err
