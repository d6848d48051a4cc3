"""The folder job's parts: work list, seeds, resource pools, ledger, thumbnails kept."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from lib_prodshot import pictures
from lib_prodshot.errors import OutputError, PictureError
from lib_prodshot.jobs.folder.resume import fingerprint
from lib_prodshot.jobs.folder.work_list import HIDDEN, SUBFOLDERS, list_pictures
from lib_prodshot.jobs.report.ledger import Ledger
from lib_prodshot.jobs.report.thumbnail_store import ThumbnailStore
from lib_prodshot.jobs.report.thumbnails import Encoded
from lib_prodshot.jobs.seeds import content_of, picture_seed
from lib_prodshot.jobs.workers.interface import TaskCancelled
from lib_prodshot.jobs.workers.resources import PoolExhausted, ResourcePool, WeightedSemaphore
from lib_prodshot.outcome import CSV_COLUMNS
from lib_prodshot.request import Request
from tests.jobs.photographs import BROKEN, make_picture

# --- work list ------------------------------------------------------------------------------------------------------


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def test_pictures_in_order_and_nothing_else(tmp_path: Path) -> None:
    touch(tmp_path, "b.PNG", "a.jpg", "a.png", "notes.txt", ".a.png", "._a.jpg", "sub/a.png", ".trash/x.png", "raw.CR2")
    touch(tmp_path, "out/a.png")
    flat = list_pictures(tmp_path, tmp_path / "out")
    assert [entry.name for entry in flat.entries] == ["a.jpg", "a.png", "b.PNG", "raw.CR2"]
    assert [entry.stem for entry in flat.entries] == ["a", "a.png", "b", "raw"]
    assert flat.others == 1
    assert dict(flat.left_out) == {HIDDEN: ("._a.jpg", ".a.png"), SUBFOLDERS: ("sub",)}
    deep = list_pictures(tmp_path, tmp_path / "out", recursive=True)
    assert [entry.name for entry in deep.entries][-1] == "sub/a.png"
    assert (deep.entries[-1].folder, deep.entries[-1].stem) == ("sub", "a")
    assert tuple(flat.entries) == deep.entries[:4]
    assert dict(deep.left_out) == {HIDDEN: ("._a.jpg", ".a.png")}


@pytest.mark.once
def test_five_thousand_pictures_are_listed_in_no_time(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{number}.jpg" for number in range(5000)))
    start = time.process_time()
    assert len({entry.stem for entry in list_pictures(tmp_path, tmp_path / "out").entries}) == 5000
    assert time.process_time() - start < 5  # a square of the number would take minutes


def test_folders_that_cannot_be(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    with pytest.raises(PictureError, match="does not exist"):
        list_pictures(tmp_path / "absent", tmp_path / "out")
    with pytest.raises(PictureError, match="prodshot enhance"):
        list_pictures(tmp_path / "a.png", tmp_path / "out")
    with pytest.raises(OutputError, match="the input folder itself"):
        list_pictures(tmp_path, tmp_path / "sub" / "..")


def test_a_link_in_a_cycle_ends(tmp_path: Path) -> None:
    touch(tmp_path, "sub/a.png")
    (tmp_path / "sub" / "again").symlink_to(tmp_path, target_is_directory=True)
    listed = list_pictures(tmp_path, tmp_path / "out", recursive=True)
    assert [entry.name for entry in listed.entries] == ["sub/a.png"]


# --- seeds and settings ---------------------------------------------------------------------------------------------


def test_a_seed_is_made_of_job_and_content(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    (tmp_path / "b.png").write_bytes(b"b")
    a, b = content_of(tmp_path / "a.png"), content_of(tmp_path / "b.png")
    assert picture_seed(0, a) == picture_seed(-1, a) == 1780750202
    assert len({picture_seed(0, a), picture_seed(1, a), picture_seed(0, b)}) == 3
    assert all(0 <= picture_seed(seed, a) < 2**31 for seed in range(200))


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"products": "shoe,  bag : purse"}, False),
        ({"products": "shoe"}, True),
        ({"box_threshold": 0.4}, True),
        ({"strength": 0.7}, True),
        ({"steps": 30}, False),
        ({"control_weight": 0.5}, False),
        ({"save_masks": True}, False),
        ({"engine": "inpaint"}, True),
    ],
)
def test_only_settings_that_matter_change_the_fingerprint(changes: dict[str, object], differs: bool) -> None:
    request = Request(products="shoe, bag: purse")
    assert (fingerprint(request.replace(**changes), "lite", False) != fingerprint(request, "lite", False)) is differs


def test_inpaint_settings_finder_and_dry_run_matter() -> None:
    request = Request(products="shoe", engine="inpaint")
    known = {
        fingerprint(request, "lite", False),
        fingerprint(request, "langsam", False),
        fingerprint(request, "lite", True),
        fingerprint(request.replace(steps=30), "lite", False),
        fingerprint(request.replace(control_weight=0.5), "lite", False),
        fingerprint(request.replace(seed=3), "lite", False),
    }
    assert len(known) == 6
    assert fingerprint(request.replace(steps=30), "lite", True) == fingerprint(request, "lite", True)


# --- pools ----------------------------------------------------------------------------------------------------------


def test_a_member_works_for_one_at_a_time() -> None:
    pool = ResourcePool(["only"])
    busy, most = [], []

    def work() -> None:
        member = pool.acquire()
        busy.append(1)
        most.append(len(busy))
        time.sleep(0.005)
        busy.pop()
        pool.release(member)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert most == [1] * 8


def test_a_member_in_backoff_is_passed_over_and_comes_back() -> None:
    now = [0.0]
    pool = ResourcePool(["a", "b"], clock=lambda: now[0])
    assert pool.acquire() == "a"
    pool.release("a", backoff=60)
    assert pool.acquire() == "b"
    pool.release("b")
    assert pool.acquire(without=["a"]) == "b"
    now[0] = 61
    assert pool.acquire() == "a"


def test_an_exhausted_pool() -> None:
    pool = ResourcePool(["a", "b"])
    pool.remove(pool.acquire())
    assert pool.members == ["b"]
    with pytest.raises(PoolExhausted):
        pool.acquire(without=["b"])
    pool.remove(pool.acquire())
    with pytest.raises(PoolExhausted):
        pool.acquire()


def test_those_who_wait_are_cancelled_and_later_ones_only_if_asked() -> None:
    pool = ResourcePool(["a"])
    pool.acquire()
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            pool.acquire()
        except TaskCancelled as cancelled:
            ended.append(cancelled)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.05)
    pool.cancel_waiting(close=False)
    thread.join(10)
    assert len(ended) == 1
    pool.release("a")
    assert pool.acquire() == "a"
    pool.release("a")
    pool.cancel_waiting(close=True)
    with pytest.raises(TaskCancelled):
        pool.acquire()


def test_a_semaphore_bounds_the_pixels_in_progress_and_lets_a_giant_pass_alone() -> None:
    semaphore, inside, most = WeightedSemaphore(100), [], []

    def hold(pixels: int) -> None:
        with semaphore.held(pixels):
            inside.append(pixels)
            most.append(sum(min(each, 100) for each in inside))
            time.sleep(0.005)
            inside.remove(pixels)

    threads = [threading.Thread(target=hold, args=(pixels,)) for pixels in (60, 60, 5000, 40, 30, 30, 30, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(most) == 8 and max(most) <= 100
    semaphore.close(now=False)
    with pytest.raises(TaskCancelled), semaphore.held(1):
        pass
    with semaphore.held(1, is_begun=True):
        pass
    semaphore.close()
    with pytest.raises(TaskCancelled), semaphore.held(1, is_begun=True):
        pass


# --- ledger ---------------------------------------------------------------------------------------------------------


def line(name: str, **changes: object) -> dict[str, object]:
    known = {
        "file": name,
        "status": "skipped",
        "reason": "none",
        "seconds": {"find": 1.0, "detect": 0.9},
        "sha256": "x",
    }
    return {**known, **changes}


def read(folder: Path) -> tuple[list[str], list[str]]:
    lines = [json.loads(text)["file"] for text in (folder / "report.jsonl").read_text().splitlines()]
    return lines, [row.split(",")[0] for row in (folder / "report.csv").read_text().splitlines()]


def test_each_line_is_on_disk_when_add_returns(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.open()
        for name in ("b.png", "a.png"):
            ledger.add(line(name))
            assert read(tmp_path)[0][-1] == read(tmp_path)[1][-1] == name
        ledger.settle(["a.png", "b.png"])
    assert read(tmp_path) == (["a.png", "b.png"], ["file", "a.png", "b.png"])
    row = (tmp_path / "report.csv").read_text().splitlines()[1].split(",")
    assert row[CSV_COLUMNS.index("seconds")] == "1.0"


@pytest.mark.parametrize("cut", [1, 20, 70])
def test_torn_lines_are_repaired_and_the_table_follows(tmp_path: Path, cut: int) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.open()
        for name in ("a.png", "b.png", "c.png"):
            ledger.add(line(name))
    whole = (tmp_path / "report.jsonl").read_bytes()
    (tmp_path / "report.jsonl").write_bytes(whole[:-cut])
    (tmp_path / "report.csv").write_bytes((tmp_path / "report.csv").read_bytes()[:-3])
    with Ledger(tmp_path) as ledger:
        ledger.open()
        ledger.add(line("d.png"))
    kept = ["a.png", "b.png"] if cut > 1 else ["a.png", "b.png", "c.png"]
    assert read(tmp_path) == ([*kept, "d.png"], ["file", *kept, "d.png"])


def test_zeros_after_a_power_cut_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "report.jsonl").write_bytes(json.dumps(line("a.png")).encode() + b"\n" + bytes(300))
    with Ledger(tmp_path) as ledger:
        ledger.open()
    assert read(tmp_path) == (["a.png"], ["file", "a.png"])


def test_replaced_lines_go_first_and_strangers_stay(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.open()
        for name in ("a.png", "photos/other.png", "b.png"):
            ledger.add(line(name))
        ledger.close()
        ledger.open({"a.png"})
        assert read(tmp_path)[0] == ["photos/other.png", "b.png"]
        ledger.add(line("a.png", status="found"))
        ledger.settle(["a.png", "b.png"])
    assert read(tmp_path)[0] == ["a.png", "b.png", "photos/other.png"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write into"):
        Ledger(tmp_path / "absent").open()


# --- thumbnails -----------------------------------------------------------------------------------------------------


def test_thumbnails_are_kept_and_drawn_again_when_torn_or_out_of_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_picture(0, 90).save(tmp_path / "a.png")
    drawn: list[str] = []
    draw = ThumbnailStore.draw
    monkeypatch.setattr(
        ThumbnailStore, "draw", lambda store, line: (drawn.append(str(line["file"])), draw(store, line))[1]
    )

    def store() -> ThumbnailStore:
        return ThumbnailStore(tmp_path, tmp_path / "out", tmp_path, 32)

    first = store()
    before, overlay, after = first.get(line("a.png"))
    assert isinstance(before, Encoded) and max(before.width, before.height) == 32 and overlay is after is None
    assert first.get(line("a.png"))[0] == before and drawn == ["a.png"]
    first.close()
    assert store().get(line("a.png"))[0] == before and drawn == ["a.png"]
    store().get(line("a.png", settings="changed"))
    assert drawn == ["a.png", "a.png"]
    kept = tmp_path / "thumbnails.jsonl"
    kept.write_bytes(kept.read_bytes()[:-10])
    torn = store()
    assert torn.get(line("a.png"))[0] == before and len(drawn) == 2, "the first line is whole"
    torn.get(line("a.png", settings="changed"))
    assert len(drawn) == 3
    torn.close()
    for number in range(6):
        again = store()
        again.get(line("a.png", settings=str(number)))
        again.close()
    assert len(kept.read_bytes().splitlines()) <= 3, "what is out of date goes in the end"


# --- the pictures of these tests ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(BROKEN)))
def test_every_kind_of_broken_file_is_one_that_cannot_be_read(number: int) -> None:
    with pytest.raises(PictureError):
        pictures.read(BROKEN[number](number * 30 + 15))
