"""Folder jobs over HTTP: the command line's runner, with the WebUI's finder, backend and queue."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.errors import OutputError, RequestError
from lib_prodshot.finding.finder import Backend, Finder
from lib_prodshot.hosts.server_paths import open_for_page
from lib_prodshot.inpainting import InpaintPass, PassInterrupted, PassResult
from lib_prodshot.jobs.files.staging import sole_writer
from lib_prodshot.webui.api import routes
from lib_prodshot.webui.folder import jobs as folder_jobs
from lib_prodshot.webui.folder.workers import WORKER
from lib_prodshot.webui.jobs import files as job_files
from lib_prodshot.webui.jobs import kinds as job_kinds
from lib_prodshot.webui.jobs import table as job_table
from lib_prodshot.webui.jobs.table import Job, JobTable
from tests.api.local_host import InvertingBackend, LocalHost
from tests.api.test_jobs import JOBS, until
from tests.api.tools import WebUI, dark, noise
from tests.finders import BoxSegmenter, FixedDetector
from tests.jobs.tools import digests, lines_of, timeless

COUNTS = {"found": 4, "skipped": 2, "failed": 1}
"""What `shop` holds, sub-folders included."""


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> JobTable:
    fresh = JobTable()
    for module in (routes, job_kinds, job_files, job_table):
        monkeypatch.setattr(module, "JOBS", fresh)
    monkeypatch.setattr(folder_jobs, "PROGRESS_INTERVAL", 0.02)
    job_kinds.register()
    return fresh


@pytest.fixture
def shop(tmp_path: Path, host: LocalHost, table: JobTable) -> Path:
    """An allowed folder with pictures in `shop/in`; what it must not open is beside it."""
    folder = tmp_path / "shop"
    host.flags["prodshot_allow_dir"] = [str(folder)]
    host.use_finder = lend_anew  # type: ignore[method-assign]
    for number, name in enumerate(("a.png", "b.png", "new/c.png", "new/bags & shoes/d.png")):
        save(folder / "in" / name, noise(number))
    save(folder / "in" / "e.png", dark())
    save(folder / "in" / "new" / "f.png", dark())
    (folder / "in" / "g.jpg").write_bytes(b"this is no picture")
    (tmp_path / "secret.png").write_bytes((folder / "in" / "a.png").read_bytes())
    return folder


@contextmanager
def lend_anew(name: str = "auto") -> Iterator[Finder]:
    yield Finder("lite", FixedDetector(darkest=20), BoxSegmenter())


def save(path: Path, samples: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(samples).save(path)


def start(client: Any, **settings: Any) -> str:
    given = {"folder": "in", "out": "done", "recursive": True, "products": "handbag", **settings}
    reply = client.post(JOBS, json={"kind": "folder", "settings": given})
    assert reply.status_code == 200, reply.text
    return str(reply.json()["id"])


def counts(job: dict[str, Any]) -> dict[str, int]:
    return {status: job["result"][status] for status in COUNTS}


def test_a_folder_through_the_webui(client: Any, shop: Path, host: LocalHost) -> None:
    before = digests(shop / "in")
    job = until(client, start(client), "done", 60)
    assert counts(job) == COUNTS and job["done"] == job["total"] == 7
    assert job["text"] == "7 of 7 pictures: 4 found, 2 skipped, 1 failed; handbag in 4 pictures"
    assert {status: job["figures"][status] for status in COUNTS} == COUNTS
    assert digests(shop / "in") == before
    lines = {line["file"]: line for line in lines_of(shop / "done")}
    assert {line["worker"] for line in lines.values() if line["status"] == "found"} == {WORKER}
    assert all(line["audit"]["changed_outside"] == 0 for line in lines.values() if line["audit"])
    after = np.asarray(Image.open(shop / "done" / lines["new/bags & shoes/d.png"]["output"]).convert("RGB"))
    inside = np.asarray(Image.open(shop / "in" / "new/bags & shoes/d.png"))[20:28, 28:36]
    assert (np.abs(after[20:28, 28:36].astype(int) - (255 - inside.astype(int))) < 60).all()
    assert (shop / "done" / "e.png").read_bytes() == (shop / "in" / "e.png").read_bytes()
    assert host.jobs.count("Prodshot: folder") == COUNTS["found"]
    assert str(shop) not in json.dumps(job)


@pytest.mark.any_host
def test_every_pass_takes_its_turn_in_the_queue(
    client: Any, shop: Path, host: LocalHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    painted = []

    def inpaint(self: InvertingBackend, plan: InpaintPass) -> PassResult:
        painted.append(host.lock.locked())
        return PassResult(255 - plan.picture)

    monkeypatch.setattr(InvertingBackend, "inpaint", inpaint)
    with host.lock:
        job_id = start(client, control="off")
        time.sleep(0.5)
        job = client.get(f"{JOBS}/{job_id}").json()
        assert job["state"] == "running" and job["figures"]["found"] == 0 and not painted
    assert counts(until(client, job_id, "done", 60)) == COUNTS
    assert painted == [True] * COUNTS["found"] and not host.lock.locked()


@pytest.mark.any_host
@pytest.mark.parametrize("settings", [{"engine": "retouch"}, {"dry_run": True}])
def test_without_passes_the_queue_is_left_to_others(
    client: Any, shop: Path, host: LocalHost, settings: dict[str, Any]
) -> None:
    with host.lock:
        job = until(client, start(client, **settings), "done", 60)
    assert counts(job) == COUNTS and not host.jobs
    assert (shop / "done" / "a.png").exists() == ("engine" in settings)


class Movable(FixedDetector):
    """A detector that shares the GPU with the checkpoint."""

    def offload(self) -> None:
        pass


@pytest.mark.any_host
def test_a_finder_that_shares_the_gpu_waits_for_its_turn(client: Any, shop: Path, host: LocalHost) -> None:
    @contextmanager
    def lend(name: str = "auto") -> Iterator[Finder]:
        yield Finder("lite", Movable(darkest=20), BoxSegmenter())

    host.use_finder = lend  # type: ignore[method-assign]
    with host.lock:
        job_id = start(client, dry_run=True)
        time.sleep(0.4)
        assert client.get(f"{JOBS}/{job_id}").json()["figures"]["found"] == 0
    until(client, job_id, "done", 60)
    assert host.jobs == ["Prodshot: find"] * 6


@pytest.mark.any_host
def test_it_is_the_command_lines_job(client: Any, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same report line for line, so that one can go on where the other stopped."""
    from lib_prodshot.cli import main
    from lib_prodshot.finding import registry

    backend = Backend("lite", lambda _: (), lambda _: Finder("lite", FixedDetector(darkest=20), BoxSegmenter()))
    until(client, start(client, engine="retouch"), "done", 60)
    monkeypatch.setattr(registry, "backends", lambda: (backend,))
    options = ["--out", str(shop / "other"), "--recursive", "--products", "handbag"]
    assert main(["batch", str(shop / "in"), *options]) == 1
    ours, theirs = ([timeless(line) for line in lines_of(shop / name)] for name in ("done", "other"))
    assert ours == theirs
    options[1] = str(shop / "done")
    said = main(["batch", str(shop / "in"), *options])
    assert said == 1 and [timeless(line) for line in lines_of(shop / "done")] == ours
    assert json.loads((shop / "done" / "summary.json").read_text())["done_before"] == 7


