"""Several WebUIs: the work is spread, one that dies costs nothing, and the result is the same as with one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

pytest.importorskip("httpx", reason="the client for WebUIs needs httpx (extra 'cluster')")

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.errors import EnhanceError, ProdshotError, RequestError
from lib_prodshot.hosts.remote import RemoteError
from lib_prodshot.hosts.remote import client as remote
from lib_prodshot.jobs.folder.runner import Runner
from lib_prodshot.jobs.report.summary import Summary
from lib_prodshot.jobs.workers.local_pool import LocalPool, engines_for
from lib_prodshot.request import Request
from tests.jobs.tools import all_of, finder, job, lines_of
from tests.jobs.webui_double import serve

REQUEST = Request(
    products="mug, motorcycle", engine="inpaint", seed=3, control="off", prompt="a [class]", resolution=64
)


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_PAUSE", 0.01)


@contextmanager
def double(delay: float = 0.0, **options: str) -> Iterator[str]:
    """A double in this process."""
    server = serve(delay, **options)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def double_process(delay: float) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A double in a process of its own, to be killed."""
    command = [sys.executable, "-m", "tests.jobs.webui_double", str(delay)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ})
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.kill()
        process.communicate()


def seen(address: str) -> list[int]:
    with urlopen(f"{address}/seen") as answer:
        return list(json.load(answer))


def begin(
    photos: Path, out: Path, *addresses: str, said: list[str] | None = None, request: Request = REQUEST
) -> Runner:
    say = said.append if said is not None else lambda text: None
    backoff = (0.05, 0.05)
    pool = LocalPool(request, "fixed", finder, lambda: engines_for(request, addresses, False, say), backoff)
    runner = Runner(job(photos, out, request), pool)
    runner.start()
    return runner


