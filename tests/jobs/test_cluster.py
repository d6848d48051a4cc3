"""The folder job on a Ray cluster of this machine: the same files and the same report as without one."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_prodshot.errors import FinderUnavailable, ProdshotError, RequestError, UnknownProducts
from lib_prodshot.jobs.folder.runner import Runner
from lib_prodshot.jobs.stored import claim
from lib_prodshot.jobs.stored.folders import StoredFolders
from lib_prodshot.jobs.workers.interface import TaskCancelled, WorkerLost
from lib_prodshot.jobs.workers.local_pool import LocalPool, engines_for
from lib_prodshot.jobs.workers.ray_actor import ActorError, ActorResult, ActorSettings, PictureActor
from lib_prodshot.jobs.workers.ray_pool import RayPool, RayWorker, _share
from lib_prodshot.storage.store import Store, _file_system
from lib_prodshot.storage.urls import StorageURL
from tests.jobs.tools import REQUEST, SlowDetector, all_of, choose_finder, finder, job, lines_of
from tests.storage.conftest import bucket, download, s3, upload

__all__ = ["bucket", "s3"]

if find_spec("ray") is None:
    pytest.skip("the folder job on a cluster needs Ray (extra 'cluster')", allow_module_level=True)


@pytest.fixture(scope="module")
def cluster() -> Iterator[object]:
    """One cluster for all tests: starting it takes seconds."""
    import ray  # here, for each worker of the suite collects this file and one runs it

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    # each worker that waits for tasks costs a process's start, and actors start their own
    no_spares = {"prestart_worker_first_driver": False, "enable_worker_prestart": False}
    ray.init(num_cpus=4, _node_ip_address="127.0.0.1", _system_config=no_spares, **quiet)
    yield ray
    ray.shutdown()


def run(photos: Path, out: Path, workers: int, choose: object = choose_finder, **options: object) -> Runner:
    pool = RayPool(REQUEST, choose, worker_count=workers, **options)  # type: ignore[arg-type]
    runner = Runner(job(photos, out), pool)
    runner.start()
    runner.wait()
    return runner


@pytest.fixture(scope="module")
def without(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same job without a cluster, with the retouch that its workers have."""
    out = tmp_path_factory.mktemp("without") / "done"
    pool = LocalPool(REQUEST, "fixed", finder, lambda: engines_for(REQUEST, (), False, lambda text: None))
    runner = Runner(job(photos, out), pool)
    runner.start()
    runner.result()
    return out


def counted_finder(loads: Path) -> object:
    """A finder of which every load leaves a file with its process's number."""

    def load() -> object:
        with (loads / str(os.getpid())).open("a") as file:
            file.write("loaded\n")
        return finder()

    return "fixed", load