@pytest.mark.any_host
def test_again_it_goes_on(client: Any, shop: Path, host: LocalHost) -> None:
    until(client, start(client, limit=3), "done", 60)
    passes = host.jobs.count("Prodshot: folder")
    job = until(client, start(client), "done", 60)
    assert job["result"]["done_before"] == 3 and counts(job) == COUNTS
    assert host.jobs.count("Prodshot: folder") == COUNTS["found"] and 0 < passes < COUNTS["found"]


@pytest.mark.any_host
@pytest.mark.parametrize("keep_times", [False, True])
def test_results_keep_times_where_it_is_asked_for(client: Any, shop: Path, keep_times: bool) -> None:
    for name in ("a.png", "e.png"):
        os.utime(shop / "in" / name, (10**9, 10**9))
    until(client, start(client, engine="retouch", keep_times=keep_times), "done", 60)
    times = {name: (shop / "done" / name).stat().st_mtime for name in ("a.png", "a.mask.png", "e.png")}
    assert times["e.png"] == 10**9, "the copy of a skipped picture always keeps it"
    assert (times["a.png"] == times["a.mask.png"] == 10**9) is keep_times


@pytest.mark.any_host
def test_links_are_followed_within_the_allowed_folders_only(client: Any, shop: Path, tmp_path: Path) -> None:
    save(shop / "shelf" / "h.png", noise(7))
    (shop / "in" / "shelf").symlink_to(shop / "shelf", target_is_directory=True)
    (shop / "in" / "outside").symlink_to(tmp_path, target_is_directory=True)
    (shop / "in" / "secret.png").symlink_to(tmp_path / "secret.png")
    os.mkfifo(shop / "in" / "pipe.jpg")
    job = until(client, start(client, engine="retouch"), "done", 60)
    assert counts(job) == {"found": 5, "skipped": 2, "failed": 2}
    assert job["result"]["notes"] == ["links that lead where this job may not look: outside, secret.png"]
    lines = {line["file"]: line for line in lines_of(shop / "done")}
    assert lines["shelf/h.png"]["status"] == "found"
    assert lines["pipe.jpg"]["reason"] == "pipe.jpg cannot be read: it is a named pipe, not a file"
    assert str(tmp_path) not in json.dumps(job)