def run(photos: Path, out: Path, *addresses: str, **options: object) -> Summary:
    return begin(photos, out, *addresses, **options).result()  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def with_one(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("one-webui") / "done"
    with double() as address:
        run(photos, out, address)
        assert len(seen(address)) == len([line for line in lines_of(out) if line["status"] == "found"])
    return out


def test_each_picture_was_painted_with_its_own_seed(with_one: Path) -> None:
    lines = [line for line in lines_of(with_one) if line["status"] == "found"]
    assert len({line["seed"] for line in lines}) == len(lines) > 3
    assert all(line["worker"].startswith("http://127.0.0.1:") for line in lines)
    assert all(line["audit"]["changed_outside"] == 0 for line in lines)
    assert {line["worker"] for line in lines_of(with_one) if line["status"] != "found"} == {"local"}


def test_two_webuis_share_the_work_and_the_report_says_who_did_what(
    photos: Path, with_one: Path, tmp_path: Path
) -> None:
    with double(0.05) as first, double(0.05) as second:
        summary = run(photos, tmp_path / "out", first, second)
        lines = lines_of(tmp_path / "out")
        for address in (first, second):
            seeds = sorted(line["seed"] for line in lines if line["worker"] == address)
            assert seeds == sorted(seen(address)) and len(seeds) >= 3
            assert summary.workers[address] == len(seeds)
    assert all_of(tmp_path / "out") == all_of(with_one)


def test_one_killed_half_way_costs_nothing(photos: Path, with_one: Path, tmp_path: Path) -> None:
    with double_process(0.1) as (doomed, process), double(0.1) as other:
        runner = begin(photos, tmp_path / "out", doomed, other)
        deadline = time.monotonic() + 60
        while not any(line["worker"] == doomed for line in _lines_so_far(tmp_path / "out")):
            assert time.monotonic() < deadline and not runner.wait(0.01)
        process.kill()
        summary = runner.result()
        assert summary.is_complete and not any(line["retry"] for line in lines_of(tmp_path / "out"))
        assert summary.workers[doomed] >= 1 and summary.workers[other] > summary.workers[doomed]
        assert len(seen(other)) == len(set(seen(other))) == summary.workers[other], "nothing twice"
    assert all_of(tmp_path / "out") == all_of(with_one)


def _lines_so_far(out: Path) -> list[dict[str, object]]:
    text = (out / "report.jsonl").read_text() if (out / "report.jsonl").exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def test_all_killed_ends_the_job_and_the_same_command_goes_on(photos: Path, with_one: Path, tmp_path: Path) -> None:
    with double_process(0.05) as (doomed, process):
        runner = begin(photos, tmp_path / "out", doomed)
        while not any(line["worker"] == doomed for line in _lines_so_far(tmp_path / "out")):
            assert not runner.wait(0.01)
        process.kill()
        with pytest.raises(ProdshotError, match="nobody is left to go on .*cannot be reached.*goes on from here"):
            runner.result()
    assert runner.progress.state == "failed"
    done = len(lines_of(tmp_path / "out"))
    assert 0 < done < 24 and not any(line["retry"] for line in lines_of(tmp_path / "out"))
    with double() as address:
        assert run(photos, tmp_path / "out", address).before == done
    assert all_of(tmp_path / "out") == all_of(with_one)


def test_a_pass_that_fails_on_one_is_tried_on_the_other(photos: Path, with_one: Path, tmp_path: Path) -> None:
    with double(fault="OutOfMemoryError") as sick, double() as well:
        run(photos, tmp_path / "out", sick, well)
        assert seen(sick) == []
    assert all_of(tmp_path / "out") == all_of(with_one)


def test_a_pass_that_fails_on_all_fails_its_picture_and_is_tried_again(
    photos: Path, with_one: Path, tmp_path: Path
) -> None:
    with double(fault="OutOfMemoryError") as sick:
        summary = run(photos, tmp_path / "out", sick)
        failed = [line for line in lines_of(tmp_path / "out") if line["retry"]]
        assert failed and summary.statuses["failed"] == len(failed) + 4
        assert all("OutOfMemoryError" in line["reason"] for line in failed)
    with double() as well:
        assert run(photos, tmp_path / "out", well).before == 24 - len(failed)
    assert all_of(tmp_path / "out") == all_of(with_one)


# --- before anything is begun ---------------------------------------------------------------------------------------

NOBODY = "http://127.0.0.1:1"


def test_one_that_does_not_answer_is_left_out_and_said(photos: Path, with_one: Path, tmp_path: Path) -> None:
    said: list[str] = []
    with double() as address:
        run(photos, tmp_path / "out", NOBODY, address, said=said)
    assert len(said) == 1 and NOBODY in said[0] and "going on without it" in said[0]
    assert all_of(tmp_path / "out") == all_of(with_one)


def test_none_that_answers_ends_the_job(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="127.0.0.1:1 cannot be reached"):
        run(photos, tmp_path / "out", NOBODY)
    assert not (tmp_path / "out" / "report.jsonl").exists(), "nothing has begun"


def test_different_checkpoints_are_refused_unless_one_is_named(photos: Path, tmp_path: Path) -> None:
    with double() as first, double(checkpoint="other.safetensors [99]") as second:
        with pytest.raises(RequestError, match=r"different checkpoints .*other\.safetensors"):
            run(photos, tmp_path / "out", first, second)
        run(photos, tmp_path / "out", first, second, request=REQUEST.replace(checkpoint="tiny"))
    with double() as first, double(checkpoint="tiny.safetensors") as second:
        run(photos, tmp_path / "same", first, second)


def test_what_a_webui_lacks_is_said_before_the_first_picture(photos: Path, tmp_path: Path) -> None:
    with double() as address, pytest.raises(EnhanceError, match="http://127.* has no sampler 'Heun'"):
        run(photos, tmp_path / "out", address, request=REQUEST.replace(sampler="Heun"))
    with double() as address, pytest.raises(RequestError, match="given twice"):
        run(photos, tmp_path / "out", address, address + "/")


def test_stopping_now_asks_the_webui_to_give_up(photos: Path, tmp_path: Path) -> None:
    with double_process(30.0) as (address, _):
        runner = begin(photos, tmp_path / "out", address)
        while runner.progress.state != "running":
            runner.wait(0.01)
        time.sleep(0.5)
        runner.stop(now=True)
        assert runner.wait(5) and runner.progress.state == "stopped"
