"""One picture's trouble is that picture's: what hangs, what cannot be removed, what stands where a result should."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from lib_prodshot import pictures
from lib_prodshot.jobs import processor, seeds
from lib_prodshot.jobs.processor import PictureProcessor
from lib_prodshot.jobs.report import thumbnail_store
from tests.finders import fixed_finder
from tests.jobs.photographs import make_picture
from tests.jobs.tools import REQUEST, Shade, all_of, lines_of, run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png", "sub/c.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        make_picture(0, 48).save(tmp_path / "photos" / name)
    return tmp_path / "photos"


def reasons(out: Path) -> dict[str, str]:
    return {line["file"]: line["reason"] for line in lines_of(out) if line["status"] == "failed"}


# --- files that hang ------------------------------------------------------------------------------------------------


@pytest.fixture
def released() -> Any:
    """Set in the end, so that no thread is left behind."""
    event = threading.Event()
    yield event
    event.set()


def test_a_file_that_gives_nothing_fails_alone(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, released: threading.Event
) -> None:
    run(photos, tmp_path / "whole")
    real = seeds.open_regular

    def hang(path: Path) -> Any:
        if path.name == "b.png":
            released.wait(60)
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(seeds, "open_regular", hang)
        patch.setattr(seeds, "BLOCK_TIMEOUT", 0.3)
        run(photos, tmp_path / "out")
        assert reasons(tmp_path / "out") == {"b.png": "b.png cannot be read: no answer within 0.3 s"}
        run(photos, tmp_path / "out")
        assert set(reasons(tmp_path / "out")) == {"b.png"}
    assert run(photos, tmp_path / "out").before == 2
    assert all_of(tmp_path / "out") == all_of(tmp_path / "whole")


def test_a_file_that_comes_slowly_is_waited_for(
    photos: Path, monkeypatch: pytest.MonkeyPatch, released: threading.Event
) -> None:
    """Each piece has its own time, so that no large file on a slow share is given up."""
    whole = seeds.content_of(photos / "a.png")
    real = seeds.open_regular
    pieces: list[int] = []

    class Slow:
        def __init__(self, path: Path) -> None:
            self.file = real(path)

        def __enter__(self) -> Slow:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def read(self, most: int) -> bytes | None:
            pieces.append(most)
            released.wait(0.2)
            return self.file.read(min(most, 500))

    monkeypatch.setattr(seeds, "open_regular", Slow)
    monkeypatch.setattr(seeds, "BLOCK_TIMEOUT", 0.5)
    assert seeds.content_of(photos / "a.png") == whole and len(pieces) > 3


@pytest.mark.parametrize("through", ["the job", "one file"])
def test_a_file_that_keeps_the_decoder_busy_fails_alone(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, released: threading.Event, through: str
) -> None:
    real = pictures.read

    def hang(path: Path) -> Any:
        if path.name == "b.png":
            released.wait(60)
        return real(path)

    monkeypatch.setattr(processor.pictures, "read", hang)
    monkeypatch.setattr(processor, "READ_TIMEOUT", 0.5)
    if through == "one file":
        (tmp_path / "out").mkdir()
        outcome = PictureProcessor(REQUEST, fixed_finder(), Shade()).process(photos / "b.png", tmp_path / "out", "b")
        assert outcome.verdict.reason == f"{photos / 'b.png'} could not be read within 0.5 s"
        return
    run(photos, tmp_path / "out")
    assert reasons(tmp_path / "out") == {"b.png": "b.png could not be read within 0.5 s"}
    released.set()
    assert run(photos, tmp_path / "out").before == 2 and not reasons(tmp_path / "out")


def test_a_thumbnail_that_hangs_leaves_its_place_empty(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, released: threading.Event
) -> None:
    monkeypatch.setattr(thumbnail_store, "thumbnails_of", lambda *_: released.wait(60))
    monkeypatch.setattr(thumbnail_store, "READ_TIMEOUT", 0.1)
    assert run(photos, tmp_path / "out").statuses == {"found": 3}
    assert (tmp_path / "out" / "index.html").read_text().count("cannot be shown") == 3


def test_an_encoder_with_a_bug_fails_its_picture_alone(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pictures.write

    def stumble(result: Any, path: Path, *more: Any) -> None:
        if path.parent.name == "sub":
            raise ValueError("negative strip")
        real(result, path, *more)

    with monkeypatch.context() as patch:
        patch.setattr(pictures, "write", stumble)
        run(photos, tmp_path / "out")
    assert reasons(tmp_path / "out") == {"sub/c.png": "unexpected ValueError: negative strip"}
    assert run(photos, tmp_path / "out").before == 2


# --- what stands in the way -----------------------------------------------------------------------------------------


def test_a_folder_where_a_result_should_be(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "b.mask.png").mkdir(parents=True)
    (tmp_path / "out" / "b.mask.png" / "mine.txt").write_text("mine")
    for before in (0, 2):
        assert run(photos, tmp_path / "out").before == before
        assert reasons(tmp_path / "out") == {
            "b.png": f"cannot write into {tmp_path / 'out'}: a folder has the name b.mask.png"
        }
    assert not (tmp_path / "out" / "b.png").exists() and not list((tmp_path / "out").glob(".prodshot-*"))
    assert (tmp_path / "out" / "b.mask.png" / "mine.txt").read_text() == "mine"
    (tmp_path / "out" / "b.mask.png").rename(tmp_path / "moved")
    assert run(photos, tmp_path / "out").before == 2 and not reasons(tmp_path / "out")


def test_a_file_where_a_sub_folder_should_be(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").write_text("mine")
    for before in (0, 2):
        assert run(photos, tmp_path / "out").before == before
        assert reasons(tmp_path / "out") == {"sub/c.png": f"cannot make the folder {tmp_path / 'out/sub'}: File exists"}
    assert (tmp_path / "out" / "sub").read_text() == "mine"
    (tmp_path / "out" / "sub").unlink()
    assert run(photos, tmp_path / "out").before == 2 and not reasons(tmp_path / "out")


def test_a_path_that_grows_too_long(tmp_path: Path) -> None:
    """The inputs' own fit, and the results' do not: the output folder's name is longer."""
    deep = Path(*["d" * 200] * 17)
    (tmp_path / "photos").mkdir()
    here = Path.cwd()
    os.chdir(tmp_path / "photos")
    for part in deep.parts:
        os.mkdir(part)  # noqa: PTH102 - whole, the path is near its limit
        os.chdir(part)
    make_picture(0, 48).save("a.png")
    os.chdir(here)
    make_picture(0, 48).save(tmp_path / "photos" / "b.png")
    out = tmp_path / ("o" * 250) / ("o" * 250) / ("o" * 250)
    for _ in range(2):
        summary = run(tmp_path / "photos", out)
        assert summary.listed == 2 and summary.statuses == {"found": 1, "failed": 1}
    (reason,) = reasons(out).values()
    assert reason.endswith("File name too long")


