"""One file: results that appear whole or not at all, inputs that never change, names that never clash."""

from __future__ import annotations

import errno
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from lib_prodshot import pictures
from lib_prodshot.enhancing.interface import Enhanced, Task
from lib_prodshot.jobs.files.names import output_stems
from lib_prodshot.jobs.processor import PictureProcessor
from lib_prodshot.request import Request
from tests.finders import fixed_finder

REQUEST = Request(products="car", fidelity="off")


class Brighter:
    name = "brighter"

    def enhance(self, task: Task) -> Enhanced:
        return Enhanced(np.asarray(cv2.add(task.picture, np.full_like(task.picture, 40))))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save(path: Path, level: int = 100, **options: object) -> Path:
    pixels = np.full((64, 48, 3), level, np.uint8)
    pixels[::2] += 20
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def worker() -> PictureProcessor:
    return PictureProcessor(REQUEST, fixed_finder(darkest=50), Brighter())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_found_writes_picture_mask_and_alpha(worker: PictureProcessor, tmp_path: Path, out: Path) -> None:
    source = save(tmp_path / "car.jpg")
    before = digest(source)
    outcome = worker.process(source, out, "car")
    assert sorted(path.name for path in out.iterdir()) == ["car.alpha.png", "car.mask.png", "car.png"]
    assert digest(source) == before
    assert outcome.output_file == str(out / "car.png") and outcome.mask_file == str(out / "car.mask.png")
    original, result = (np.asarray(Image.open(path)) for path in (source, out / "car.png"))
    alpha = np.asarray(Image.open(out / "car.alpha.png"))
    assert np.array_equal(original[alpha == 0], result[alpha == 0])
    assert not np.array_equal(original[alpha == 255], result[alpha == 255])
    assert set(np.unique(np.asarray(Image.open(out / "car.mask.png")))) == {0, 255}


def test_skipped_is_a_byte_copy(worker: PictureProcessor, tmp_path: Path, out: Path) -> None:
    source = save(tmp_path / "dark.jpg", level=5, quality=31, comment=b"kept")
    outcome = worker.process(source, out, "dark")
    assert outcome.status == "skipped" and outcome.output_file == str(out / "dark.jpg")
    assert (out / "dark.jpg").read_bytes() == source.read_bytes()
    assert [path.name for path in out.iterdir()] == ["dark.jpg"]


@pytest.mark.parametrize("content", [b"", b"not a picture", None])
def test_bad_input_fails_with_its_reason_and_leaves_nothing(
    worker: PictureProcessor, tmp_path: Path, out: Path, content: bytes | None
) -> None:
    source = tmp_path / "bad.png"
    if content is None:
        source.mkdir()
    else:
        source.write_bytes(content)
    outcome = worker.process(source, out, "bad")
    assert outcome.status == "failed" and outcome.verdict.reason
    assert not list(out.iterdir())


def test_a_folder_equal_to_the_input_s_is_refused(worker: PictureProcessor, tmp_path: Path) -> None:
    source = save(tmp_path / "car.png")
    before = digest(source)
    outcome = worker.process(source, tmp_path, "car")
    assert outcome.status == "failed" and "choose another" in outcome.verdict.reason
    assert digest(source) == before and [path.name for path in tmp_path.iterdir()] == ["car.png"]


def test_no_result_is_written_over_another_input(tmp_path: Path, out: Path) -> None:
    source, other = save(tmp_path / "car.png"), save(out / "car.png", level=90)
    before = digest(other)
    worker = PictureProcessor(REQUEST, fixed_finder(), Brighter(), frozenset({source.resolve(), other.resolve()}))
    outcome = worker.process(source, out, "car")
    assert outcome.status == "failed" and "one of the pictures given" in outcome.verdict.reason
    assert digest(other) == before and len(list(out.iterdir())) == 1


def test_a_full_disk_leaves_nothing_half_written(
    worker: PictureProcessor, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = save(tmp_path / "car.png")

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pictures, "write_grey", full)
    outcome = worker.process(source, out, "car")
    assert outcome.status == "failed" and "No space left on device" in outcome.verdict.reason
    assert outcome.output_file == "" and outcome.result is None
    assert not list(out.iterdir())


def test_a_bug_in_a_library_fails_the_picture_only(tmp_path: Path, out: Path) -> None:
    class Broken:
        name = "broken"

        def enhance(self, task: Task) -> Enhanced:
            raise ZeroDivisionError("division by zero")

    source = save(tmp_path / "car.png")
    outcome = PictureProcessor(REQUEST, fixed_finder(), Broken()).process(source, out, "car")
    assert outcome.status == "failed" and "ZeroDivisionError" in outcome.verdict.reason
    assert not list(out.iterdir())


def test_stems_never_clash() -> None:
    names = ["a.jpg", "a.png", "A.bmp", "b/a.jpg", "a.mask.png", "x.alpha.tif", "x.png"]
    stems = output_stems([Path(name) for name in names])
    assert stems == ["a", "a.png", "A.bmp", "a.jpg", "a.mask.png", "x.alpha", "x.png"]
    written = [f"{stem}{kind}".casefold() for stem in stems for kind in ("", ".mask", ".alpha")]
    assert len(written) == len(set(written))


def test_the_outcome_is_one_json_line_without_arrays(worker: PictureProcessor, tmp_path: Path, out: Path) -> None:
    outcome = worker.process(save(tmp_path / "car.png"), out, "car")
    line = json.loads(json.dumps(outcome.to_json()))
    assert line["status"] == "found" and line["audit"]["changed_outside"] == 0
    assert set(line["detections"][0]) == {"label", "score", "box", "area"}