@pytest.mark.any_host
def test_a_report_that_cannot_be_read_ends_the_job_and_is_kept(client: Any, shop: Path) -> None:
    (shop / "done").mkdir()
    (shop / "done" / "report.jsonl").write_text("mine", encoding="utf-16")
    before = digests(shop / "done")
    job = until(client, start(client, engine="retouch"), "failed", 30)
    assert "report.jsonl in … cannot be read (line 1 is not one of a report)" in job["error"]
    assert str(shop) not in job["error"] and digests(shop / "done") == before


class Waiting:
    """Passes that wait to be let through, or to be interrupted, which they notice some seconds later."""

    def __init__(self, host: LocalHost, monkeypatch: pytest.MonkeyPatch, leaves_after: float = 0.0) -> None:
        self.leaves_after = leaves_after
        self.begun, self.go, self.stop = threading.Semaphore(0), threading.Semaphore(0), threading.Event()
        waiting = self

        def inpaint(self: InvertingBackend, plan: InpaintPass) -> PassResult:
            waiting.begun.release()
            while not waiting.go.acquire(timeout=0.02):
                if waiting.stop.is_set():
                    time.sleep(waiting.leaves_after)
                    raise PassInterrupted("interrupted")
            return PassResult(255 - plan.picture)

        monkeypatch.setattr(InvertingBackend, "inpaint", inpaint)
        host.interrupt = self.stop.set  # type: ignore[method-assign]


