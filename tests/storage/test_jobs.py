"""Folder jobs over object storage: what a folder of this machine gives, byte for byte, killed at any moment too."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.errors import OutputError, RequestError
from lib_prodshot.jobs.folder.runner import Runner
from lib_prodshot.jobs.report.summary import Summary
from lib_prodshot.jobs.stored import claim
from lib_prodshot.jobs.stored.folders import NO_NAME, StoredFolders
from lib_prodshot.jobs.workers.interface import FileTask, StoredSource
from lib_prodshot.jobs.workers.ray_actor import ActorResult, ActorSettings, PictureActor
from lib_prodshot.jobs.workers.ray_pool import _sent
from lib_prodshot.request import Request
from lib_prodshot.storage.store import StorageError, Store, _file_system
from lib_prodshot.storage.urls import StorageURL
from tests.jobs.photographs import make_folder, make_picture
from tests.jobs.tools import REQUEST, all_of, choose_finder, job, lines_of, pool, run
from tests.storage.conftest import download, keys_of, names_in, upload

ODD = "odd/a b#1?x=%20&ü*[2].png"


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 pictures, 2 of them broken, one without a product, one with a name that a URL would want to escape."""
    folder = tmp_path_factory.mktemp("stored") / "photos"
    make_folder(folder, 8, broken=2)
    (folder / "odd").mkdir()
    make_picture(9, 64).save(folder / ODD)
    Image.new("RGB", (40, 40), (10, 10, 10)).save(folder / "dark.jpg")
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    return folder