def test_two_workers_make_the_same_report_from_bytes_sent_once(
    cluster: object, photos: Path, without: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = tmp_path / "loads"
    loads.mkdir()
    sent: list[bytes] = []
    call = RayWorker._call

    def counted(worker: RayWorker, *arguments: object) -> object:
        sent.extend(each for each in arguments if isinstance(each, bytes))
        return call(worker, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(RayWorker, "_call", counted)
    runner = run(photos, tmp_path / "out", 2, partial(counted_finder, loads))
    assert runner.result().is_complete
    assert all_of(tmp_path / "out") == all_of(without)
    lines = lines_of(tmp_path / "out")
    assert {line["worker"].split(" on ")[0] for line in lines} == {"ray 0", "ray 1"}
    whole = sorted((photos / line["file"]).read_bytes() for line in lines)
    assert sorted(sent) == whole, "the bytes of each picture leave this process once"
    assert [path.read_text() for path in loads.iterdir()] == ["loaded\n"] * 2, "one finder for each actor"


def test_packshots_at_one_scale_are_the_same_files(cluster: object, tmp_path: Path) -> None:
    """Measured by the workers first, framed by them, and checked: the bytes that one process makes."""
    inputs = tmp_path / "photos"
    inputs.mkdir()
    for number, side in enumerate((60, 90)):
        pixels = np.random.default_rng(number).integers(0, 200, (60, side, 3), np.uint8)
        Image.fromarray(pixels).save(inputs / f"{number}.png")
    (inputs / "broken.png").write_bytes(b"\x89PNG")
    shop = {"make": "packshot", "marketplace": "amazon,google", "edges": "hard", "same_scale": True, "size": "200x200"}
    request = REQUEST.replace(**shop)
    pools = (
        RayPool(request, choose_finder, worker_count=1),
        LocalPool(request, "fixed", finder, lambda: engines_for(request, (), False, lambda text: None)),
    )
    for pool, name in zip(pools, ("ray", "here")):
        runner = Runner(job(inputs, tmp_path / name, request), pool)
        runner.start()
        assert runner.result().is_complete
    made = [each for line in lines_of(tmp_path / "ray") for each in line.get("packshots") or ()]
    assert len(made) == 4 and len({each["scale"] for each in made if each["marketplace"] == "google"}) == 1
    assert all_of(tmp_path / "ray") == all_of(tmp_path / "here")


def with_environment(environment: dict[str, str]) -> object:
    """The finder, on a machine with these credentials."""
    os.environ.update(environment)
    return choose_finder()


def test_from_a_bucket_into_a_bucket_no_picture_is_sent(
    cluster: object,
    bucket: StorageURL,
    photos: Path,
    without: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claim, "SETTLING", 0.0)
    upload(photos, bucket / "in")
    sent: list[object] = []
    call = RayWorker._call

    def counted(worker: RayWorker, *arguments: object) -> object:
        sent.append(arguments[1])
        return call(worker, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(RayWorker, "_call", counted)
    environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    folders = StoredFolders(bucket / "in", bucket / "out", tmp_path / "spool")
    pool = RayPool(REQUEST, partial(with_environment, environment), worker_count=1)
    runner = Runner(job(folders.input_folder, folders.output_folder), pool, folders)
    runner.start()
    assert runner.result().is_complete
    found = all_of(download(Store(bucket / "out"), tmp_path / "out"))
    assert [line.pop("object_version") for line in found["lines"]] and found == all_of(without)
    assert len(sent) == 24 and not [each for each in sent if isinstance(each, bytes)], "the URL, and no byte"


def test_a_store_that_an_actor_cannot_reach_is_told_before_the_first_picture(
    s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = PictureActor(ActorSettings(0, REQUEST.to_dict(), choose_finder))
    assert "by one process only" in actor.check_access(StorageURL("memory", "bucket/a.png"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    _file_system.cache_clear()
    assert actor.check_access(StorageURL("s3", "bucket/a.png")).startswith(
        "there are no credentials for s3://bucket/a.png:"
    )
    _file_system.cache_clear()


class Fatal(SlowDetector):
    """Takes its process down with it over pictures of one size."""

    size = (0, 0)

    def detect(self, *arguments: object) -> object:
        if arguments[0].shape[:2] == self.size:  # type: ignore[attr-defined]
            os.kill(os.getpid(), signal.SIGKILL)
        return super().detect(*arguments)


def fatal_finder(size: tuple[int, int]) -> object:
    detector = Fatal()
    detector.size = size
    return "fixed", lambda: replace(finder(), detector=detector)


def test_a_picture_that_kills_its_worker_fails_alone(
    cluster: object, photos: Path, without: Path, tmp_path: Path
) -> None:
    inputs = Path(shutil.copytree(photos, tmp_path / "photos"))
    Image.new("RGB", (37, 23), (200, 200, 200)).save(inputs / "IMG_0002 deadly.png")
    runner = run(inputs, tmp_path / "out", 1, partial(fatal_finder, (23, 37)))
    assert runner.result().is_complete
    lines = lines_of(tmp_path / "out")
    (deadly,) = (line for line in lines if line["retry"])
    assert deadly["file"] == "IMG_0002 deadly.png" and "the worker died" in deadly["reason"]
    known = {line["file"]: line["status"] for line in lines_of(without)}
    assert {line["file"]: line["status"] for line in lines if line is not deadly} == known


def no_finder() -> object:
    raise FinderUnavailable("onnxruntime is missing: pip install onnxruntime")


def test_a_worker_that_cannot_start_says_why(cluster: object, photos: Path, tmp_path: Path) -> None:
    runner = run(photos, tmp_path / "out", 1, no_finder)
    with pytest.raises(ProdshotError, match="pip install onnxruntime"):
        runner.result()


class Ignorant(SlowDetector):
    def detect(self, *arguments: object) -> object:
        raise UnknownProducts({"mug": ["cup"]}, "fixed", "write cup")


def ignorant_finder() -> object:
    return "fixed", lambda: replace(finder(), detector=Ignorant())


def test_a_request_that_fits_no_picture_ends_the_job(cluster: object, photos: Path, tmp_path: Path) -> None:
    runner = run(photos, tmp_path / "out", 1, ignorant_finder)
    with pytest.raises(RequestError, match="does not know 'mug'") as refused:
        runner.result()
    assert refused.value.problems[0].field == "products"


def test_stop_ends_a_cluster_job_and_another_pool_goes_on(
    cluster: object, photos: Path, without: Path, tmp_path: Path
) -> None:
    pool = RayPool(REQUEST, slow_choice, worker_count=1)
    runner = Runner(job(photos, tmp_path / "out"), pool)
    runner.start()
    while not runner.progress.done:
        assert not runner.wait(0.02)
    runner.stop()
    assert not runner.result().is_complete and runner.progress.state == "stopped"
    done = len(lines_of(tmp_path / "out"))
    assert run(photos, tmp_path / "out", 1).result().before == done
    assert all_of(tmp_path / "out") == all_of(without)


def slow_choice() -> object:
    return "fixed", partial(finder, 0.1)


def choose_without_reader() -> object:
    """The finder, and no text reader, as in this process (`no_text_reader`): a report says why text was not checked."""
    from lib_prodshot.gates import rapid_reader

    rapid_reader.find_spec = lambda name: None  # type: ignore[assignment]
    return choose_finder()


def test_two_webuis_are_dealt_out_among_the_workers(cluster: object, photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("httpx", reason="the client for WebUIs needs httpx (extra 'cluster')")
    from tests.jobs.test_webuis import REQUEST as INPAINT
    from tests.jobs.test_webuis import double, seen
    from tests.jobs.test_webuis import run as run_here

    with double(0.02) as first, double(0.02) as second:
        pool = RayPool(INPAINT, choose_without_reader, webuis=[first, second])
        runner = Runner(job(photos, tmp_path / "out", INPAINT), pool)
        runner.start()
        assert runner.result().is_complete
        lines = lines_of(tmp_path / "out")
        for address in (first, second):
            assert sorted(seen(address)) == sorted(line["seed"] for line in lines if line["worker"] == address) != []
        run_here(photos, tmp_path / "here", first)
    assert all_of(tmp_path / "out") == all_of(tmp_path / "here")


def test_shares() -> None:
    assert [_share(("a", "b", "c"), place, 2) for place in range(2)] == [("a", "c"), ("b",)]
    assert [_share(("a", "b"), place, 3) for place in range(3)] == [("a",), ("b",), ("a",)]
    assert _share((), 0, 2) == ()


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ActorError("no weights"), ProdshotError),
        (ActorError("away", lost=True), WorkerLost),
        (ActorError(cancelled=True), TaskCancelled),
        (ActorError("x", (("products", "unknown", "shoe"),)), RequestError),
    ],
)
def test_errors_survive_pickling(error: ActorError, raised: type[BaseException]) -> None:
    with pytest.raises(raised):
        pickle.loads(pickle.dumps(error)).reraise()


def test_an_actor_needs_no_file_of_the_sender(photos: Path) -> None:
    actor = PictureActor(ActorSettings(0, REQUEST.to_dict(), choose_finder))
    name = next(line for line in sorted(photos.rglob("*.png")) if line.stat().st_size > 2000)
    result = pickle.loads(pickle.dumps(actor.process("/nowhere/at all/shot.png", "shot", None, name.read_bytes())))
    assert isinstance(result, ActorResult) and result.outcome.status != "failed"
    assert {Path(file).stem.split(".")[0] for file in result.files} == {"shot"}
    broken = actor.process("/nowhere/bad.png", "bad", None, b"junk")
    assert isinstance(broken, ActorResult)
    assert broken.outcome.verdict.reason.startswith("/nowhere/bad.png is not a picture")