@pytest.mark.any_host
def test_cancelled_once_it_finishes_the_pictures_at_hand(
    client: Any, shop: Path, host: LocalHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = Waiting(host, monkeypatch)
    job_id = start(client)
    assert passes.begun.acquire(timeout=30)
    client.delete(f"{JOBS}/{job_id}")
    time.sleep(0.2)
    assert client.get(f"{JOBS}/{job_id}").json()["state"] == "running"
    passes.go.release(10)
    until(client, job_id, "cancelled", 30)
    assert not passes.stop.is_set()
    lines = lines_of(shop / "done")
    done = [line["file"] for line in lines]
    assert len(done) < 7 and "found" in {line["status"] for line in lines}
    job = until(client, start(client), "done", 60)
    assert counts(job) == COUNTS and job["result"]["done_before"] >= len([name for name in done if name != "g.jpg"])


@pytest.mark.any_host
def test_cancelled_twice_it_lets_go(client: Any, shop: Path, host: LocalHost, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = Waiting(host, monkeypatch, leaves_after=1.0)
    job_id = start(client)
    assert passes.begun.acquire(timeout=30)
    client.delete(f"{JOBS}/{job_id}")
    client.delete(f"{JOBS}/{job_id}")
    until(client, job_id, "cancelled", 30)
    assert passes.stop.is_set()
    passes.stop.clear()
    passes.go.release(10)
    # sent again at once, it waits for the thread that is still in the folder
    assert counts(until(client, start(client), "done", 60)) == COUNTS


def test_a_folder_is_waited_for_and_refused_after_a_while(tmp_path: Path) -> None:
    with sole_writer(tmp_path):
        start = time.monotonic()
        with pytest.raises(OutputError, match="another run is working on"), sole_writer(tmp_path, 0.3):
            pass
        assert time.monotonic() - start >= 0.3
        with pytest.raises(OutputError, match="another run is working on"), sole_writer(tmp_path):
            pass
    with sole_writer(tmp_path, 60.0):
        pass


@pytest.mark.any_host
def test_a_pass_that_the_user_interrupts_is_tried_again_next_time(
    client: Any, shop: Path, host: LocalHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = Waiting(host, monkeypatch)
    passes.stop.set()
    job = until(client, start(client), "done", 60)
    assert counts(job) == {"found": 0, "skipped": 2, "failed": 5}
    passes.stop.clear()
    passes.go.release(10)
    job = until(client, start(client), "done", 60)
    assert counts(job) == COUNTS and job["result"]["done_before"] == 3


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"folder": ""}, "folder"),
        ({"folder": "nowhere"}, "folder"),
        ({"folder": "/etc"}, "folder"),
        ({"folder": 5}, "folder"),
        ({"out": " "}, "out"),
        ({"out": "../out"}, "out"),
        ({"out": "in"}, "out"),
        ({"recursive": "yes"}, "recursive"),
        ({"limit": -1}, "limit"),
        ({"limit": 1.5}, "limit"),
        ({"dry_run": 1}, "dry_run"),
        ({"keep_times": "yes"}, "keep_times"),
        ({"products": ""}, "products"),
        ({"products": "b" * 30_000}, "products"),
        ({"grow": 9999}, "grow"),
        ({"finder": "langsam"}, "finder"),
        ({"webui": "http://10.0.0.1"}, "webui"),
    ],
)
def test_wrong_settings_are_refused_by_name(client: Any, shop: Path, changes: dict[str, Any], field: str) -> None:
    given = {"folder": "in", "out": "done", "products": "handbag", **changes}
    reply = client.post(JOBS, json={"kind": "folder", "settings": given})
    assert reply.status_code == 422, reply.text
    assert field in [problem["field"] for problem in reply.json()["detail"]]
    assert str(shop.parent) not in reply.text and not (shop / "done").exists()


def test_without_allowed_folders_none_is_opened(client: Any, shop: Path, host: LocalHost) -> None:
    host.flags["prodshot_allow_dir"] = []
    given = {"folder": str(shop / "in"), "out": str(shop / "done"), "products": "handbag"}
    reply = client.post(JOBS, json={"kind": "folder", "settings": given})
    assert reply.status_code == 422 and "--prodshot-allow-dir" in reply.text


@pytest.mark.any_host
@pytest.mark.parametrize(("field", "url"), [("folder", "s3://bucket/in"), ("out", " memory://bucket/out")])
def test_object_storage_is_not_opened_for_requests(client: Any, shop: Path, field: str, url: str) -> None:
    """Neither for a caller nor, by such a name beneath an allowed folder, as a folder of that name."""
    given = {"folder": str(shop / "in"), "out": str(shop / "done"), "products": "handbag", field: url}
    reply = client.post(JOBS, json={"kind": "folder", "settings": given})
    assert reply.status_code == 422 and "object storage is not opened for requests" in reply.text
    assert f'"{field}"' in reply.text
    with pytest.raises(RequestError, match="object storage is not opened"):
        open_for_page(field, url)
    assert {path.name for path in shop.iterdir()} == {"in"}


@pytest.mark.any_host
def test_what_ends_the_job_is_told(client: Any, shop: Path) -> None:
    (shop / "done").write_text("a file")
    job = until(client, start(client), "failed", 30)
    assert "folder" in job["error"] and str(shop) not in job["error"]


# --- what it wrote, to be read ----------------------------------------------------------------------------------------