@pytest.fixture(scope="session")
def local(few: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All that the same job leaves in a folder."""
    out = tmp_path_factory.mktemp("local") / "out"
    run(few, out)
    return all_of(out)


def run_stored(
    inputs: Path | StorageURL, out: Path | StorageURL, tmp_path: Path, request: Request = REQUEST, **changes: Any
) -> Summary:
    folders = StoredFolders(inputs, out, tmp_path / "spool")
    runner = Runner(job(folders.input_folder, folders.output_folder, request, **changes), pool(request), folders)
    runner.start()
    return runner.result()


def all_in(store: Store, tmp_path: Path) -> dict[str, Any]:
    """All that a job left in a store, comparable to what it leaves in a folder."""
    found = all_of(download(store, tmp_path / f"download-{time.monotonic_ns()}"))
    for line in found["lines"]:
        line.pop("object_version", None)
    return found


def counted(monkeypatch: pytest.MonkeyPatch, scheme: str, *methods: str) -> Counter[str]:
    """Count calls of a store by method and key."""
    calls: Counter[str] = Counter()
    files = _file_system(scheme)

    def counting(name: str, real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            calls[f"{name} {arguments[1 if name == 'put_file' else 0]}"] += 1
            return real(*arguments, **options)

        return call

    for name in methods:
        monkeypatch.setattr(files, name, counting(name, getattr(files, name)))
    return calls


def test_a_bucket_gives_what_a_folder_gives(
    bucket: StorageURL, few: Path, local: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = upload(few, bucket / "in")
    for marker in ("", "empty/", "odd/"):
        store.put_bytes(b"", f"{marker}" if marker else "empty/deeper/")
    calls = counted(monkeypatch, "s3", "get_file")
    summary = run_stored(bucket / "in", bucket / "in/results", tmp_path)
    out = Store(bucket / "in/results")
    assert all_in(out, tmp_path) == local
    assert summary.notes == ("1 other file left alone", "hidden pictures left alone: .hidden.png")
    pictures = [call for call in calls if "/results/" not in call]
    assert len(pictures) == 10 and {calls[call] for call in pictures} == {1}, "each picture is fetched once"
    assert {name for name in names_in(out) if ".prodshot" in name} == {".prodshot/thumbnails.jsonl"}, "no parts"
    types = {name: _file_system("s3").info(f"{bucket.path}/in/results/{name}")["ContentType"] for name in names_in(out)}
    assert types["odd/a b#1?x=%20&ü*[2].png"] == "image/png" and types["report.jsonl"] == "application/x-ndjson"
    assert types["index.html"] == "text/html" and types["dark.jpg"] == "image/jpeg"
    assert Counter(dict.fromkeys(local["files"], 1)) == Counter(
        name for name in names_in(out) if ".prodshot" not in name and not name.startswith(("report.", "summary."))
    )
    calls.clear()
    puts = counted(monkeypatch, "s3", "put_file")
    assert run_stored(bucket / "in", bucket / "in/results", tmp_path).before == 10
    assert not [call for call in calls if "/results/" not in call], "nothing is fetched to see that all is done"
    assert {name.rpartition("/")[2] for name in puts} == {"index.html", "summary.json", "report.csv"}
    assert not [path for path in (tmp_path / "spool").rglob("*") if path.is_file() and path.name != "lock"]


def test_from_a_bucket_into_a_folder_and_back(
    memory: StorageURL, few: Path, local: dict[str, Any], tmp_path: Path
) -> None:
    upload(few, memory / "in")
    run_stored(memory / "in", tmp_path / "out", tmp_path)
    for line in lines_of(tmp_path / "out"):
        assert line["object_version"]
    there = all_of(tmp_path / "out")
    assert there["files"] == local["files"] and there["rows"] == local["rows"]
    run_stored(few, memory / "out", tmp_path)
    assert all_in(Store(memory / "out"), tmp_path) == local


def test_a_killed_process_goes_on(bucket: StorageURL, few: Path, local: dict[str, Any], tmp_path: Path) -> None:
    """kill -9 once part of the report is in the bucket. Nothing is lost, and what had its line is not done again."""
    upload(few, bucket / "in")
    keys = keys_of(bucket)
    out = Store(bucket / "out")
    command = [sys.executable, "-m", "tests.jobs.folder_process", "0.6", "batch", str(bucket / "in"), "--recursive"]
    options = ["--out", str(bucket / "out"), "--products", REQUEST.products, "--fidelity", "off"]
    process = subprocess.Popen([*command, *options], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not [key for key in [*keys] if "/report.jsonl/" in key]:
        assert process.poll() is None and time.monotonic() < until, process.communicate()[1]
        time.sleep(0.05)
    process.kill()
    process.communicate()
    written = {name for name in names_in(out) if ".prodshot" not in name}
    assert written and "report.jsonl" not in written
    Store(bucket / "out").put_bytes(b"mine", "odd/other.txt")
    folders = StoredFolders(bucket / "in", bucket / "out", tmp_path / "spool")
    request = Request(products=REQUEST.products, fidelity="off")
    runner = Runner(job(folders.input_folder, folders.output_folder, request), pool(request), folders)
    runner.start()
    summary = runner.result()
    assert 0 < summary.before < 10 and summary.is_complete
    left = names_in(out)
    assert "odd/other.txt" in left and not [name for name in left if "/begun.jsonl" in name or "claim" in name]
    found = all_in(out, tmp_path)
    del found["files"]["odd/other.txt"]
    assert set(found["files"]) == set(local["files"]) and found["summary"] == local["summary"]
    assert [line["sha256"] for line in found["lines"]] == [line["sha256"] for line in local["lines"]]


def test_a_changed_object_is_done_again_and_its_old_results_go(memory: StorageURL, few: Path, tmp_path: Path) -> None:
    store = upload(few, memory / "in")
    run_stored(memory / "in", memory / "out", tmp_path)
    found = next(line for line in _lines(memory / "out") if line["status"] == "found")
    dark = tmp_path / "dark.png"
    Image.new("RGB", (40, 40), (10, 10, 10)).save(dark)
    store.put(dark, found["file"])
    assert run_stored(memory / "in", memory / "out", tmp_path).before == 9
    line = next(line for line in _lines(memory / "out") if line["file"] == found["file"])
    assert line["status"] == "skipped" and line["sha256"] != found["sha256"]
    assert found["mask"] not in names_in(Store(memory / "out"))
    Store(memory / "out").remove(line["output"])
    assert run_stored(memory / "in", memory / "out", tmp_path).before == 9, "a result that is gone is made again"


def test_a_users_object_in_the_place_of_a_skipped_pictures_copy_stays(
    memory: StorageURL, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(few, memory / "in")
    run_stored(memory / "in", memory / "out", tmp_path)
    store, mine = Store(memory / "out"), b"mine"
    assert store.read("dark.jpg") == (few / "dark.jpg").read_bytes()
    other = REQUEST.replace(strength=0.9)
    # of the same size it is fetched to tell
    for content, request in ((mine, other), (bytes(len(store.read("dark.jpg") or b"")), REQUEST)):
        store.put_bytes(content, "dark.jpg")
        summary = run_stored(memory / "in", memory / "out", tmp_path, request)
        assert store.read("dark.jpg") == content
        line = next(line for line in _lines(memory / "out") if line["file"] == "dark.jpg")
        assert line["status"] == "skipped" and line["output"] is None and line["bytes"] == []
        assert "dark.jpg stands there with other content, and stays" in line["notes"][0]
        if content == mine:
            assert "kept, for they are no copies of skipped pictures any more: dark.jpg" in summary.notes
            store.remove("dark.jpg")
            run_stored(memory / "in", memory / "out", tmp_path, REQUEST.replace(strength=0.8))
            assert store.read("dark.jpg") == (few / "dark.jpg").read_bytes()

    def killed(*_: Any) -> None:
        raise OutputError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Runner, "_finish", killed)
        with pytest.raises(OutputError, match="killed"):
            run_stored(memory / "in", memory / "out", tmp_path, other)
    run_stored(memory / "in", memory / "out", tmp_path, other)
    assert store.read("dark.jpg") == content, "nor is it taken for what a killed run left"


def _lines(out: StorageURL) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Store(out).read("report.jsonl") or b"").splitlines()]


def test_what_cannot_be_fetched_or_put_fails_alone_and_is_tried_again(
    memory: StorageURL, few: Path, local: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(few, memory / "in")
    files = _file_system("memory")
    get, put = files.get_file, files.put_file

    def get_file(key: str, to: str, **options: Any) -> None:
        if key.endswith("/dark.jpg"):
            raise TimeoutError
        get(key, to, **options)

    def put_file(file: str, key: str, **options: Any) -> None:
        if key.endswith(".alpha.png") and "odd" in key:
            raise PermissionError(13, "Access Denied")
        put(file, key, **options)

    with monkeypatch.context() as patch:
        patch.setattr(files, "get_file", get_file)
        patch.setattr(files, "put_file", put_file)
        summary = run_stored(memory / "in", memory / "out", tmp_path)
    assert summary.is_complete and summary.statuses["failed"] == 4
    failed = {line["file"]: line for line in _lines(memory / "out") if line["retry"]}
    assert set(failed) == {"dark.jpg", ODD}
    assert "cannot be reached: the store does not answer (TimeoutError)" in failed["dark.jpg"]["reason"]
    assert failed[ODD]["reason"].startswith("access to memory://") and failed[ODD]["output"] is None
    assert not [name for name in names_in(Store(memory / "out")) if name.startswith("odd/")], "all of it or nothing"
    assert run_stored(memory / "in", memory / "out", tmp_path).before == 8
    assert all_in(Store(memory / "out"), tmp_path) == local


def test_names_that_no_folder_could_have_lead_nowhere(memory: StorageURL, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    make_picture(1, 64).save(picture)
    store = Store(memory / "in")
    odd = ("../up.png", "x/./b.png", "c.png?versionId=7.png", "/top.png", "x//d.png")
    for name in ("a.png", *odd):
        _file_system("memory").store[f"/{memory.path}/in/{name}"] = _file_system("memory").open(
            f"/{memory.path}/in/a.png", "wb"
        )
    store.put(picture, "a.png")
    store.put(picture, "long/" + "n" * 252 + ".png")
    summary = run_stored(memory / "in", memory / "out", tmp_path)
    assert summary.listed == 1
    assert any(note.startswith(NO_NAME) and "../up.png" in note for note in summary.notes)
    assert any("too long" in note for note in summary.notes)


def test_only_the_top_without_recursive(memory: StorageURL, few: Path, tmp_path: Path) -> None:
    upload(few, memory / "in")
    run(few, tmp_path / "local", recursive=False)
    run_stored(memory / "in", memory / "out", tmp_path, recursive=False)
    assert all_in(Store(memory / "out"), tmp_path) == all_of(tmp_path / "local")


def test_a_second_run_is_refused_while_the_first_one_works(
    memory: StorageURL, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "PATIENCE", 1.0)
    monkeypatch.setattr(claim, "RENEWAL", 0.05)
    store = Store(memory / "out")
    first = claim.Claim(store)
    monkeypatch.setattr(claim.platform, "node", lambda: "elsewhere")
    first.take()
    monkeypatch.setattr(claim.platform, "node", lambda: "here")
    upload(few, memory / "in")
    # its renewals say 'here' from now on, and another number each
    with pytest.raises(OutputError, match="another run is working on memory://"):
        monkeypatch.setattr(claim, "is_another_running", lambda process: True)
        run_stored(memory / "in", memory / "out", tmp_path)
    first._over.set()
    # a renewal that is under way would be one of a run that lives
    assert first._thread is not None
    first._thread.join()
    said: list[str] = []
    monkeypatch.setattr(claim, "PATIENCE", 0.2)
    second = claim.Claim(store, said.append)
    second.take()
    assert len(said) == 1, "a run that was killed is waited for"
    second.release()
    assert names_in(store) == set()


def test_of_two_runs_that_start_together_one_works(memory: StorageURL, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both find no claim before either has written its own."""
    first, second = claim.Claim(Store(memory)), claim.Claim(Store(memory))
    meanwhile = [second.take]

    def sleep(seconds: float) -> None:
        if meanwhile:
            Store(memory).remove(claim.NAME)
            meanwhile.pop()()

    monkeypatch.setattr(claim, "sleep", sleep)
    with pytest.raises(OutputError, match="another run is working on memory://"):
        first.take()
    first.release()
    assert claim.NAME in names_in(Store(memory)), "the other one's claim stays"
    second.release()
    assert names_in(Store(memory)) == set()


def test_no_picture_is_written_over(memory: StorageURL, few: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="is the input folder itself"):
        StoredFolders(memory / "in", StorageURL("memory", f"{memory.path}/in/"), tmp_path)
    store = Store(memory / "in")
    for name, colour in (("dark.jpg", 10), ("in/dark.jpg", 20)):
        Image.new("RGB", (40, 40), (colour, 10, 10)).save(tmp_path / "dark.jpg")
        store.put(tmp_path / "dark.jpg", name)
    before = store.read("dark.jpg")
    run_stored(memory / "in", memory, tmp_path)
    failed = next(line for line in _lines(memory) if line["status"] == "failed")
    assert failed["file"] == "in/dark.jpg" and "is itself one of the pictures" in failed["reason"]
    assert store.read("dark.jpg") == before


def test_an_actor_fetches_the_picture_itself(memory: StorageURL, few: Path, tmp_path: Path) -> None:
    """No byte of it goes through Ray."""
    store = upload(few, memory / "in")
    stored = store.find(ODD)
    assert stored is not None
    source = StoredSource(stored, 5, 64)
    task = FileTask(tmp_path / "not-here.png", tmp_path, "x", stored=source)
    stamp, sent = _sent(task)
    assert sent is source and stamp == (stored.size, stored.modified)
    actor = PictureActor(ActorSettings(0, REQUEST.to_dict(), choose_finder))
    answer = actor.process("s3/odd.png", "odd", None, source)
    assert isinstance(answer, ActorResult) and answer.outcome.status == "found"
    assert answer.outcome.file == "s3/odd.png" and set(answer.files) == {"odd.png", "odd.mask.png", "odd.alpha.png"}
    assert len(answer.fetched.content) == 64 and answer.fetched.seed is not None
    assert all(picture is not None for picture in answer.fetched.thumbnails)
    elsewhere = replace(stored, url=StorageURL("memory", f"{stored.url.path}x"))
    gone = actor.process("s3/odd.png", "odd", None, StoredSource(elsewhere, 5, 64))
    assert isinstance(gone, ActorResult) and gone.retry and "there is no object" in gone.outcome.verdict.reason


def test_a_report_that_cannot_be_brought_there_ends_the_job_in_a_sentence(
    memory: StorageURL, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = _file_system("memory")
    put = files.put_file

    def put_file(file: str, key: str, **options: Any) -> None:
        if key.endswith("report.jsonl"):
            raise ConnectionError
        put(file, key, **options)

    monkeypatch.setattr(files, "put_file", put_file)
    with pytest.raises(StorageError, match="report.jsonl cannot be reached"):
        run_stored(few, memory / "out", tmp_path)