# --- what cannot be removed -----------------------------------------------------------------------------------------


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names that cannot be removed: not by mode bits, which mean nothing to some users."""
    names: set[str] = set()
    real = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path.name in names:
            raise PermissionError(1, "Operation not permitted")
        real(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    return names


def test_leftovers_of_a_killed_run_that_stay(photos: Path, tmp_path: Path, stuck: set[str]) -> None:
    run(photos, tmp_path / "whole")
    out = tmp_path / "out"
    run(photos, out, limit=1)
    leftover = f".prodshot-{2**22 + 1}-3.png"
    (out / leftover).write_bytes(b"half")
    (out / "sub").mkdir()
    (out / "sub" / "c.mask.png").write_bytes(b"half")
    (out / "sub" / "c.png").write_bytes(b"half")
    (out / ".prodshot" / "begun.jsonl").write_text('["sub/c.png", "sub/c.mask.png"]\n')
    stuck |= {leftover, "c.mask.png", "begun.jsonl"}
    summary = run(photos, out)
    assert summary.statuses == {"found": 3} and summary.notes == (
        f"left by an earlier run, and cannot be removed: {leftover} (Operation not permitted), "
        "sub/c.mask.png (Operation not permitted)",
    )
    stuck.clear()
    assert run(photos, out).before == 3
    assert all_of(out) == all_of(tmp_path / "whole") and not list(out.glob(".prodshot-*"))


def test_an_old_result_that_stays_is_told_in_its_line(photos: Path, tmp_path: Path, stuck: set[str]) -> None:
    out = tmp_path / "out"
    run(photos, out)
    stuck |= {"b.alpha.png"}
    strict = REQUEST.replace(box_threshold=0.95)
    assert run(photos, out, strict).statuses == {"skipped": 3}
    notes = {line["file"]: line["notes"] for line in lines_of(out)}
    assert notes["b.png"] == ["an earlier run's b.alpha.png (Operation not permitted) cannot be removed"]
    assert notes["a.png"] == []
    assert run(photos, out, strict).before == 3


def test_what_stood_under_a_name_before_may_stay(photos: Path, tmp_path: Path, stuck: set[str]) -> None:
    """The results are in place; the second names of the old ones are left for the next run."""
    worker, out = PictureProcessor(REQUEST, fixed_finder(), Shade()), tmp_path / "out"
    out.mkdir()
    worker.process(photos / "a.png", out, "a")
    stuck |= {f".prodshot-{os.getpid()}-{number}.former" for number in range(100_000)}
    assert worker.process(photos / "a.png", out, "a").status == "found"
    assert len(list(out.glob(".prodshot-*.former"))) == 3
    stuck.clear()
    run(photos, out)
    assert not list(out.glob(".prodshot-*"))