def test_the_report_can_be_read(client: Any, shop: Path) -> None:
    job_id = start(client, engine="retouch")
    job = until(client, job_id, "done", 60)
    assert job["files"] == {
        "report": "index.html",
        "lines": "report.jsonl",
        "table": "report.csv",
        "summary": "summary.json",
    }
    page = client.get(f"{JOBS}/{job_id}/files/{job['files']['report']}")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    assert page.text.count("<article") == 7 and "./new/bags%20%26%20shoes/d.png" in page.text
    assert "sandbox" in page.headers["content-security-policy"]
    assert "allow-same-origin" not in page.headers["content-security-policy"]
    result = client.get(f"{JOBS}/{job_id}/files/new/bags%20%26%20shoes/d.png")
    assert result.content == (shop / "done/new/bags & shoes/d.png").read_bytes()
    assert result.headers["content-type"] == "image/png"
    assert len(client.get(f"{JOBS}/{job_id}/files/report.jsonl").text.splitlines()) == 7


NO_FILES = [
    "../in/a.png",
    "%2e%2e/in/a.png",
    "new/../../in/a.png",
    "..%2Fin%2Fa.png",
    ".prodshot/lock",
    ".prodshot/thumbnails.jsonl",
    "/etc/passwd",
    "%2Fetc%2Fpasswd",
    "way-out.png",
    "nothing.png",
    "new",
    "notes.exe",
    "a%00.png",
    "",
]


@pytest.fixture
def finished(client: Any, shop: Path) -> Iterator[str]:
    job_id = start(client, engine="retouch")
    until(client, job_id, "done", 60)
    (shop / "done" / "way-out.png").symlink_to(shop.parent / "secret.png")
    (shop / "done" / "notes.exe").write_bytes(b"MZ")
    yield job_id


@pytest.mark.any_host
@pytest.mark.parametrize("name", NO_FILES)
def test_no_other_file_can_be_read(client: Any, finished: str, table: JobTable, name: str) -> None:
    job = table.get(finished)
    assert job is not None
    job_files.add_page_route(client.app)
    for place in (f"{JOBS}/{finished}/files/{name}", f"{job_files.PAGE_ROUTE}/{job.key}/{name}"):
        reply = client.get(place)
        assert reply.status_code == 404, place
        assert "root:" not in reply.text


@pytest.mark.any_host
def test_a_job_without_a_folder_has_no_file() -> None:
    assert Job("counting", lambda control: {}).file("report.csv") is None


def test_the_page_reads_with_the_jobs_key_alone(client: Any, finished: str, host: LocalHost, table: JobTable) -> None:
    job = table.get(finished)
    assert job is not None
    host.credentials = {"seller": "secret"}
    job_files.add_page_route(client.app)
    number = len(client.app.routes)
    job_files.add_page_route(client.app)
    assert len(client.app.routes) == number
    assert client.get("/" + job_files.page_link(job, "report")).text.count("<article") == 7
    for key in ("", "wrong", finished, job.key[:-1]):
        assert client.get(f"{job_files.PAGE_ROUTE}/{key}/index.html").status_code == 404
    assert client.get(f"{JOBS}/{finished}/files/index.html").status_code == 401
    code = base64.b64encode(b"seller:secret").decode()
    reply = client.get(f"{JOBS}/{finished}", headers={"Authorization": f"Basic {code}"})
    assert reply.status_code == 200 and job.key not in reply.text


@pytest.mark.any_host
def test_the_documents_example(webui: WebUI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one of docs/batch.md, as it stands there: only the address is another."""
    from modules import shared

    code = next(
        block
        for block in re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "batch.md").read_text("utf-8"), re.M | re.S)
        if "httpx" in block
    )
    monkeypatch.setattr(shared.cmd_opts, "prodshot_allow_dir", [str(tmp_path / "shop")], raising=False)
    for number in range(3):
        save(tmp_path / "shop" / "photos" / "new" / f"{number}.png", noise(number))
    script = code.replace("http://127.0.0.1:7860", webui.address) + "\nassert sheet.text.count('<article') == 3\n"
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={**os.environ, "NO_PROXY": "*"}
    ).stdout
    assert "done" in said and "3 of 3 pictures: 3 found, 0 skipped, 0 failed" in said
    assert len(lines_of(tmp_path / "shop" / "done")) == 3
