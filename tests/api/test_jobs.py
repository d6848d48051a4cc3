"""Jobs: started, watched and cancelled over HTTP; folders only where the server's owner allowed them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")

from lib_prodshot.errors import EnhanceError, FieldProblem, RequestError
from lib_prodshot.hosts.server_paths import check_folder
from lib_prodshot.webui.api import routes
from lib_prodshot.webui.jobs import table as job_table
from lib_prodshot.webui.jobs.table import Control, JobTable
from tests.api.local_host import LocalHost

JOBS = "/prodshot/v1/jobs"


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> JobTable:
    fresh = JobTable()
    monkeypatch.setattr(routes, "JOBS", fresh)
    return fresh


class Counting:
    """A job that counts to `total`, one step each time the test allows it."""

    def __init__(self) -> None:
        self.steps = threading.Semaphore(0)
        self.started = threading.Event()

    def kind(self, settings: Mapping[str, Any]) -> Callable[[Control], Mapping[str, Any]]:
        total = settings.get("total")
        if not isinstance(total, int):
            raise RequestError([FieldProblem("settings.total", "this is not a whole number")])

        def work(control: Control) -> Mapping[str, Any]:
            self.started.set()
            for done in range(total):
                control.report(done, total, f"picture {done}")
                self.steps.acquire()
            control.report(total, total)
            return {"counted": total}

        return work


@pytest.fixture
def counting(table: JobTable) -> Iterator[Counting]:
    made = Counting()
    table.register("counting", made.kind)
    yield made
    made.steps.release(1000)


def until(client: Any, job_id: str, state: str, seconds: float = 10) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        job = client.get(f"{JOBS}/{job_id}").json()
        if job["state"] == state:
            return dict(job)
        time.sleep(0.01)
    raise AssertionError(f"the job is {job['state']}, not {state}: {job}")


def test_an_unknown_kind_says_what_exists(client: Any, table: JobTable, counting: Counting) -> None:
    table.register("another", counting.kind)
    reply = client.post(JOBS, json={"kind": "folder", "settings": {}})
    assert reply.status_code == 422
    assert reply.json()["detail"][0] == {
        "field": "kind",
        "message": "there is no kind of job called 'folder'",
        "allowed": "another, counting",
    }


def test_without_any_kind_it_says_so(client: Any, table: JobTable) -> None:
    assert "none" in client.post(JOBS, json={"kind": "folder"}).json()["detail"][0]["allowed"]


def test_a_job_runs_and_tells_how_far(client: Any, counting: Counting) -> None:
    started = client.post(JOBS, json={"kind": "counting", "settings": {"total": 3}})
    assert started.status_code == 200
    job_id = started.json()["id"]
    counting.started.wait(10)
    counting.steps.release(2)
    end = time.monotonic() + 10
    while client.get(f"{JOBS}/{job_id}").json()["done"] < 2 and time.monotonic() < end:
        time.sleep(0.01)
    job = client.get(f"{JOBS}/{job_id}").json()
    assert (job["state"], job["done"], job["total"], job["text"]) == ("running", 2, 3, "picture 2")
    counting.steps.release(1)
    over = until(client, job_id, "done")
    assert over["result"] == {"counted": 3} and over["finished"] >= over["created"]
    assert [known["id"] for known in client.get(JOBS).json()["jobs"]] == [job_id]
    assert client.get(JOBS).json()["kinds"] == ["counting"]


def test_a_running_job_is_cancelled(client: Any, counting: Counting) -> None:
    job_id = client.post(JOBS, json={"kind": "counting", "settings": {"total": 500}}).json()["id"]
    counting.started.wait(10)
    assert client.delete(f"{JOBS}/{job_id}").status_code == 200
    counting.steps.release(1)
    job = until(client, job_id, "cancelled")
    assert job["done"] < 5
    assert client.delete(f"{JOBS}/{job_id}").json()["state"] == "cancelled"


def test_a_waiting_job_is_cancelled_and_never_runs(client: Any, counting: Counting) -> None:
    first = client.post(JOBS, json={"kind": "counting", "settings": {"total": 1}}).json()["id"]
    second = client.post(JOBS, json={"kind": "counting", "settings": {"total": 1}}).json()["id"]
    counting.started.wait(10)
    counting.started.clear()
    assert client.delete(f"{JOBS}/{second}").json()["state"] == "cancelled"
    counting.steps.release(5)
    until(client, first, "done")
    time.sleep(0.05)
    assert not counting.started.is_set()
    assert client.get(f"{JOBS}/{second}").json()["state"] == "cancelled"


@pytest.mark.parametrize("error", [EnhanceError("no /srv/x here"), RuntimeError("/srv/secret")])
def test_a_failing_job_says_why_and_leaks_nothing(client: Any, table: JobTable, error: Exception) -> None:
    def work(control: Control) -> Mapping[str, Any]:
        raise error

    table.register("failing", lambda settings: work)
    job = until(client, client.post(JOBS, json={"kind": "failing"}).json()["id"], "failed")
    assert job["error"] and "/srv" not in job["error"]
    if isinstance(error, RuntimeError):
        assert job["id"] in job["error"]


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({}, "kind"),
        ({"kind": 5}, "kind"),
        ({"kind": "counting", "settings": []}, "settings"),
        ({"kind": "counting", "settings": {}, "priority": 1}, "priority"),
        ({"kind": "counting", "settings": {"total": "many"}}, "settings.total"),
    ],
)
def test_wrong_jobs_are_refused(client: Any, counting: Counting, sent: dict[str, Any], field: str) -> None:
    reply = client.post(JOBS, json=sent)
    assert reply.status_code == 422 and reply.json()["detail"][0]["field"] == field


def test_no_such_job(client: Any, table: JobTable) -> None:
    assert client.get(f"{JOBS}/nothing").status_code == 404
    assert client.delete(f"{JOBS}/nothing").status_code == 404


def test_jobs_are_started_by_json_only(client: Any, counting: Counting) -> None:
    assert client.post(JOBS, files=[("kind", (None, "counting"))]).status_code == 415


def test_the_queue_and_the_memory_have_an_end(table: JobTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_table, "MAX_QUEUED", 3)
    monkeypatch.setattr(job_table, "MAX_FINISHED", 2)
    gate = threading.Event()

    def work(control: Control) -> Mapping[str, Any]:
        gate.wait(10)
        return {}

    table.register("waiting", lambda settings: work)
    for _ in range(3):
        table.start("waiting", {})
    with pytest.raises(RequestError, match="waiting"):
        table.start("waiting", {})
    gate.set()
    end = time.monotonic() + 10
    while not all(job.is_over for job in table.list()) and time.monotonic() < end:
        time.sleep(0.01)
    for _ in range(6):
        table.start("waiting", {})
        time.sleep(0.05)
    assert len(table.list()) <= 2 + 3


# --- folders of the server ------------------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path, host: LocalHost) -> Path:
    folder = tmp_path / "shop"
    (folder / "bags").mkdir(parents=True)
    (tmp_path / "private").mkdir()
    (folder / "way-out").symlink_to(tmp_path / "private")
    (folder / "way-in").symlink_to(folder / "bags")
    host.flags["prodshot_allow_dir"] = [str(folder)]
    return folder


def test_allowed_folders_open(shop: Path) -> None:
    assert check_folder("folder", str(shop)) == shop.resolve()
    assert check_folder("folder", str(shop / "bags")) == (shop / "bags").resolve()
    assert check_folder("folder", "bags") == (shop / "bags").resolve()
    assert check_folder("folder", str(shop / "way-in")) == (shop / "bags").resolve()
    assert check_folder("folder", str(shop / "new")) == (shop / "new").resolve()


@pytest.mark.parametrize(
    "path",
    [
        "/etc",
        "/",
        "",
        "..",
        "../private",
        "bags/../../private",
        "way-out",
        "way-out/deeper",
        "{shop}/../private",
        "{shop}/way-out",
        "{shop}-evil",
        "file:///etc",
        "bags\0",
        "~",
        5,
        None,
    ],
)
def test_no_way_out(shop: Path, path: Any) -> None:
    (shop.parent / "shop-evil").mkdir()
    text = path.replace("{shop}", str(shop)) if isinstance(path, str) else path
    if text == "~":
        assert check_folder("folder", text) == shop.resolve() / "~"
        return
    with pytest.raises(RequestError) as refused:
        check_folder("folder", text)
    assert str(shop.parent) not in str(refused.value)


def test_a_link_that_appears_later_is_followed_too(shop: Path, tmp_path: Path) -> None:
    (shop / "bags").rmdir()
    (shop / "bags").symlink_to(tmp_path / "private")
    with pytest.raises(RequestError):
        check_folder("folder", "bags")


def test_without_allowed_folders_none_opens(tmp_path: Path, host: LocalHost) -> None:
    with pytest.raises(RequestError, match="prodshot-allow-dir"):
        check_folder("folder", str(tmp_path))
